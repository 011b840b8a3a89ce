"""Savepoint: a part of a transaction that can be undone without the rest."""

from collections.abc import Iterator
from contextlib import contextmanager

from persist.storage.dialect import Dialect, Failure
from persist.storage.sql import Cursor


@contextmanager
def savepoint(cursor: Cursor, dialect: Dialect) -> Iterator[None]:
    """What is sent inside stays, or is undone where something is raised. After any
    refusal of the database but a unique violation the transaction itself has to end:
    nothing is undone then."""
    cursor.execute("SAVEPOINT part")
    try:
        yield
    except Exception as error:
        if (
            not dialect.is_driver_error(error)
            or dialect.failure(error) is Failure.UNIQUE
        ):
            cursor.execute("ROLLBACK TO SAVEPOINT part")
            cursor.execute("RELEASE SAVEPOINT part")
        raise
    cursor.execute("RELEASE SAVEPOINT part")
