"""Statements on a database behind the service's back."""

import sqlite3
from contextlib import closing

import psycopg


def run_sql(url: str, *statements: str) -> None:
    """Run statements, each of which is committed."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        return
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
