"""Documents that the emulator draws, and their true content; needs Pillow (extra ``emulator``)."""
