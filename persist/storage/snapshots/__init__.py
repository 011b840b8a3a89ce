"""Snapshots: taking, keeping and restoring them."""
