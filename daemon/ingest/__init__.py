"""Usage from elsewhere: files of calls and messages come in here, and are priced or charged."""
