"""Long operations: their rows are staged while others write, then stored at once."""
