"""Database: read, write, find and stream the collections of one database.

Writes go through one thread with group commit. On SQLite a read by key, and any read
that is brief, runs on the event loop. On PostgreSQL reads by key that wait at the same
time are one statement. Longer reads run in a few threads, each with a connection of its
own.
"""

import asyncio
import threading
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from persist.domain.entity_type import EntityType
from persist.domain.errors import Unavailable
from persist.domain.query import Query
from persist.storage import query_sql
from persist.storage.attended_read import AttendedRead, Cancelled
from persist.storage.brief_limit import BriefLimit
from persist.storage.catalog import Catalog
from persist.storage.change_feed import Feed
from persist.storage.credentials import CredentialReader, Credentials
from persist.storage.definition_reader import DefinitionReader
from persist.storage.dialect import Dialect, dialect_of
from persist.storage.layout import Layout
from persist.storage.maintenance import Maintenance
from persist.storage.reader import Reader
from persist.storage.record_reader import Find, RecordReader, refusal
from persist.storage.record_source import RecordSource
from persist.storage.records import page_statement
from persist.storage.registered_indexes import update_registered_indexes
from persist.storage.result_size import NotBrief
from persist.storage.row_stream import RowStream
from persist.storage.schema import prepare
from persist.storage.shares import CALLER, Shares
from persist.storage.snapshots import Snapshots
from persist.storage.sql import Connection, Row, Session
from persist.storage.statistics import StatisticsCollector
from persist.storage.turns import SharedThreads, Turns
from persist.storage.unit_of_work import RecordKey, UnitOfWork
from persist.storage.worker import BatchWorker
from persist.storage.writer import GroupCommitWriter, Isolation, Write

Result = TypeVar("Result")

READER_THREADS = 4
"""Threads for reads that are neither by key nor brief."""

JOB_THREADS = 4
"""Threads for long work: snapshots, restores, imports."""

MAX_JOBS = 16
"""Long work that has begun. Each may have a connection of its own."""

JOB_WAIT_SECONDS = 30.0
"""Seconds that long work waits while as much has begun as its caller may have."""

ATTENDED_SECONDS = 0.25
"""Seconds after which it is looked whether the caller of a read still waits."""

STREAM_WAIT_SECONDS = 4.0
"""Seconds that a stream waits while as many run as its caller may have."""

WAITING_READS_SHARE = 4
"""Reads in threads take longer than others: so many times fewer may wait."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a database takes on: writes, and reads by key, that wait for it; ``streams``
    that run at once, and the seconds that a read may take."""

    waiting: int = 1_000
    streams: int = 8
    read_seconds: float = 10.0


DEFAULT_CAPACITY = Capacity()


@dataclass(frozen=True, slots=True)
class Used:
    """What callers use of a database's capacity: what runs or waits, of each kind."""

    writes: Shares
    finds: Shares
    reads: Shares
    streams: Shares
    jobs: Shares


async def _nobody_departs() -> None:
    await asyncio.Event().wait()


class Database:
    """The collections of one database.

    >>> record = await database.write(
    ...     lambda work: work.collection(entity_type).create(data, new_id())
    ... )

    ``write`` and ``read`` raise what the operation raises, ``Unavailable`` if the
    database cannot answer now or too many operations wait for it, and
    ``TooManyRequests`` if too many of the caller do.
    Opening a database prepares its tables (``storage.schema.prepare``).
    """

    def __init__(
        self,
        url: str,
        types: Iterable[EntityType],
        *,
        auto_migrate: bool = True,
        snapshot_every: int = 0,
        snapshot_keep: int = 5,
        capacity: Capacity = DEFAULT_CAPACITY,
    ) -> None:
        self.dialect: Dialect = dialect_of(url)
        types = list(types)
        prepare(self.dialect, types, auto_migrate=auto_migrate)
        self.catalog = Catalog(self.dialect, types)
        self.feed = Feed(self.dialect, self._read_changes)
        self.writer = GroupCommitWriter(
            self.dialect,
            self.catalog,
            snapshot_every,
            self._take_snapshots,
            self.feed.committed,
        )
        self.health = self.writer.health
        waiting = capacity.waiting
        streams = capacity.streams
        self.used = Used(
            Shares("writes that wait for the database", waiting),
            Shares("reads by key that wait for the database", waiting),
            Shares(
                "reads that wait for the database",
                READER_THREADS + waiting // WAITING_READS_SHARE,
            ),
            Shares("exports that run", streams),
            Shares("snapshots, restores and imports that run", MAX_JOBS),
        )
        self._writes = self.writer.start()
        self._record_reader = RecordReader(self.dialect)
        self._finds: BatchWorker[Find] = BatchWorker("finder", self._record_reader.work)
        self._credential_reader = CredentialReader(self.dialect)
        self._credentials: BatchWorker[None] = BatchWorker(
            "credentials", self._credential_reader.work
        )
        self._definition_reader = DefinitionReader(self.dialect, self.catalog)
        self._definitions: BatchWorker[None] = BatchWorker(
            "definitions", self._definition_reader.work
        )
        self.jobs = SharedThreads("long work", JOB_THREADS)
        self.snapshots = Snapshots(self.dialect, self.catalog, self._write_in_thread)
        self.maintenance = Maintenance(self.dialect, self.health, self._write_in_thread)
        self.statistics = StatisticsCollector(self.dialect, self.catalog)
        self._snapshot_keep = snapshot_keep
        self._snapshot_thread = ThreadPoolExecutor(
            1, thread_name_prefix="automatic snapshots"
        )
        self._readers = SharedThreads("reader", READER_THREADS)
        self._streams = Turns(self.used.streams)
        self._job_turns = Turns(self.used.jobs)
        self._stream_threads = ThreadPoolExecutor(streams, thread_name_prefix="stream")
        self._local = threading.local()
        self._opened: list[Connection] = []
        self.read_seconds = capacity.read_seconds
        self.departed: Callable[[], Awaitable[None]] = _nobody_departs
        self._limit = BriefLimit()
        self._inline = self.dialect.open_inline_reader(self._limit.is_reached)
        update_registered_indexes(self.dialect, self.catalog)

    async def write(
        self,
        operation: Callable[[UnitOfWork], Result],
        *,
        keys: Sequence[RecordKey] = (),
        isolation: Isolation = Isolation.GROUPED,
        dry_run: bool = False,
        connection: Connection | None = None,
    ) -> Result:
        """Run an operation in a transaction, which is durable when this returns.

        ``keys`` names the records it will ask for: a group reads them in one statement.
        A dry run is rolled back. ``connection`` is the one that has staged rows.
        """
        write = Write(operation, keys, isolation, dry_run, connection)
        caller = CALLER.get()
        shares = self.used.writes
        shares.take(caller)
        try:
            result: Result = await self._writes.submit(write)
        finally:
            shares.give_back(caller)
        return result

    async def find(self, layout: Layout, workspace: str, record_id: str) -> Row | None:
        """Return the row of a record: (the envelope columns…, data as JSON text)."""
        if self._inline is None:
            find = Find(layout, workspace, record_id)
            caller = CALLER.get()
            shares = self.used.finds
            shares.take(caller)
            try:
                row: Row | None = await self._finds.submit(find)
            finally:
                shares.give_back(caller)
            return row
        self._limit.lift()
        values = {"workspace": workspace, "id": record_id}
        statement = layout.by_key
        try:
            rows = self._inline.execute(
                statement.text, statement.arguments(values)
            ).fetchall()
        except Exception as error:
            raise self._refusal(error) from error
        return rows[0] if rows else None

    async def read(
        self,
        query: Callable[[Reader], Result],
        *,
        consistent: bool = True,
        brief: bool = True,
    ) -> Result:
        """Run reads, on the event loop if they are ``brief``, otherwise in a thread.

        Reads that are ``consistent`` see one moment; a single one needs no transaction.
        One that turns out to be long starts again in a thread.
        """
        if brief and self._inline is not None:
            self._limit.begin()
            try:
                return self._run(self._inline, query, consistent, brief=True)
            except NotBrief:
                pass
            except Exception as error:
                if not self.dialect.was_interrupted(error):
                    raise self._refusal(error) from error
        return await self._in_reader(query, consistent)

    async def refresh(self) -> bool:
        """Load the definitions if they changed and return whether they did.

        Compiling them may take long, so it happens in a thread.
        """
        if self._inline is not None:
            epoch = await self.read(
                lambda reader: reader.definitions.epoch(), consistent=False
            )
            if epoch == self.catalog.epoch:
                return False
        try:
            changed: bool = await self._definitions.submit(None)
        except Exception as error:
            raise self._refusal(error) from error
        return changed

    async def credentials(self) -> Credentials:
        """Return the keys and sessions.

        It has a thread of its own: every request waits for it.
        """
        stored: Credentials = await self._credentials.submit(None)
        return stored

    @asynccontextmanager
    async def job(self) -> AsyncIterator[None]:
        """Wait until the caller may do long work, which is done in ``jobs`` during the
        block.

        Raises ``TooManyRequests``, and ``Unavailable`` if too much of it runs for too
        long.
        """
        end_turn = await self._job_turns.begin(JOB_WAIT_SECONDS)
        try:
            yield
        finally:
            end_turn()

    async def begin_stream(self) -> Callable[[], None]:
        """Wait until the caller may stream, and return what ends that.

        Raises ``TooManyRequests``, and ``Unavailable`` if too many streams run for too
        long.
        """
        return await self._streams.begin(STREAM_WAIT_SECONDS)

    async def stream(
        self, layout: RecordSource, workspace: str, query: Query
    ) -> AsyncGenerator[list[Row], None]:
        """Return the rows that match, in batches, as of one moment.

        The stream has a connection of its own. If it is closed or cancelled, its query
        ends at once. Raises what ``begin_stream`` raises.
        """
        end_turn = await self.begin_stream()
        stream = RowStream(self.dialect, self._stream_threads)
        try:
            statement = page_statement(layout, query)
            values = query_sql.values(layout, workspace, query)
            await stream.call(stream.open, statement, values)
            while batch := await stream.call(stream.fetch):
                yield batch
        except Exception as error:
            raise refusal(self.dialect, error) from error
        finally:
            stream.end().add_done_callback(lambda _: end_turn())

    def close(self) -> None:
        """Finish what waits and close all connections."""
        self._snapshot_thread.shutdown()
        self._writes.close()
        self._finds.close()
        self._credentials.close()
        self._definitions.close()
        self._readers.close()
        self.jobs.close()
        self._stream_threads.shutdown()
        self.feed.close()
        # The last one to close an SQLite file leaves all of it in that one file.
        self._record_reader.close()
        self._credential_reader.close()
        self._definition_reader.close()
        self.writer.close()
        for connection in self._opened:
            connection.close()
        if self._inline is not None:
            self._inline.close()

    async def _read_changes(self, after: Any, limit: int, wanted: Any) -> Any:
        return await self.read(
            lambda reader: reader.changes(after, limit, wanted),
            brief=wanted.condition is None,
        )

    async def _in_reader(
        self, query: Callable[[Reader], Result], consistent: bool = True
    ) -> Result:
        """Run reads in one of the reader threads."""

        def run(read: AttendedRead[Any]) -> Result:
            return self._read_in_thread(query, consistent, read)

        loop = asyncio.get_running_loop()
        read = AttendedRead(self.dialect, run)
        attending: list[asyncio.Task[None]] = []
        later = loop.call_later(
            ATTENDED_SECONDS,
            lambda: attending.append(loop.create_task(self._attend(read))),
        )
        try:
            with self.used.reads.taking(CALLER.get()):
                return await self._readers.run(read)
        except Cancelled:
            raise Unavailable(
                f"the read took longer than {self.read_seconds:g} s; ask for less, or"
                " by members that have an index"
            ) from None
        except asyncio.CancelledError:
            loop.run_in_executor(None, read.cancel)
            raise
        finally:
            later.cancel()
            for task in attending:
                task.cancel()

    async def _attend(self, read: AttendedRead[Any]) -> None:
        """Cancel a read when its caller goes, or when it has taken too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.read_seconds - ATTENDED_SECONDS):
                await self.departed()
        await asyncio.get_running_loop().run_in_executor(None, read.cancel)

    def _refusal(self, error: Exception) -> Exception:
        self.health.failed(error)
        return refusal(self.dialect, error)

    def _write_in_thread(self, operation: Callable[[Session[Dialect]], Any]) -> object:
        """Run a write of a thread and wait for it."""
        return self._writes.run(Write(lambda work: operation(work.session)))

    def _take_snapshots(self, collections: list[str]) -> None:
        """Take automatic snapshots in a thread, after the write that made them due."""
        self._snapshot_thread.submit(
            self.snapshots.take_automatically, collections, self._snapshot_keep
        )

    def _thread_connection(self) -> Connection:
        """Return the connection of this thread."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            try:
                connection = self._local.connection = self.dialect.connect()
            except Exception as error:
                raise self._refusal(error) from error
            self._opened.append(connection)
        return connection

    def _read_in_thread(
        self,
        query: Callable[[Reader], Result],
        consistent: bool = True,
        read: AttendedRead[Any] | None = None,
    ) -> Result:
        connection = self._thread_connection()
        try:
            if read is not None:
                read.use(connection)
            return self._run(connection, query, consistent)
        except Exception as error:
            if self.dialect.is_driver_error(error):
                self._local.connection = None
                self._opened.remove(connection)
                connection.close()
            if read is not None and read.cancelled:
                raise
            raise self._refusal(error) from error

    def _run(
        self,
        connection: Connection,
        query: Callable[[Reader], Result],
        consistent: bool,
        *,
        brief: bool = False,
    ) -> Result:
        """Run reads on a connection, in a transaction if they are ``consistent``."""
        session = Session(self.dialect, connection.cursor())
        reader = Reader(session, brief=brief)
        if not consistent:
            return query(reader)
        try:
            session.execute(self.dialect.begin_read)
            return query(reader)
        finally:
            if brief:
                self._limit.lift()  # the end of a transaction is not to be interrupted
            if self.dialect.in_transaction(connection):
                session.execute("ROLLBACK")
            session.cursor.close()
