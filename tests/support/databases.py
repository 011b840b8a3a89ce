"""Marks of tests that need one of the databases; each use says why."""

import pytest

sqlite_only = pytest.mark.parametrize(
    "database", ["sqlite"], indirect=True, scope="session"
)
postgresql_only = pytest.mark.parametrize(
    "database", ["postgresql"], indirect=True, scope="session"
)
