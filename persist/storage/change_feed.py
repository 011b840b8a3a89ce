"""Feed: the journal read forwards, and those who wait for it to go on.

``seq`` has no gaps and grows in commit order, so that who reads on from the last one it
saw misses nothing. What this process commits is told by its writer; what others commit
is looked for by one thread, as long as anybody follows.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import Context
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from persist.domain.errors import ChangesGone
from persist.storage.dialect import Dialect
from persist.storage.journal import HISTORY
from persist.storage.sql import Compiled, Connection, Row
from persist.storage.tables import JOURNAL, JOURNAL_FIRST, JOURNAL_HEAD

logger = logging.getLogger(__name__)

WINDOW = 2_000
"""Changes that one reading looks at: a filter that lets few pass does not make it a
long one."""

PIECE = 20
"""Changes read at once, until they are many or large."""

LARGE = 1_048_576
"""Characters of data after which a reading ends, so that it stays in bounds whatever
the records are."""

SHARED = 0.1
"""Seconds for which a reading is shared."""

RETRY = 0.5
"""Seconds until a database that cannot be reached is asked again."""

DATA, PAYLOAD = HISTORY.index(JOURNAL.c.data), HISTORY.index(JOURNAL.c.payload)

Wanted = Callable[[str, str], bool]
"""Whether changes of a collection in a workspace are wanted; hashable, equal for equal
wishes."""


@dataclass(frozen=True)
class FeedStatements:
    """The feed's statements: where the journal begins and ends, where the changes of a
    stretch of it happened, and changes themselves."""

    ends: Compiled
    places: Compiled
    changes: Compiled
    array: Callable[[Sequence[Any]], Any]


def feed_statements(dialect: Dialect) -> FeedStatements:
    """Write the feed's statements."""
    after, upto = (
        sa.bindparam(name, type_=sa.BigInteger()) for name in ("after", "upto")
    )
    places = sa.select(JOURNAL.c.seq, JOURNAL.c.collection, JOURNAL.c.workspace)
    changes = sa.select(*HISTORY).where(dialect.one_of(JOURNAL.c.seq, "seqs"))
    return FeedStatements(
        ends=dialect.compile(sa.select(JOURNAL_FIRST.c.seq, JOURNAL_HEAD.c.seq)),
        places=dialect.compile(
            places.where(JOURNAL.c.seq > after, JOURNAL.c.seq <= upto).order_by(
                JOURNAL.c.seq
            )
        ),
        changes=dialect.compile(changes.order_by(JOURNAL.c.seq)),
        array=dialect.bound_list,
    )


@dataclass(slots=True)
class ChangeSlice:
    """A piece of the journal: the changes that are wanted as rows of
    ``journal.HISTORY``, how far it was looked at, and where the journal ended.
    ``shown`` is for those who share it."""

    rows: list[Row]
    last_seq: int
    head: int
    shown: bytes | None = None


Reading = Callable[[int | None, int, Wanted], Coroutine[Any, Any, ChangeSlice]]


def stretch(
    rows: Callable[[Compiled, dict[str, Any]], list[Row]],
    statements: FeedStatements,
    after: int | None,
    limit: int,
    wanted: Wanted,
) -> ChangeSlice:
    """The next ``limit`` changes after a ``seq``, None for the journal's end. Raises
    ``ChangesGone``."""
    first, head = rows(statements.ends, {})[0]
    last = after = head if after is None else min(after, head)
    if after < first - 1:
        raise ChangesGone(
            f"the journal was trimmed and begins at seq {first}; note the last_seq of"
            " after=now, read the collections anew and go on from there"
            f" (after={first - 1} is the earliest that can be told)",
            first_seq=first,
        )
    wanted, seqs, step = cache(wanted), list[int](), limit
    while last < min(head, after + WINDOW) and len(seqs) < limit:
        upto = min(last + step, head)
        places = rows(statements.places, {"after": last, "upto": upto})
        seqs += [
            seq
            for seq, collection, workspace in places
            if wanted(collection, workspace)
        ]
        last, step = upto, WINDOW
    if len(seqs) > limit:
        del seqs[limit:]
        last = seqs[-1]
    found, size = list[Row](), 0
    for start in range(0, len(seqs), PIECE):
        piece = rows(
            statements.changes, {"seqs": statements.array(seqs[start : start + PIECE])}
        )
        found += piece
        size += sum(len(row[DATA] or "") + len(row[PAYLOAD] or "") for row in piece)
        if size > LARGE and len(found) < len(seqs):
            return ChangeSlice(found, found[-1][0], head)
    return ChangeSlice(found, last, head)


class Feed:
    """Those in this process who follow the journal, and the one who looks for news."""

    def __init__(self, dialect: Dialect, ends: Compiled, reading: Reading) -> None:
        self._dialect = dialect
        self._ends = ends
        self._reading = reading
        self._followers = 0
        self._head = 0
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watching: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="follower")
        self._shared: dict[Any, asyncio.Task[ChangeSlice]] = {}

    @contextmanager
    def following(self) -> Iterator[None]:
        """Within the block ``beyond`` learns of every commit, wherever it happens."""
        self._loop = asyncio.get_running_loop()
        self._followers += 1
        if self._watching is None:
            self._watching = self._loop.create_task(
                self._watch(), context=Context()
            )  # of no request
        try:
            yield
        finally:
            self._followers -= 1

    async def beyond(self, seq: int, seconds: float) -> bool:
        """Wait until the journal went on behind a ``seq``; False where it did not in
        that time."""
        try:
            async with asyncio.timeout(seconds):
                while self._head <= seq:
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def read(self, after: int | None, limit: int, wanted: Wanted) -> ChangeSlice:
        """The next changes, for a follower. Those who stand at the same place and want
        the same, as many do when news come, share one reading."""
        key = self._head, after, limit, wanted
        reading = self._shared.get(key)
        if reading is None:
            reading = self._shared[key] = asyncio.create_task(
                self._reading(after, limit, wanted)
            )
            asyncio.get_running_loop().call_later(SHARED, self._shared.pop, key)
        return await asyncio.shield(reading)

    def committed(self, seq: int) -> None:
        """Tell the followers what this process has committed; from any thread."""
        if self._followers and self._loop is not None:
            self._loop.call_soon_threadsafe(self._tell, seq)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _tell(self, head: int) -> None:
        if head > self._head:
            self._head = head
            self._news.set()
            self._news = asyncio.Event()

    async def _watch(self) -> None:
        """Learn what other processes commit, on a connection that is made anew where it
        breaks."""
        loop = asyncio.get_running_loop()
        connection: Connection | None = None
        while self._followers:
            try:
                if connection is None:
                    connection = await loop.run_in_executor(
                        self._thread, self._dialect.open_listener
                    )
                else:
                    await loop.run_in_executor(
                        self._thread, self._dialect.wait_for_commits, connection
                    )
                self._tell(
                    await loop.run_in_executor(self._thread, self._look, connection)
                )
            except Exception as error:  # noqa: BLE001 - those who follow rely on this task
                logger.warning("the journal cannot be followed now: %s", error)
                await self._drop(connection)
                connection = None
                await asyncio.sleep(RETRY)
        self._watching = None
        await self._drop(connection)

    def _look(self, connection: Connection) -> int:
        return int(connection.execute(self._ends.text).fetchall()[0][1])

    async def _drop(self, connection: Connection | None) -> None:
        if connection is not None:
            with suppress(Exception):
                await asyncio.get_running_loop().run_in_executor(
                    self._thread, connection.close
                )
