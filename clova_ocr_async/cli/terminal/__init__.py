"""Terminal of a command: standard streams, output files, signals, and the texts that people read."""
