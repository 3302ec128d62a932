"""Usage and decks from elsewhere: what is not understood exactly is an error with file, line and column."""
