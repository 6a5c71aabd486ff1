"""Sample documents that the emulator draws, and their ground truth; drawing needs Pillow (extra ``emulator``)."""
