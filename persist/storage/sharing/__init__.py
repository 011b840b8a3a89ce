"""Sharing: what a process takes on at once, and in whose turn."""
