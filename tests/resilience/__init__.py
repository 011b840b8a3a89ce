"""Crashes, load, concurrency, clusters and overload."""
