"""Persist and the ways one would do without it, measured in one run: ``python -m
benchmarks``."""
