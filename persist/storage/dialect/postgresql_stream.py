"""Rows of PostgreSQL as they arrive: one statement, without a round trip for each
batch of its rows."""

from collections.abc import Generator, Iterable, Sequence
from itertools import islice
from typing import Any, Self

import psycopg
from psycopg.pq import TransactionStatus

from persist.storage.sql import Row

CHUNK_ROWS = 4 if psycopg.capabilities.has_stream_chunked() else 1
"""Rows that are in memory at once as libpq has them; before version 17 it has one.

They may be as large as a body, in each stream that nobody reads.
"""


class StreamCursor:
    """A cursor that runs one query, whose rows the server sends as they are read.

    Its connection runs nothing else until the cursor is closed, which ends the query. A
    transaction that was open before goes on after that.
    """

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self.connection = connection
        self._cursor = connection.cursor()
        self._rows = _rows_of(())

    @property
    def rowcount(self) -> int:
        """The number of rows, which is unknown."""
        return -1

    def execute(
        self,
        sql: str,
        parameters: Sequence[Any] = (),
        /,
    ) -> Self:
        """Run a query. Its errors are raised when rows are fetched."""
        if self._transaction_status is TransactionStatus.INTRANS:
            self.connection.execute("SAVEPOINT stream")
        rows = self._cursor.stream(
            sql,
            parameters,
            size=CHUNK_ROWS,
        )
        self._rows = _rows_of(rows)
        return self

    def executemany(
        self,
        sql: str,
        parameters: Sequence[Row],
        /,
    ) -> None:
        """Refuse: there is one query only."""
        raise NotImplementedError

    def fetchone(self) -> Row | None:
        """Return the next row."""
        return next(self._rows, None)

    def fetchmany(self, size: int, /) -> list[Row]:
        """Return at most ``size`` further rows."""
        rows = islice(self._rows, size)
        return list(rows)

    def fetchall(self) -> list[Row]:
        """Return all further rows."""
        return list(self._rows)

    def close(self) -> None:
        """End the query."""
        self._rows.close()
        self._cursor.close()
        # A query that has rows left is cancelled, which is an error of its transaction.
        if self._transaction_status is TransactionStatus.INERROR:
            self.connection.execute("ROLLBACK TO SAVEPOINT stream")

    @property
    def _transaction_status(self) -> TransactionStatus:
        return self.connection.info.transaction_status


def _rows_of(rows: Iterable[Row]) -> Generator[Row]:
    """Yield rows; closing this closes what yields them."""
    yield from rows
