"""Sharing of slots between processes."""
