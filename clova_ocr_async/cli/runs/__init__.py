"""Runs of images as the command line makes them: at once, resumable, or only counted."""
