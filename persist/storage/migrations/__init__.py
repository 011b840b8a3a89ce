"""Migrations: tables of classes and registered types at their next schema version."""
