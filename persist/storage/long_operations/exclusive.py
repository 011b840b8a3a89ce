"""Exclusive transactions, in which tables change: no other process writes meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sa

from persist.storage.dialect import Dialect, Failure

EXCLUSIVE_ATTEMPTS = 120
"""Attempts to begin the transaction while another process migrates."""


@contextmanager
def exclusive_connection(
    engine: sa.Engine, dialect: Dialect, *, end: str = "COMMIT"
) -> Iterator[sa.Connection]:
    """Open a connection with an ``exclusive_transaction``."""
    with (
        engine.connect() as connection,
        exclusive_transaction(connection, dialect, end=end),
    ):
        yield connection


@contextmanager
def exclusive_transaction(
    connection: sa.Connection, dialect: Dialect, *, end: str = "COMMIT"
) -> Iterator[None]:
    """Open a transaction during which no other process writes.

    ``end`` is the statement that ends it. It waits for another process that migrates,
    which may take minutes. Other processes that wait for this one see that it is long.
    """
    with dialect.turn(is_long=True):
        for attempt in range(EXCLUSIVE_ATTEMPTS):
            try:
                connection.exec_driver_sql(dialect.begin_exclusive)
                break
            except sa.exc.OperationalError as error:
                busy = (
                    error.orig is not None
                    and dialect.failure(error.orig) is Failure.BUSY
                )
                if not busy or attempt == EXCLUSIVE_ATTEMPTS - 1:
                    raise
                connection.rollback()
        connection.exec_driver_sql(dialect.prepare_migration)
        try:
            yield
        except BaseException:
            # The database may have ended the transaction, or the connection.
            with suppress(Exception):
                connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql(end)
