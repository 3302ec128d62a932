"""Asterisk: FastAGI for the question, the manager interface (AMI) for answer, hang-up and cut-off."""
