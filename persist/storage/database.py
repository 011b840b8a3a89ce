"""Database: the one door to storage. Only this module knows about threads.

Writes go through one lane with group commit; reads by key are done where they stand or,
where the database is a network away, together in a lane of their own; everything longer
runs in a few threads, each with a connection of its own.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from persist.domain.entity_type import EntityType
from persist.domain.errors import Unavailable
from persist.domain.histogram import Histogram
from persist.domain.query import Query
from persist.storage import query_sql
from persist.storage.catalog import Catalog
from persist.storage.change_feed import ChangeSlice, Feed, Wanted
from persist.storage.dialect import Dialect, dialect_of
from persist.storage.health import Health
from persist.storage.keys import KeyTable, StoredKey
from persist.storage.layout import Layout
from persist.storage.reader import Find, KeyReader, Reader, refusal
from persist.storage.records import BATCH, paging
from persist.storage.schema import prepare
from persist.storage.snapshots import Snapshots
from persist.storage.sql import Connection, Cursor, Row
from persist.storage.statistics import Statistics, Watch
from persist.storage.unit_of_work import RecordKey, UnitOfWork, statements_of
from persist.storage.worker import BatchWorker
from persist.storage.writer import GroupCommitWriter, Mode, Write

Result = TypeVar("Result")

READERS = 4
"""Threads for reads that are not by key."""

BRIEF = 20
"""Looks that a read may take on the event loop before it starts again in a thread: a
millisecond or two. Steps, not time, so that a busy processor does not make a brief read
a long one."""

OFTEN = 1.0
"""Seconds that a look at the health of the database is good for."""

PATIENCE = 2.0
"""Seconds that whoever asks for it waits for the next look."""

SILENCE = 10.0
"""Seconds without an answer after which none is expected."""

SLOWER = 4
"""Reads in threads take longer than those by key: so many times fewer may wait."""

BY_KEY = 100_000
"""Looks after which a read by key, which is always brief, would be interrupted."""


class Database:
    """The collections of one database.

    >>> await database.write(
    ...     lambda work: work.collection("ops-tickets").create(data, id)
    ... )

    ``write`` and ``read`` raise what the operation raises, ``Unavailable`` where the
    database cannot answer now or more than ``waiting`` wait for it. Opening one makes
    the missing tables (``storage.schema.prepare``).
    """

    reads = 0
    _looks = 0
    _looking: asyncio.Task[None] | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    def __init__(
        self,
        url: str,
        types: Iterable[EntityType],
        *,
        auto_migrate: bool = True,
        snapshot_every: int = 0,
        snapshot_keep: int = 5,
        waiting: int = 1_000,
    ) -> None:
        self.dialect: Dialect = dialect_of(url)
        types = list(types)
        prepare(self.dialect, types, auto_migrate=auto_migrate)
        self.catalog = Catalog(self.dialect, types)
        self._statements = statements_of(self.dialect)
        self._keep = snapshot_keep
        self.feed = Feed(self.dialect, self._statements.feed.ends, self.changes)
        self._writer = GroupCommitWriter(
            self.dialect,
            self.catalog,
            self._statements,
            snapshot_every,
            self._due,
            self.feed.committed,
        )
        self._writes: BatchWorker[Write] = BatchWorker(
            "writer", self._writer.work, waiting
        )
        self._key_reader, self._key_table = (
            KeyReader(self.dialect),
            KeyTable(self.dialect),
        )
        self._finds: BatchWorker[Find] = BatchWorker(
            "finder", self._key_reader.work, waiting
        )
        self._keys: BatchWorker[None] = BatchWorker(
            "keys", self._key_table.work, waiting
        )
        self._most_reads = READERS + waiting // SLOWER
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._local = threading.local()
        self._opened: list[Connection] = []
        self._here = self.dialect.open_inline_reader(self._look)
        self._taking: set[asyncio.Task[None]] = set()
        self.snapshots = Snapshots(
            self.dialect, self.catalog, self._statements, self._write_from_thread
        )
        self._watch = Watch(self.dialect, self.catalog)
        self._read(lambda reader: self.catalog.refresh(reader.definitions))

    async def write(
        self,
        operation: Callable[[UnitOfWork], Result],
        *,
        keys: Sequence[RecordKey] = (),
        mode: Mode = Mode.TOGETHER,
    ) -> Result:
        """Run an operation in a transaction; it is on the disk when this returns.
        ``keys`` names the records it will ask for, so that a batch reads them in one
        statement."""
        self._loop = asyncio.get_running_loop()
        result: Result = await self._writes.submit(Write(operation, keys, mode))
        return result

    async def find(self, layout: Layout, workspace: str, id: str) -> Row | None:
        """Read one record by key: (the envelope columns…, data as JSON text)."""
        if self._here is None:
            row: Row | None = await self._finds.submit(Find(layout, workspace, id))
            return row
        try:
            self._looks = BY_KEY
            statement = layout.by_key
            rows = self._here.execute(
                statement.text, statement.arguments({"workspace": workspace, "id": id})
            ).fetchall()
        except Exception as error:
            raise self._refusal(error) from error
        return rows[0] if rows else None

    async def read(
        self, query: Callable[[Reader], Result], *, one_moment: bool = True
    ) -> Result:
        """Run reads: on the event loop where they are brief, else in a thread.
        ``one_moment``: there are several, which have to fit each other."""
        if self._here is not None:
            try:
                self._looks = BRIEF
                if not one_moment:
                    return query(Reader(self._here.cursor(), self._statements))
                return self._transaction(self._here, query)
            except Exception as error:
                if not self.dialect.was_interrupted(error):
                    raise self._refusal(error) from error
        if self.reads >= self._most_reads:
            raise Unavailable("too many reads wait for the database; try again")
        return await self._in_reader(self._read, query, one_moment)

    async def _in_reader(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do it in one of the threads that read; ``reads`` counts what is done and what
        waits there."""
        self.reads += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, work, *arguments
            )
        finally:
            self.reads -= 1

    async def changes(
        self, after: int | None, limit: int, wanted: Wanted
    ) -> ChangeSlice:
        """The next changes after a ``seq``, None for the journal's end. Raises
        ``ChangesGone``."""
        return await self.read(lambda reader: reader.changes(after, limit, wanted))

    async def keys(self) -> list[StoredKey]:
        """Every key that was ever made, in a lane of its own: nobody comes in until it
        is read."""
        stored: list[StoredKey] = await self._keys.submit(None)
        return stored

    @property
    def waiting(self) -> dict[str, int]:
        """How many writes, reads by key and other reads wait or are done just now."""
        return {
            "writes": self._writes.waiting,
            "finds": self._finds.waiting,
            "reads": self.reads,
        }

    @property
    def commits(self) -> Histogram:
        """How many writes each commit took."""
        return self._writer.sizes

    async def check(self) -> None:
        """Raise ``Unavailable`` where nothing can be stored or read; a database that is
        only busy with another writer is well."""
        health = self._writer.health
        if health.fault is None and (self._looking is None or health.silence > OFTEN):
            await self._examine(health)
        # what takes longer may be another writer at work
        silent = health.silence > SILENCE
        if (
            fault := health.fault
            or ("the database does not answer" if silent else None)
        ) is not None:
            raise Unavailable(f"nothing can be stored now: {fault}")

    async def _examine(self, health: Health) -> None:
        """Wait for a look, one for all that ask."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(asyncio.to_thread(health.look))
        done, _ = await asyncio.wait([self._looking], timeout=PATIENCE)
        for looking in done:
            looking.result()

    async def figures(self) -> Statistics:
        """What the database holds; one at a time. Raises ``Unavailable``."""
        try:
            return await asyncio.to_thread(self._watch.figures)
        except Exception as error:
            raise self._refusal(error) from error

    async def refresh(self) -> bool:
        """Meet the present definitions of registered types; whether they changed.
        Compiling them may take long, so that happens in a thread."""
        if (
            await self.read(lambda reader: reader.definitions.epoch(), one_moment=False)
            == self.catalog.epoch
        ):
            return False
        await self._in_reader(
            self._read, lambda reader: self.catalog.refresh(reader.definitions)
        )
        return True

    async def stream(
        self, layout: Layout, workspace: str, query: Query
    ) -> AsyncIterator[list[Row]]:
        """The rows that match, in pieces, from one moment, on a connection of its
        own."""
        connection = await self._in_reader(self.dialect.connect)
        try:
            rows = await self._in_reader(
                self._open, connection, layout, workspace, query
            )
            while piece := await self._in_reader(rows.fetchmany, BATCH):
                yield piece
        except Exception as error:
            raise refusal(self.dialect, error) from error
        finally:
            connection.close()

    async def in_thread(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do something long in a thread; it may write through ``snapshots``."""
        self._loop = asyncio.get_running_loop()
        return await asyncio.to_thread(work, *arguments)

    def _refusal(self, error: Exception) -> Exception:
        self._writer.health.failed(error)
        return refusal(self.dialect, error)

    def _write_from_thread(self, statement: Callable[[Cursor], Any]) -> Any:
        if self._loop is None:
            raise RuntimeError("a thread writes only below in_thread")
        writing = self.write(lambda work: statement(work.cursor))
        return asyncio.run_coroutine_threadsafe(writing, self._loop).result()

    def _due(self, collections: list[str]) -> None:
        """Automatic snapshots are taken in a thread, when the write that made them due
        is done."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._take, collections)

    def _take(self, collections: list[str]) -> None:
        taking = asyncio.create_task(
            self.in_thread(self.snapshots.take_automatically, collections, self._keep)
        )
        self._taking.add(taking)
        taking.add_done_callback(self._taking.discard)

    def close(self) -> None:
        """Finish what waits and let go of the database."""
        self._writes.close()
        self._finds.close()
        self._keys.close()
        self._threads.shutdown()
        self.feed.close()
        # Whoever is last to let go of SQLite's file leaves all of it in that one file.
        for each in (self._key_reader, self._key_table, self._writer):
            each.close()
        for connection in self._opened:
            connection.close()
        if self._here is not None:
            self._here.close()

    def _open(
        self, connection: Connection, layout: Layout, workspace: str, query: Query
    ) -> Cursor:
        connection.execute(self.dialect.begin_read)
        rows = self.dialect.stream_cursor(connection)
        statement = paging(layout, query)
        rows.execute(
            statement.text,
            statement.arguments(query_sql.values(layout, workspace, query)),
        )
        return rows

    def _connected(self) -> Connection:
        """The connection this thread reads by."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            try:
                connection = self._local.connection = self.dialect.connect()
            except Exception as error:
                raise self._refusal(error) from error
            self._opened.append(connection)
        return connection

    def _read(
        self, query: Callable[[Reader], Result], one_moment: bool = True
    ) -> Result:
        connection = self._connected()
        try:
            if not one_moment:
                return query(Reader(connection.cursor(), self._statements))
            return self._transaction(connection, query)
        except Exception as error:
            if self.dialect.is_driver_error(error):
                self._local.connection = None
                self._opened.remove(connection)
                connection.close()
            raise self._refusal(error) from error

    def _transaction(
        self, connection: Connection, query: Callable[[Reader], Result]
    ) -> Result:
        cursor = connection.cursor()
        try:
            cursor.execute(self.dialect.begin_read)
            return query(Reader(cursor, self._statements))
        finally:
            if self.dialect.in_transaction(connection):
                cursor.execute("ROLLBACK")
            cursor.close()

    def _look(self) -> bool:
        """Whether a read has gone on for too long."""
        self._looks -= 1
        return self._looks < 0
