"""The nouns and their rules. Pure: no I/O, no clock, no environment."""
