"""Integrations with frameworks, one module each, on public names only; each needs the extra of its name."""
