"""The client in other frameworks: one module for each, on public names only."""
