"""Fuzz targets: what reads octets from outside takes any octets, and raises what it documents and nothing else."""
