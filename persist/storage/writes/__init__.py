"""Writes: one thread that commits in groups, and everything that changes records."""
