"""Reader threads: reads that take too long for the event loop.

A read ends when the client of its request disconnects, or when it takes too long: a
read that nobody waits for must not occupy a thread.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from persist.domain.errors import Unavailable
from persist.storage.dialect import Dialect
from persist.storage.reads.cancellable_read import CancellableRead, Cancelled
from persist.storage.reads.read_interrupter import ReadInterrupter
from persist.storage.reads.reader import Reader
from persist.storage.sharing.capacity import READER_THREADS
from persist.storage.sharing.shared_threads import SharedThreads
from persist.storage.sharing.shares import CALLER, Shares
from persist.storage.sql import Connection, Session

Result = TypeVar("Result")

WaitForClient = Callable[[], Awaitable[None]]
"""Waits until the client of the present request disconnects."""

UNWATCHED_SECONDS = 0.25
"""Seconds of a read after which its client is watched; most reads end before and need
no task."""


async def never_disconnected() -> None:
    """Wait for ever: no client is known."""
    await asyncio.Event().wait()


class ReaderThreads:
    """A few threads, each with its own connection.

    A read takes at most ``read_seconds``. ``refusal`` returns what the caller of a
    failed read gets.
    """

    def __init__(
        self,
        dialect: Dialect,
        shares: Shares,
        read_seconds: float,
        client_disconnected: WaitForClient,
        refusal: Callable[[Exception], Exception],
    ) -> None:
        self._read_seconds = read_seconds
        self._dialect = dialect
        self._shares = shares
        self._disconnected = client_disconnected
        self._refusal = refusal
        self._threads = SharedThreads("reader", READER_THREADS)
        self._local = threading.local()
        self._opened: list[Connection] = []

    async def run(self, query: Callable[[Reader], Result], consistent: bool) -> Result:
        """Run reads in a thread, in a transaction if they are ``consistent``."""

        def run(read: CancellableRead[Any]) -> Result:
            return self._read(query, consistent, read)

        loop = asyncio.get_running_loop()
        read = CancellableRead(self._dialect, run)
        watching: list[asyncio.Task[None]] = []
        # Later, because a task for each read would cost more than most reads take.
        later = loop.call_later(
            UNWATCHED_SECONDS,
            lambda: watching.append(loop.create_task(self._cancel_in_time(read))),
        )
        try:
            with self._shares.taking(CALLER.get()):
                return await self._threads.run(read)
        except Cancelled:
            raise Unavailable(
                f"the read took longer than {self._read_seconds:g} s; ask for fewer"
                " records, or filter and sort by members that have an index"
            ) from None
        except asyncio.CancelledError:
            # In a thread: PostgreSQL is asked over another connection.
            loop.run_in_executor(None, read.cancel)
            raise
        finally:
            later.cancel()
            for task in watching:
                task.cancel()

    async def _cancel_in_time(self, read: CancellableRead[Any]) -> None:
        """Cancel a read when its client goes, or when it has taken too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._read_seconds - UNWATCHED_SECONDS):
                await self._disconnected()
        await asyncio.get_running_loop().run_in_executor(None, read.cancel)

    def _connection(self) -> Connection:
        """Return the connection of this thread."""
        # One per thread: SQLite's connections do one thing at a time.
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            try:
                connection = self._local.connection = self._dialect.connect()
            except Exception as error:
                raise self._refusal(error) from error
            self._opened.append(connection)
        return connection

    def _read(
        self,
        query: Callable[[Reader], Result],
        consistent: bool,
        read: CancellableRead[Any],
    ) -> Result:
        connection = self._connection()
        try:
            read.use(connection)
            return run_reads(self._dialect, connection, query, consistent)
        except Exception as error:
            if self._dialect.is_driver_error(error):
                # A connection that has failed is not used again: it may be broken.
                self._local.connection = None
                self._opened.remove(connection)
                connection.close()
            if read.cancelled:
                raise
            raise self._refusal(error) from error

    def stop(self) -> None:
        """End the threads when their reads have ended."""
        self._threads.close()

    def close(self) -> None:
        """Close the connections."""
        for connection in self._opened:
            connection.close()


def run_reads(
    dialect: Dialect,
    connection: Connection,
    query: Callable[[Reader], Result],
    consistent: bool,
    limit: ReadInterrupter | None = None,
) -> Result:
    """Run reads on a connection, in a transaction if they are ``consistent``.

    With a ``limit`` they run on the event loop and must be brief.
    """
    session = Session(dialect, connection.cursor())
    reader = Reader(session, brief=limit is not None)
    if not consistent:
        return query(reader)
    try:
        session.execute(dialect.begin_read)
        return query(reader)
    finally:
        if limit is not None:
            limit.end()  # the end of a transaction is not to be interrupted
        if dialect.in_transaction(connection):
            session.execute("ROLLBACK")
        session.cursor.close()
