"""The journal: its rows, the feed of changes, seals, trimming and verification."""
