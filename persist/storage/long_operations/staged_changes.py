"""Staged changes: rows of the journal that are made ready before their transaction."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from persist.domain.seal import MAX_SEAL_CHANGES, merkle_root
from persist.storage.dialect import Dialect
from persist.storage.dialect.columns import INTEGER
from persist.storage.journal.rows import INSERTED_COLLECTION
from persist.storage.sql import (
    Inserter,
    Row,
    Session,
    Statement,
    big_integer,
)
from persist.storage.tables import JOURNAL

SUBTREE_CHANGES = 1_024
"""Changes under one stored hash, which is computed again if one of them is replaced.

It is a power of two that divides the changes of a seal, so that the root of a seal is
the Merkle tree hash of these hashes.
"""

SUBTREES = MAX_SEAL_CHANGES // SUBTREE_CHANGES
"""Subtrees of a seal."""


def temporary(dialect: Dialect, table: sa.Table) -> str:
    """Return the statement that creates a table of this connection only."""
    created = dialect.ddl(CreateTable(table))
    return created.replace("CREATE TABLE", "CREATE TEMPORARY TABLE", 1)


# ``seq`` is given when they are copied: the counter is taken last.
_CHANGE_COLUMNS = [column for column in JOURNAL.columns if column.name != "seq"]

SHARED = (
    JOURNAL.c.at,
    JOURNAL.c.operation,
    JOURNAL.c.command,
    JOURNAL.c.actor,
    JOURNAL.c.request_id,
    JOURNAL.c.snapshot,
)
"""The columns that all changes of one operation share: they are not staged."""

ERASED = (JOURNAL.c.payload_sha256, JOURNAL.c.data_sha256)
"""The columns that are null until a change is erased."""

_STAGED = [column for column in _CHANGE_COLUMNS if column not in {*SHARED, *ERASED}]

_shared_values = itemgetter(*map(_CHANGE_COLUMNS.index, SHARED))
_staged_values = itemgetter(*map(_CHANGE_COLUMNS.index, _STAGED))
"""Take the values of these columns from a row of ``change_row``."""


def key_column(name: str) -> sa.Column[int]:
    """Return an integer primary key. On SQLite it is the rowid, so that the rows have
    this order without an index."""
    return sa.Column(name, INTEGER, primary_key=True, autoincrement=False)


# No collection has a table of this name.
STAGED_CHANGES = sa.Table(
    "_staged_changes",
    sa.MetaData(),
    key_column("number"),
    sa.Column("row", INTEGER),
    *[
        sa.Column(
            column.name,
            column.type,
        )
        for column in _STAGED
    ],
)
"""Changes by their number from 1 on, without what they share.

``row`` is the key of the row that a change stores, which no other change ever had.
"""

INSERT_STAGED_CHANGES = Inserter(STAGED_CHANGES)

_SEQ = STAGED_CHANGES.c.number + big_integer("before")
_STAGED_COLUMNS = [STAGED_CHANGES.c[column.name] for column in _STAGED]
_SHARED_VALUES = [sa.cast(sa.bindparam(column.name), sa.Text()) for column in SHARED]
_NUMBERED = sa.select(_SEQ, *_STAGED_COLUMNS, *_SHARED_VALUES)

STORE_CHANGES = Statement(
    sa.insert(JOURNAL).from_select(
        [JOURNAL.c.seq, *_STAGED, *SHARED],
        _NUMBERED.order_by(STAGED_CHANGES.c.number),
    )
)
"""Copy all staged changes into the journal, after the ``seq`` ``before``, with what
they share."""


OF_IDS = (
    STAGED_CHANGES.c.collection == sa.bindparam("collection"),
    STAGED_CHANGES.c.workspace == sa.bindparam("workspace"),
)


@Statement
def numbers_of(dialect: Dialect) -> sa.ClauseElement:
    """Select the numbers of the changes of ``ids``."""
    columns = STAGED_CHANGES.c
    one_of = dialect.one_of(columns.id, "ids")
    return sa.select(columns.number).where(*OF_IDS, one_of)


@Statement
def delete_changes(dialect: Dialect) -> sa.ClauseElement:
    """Delete the changes of ``ids``."""
    one_of = dialect.one_of(STAGED_CHANGES.c.id, "ids")
    return sa.delete(STAGED_CHANGES).where(*OF_IDS, one_of)


RENUMBER = Statement(
    sa.update(STAGED_CHANGES)
    .where(STAGED_CHANGES.c.number == big_integer("last"))
    .values(number=big_integer("free"))
)
"""Give the last change a number that has become free."""

HASHES = Statement(
    sa.select(STAGED_CHANGES.c.hash)
    .where(
        STAGED_CHANGES.c.number > big_integer("after"),
        STAGED_CHANGES.c.number <= big_integer("last"),
    )
    .order_by(STAGED_CHANGES.c.number)
)
"""Select the hashes of a range of changes."""

_OF_RECORD = (
    STAGED_CHANGES.c.workspace,
    STAGED_CHANGES.c.id,
    STAGED_CHANGES.c.collection,
)

STAGED_TWICE = Statement(
    sa.select(STAGED_CHANGES.c.collection, STAGED_CHANGES.c.id)
    .group_by(*_OF_RECORD)
    .having(sa.func.count() > sa.literal_column("1"))
    .order_by(*_OF_RECORD)
    .limit(big_integer("limit"))
)
"""Select the first records that more than one change is staged for."""

INDEX_RECORDS = (
    "CREATE INDEX _staged_records ON _staged_changes (workspace, id, collection)"
)


class StagedChanges:
    """Changes in a temporary table, numbered without a gap, with the hashes of the
    subtrees of their seals.

    ``written`` counts them by collection. What adds changes returns the keys of their
    rows.
    """

    def __init__(self, session: Session[Dialect]) -> None:
        self.written: Counter[str] = Counter()
        self.count = 0
        self._last_key = 0
        self._shared: Row = ()
        self._session = session
        self._subtrees: list[bytes] = []
        self._changed_subtrees: set[int] = set()
        create = temporary(session.dialect, STAGED_CHANGES)
        session.execute(create)

    def drop(self) -> None:
        """Drop the temporary table."""
        self._session.execute(f"DROP TABLE {STAGED_CHANGES.name}")

    def add(self, rows: Sequence[Row]) -> range:
        """Add rows of ``change_row``, as many as one statement takes at most."""
        first = self.count + 1
        self.count += len(rows)
        numbers = range(first, self.count + 1)
        return self._insert(numbers, rows)

    def index(self) -> None:
        """Index the records, for ``replace``."""
        self._session.execute(INDEX_RECORDS)

    def replace(
        self,
        collection: str,
        workspace: str,
        ids: Sequence[str],
        rows: Sequence[Row],
    ) -> range:
        """Replace the changes of some records by ``rows``."""
        values = {
            "collection": collection,
            "workspace": workspace,
            "ids": self._session.dialect.bound_list(ids),
        }
        found = self._session.rows(numbers_of, **values)
        self._session.run(delete_changes, **values)
        self.written[collection] -= len(found)
        # The new changes take the numbers of the old ones, and the last changes fill
        # what is left: seals cover numbers without a gap.
        free = sorted([number for (number,) in found])
        replacing = rows[: len(free)]
        keys = self._insert(free, replacing)
        further = self.add(rows[len(free) :])
        # From the end, so that the change that moves is never one of those to be
        # removed.
        for number in reversed(free[len(rows) :]):
            self._close_gap(number)
        return range(keys.start, further.stop)

    def _insert(self, numbers: Iterable[int], rows: Sequence[Row]) -> range:
        first = self._last_key + 1
        self._last_key += len(rows)
        keys = range(first, self._last_key + 1)
        if not rows:
            return keys
        self._shared = _shared_values(rows[0])
        numbered = [
            (number, key, *_staged_values(row))
            for number, key, row in zip(numbers, keys, rows, strict=False)
        ]
        self._session.insert(INSERT_STAGED_CHANGES, numbered)
        self.written.update([row[INSERTED_COLLECTION] for row in rows])
        self._note_changes([number for number, *_ in numbered])
        return keys

    def _close_gap(self, number: int) -> None:
        last = self.count
        self.count -= 1
        # Both subtrees have other leaves now.
        self._note_changes([number, last])
        if number != last:
            self._session.run(RENUMBER, free=number, last=last)

    def _note_changes(self, numbers: Iterable[int]) -> None:
        subtrees = {(number - 1) // SUBTREE_CHANGES for number in numbers}
        self._changed_subtrees |= subtrees

    def finish(self) -> None:
        """Compute the hashes of the subtrees that changed; no change may be added after
        this."""
        # Rounded up: the last subtree may be incomplete.
        count = -(-self.count // SUBTREE_CHANGES)
        del self._subtrees[count:]
        for number in sorted(self._changed_subtrees):
            if number < count:
                self._subtrees[number : number + 1] = [self._subtree(number)]
        self._changed_subtrees.clear()

    def _subtree(self, number: int) -> bytes:
        after = number * SUBTREE_CHANGES
        rows = self._session.rows(
            HASHES,
            after=after,
            last=after + SUBTREE_CHANGES,
        )
        leaves = [leaf_hash for (leaf_hash,) in rows]
        return merkle_root(leaves)

    def roots(self) -> Iterator[tuple[int, bytes]]:
        """Yield how many changes each seal covers, and its root."""
        left = self.count
        for first in range(0, len(self._subtrees), SUBTREES):
            count = min(left, MAX_SEAL_CHANGES)
            left -= count
            yield count, merkle_root(self._subtrees[first : first + SUBTREES])

    def store(self, before: int) -> None:
        """Copy them into the journal, after the ``seq`` ``before``."""
        if not self.count:
            return
        names = [column.name for column in SHARED]
        shared = dict(zip(names, self._shared, strict=True))
        self._session.run(STORE_CHANGES, before=before, **shared)
