"""The page that shows a run: one HTML file that opens from disk, without a network."""
