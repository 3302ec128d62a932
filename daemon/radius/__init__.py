"""RADIUS: packets from switches become questions and reports; decisions become packets. Nothing is answered early."""
