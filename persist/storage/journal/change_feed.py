"""Change feed: the journal read forwards, and the clients that wait for more of it.

``seq`` has no gaps and grows in the order of commits, so a client that goes on from the
last one it saw misses nothing. The writer reports what this process commits. What other
processes commit is looked for by one thread while any client follows.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import Context
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import sqlalchemy as sa

from persist.domain.batch_size import BatchSize
from persist.domain.errors import ChangesGone, InvalidQuery
from persist.domain.record import parse_data
from persist.storage.dialect import Dialect
from persist.storage.journal.changes import JOURNAL_ENDS
from persist.storage.journal.rows import CHANGE_COLUMNS, DATA, ENVELOPE, PAYLOAD
from persist.storage.queries.result_size import of_changes
from persist.storage.sql import Connection, Row, Session, Statement, big_integer
from persist.storage.tables import JOURNAL

logger = logging.getLogger(__name__)

WINDOW_CHANGES = 2_000
"""Changes that one read looks at, however few of them are wanted."""

CONDITION_CHANGES = 250
"""Changes for which one read evaluates a condition."""

BATCH_CHANGES = 20
"""Changes that one statement reads, since each may be large."""

SLICE_CHARACTERS = 1_048_576
"""Characters of data after which a read ends."""

SHARED_SECONDS = 0.1
"""Seconds for which a read is shared by all who ask for the same."""

RETRY_SECONDS = 0.5
"""Seconds until a database that cannot be reached is asked again."""


class Condition(Protocol):
    """A condition on changes."""

    @property
    def reads_previous(self) -> bool:
        """Whether it asks for the data before a change."""

    def __call__(
        self, change: Mapping[str, object], data: object, previous: object
    ) -> bool:
        """Return whether a change matches; data is None if there is none."""


class WantedChanges(Protocol):
    """Which changes a client wants.

    It is hashable, and equal for equal wishes.
    """

    @property
    def request_id(self) -> str | None:
        """The request whose changes are wanted; None for all requests."""

    @property
    def condition(self) -> Condition | None:
        """What a wanted change matches, None for all."""

    def __call__(self, collection: str, workspace: str) -> bool:
        """Return whether changes of a collection in a workspace are wanted."""


def _changed_collections(*, of_request: bool, newest_first: bool) -> Statement:
    """Select where the changes between two seqs happened."""
    seq = JOURNAL.c.seq
    selected = sa.select(seq, JOURNAL.c.collection, JOURNAL.c.workspace).where(
        seq > big_integer("low"), seq < big_integer("high")
    )
    if of_request:
        selected = selected.where(JOURNAL.c.request_id == sa.bindparam("request_id"))
    order = seq.desc() if newest_first else seq
    return Statement(selected.order_by(order).limit(big_integer("count")))


CHANGED_COLLECTIONS = {
    (of_request, newest_first): _changed_collections(
        of_request=of_request, newest_first=newest_first
    )
    for of_request in (False, True)
    for newest_first in (False, True)
}


@Statement
def changes_by_seq(dialect: Dialect) -> sa.ClauseElement:
    """Select the changes of ``seqs``."""
    of_seqs = dialect.one_of(JOURNAL.c.seq, "seqs")
    return sa.select(*CHANGE_COLUMNS).where(of_seqs).order_by(JOURNAL.c.seq)


@Statement
def data_before(dialect: Dialect) -> sa.ClauseElement:
    """Select, for each of ``seqs``, the data that its record had before."""
    earlier = JOURNAL.alias("earlier")
    data = (
        sa.select(earlier.c.data)
        .where(
            earlier.c.collection == JOURNAL.c.collection,
            earlier.c.workspace == JOURNAL.c.workspace,
            earlier.c.id == JOURNAL.c.id,
            earlier.c.revision < JOURNAL.c.revision,
        )
        .order_by(earlier.c.revision.desc())
        .limit(sa.literal_column("1"))
        .scalar_subquery()
    )
    of_seqs = dialect.one_of(JOURNAL.c.seq, "seqs")
    return sa.select(JOURNAL.c.seq, data).where(of_seqs)


@dataclass(slots=True)
class ChangeSlice:
    """A part of the journal.

    ``rows`` are the wanted changes as ``rows.CHANGE_COLUMNS``. ``last_seq`` is
    how far the journal was looked at, ``more`` is whether it went on then. ``rendered``
    is the text of the slice for all who share it.
    """

    rows: list[Row]
    last_seq: int
    more: bool = False
    rendered: bytes | None = None


Read = Callable[[int | None, int, WantedChanges], Coroutine[Any, Any, ChangeSlice]]


def read_slice(
    session: Session[Dialect], after: int | None, limit: int, wanted: WantedChanges
) -> ChangeSlice:
    """Return the next ``limit`` changes after a ``seq``; None is the journal's end.

    Raises ``ChangesGone``, and ``InvalidQuery`` beyond the last change.
    """
    first, head = session.rows(JOURNAL_ENDS)[0]
    after = head if after is None else after
    if after > head:
        raise InvalidQuery(
            f"after={after} is beyond the last change, whose seq is {head}; the"
            " database may have been restored from a backup: read the collections"
            f" again and go on from after={head}",
            last_seq=head,
        )
    if after < first - 1:
        raise ChangesGone(
            f"the journal was trimmed and begins at seq {first}; note the last_seq of"
            " after=now, read the collections again and go on from there"
            f" (after={first - 1} is the earliest that can be answered)",
            first_seq=first,
        )
    return _Search(session, wanted, limit, newest_first=False).run(after, head)


def read_slice_before(
    session: Session[Dialect], before: int | None, limit: int, wanted: WantedChanges
) -> ChangeSlice:
    """Return the ``limit`` changes before a ``seq``, the newest first; None is behind
    the last change.

    Raises ``ChangesGone`` if the changes before it were trimmed.
    """
    first, head = session.rows(JOURNAL_ENDS)[0]
    before = head + 1 if before is None else min(before, head + 1)
    if before < first and first > 1:
        raise ChangesGone(
            f"the journal was trimmed and begins at seq {first}",
            first_seq=first,
        )
    return _Search(session, wanted, limit, newest_first=True).run(before, first)


class _Search:
    """Looks for wanted changes in one direction of the journal."""

    def __init__(
        self,
        session: Session[Dialect],
        wanted: WantedChanges,
        limit: int,
        *,
        newest_first: bool,
    ) -> None:
        self._session = session
        self._wanted = wanted
        self._rows = limit
        self._limit = limit if wanted.condition is None else CONDITION_CHANGES
        self._newest_first = newest_first

    def run(self, start: int, end: int) -> ChangeSlice:
        """Read the changes after ``start``, up to and including ``end``."""
        seqs, last = self._seqs(start, end)
        rows: list[Row] = []
        characters = 0
        size = BatchSize(BATCH_CHANGES, SLICE_CHARACTERS)
        for batch in size.batches(seqs):
            found = self._changes(list(batch))
            rows += self._matching(found)
            read = of_changes(found)
            characters += read
            size.note(len(found), read)
            # A condition is asked of more changes than fit, because few may match.
            if len(rows) > self._rows:
                del rows[self._rows :]
                return ChangeSlice(rows, rows[-1][0], more=True)
            if characters > SLICE_CHARACTERS and batch[-1] != seqs[-1]:
                return ChangeSlice(rows, batch[-1], more=True)
        return ChangeSlice(rows, last, more=last != end)

    def _matching(self, rows: list[Row]) -> list[Row]:
        """Return the changes that match the condition."""
        condition = self._wanted.condition
        if condition is None:
            return rows
        previous: dict[int, str] = {}
        if condition.reads_previous:
            seqs = self._session.dialect.bound_list([row[0] for row in rows])
            previous = dict(self._session.rows(data_before, seqs=seqs))
        return [
            row
            for row in rows
            if condition(
                _envelope(row),
                _parsed(row[DATA]),
                _parsed(previous.get(row[0])),
            )
        ]

    def _seqs(self, start: int, end: int) -> tuple[list[int], int]:
        """Return the wanted seqs, at most ``limit``, and how far was looked."""
        # The same few collections come again and again.
        wanted = cache(self._wanted)
        seqs: list[int] = []
        last = start
        looked = 0
        # The first statement suffices if every change is wanted.
        count = self._limit
        while len(seqs) < self._limit and looked < WINDOW_CHANGES:
            changed = self._changed(last, end, count)
            seqs += [
                seq
                for seq, collection, workspace in changed
                if wanted(collection, workspace)
            ]
            looked += len(changed)
            if len(changed) < count:
                last = end
                break
            last = changed[-1][0]
            # Most are not wanted: look further at once.
            count = WINDOW_CHANGES
        if len(seqs) > self._limit:
            del seqs[self._limit :]
            last = seqs[-1]
        return seqs, last

    def _changed(self, last: int, end: int, count: int) -> list[Row]:
        """Return ``seq``, collection and workspace of the next changes beyond
        ``last``."""
        request_id = self._wanted.request_id
        statement = CHANGED_COLLECTIONS[request_id is not None, self._newest_first]
        if self._newest_first:
            low = end - 1
            high = last
        else:
            low = last
            high = end + 1
        values: dict[str, Any] = {
            "low": low,
            "high": high,
            "count": count,
        }
        if request_id is not None:
            values["request_id"] = request_id
        return self._session.rows(statement, **values)

    def _changes(self, seqs: list[int]) -> list[Row]:
        batch = self._session.dialect.bound_list(sorted(seqs))
        rows = self._session.rows(changes_by_seq, seqs=batch)
        return rows[::-1] if self._newest_first else rows


def _envelope(row: Row) -> dict[str, object]:
    """Return the variable ``change`` of a condition, which has no data."""
    change = dict(zip(ENVELOPE, row, strict=False))
    for name in ("workspace", "actor"):
        change[name] = change[name] or None
    change["payload"] = _parsed(row[PAYLOAD])
    return change


def _parsed(text: str | None) -> Any:
    return None if text is None else parse_data(text)


class Feed:
    """The clients of this process that follow the journal."""

    def __init__(self, dialect: Dialect, read: Read) -> None:
        self._dialect = dialect
        self._read = read
        self._followers = 0
        self._head = 0
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watching: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="follower")
        self._shared: dict[object, asyncio.Task[ChangeSlice]] = {}

    @contextmanager
    def following(self) -> Iterator[None]:
        """Open a block in which ``beyond`` learns of every commit of any process."""
        self._loop = asyncio.get_running_loop()
        self._followers += 1
        if self._watching is None:
            # The task belongs to no request, so it inherits no context.
            self._watching = self._loop.create_task(self._watch(), context=Context())
        try:
            yield
        finally:
            self._followers -= 1

    async def beyond(self, seq: int, seconds: float) -> bool:
        """Wait until the journal is beyond a ``seq``.

        Returns False if it is not after that time.
        """
        try:
            async with asyncio.timeout(seconds):
                while self._head <= seq:
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def read(
        self, after: int | None, limit: int, wanted: WantedChanges
    ) -> ChangeSlice:
        """Return the next changes as of the last commit that is known.

        Clients at the same position that want the same share one read, as most do when
        there is news.
        """
        key = self._head, after, limit, wanted
        reading = self._shared.get(key)
        if reading is None:
            # It belongs to all who share it: none of them ends it by going.
            reading = asyncio.get_running_loop().create_task(
                self._read(after, limit, wanted), context=Context()
            )
            self._shared[key] = reading
            loop = asyncio.get_running_loop()
            # Not at its end: clients that were woken by one commit arrive one after the
            # other.
            loop.call_later(SHARED_SECONDS, self._shared.pop, key)
        # A client that leaves cancels its own wait, and not the read of the others.
        return await asyncio.shield(reading)

    def committed(self, seq: int) -> None:
        """Note the last ``seq`` that this process has committed, from any thread."""
        # Waking the event loop for nobody would cost every write.
        if self._followers and self._loop is not None:
            self._loop.call_soon_threadsafe(self._advance, seq)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _advance(self, head: int) -> None:
        if head > self._head:
            self._head = head
            # Those who wait now go on. Whoever waits from now on waits for more.
            self._news.set()
            self._news = asyncio.Event()

    async def _watch(self) -> None:
        """Wait for commits of other processes. A broken connection is opened again."""
        connection: Connection | None = None
        while self._followers:
            try:
                connection = await self._look(connection)
            except Exception as error:  # noqa: BLE001 - all followers rely on this task
                logger.warning("the journal cannot be followed now: %s", error)
                await self._close(connection)
                connection = None
                await asyncio.sleep(RETRY_SECONDS)
        self._watching = None
        await self._close(connection)

    async def _look(self, connection: Connection | None) -> Connection:
        """Wait for commits, then read the newest changes."""
        loop = asyncio.get_running_loop()
        if connection is None:
            open_listener = self._dialect.open_listener
            connection = await loop.run_in_executor(self._thread, open_listener)
        else:
            wait = self._dialect.wait_for_commits
            await loop.run_in_executor(self._thread, wait, connection)
        last_seq = await loop.run_in_executor(
            self._thread, self._read_last_seq, connection
        )
        self._advance(last_seq)
        return connection

    def _read_last_seq(self, connection: Connection) -> int:
        session = Session(self._dialect, connection.cursor())
        _, last_seq = session.rows(JOURNAL_ENDS)[0]
        return int(last_seq)

    async def _close(self, connection: Connection | None) -> None:
        if connection is not None:
            loop = asyncio.get_running_loop()
            with suppress(Exception):
                await loop.run_in_executor(self._thread, connection.close)
