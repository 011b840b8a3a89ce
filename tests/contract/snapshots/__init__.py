"""Snapshots and restores: one service for all tests of this folder."""
