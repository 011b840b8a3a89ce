"""Tests of single modules; no server and no database."""
