"""Billing export (CGF, 3GPP TS 32.240): rated records become numbered, totalled, chained files for invoicing."""
