"""Files that others made become typed rows: what is not understood exactly is an error with file, line and column."""
