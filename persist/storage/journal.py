"""The journal: every change under a ``seq`` that grows in the order of commits."""

from collections import Counter
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from persist.domain.change import Change, Operation
from persist.domain.record import Record
from persist.storage.dialect import Dialect
from persist.storage.idempotency import erase_mentions
from persist.storage.records import batches
from persist.storage.spool import Spool
from persist.storage.sql import (
    Inserter,
    Row,
    Session,
    Statement,
    big_integer,
)
from persist.storage.tables import JOURNAL, JOURNAL_HEAD

HISTORY = (
    JOURNAL.c.seq,
    JOURNAL.c.at,
    JOURNAL.c.workspace,
    JOURNAL.c.collection,
    JOURNAL.c.id,
    JOURNAL.c.revision,
    JOURNAL.c.schema_version,
    JOURNAL.c.operation,
    JOURNAL.c.command,
    JOURNAL.c.payload,
    JOURNAL.c.actor,
    JOURNAL.c.request_id,
    JOURNAL.c.data,
)
"""The columns of a change as it is answered."""

CHANGE_CHARACTERS = 500
"""Characters that a change without data counts for."""

SPILL_CHARACTERS = 16_000_000
"""Characters of waiting changes from which they go to the disk."""

_OF_RECORD = (
    JOURNAL.c.collection == sa.bindparam("collection"),
    JOURNAL.c.workspace == sa.bindparam("workspace"),
    JOURNAL.c.id == sa.bindparam("id"),
)
_IN_COLLECTION = _OF_RECORD[:2]
_NEWEST_FIRST = JOURNAL.c.revision.desc()

INSERT_CHANGES = Inserter(JOURNAL)


@Statement
def take_seqs(dialect: Dialect) -> sa.ClauseElement:
    """Advance the journal's counter by ``n`` and return the last ``seq`` taken."""
    seq = JOURNAL_HEAD.c.seq
    take = sa.update(JOURNAL_HEAD).values(seq=seq + big_integer("n"))
    return dialect.take_seq(take, seq)


LAST_REVISION = Statement(
    sa.select(JOURNAL.c.revision)
    .where(*_OF_RECORD)
    .order_by(_NEWEST_FIRST)
    .limit(sa.literal_column("1"))
)
"""Select the last revision of an id, deletions included."""


@Statement
def last_revisions(dialect: Dialect) -> sa.ClauseElement:
    """Select the last revision of each of ``ids``."""
    return (
        sa.select(JOURNAL.c.id, sa.func.max(JOURNAL.c.revision))
        .where(*_IN_COLLECTION, dialect.one_of(JOURNAL.c.id, "ids"))
        .group_by(JOURNAL.c.id)
    )


HISTORY_PAGE = Statement(
    sa.select(*HISTORY)
    .where(*_OF_RECORD, JOURNAL.c.revision < big_integer("before"))
    .order_by(_NEWEST_FIRST)
    .limit(big_integer("limit"))
)
"""Select the changes of a record below a revision, newest first."""

REVISION = Statement(
    sa.select(
        JOURNAL.c.id,
        JOURNAL.c.revision,
        JOURNAL.c.schema_version,
        JOURNAL.c.created_at,
        sa.func.coalesce(JOURNAL.c.updated_at, JOURNAL.c.at),
        JOURNAL.c.data,
    ).where(*_OF_RECORD, JOURNAL.c.revision == sa.bindparam("revision"))
)
"""Select a record as it was at a revision."""

ERASE = Statement(
    sa.update(JOURNAL)
    .where(
        *_OF_RECORD,
        sa.or_(JOURNAL.c.data.is_not(None), JOURNAL.c.payload.is_not(None)),
    )
    .values(data=sa.null(), payload=sa.null())
)
"""Erase data and payloads of a record's changes."""


class JournalWriter:
    """``domain.stores.Journal`` of one transaction: changes wait until it ends.

    Many changes wait in a temporary file, so that memory stays flat. ``written`` counts
    the changes by collection once they are written.
    """

    def __init__(self, session: Session[Dialect], now: str) -> None:
        self.written: Counter[str] = Counter()
        self.last_seq = 0
        self.transaction_id: str | None = None
        self._session = session
        self._now = now
        self._waiting: list[Row] = []
        self._characters = 0
        self._spilled: Spool | None = None
        self._spilled_count = 0

    def append(self, change: Change) -> None:
        self._waiting.append(self._row(change))
        self._characters += CHANGE_CHARACTERS + len(change.payload or "")
        self._characters += len(change.record.text)

    def __len__(self) -> int:
        """Return how many changes wait in memory."""
        return len(self._waiting)

    def release(self) -> None:
        if self._characters < SPILL_CHARACTERS:
            return
        if self._spilled is None:
            self._spilled = Spool()
        for batch in batches(self._waiting):
            self._spilled.put(batch)
        self._spilled_count += len(self._waiting)
        self._waiting, self._characters = [], 0

    def last_revision(self, collection: str, workspace: str, record_id: str) -> int:
        if self._spilled is not None:
            self.flush()
        key = workspace, collection, record_id
        for row in reversed(self._waiting):
            if row[1:4] == key:
                revision: int = row[4]
                return revision
        found = self._session.row(
            LAST_REVISION, collection=collection, workspace=workspace, id=record_id
        )
        return int(found[0]) if found else 0

    def last_revisions(
        self, collection: str, workspace: str, ids: Sequence[str]
    ) -> dict[str, int]:
        """Return the last revision of each id that was ever used.

        Changes that wait are not looked at.
        """
        rows = self._session.rows(
            last_revisions,
            collection=collection,
            workspace=workspace,
            ids=self._session.dialect.bound_list(ids),
        )
        return dict(rows)

    def erase(self, collection: str, workspace: str, record_id: str) -> int:
        self._session.run(erase_mentions, record_id=record_id)
        return self._session.run(
            ERASE, collection=collection, workspace=workspace, id=record_id
        ).rowcount

    def flush(self) -> None:
        """Write what waits.

        The counter is taken here, and every other writer waits for it until the commit:
        no record may be locked after this.
        """
        count = self._spilled_count + len(self._waiting)
        if not count:
            return
        taken = self._session.rows(take_seqs, n=count)[0]
        self.last_seq, self.transaction_id = taken[0], taken[1]
        seq = self.last_seq - count + 1
        for batch in self._batches():
            rows = [(seq + offset, *row) for offset, row in enumerate(batch)]
            self._session.insert(INSERT_CHANGES, rows)
            self.written.update(row[2] for row in batch)
            seq += len(batch)
        self._waiting, self._characters = [], 0
        self.close()

    def _batches(self) -> Iterator[Sequence[Row]]:
        if self._spilled is not None:
            yield from self._spilled
        yield from batches(self._waiting)

    def forget(self, mark: int) -> None:
        """Drop what was appended after ``mark`` changes waited."""
        del self._waiting[mark:]

    def close(self) -> None:
        """Delete what was spilled."""
        if self._spilled is not None:
            self._spilled.close()
        self._spilled, self._spilled_count = None, 0

    def _row(self, change: Change) -> Row:
        """Return the row of a change, all columns but ``seq``."""
        record = change.record
        return (
            self._now,
            record.workspace,
            record.collection,
            record.id,
            record.revision,
            record.schema_version,
            change.operation.value,
            change.command,
            change.payload,
            change.origin.actor,
            change.origin.request_id,
            change.snapshot,
            record.created_at,
            None if record.updated_at == self._now else record.updated_at,
            None if change.operation is Operation.DELETE else record.text,
        )


def past_record(collection: str, workspace: str, row: Row) -> Record | None:
    """Return the record of a row of ``REVISION``.

    None if the change is a deletion or its data was erased.
    """
    record_id, revision, schema_version, created_at, updated_at, text = row
    if text is None:
        return None
    return Record(
        record_id,
        collection,
        workspace,
        revision,
        schema_version,
        created_at,
        updated_at,
        text,
    )
