"""Operation: health, maintenance, statistics and files."""
