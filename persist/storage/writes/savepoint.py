"""Savepoint: a part of a transaction that can be undone without the rest."""

from collections.abc import Iterator
from contextlib import contextmanager

from persist.storage.dialect import Dialect, Failure
from persist.storage.sql import Session


@contextmanager
def savepoint(session: Session[Dialect]) -> Iterator[None]:
    """Open a block whose writes are undone if it raises.

    After any error of the database but a unique violation the transaction itself has
    to end, so nothing is undone then.
    """
    session.execute("SAVEPOINT part")
    try:
        yield
    except Exception as error:
        by_database = session.dialect.is_driver_error(error)
        if not by_database or session.dialect.failure(error) is Failure.UNIQUE:
            session.execute("ROLLBACK TO SAVEPOINT part")
            session.execute("RELEASE SAVEPOINT part")
        raise
    session.execute("RELEASE SAVEPOINT part")
