"""Row stream: the rows of one query in batches, on its own connection."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from typing import Any, TypeVar

from persist.domain.batch_size import BatchSize
from persist.domain.query import Query
from persist.storage.dialect import Dialect
from persist.storage.queries import query_sql
from persist.storage.queries.record_source import RecordSource
from persist.storage.queries.result_size import of_records
from persist.storage.sql import Connection, Cursor, Row
from persist.storage.writes.records import page_statement

logger = logging.getLogger(__name__)

BATCH_ROWS = 500
"""Rows of a batch at most."""

BATCH_CHARACTERS = 1_048_576
"""Characters that a batch has if its rows are as long as those before."""

Result = TypeVar("Result")


class RowStream:
    """A query whose rows are read in a thread, one batch at a time."""

    def __init__(self, dialect: Dialect, threads: Executor) -> None:
        self._dialect = dialect
        self._threads = threads
        self._connection: Connection | None = None
        self._rows: Cursor | None = None
        self._running: Future[Any] | None = None
        self._size = BatchSize(BATCH_ROWS, BATCH_CHARACTERS)

    async def call(
        self,
        work: Callable[..., Result],
        *arguments: Any,
    ) -> Result:
        """Run a method in a thread."""
        running = self._threads.submit(work, *arguments)
        self._running = running
        future = asyncio.wrap_future(running)
        return await future

    def open(self, source: RecordSource, workspace: str, query: Query) -> None:
        """Run a query, in a transaction that sees one moment."""
        statement = page_statement(source, query)
        values = query_sql.values(source, workspace, query)
        # Of its own, because its client may read slowly.
        connection = self._dialect.connect()
        self._connection = connection
        connection.execute(self._dialect.begin_read)
        cursor = self._dialect.stream_cursor(connection)
        self._rows = statement.run(cursor, values)

    def fetch(self) -> list[Row]:
        """Return the next batch, an empty one at the end."""
        if self._rows is None:
            return []
        rows = self._rows.fetchmany(self._size.records)
        self._size.note(len(rows), of_records(rows))
        return rows

    def end(self) -> "asyncio.Future[None]":
        """Interrupt what still runs and close the connection, in another thread.

        Returns a future that is done when the connection is closed.
        """
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(None, self._end, self._running)

    def _end(self, running: Future[object] | None) -> None:
        try:
            if running is not None:
                self._interrupt(running)
            if self._connection is not None:
                self._connection.close()
        except Exception as error:  # noqa: BLE001 - nobody reads the stream any more
            logger.warning("a stream did not end well: %s", error)

    def _interrupt(self, running: Future[object]) -> None:
        """Cancel the query until the thread that runs it has returned."""
        # Again and again: the thread may be between two statements, where nothing can
        # be interrupted.
        while not running.done():
            if self._connection is not None:
                self._dialect.cancel(self._connection)
            wait([running], timeout=0.1)
