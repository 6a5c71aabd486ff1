"""Runs of images as the command line makes them: one-shot, resumable, or only counted (dry)."""
