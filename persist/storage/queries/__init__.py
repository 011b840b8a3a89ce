"""Queries: a query of the domain as SQL, and how much of its result is read at once."""
