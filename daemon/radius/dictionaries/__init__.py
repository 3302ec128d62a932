"""Attribute dictionaries as data, one file for each RFC, vendor or overlay, in the columns that FreeRADIUS uses."""
