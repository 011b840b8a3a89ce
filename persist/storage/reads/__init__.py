"""Reads: records as they are and as they were, on the event loop or in threads."""
