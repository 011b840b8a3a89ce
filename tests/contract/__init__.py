"""The HTTP contract, on both databases, for typed and registered collections."""
