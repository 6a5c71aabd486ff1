"""Standard streams, files and signals, and the words that people read."""
