"""Health: whether the database can be read and written, seen without the lanes that
clients' requests wait in."""

import time

import sqlalchemy as sa

from persist.storage.dialect import Dialect, Failure
from persist.storage.tables import JOURNAL_HEAD

MEMORY = 5.0
"""Seconds that a failure counts, unless something is stored meanwhile: a small write
may go through where there is no room for another."""


class Health:
    """What is known of a database; any thread may tell and ask."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        seq = JOURNAL_HEAD.c.seq
        self._read = dialect.compile(sa.select(seq)).text
        self._write = dialect.compile(sa.update(JOURNAL_HEAD).values(seq=seq)).text
        self._failed: tuple[float, str] | None = None
        self._answered = time.monotonic()

    def stored(self) -> None:
        """Something was stored."""
        self._failed = None

    def failed(self, error: Exception) -> None:
        """The database failed an operation."""
        if self._dialect.failure(error) is Failure.UNAVAILABLE:
            self._failed = (time.monotonic(), self._dialect.describe(error))

    @property
    def fault(self) -> str | None:
        """What is wrong, as far as is known."""
        if (shortage := self._dialect.fault()) is not None:
            return shortage
        failed = self._failed
        return (
            failed[1]
            if failed is not None and time.monotonic() - failed[0] < MEMORY
            else None
        )

    @property
    def silence(self) -> float:
        """Seconds since ``look`` was answered."""
        return time.monotonic() - self._answered

    def look(self) -> None:
        """Read and write a little, on a connection of its own. May take long: call it
        in a thread."""
        try:
            self._look()
        except Exception as error:
            if not self._dialect.is_driver_error(error):
                raise
            self.failed(error)

    def _look(self) -> None:
        connection = self._dialect.connect()
        try:
            connection.execute(self._read).fetchall()
            self._answered = time.monotonic()
            connection.execute(self._write)
        finally:
            connection.close()
