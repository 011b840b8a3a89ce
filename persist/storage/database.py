"""Database: read, write, find and stream the collections of one database.

Writes go through one thread with group commit. On SQLite a read by key, and any read
that is brief, runs on the event loop. On PostgreSQL reads by key that wait at the same
time are one statement. Longer reads run in a few threads, each with a connection of its
own.
"""

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterable,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from persist.domain.entity_type import EntityType
from persist.domain.query import Query
from persist.storage.access.credentials import CredentialReader, Credentials
from persist.storage.dialect import Dialect, dialect_of
from persist.storage.entity_types.catalog import Catalog
from persist.storage.entity_types.definition_reader import DefinitionReader
from persist.storage.entity_types.registered_indexes import update_registered_indexes
from persist.storage.journal.change_feed import Feed
from persist.storage.layout import Layout
from persist.storage.operation.health import Health
from persist.storage.operation.maintenance import Maintenance
from persist.storage.operation.statistics import StatisticsCollector
from persist.storage.queries.record_source import RecordSource
from persist.storage.queries.result_size import BRIEF_CHARACTERS, NotBrief, of_records
from persist.storage.reads.past_reader import PastCollection, PastFind
from persist.storage.reads.read_error import read_error
from persist.storage.reads.read_interrupter import ReadInterrupter
from persist.storage.reads.reader import Reader
from persist.storage.reads.reader_threads import (
    ReaderThreads,
    WaitForClient,
    never_disconnected,
    run_reads,
)
from persist.storage.reads.record_lookup import AnyFind, Find, RecordLookup
from persist.storage.reads.row_stream import RowStream
from persist.storage.sharing.caller_turns import CallerTurns
from persist.storage.sharing.capacity import DEFAULT_CAPACITY, Capacity, CapacityInUse
from persist.storage.sharing.loop_turns import LoopTurns
from persist.storage.sharing.shared_threads import SharedThreads
from persist.storage.sharing.shares import CALLER
from persist.storage.snapshots.snapshot_store import Snapshots
from persist.storage.sql import Connection, Row, Session
from persist.storage.writes.batch_worker import BatchWorker
from persist.storage.writes.unit_of_work import RecordKey, UnitOfWork
from persist.storage.writes.writer import GroupCommitWriter, Isolation, WriteTask

Result = TypeVar("Result")

JOB_THREADS = 4
"""Threads for long work: snapshots, restores, imports."""

JOB_WAIT_SECONDS = 30.0
"""Seconds that long work waits while as much has begun as its caller may have."""

STREAM_WAIT_SECONDS = 4.0
"""Seconds that a stream waits while as many run as its caller may have."""


class Database:
    """The collections of one database.

    >>> record = await database.write(
    ...     lambda work: work.collection(entity_type).create(data, new_id())
    ... )

    ``write`` and ``read`` raise what the operation raises, ``Unavailable`` if the
    database cannot answer now or too many operations wait for it, and
    ``TooManyRequests`` if too many of the caller do.
    Its tables are prepared before (``storage.migrations.database_schema.prepare``).
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
        client_disconnected: WaitForClient = never_disconnected,
    ) -> None:
        self.dialect: Dialect = dialect_of(url)
        self.catalog = Catalog(self.dialect, list(types))
        self.feed = Feed(self.dialect, self._read_changes)
        self.health = Health(self.dialect)

        def writer() -> GroupCommitWriter:
            return GroupCommitWriter(
                self.dialect,
                self.catalog,
                self.health,
                snapshot_every,
                self._take_snapshots,
                self.feed.committed,
                self._checkpoint_after,
            )

        self._writer = writer()
        # Others write while PostgreSQL copies what is staged.
        self._staged_writer = writer()
        self.used = CapacityInUse.of(capacity)
        self._writes = self._writer.start("writer")
        self._staged_writes = self._staged_writer.start("writer of staged rows")
        self._record_reader = RecordLookup(self.dialect)
        self._finds: BatchWorker[AnyFind] = BatchWorker(
            "finder", self._record_reader.work
        )
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
        self._checkpoint_thread = ThreadPoolExecutor(
            1, thread_name_prefix="checkpoints"
        )
        self.read_seconds = capacity.read_seconds
        self._readers = ReaderThreads(
            self.dialect,
            self.used.reads,
            self.read_seconds,
            client_disconnected,
            self._refusal,
        )
        self._streams = CallerTurns(self.used.streams)
        self._job_turns = CallerTurns(self.used.jobs)
        self._stream_threads = ThreadPoolExecutor(
            capacity.streams, thread_name_prefix="stream"
        )
        self.loop_turns = LoopTurns()
        self._inline = self.dialect.open_inline_reader()
        if self._inline is not None:
            self._limit = ReadInterrupter(partial(self.dialect.cancel, self._inline))
        update_registered_indexes(self.dialect, self.catalog, auto_migrate=auto_migrate)

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
        write = WriteTask(operation, keys, isolation, dry_run, connection)
        caller = CALLER.get()
        shares = self.used.writes
        shares.take(caller)
        writes = self._writes if connection is None else self._staged_writes
        try:
            result: Result = await writes.submit(
                write, caller, separate=not write.grouped
            )
        finally:
            shares.give_back(caller)
        return result

    def observe_commits(self, observe: Callable[[int], None]) -> None:
        """Have ``observe`` called with the number of writes of each commit."""
        self._writer.observe_commit = observe
        self._staged_writer.observe_commit = observe

    async def find(self, layout: Layout, workspace: str, record_id: str) -> Row | None:
        """Return the row of a record: (the envelope columns…, data as JSON text)."""
        if self._inline is None:
            row = await self._find(Find(layout, workspace, record_id))
            if row is not None and of_records((row,)) > BRIEF_CHARACTERS:
                await self.loop_turns.turn()  # before it is rendered
            return row
        caller = CALLER.get()
        if self.loop_turns.reads_much(caller):
            await self.loop_turns.turn()
        values = {"workspace": workspace, "id": record_id}
        statement = layout.by_key
        try:
            rows = self._inline.execute(
                statement.text, statement.arguments(values)
            ).fetchall()
        except Exception as error:
            raise self._refusal(error) from error
        if rows and of_records(rows) > BRIEF_CHARACTERS:
            self.loop_turns.has_read_much(caller)
        return rows[0] if rows else None

    async def find_past(self, past: PastCollection, record_id: str) -> Row | None:
        """Return the last change of a record until a moment, as
        ``past_reader.past_change`` does."""
        if self._inline is None:
            return await self._find(PastFind(past, record_id))
        # One statement needs no transaction.
        return await self.read(
            lambda reader: reader.past_change(past, record_id), consistent=False
        )

    async def _find(self, find: AnyFind) -> Row | None:
        """Read by key with all others who do so now."""
        caller = CALLER.get()
        shares = self.used.finds
        shares.take(caller)
        try:
            row: Row | None = await self._finds.submit(find, caller)
        finally:
            shares.give_back(caller)
        return row

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
        caller = CALLER.get()
        is_inline = brief and not self.loop_turns.reads_much(caller)
        if is_inline and self._inline is not None:
            self._limit.begin()
            try:
                return run_reads(
                    self.dialect, self._inline, query, consistent, self._limit
                )
            # It begins again in a thread: what was read is little, and thrown away.
            except NotBrief:
                pass
            except Exception as error:
                if not self.dialect.was_interrupted(error):
                    raise self._refusal(error) from error
            finally:
                self._limit.end()
            self.loop_turns.has_read_much(caller)
        return await self._readers.run(query, consistent)

    async def refresh(self) -> bool:
        """Load the definitions if they changed and return whether they did.

        Compiling them may take long, so it happens in a thread.
        """
        if self._inline is not None:
            epoch = await self.read(
                lambda reader: reader.definitions.epoch(), consistent=False
            )
            # One row on the event loop: nearly always nothing has changed.
            if epoch == self.catalog.epoch:
                return False
        try:
            changed: bool = await self._definitions.submit(None)
        except Exception as error:
            raise self._refusal(error) from error
        return changed

    async def credentials(self) -> Credentials:
        """Return the keys and sessions.

        It has its own thread: every request waits for it.
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

        The stream has its own connection. If it is closed or cancelled, its query
        ends at once. Raises what ``begin_stream`` raises.
        """
        end_turn = await self.begin_stream()
        stream = RowStream(self.dialect, self._stream_threads)
        try:
            await stream.call(stream.open, layout, workspace, query)
            while batch := await stream.call(stream.fetch):
                yield batch
        except Exception as error:
            raise read_error(self.dialect, error) from error
        finally:
            stream.end().add_done_callback(lambda _: end_turn())

    def close(self) -> None:
        """Finish the waiting jobs and close all connections."""
        self._snapshot_thread.shutdown()
        self._staged_writes.close()
        self._writes.close()
        self._checkpoint_thread.shutdown()
        self._finds.close()
        self._credentials.close()
        self._definitions.close()
        self._readers.stop()
        self.jobs.close()
        self._stream_threads.shutdown()
        self.feed.close()
        # The last one to close an SQLite file leaves all of it in that one file.
        self._record_reader.close()
        self._credential_reader.close()
        self._definition_reader.close()
        self._staged_writer.close()
        self._writer.close()
        self._readers.close()
        if self._inline is not None:
            self._limit.close()
            self._inline.close()

    async def _read_changes(self, after: Any, limit: int, wanted: Any) -> Any:
        return await self.read(
            lambda reader: reader.changes(after, limit, wanted),
            brief=wanted.condition is None,
        )

    def _refusal(self, error: Exception) -> Exception:
        self.health.failed(error)
        return read_error(self.dialect, error)

    def _write_in_thread(self, operation: Callable[[Session[Dialect]], Any]) -> object:
        """Run a write of a thread and wait for it."""
        return self._writes.run(WriteTask(lambda work: operation(work.session)))

    def _take_snapshots(self, collections: list[str]) -> None:
        """Take automatic snapshots in a thread: the write that made them due does not
        wait."""
        self._snapshot_thread.submit(
            self.snapshots.take_automatically, collections, self._snapshot_keep
        )

    def _checkpoint_after(self) -> None:
        """Checkpoint in a thread after a large commit."""
        writer = self._writer.let_log_grow()
        self._checkpoint_thread.submit(self.maintenance.checkpoint_after, writer)
