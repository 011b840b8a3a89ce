"""The journal: every change under a ``seq`` that grows in the order of commits."""

from collections import Counter
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from persist.domain.batch_size import BatchSize
from persist.domain.change import Change, ChangeSummary
from persist.domain.record import Record
from persist.storage.dialect import Dialect
from persist.storage.journal.rows import (
    CHANGE_COLUMNS,
    INSERTED_COLLECTION,
    INSERTED_CREATED_AT,
    INSERTED_HASH,
    INSERTED_KEY,
    INSERTED_REVISION,
    change_row,
    inserted_state,
    summary_values,
)
from persist.storage.journal.seals import SealedHead, SealWriter, text_sha256
from persist.storage.long_operations.staged_changes import StagedChanges
from persist.storage.operation.spool import Spool
from persist.storage.sql import (
    Inserter,
    Row,
    Session,
    Statement,
    big_integer,
)
from persist.storage.tables import JOURNAL, JOURNAL_FIRST, JOURNAL_HEAD
from persist.storage.writes.idempotency import delete_answers_with
from persist.storage.writes.records import batches

CHANGE_CHARACTERS = 500
"""Characters that a change without data counts for."""

SPILL_CHARACTERS = 16_000_000
"""Characters of waiting changes from which they go to the disk."""

_OF_RECORD = (
    JOURNAL.c.collection == sa.bindparam("collection"),
    JOURNAL.c.workspace == sa.bindparam("workspace"),
    JOURNAL.c.id == sa.bindparam("id"),
)
_SINCE_FIRST = JOURNAL.c.seq >= sa.select(JOURNAL_FIRST.c.seq).scalar_subquery()
"""Holds of all changes but the bases that a trim left."""

_IN_COLLECTION = _OF_RECORD[:2]
_NEWEST_FIRST = JOURNAL.c.revision.desc()

INSERT_CHANGES = Inserter(JOURNAL)

LAST_SEQ = Statement(sa.select(JOURNAL_HEAD.c.seq))
"""Select the last ``seq`` of the journal."""

JOURNAL_ENDS = Statement(sa.select(JOURNAL_FIRST.c.seq, JOURNAL_HEAD.c.seq))
"""Select the first and the last ``seq`` of the journal."""


@Statement
def take_seqs(dialect: Dialect) -> sa.ClauseElement:
    """Advance the journal's counter by ``n``.

    Returns the transaction's id, the last ``seq`` taken and the last seal.
    """
    head = JOURNAL_HEAD.c
    take = sa.update(JOURNAL_HEAD).values(seq=head.seq + big_integer("n"))
    return dialect.take_seq(
        take, [head.seq, head.sealed_seq, head.seal_hash, head.sealed_at]
    )


LAST_CREATED_AT = Statement(
    sa.select(JOURNAL.c.created_at)
    .where(*_OF_RECORD)
    .order_by(_NEWEST_FIRST)
    .limit(sa.literal_column("1"))
)
"""Select when the last life of a record began."""

SUMMARIES_SINCE = Statement(
    sa.select(
        JOURNAL.c.revision,
        JOURNAL.c.at,
        JOURNAL.c.actor,
        JOURNAL.c.operation,
        JOURNAL.c.command,
    )
    .where(*_OF_RECORD, JOURNAL.c.revision > big_integer("since"))
    .order_by(_NEWEST_FIRST)
    .limit(big_integer("limit"))
)
"""Select who changed a record after a revision, newest first."""

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
    sa.select(*CHANGE_COLUMNS)
    .where(*_OF_RECORD, _SINCE_FIRST, JOURNAL.c.revision < big_integer("before"))
    .order_by(_NEWEST_FIRST)
    .limit(big_integer("limit"))
)
"""Select the changes of a record below a revision, newest first."""

_AS_RECORD = (
    JOURNAL.c.id,
    JOURNAL.c.revision,
    JOURNAL.c.schema_version,
    JOURNAL.c.created_at,
    sa.func.coalesce(JOURNAL.c.updated_at, JOURNAL.c.at),
    JOURNAL.c.data,
)
"""A record as a change left it."""

REVISION = Statement(
    sa.select(*_AS_RECORD).where(
        *_OF_RECORD, JOURNAL.c.revision == sa.bindparam("revision")
    )
)
"""Select a record as it was at a revision; also at the base that a trim left."""


@Statement
def last_changes(dialect: Dialect) -> sa.ClauseElement:
    """Select the ends of the journal, and for each of ``ids`` the operation of the last
    change until ``as_of`` and the record as it was then, null if there is no such
    change."""
    listed = dialect.listed_texts("ids")
    earlier = JOURNAL.alias("earlier").c
    last = (
        sa.select(earlier.seq)
        .where(
            earlier.collection == sa.bindparam("collection"),
            earlier.workspace == sa.bindparam("workspace"),
            earlier.id == listed.c.value,
            earlier.seq <= big_integer("as_of"),
        )
        .order_by(earlier.revision.desc())
        .limit(sa.literal_column("1"))
        .correlate(listed)
        .scalar_subquery()
    )
    changes = listed.outerjoin(JOURNAL, JOURNAL.c.seq == last)
    ends = [
        sa.select(column).scalar_subquery()
        for column in (JOURNAL_FIRST.c.seq, JOURNAL_HEAD.c.seq)
    ]
    return sa.select(*ends, JOURNAL.c.operation, *_AS_RECORD).select_from(changes)


MAX_ERASED = 100
"""Changes that are read at once to be erased."""

CHANGES_WITH_CONTENT = Statement(
    sa.select(JOURNAL.c.seq, JOURNAL.c.payload, JOURNAL.c.data)
    .where(
        *_OF_RECORD,
        sa.or_(JOURNAL.c.data.is_not(None), JOURNAL.c.payload.is_not(None)),
    )
    .order_by(JOURNAL.c.seq)
    .limit(sa.bindparam("limit", type_=sa.Integer()))
)
"""Select some changes of a record that have data or a payload."""

ERASE = Statement(
    sa.update(JOURNAL)
    .where(JOURNAL.c.seq == big_integer("change_seq"))
    .values(
        data=sa.null(),
        payload=sa.null(),
        payload_sha256=sa.bindparam("payload_hash", type_=sa.LargeBinary()),
        data_sha256=sa.bindparam("data_hash", type_=sa.LargeBinary()),
    )
)
"""Erase data and payload of a change; their hashes stay, so that its leaf does."""


class JournalWriter:
    """``domain.stores.Journal`` of one transaction: changes wait until it ends.

    Many changes wait in a temporary file, so that memory stays flat. ``characters`` is
    about how many those in memory have. ``written`` counts the changes by collection
    once they are written.
    """

    def __init__(self, session: Session[Dialect], now: str) -> None:
        self.written: Counter[str] = Counter()
        self.last_seq = 0
        self.transaction_id: str | None = None
        self._session = session
        self._now = now
        self._waiting: list[Row] = []
        self.characters = 0
        self._spilled: Spool | None = None
        self._spilled_count = 0
        self._staged: StagedChanges | None = None
        self._seals = SealWriter(session, now)

    def append(self, change: Change) -> None:
        self._waiting.append(change_row(change, self._now))
        characters = len(change.record.text) + len(change.payload or "")
        self.characters += CHANGE_CHARACTERS + characters

    def __len__(self) -> int:
        """Return how many changes wait in memory."""
        return len(self._waiting)

    def release(self) -> None:
        """Move the changes that wait to the disk if they are many.

        They can then no longer be forgotten: no savepoint may be open.
        """
        if self.characters < SPILL_CHARACTERS:
            return
        if self._spilled is None:
            self._spilled = Spool()
        for batch in batches(self._waiting):
            self._spilled.put(batch)
        self._spilled_count += len(self._waiting)
        self._waiting = []
        self.characters = 0

    def add_staged(self, changes: StagedChanges) -> None:
        """Add staged changes, which follow those that wait.

        They are staged on the connection of this transaction, which takes them once.
        """
        self._staged = changes

    def last_revision(self, collection: str, workspace: str, record_id: str) -> int:
        # Changes that are not in memory are found only once they are in the table.
        if self._spilled is not None or self._staged is not None:
            self.flush()
        key = workspace, collection, record_id
        for row in reversed(self._waiting):
            if row[INSERTED_KEY] == key:
                revision: int = row[INSERTED_REVISION]
                return revision
        found = self._session.row(
            LAST_REVISION, collection=collection, workspace=workspace, id=record_id
        )
        return int(found[0]) if found else 0

    def past_record(
        self, collection: str, workspace: str, record_id: str, revision: int
    ) -> Record | None:
        row = self._waiting_row(collection, workspace, record_id, revision)
        if row is None:
            row = self._session.row(
                REVISION,
                collection=collection,
                workspace=workspace,
                id=record_id,
                revision=revision,
            )
        return None if row is None else past_record(collection, workspace, row)

    def _waiting_row(
        self, collection: str, workspace: str, record_id: str, revision: int
    ) -> Row | None:
        """Return a change that waits as a row of ``REVISION``."""
        key = workspace, collection, record_id
        for row in reversed(self._waiting):
            if row[INSERTED_KEY] == key and row[INSERTED_REVISION] == revision:
                return inserted_state(row)
        return None

    def last_created_at(self, collection: str, workspace: str, record_id: str) -> str:
        key = workspace, collection, record_id
        for row in reversed(self._waiting):
            if row[INSERTED_KEY] == key:
                waiting: str = row[INSERTED_CREATED_AT]
                return waiting
        created_at: str = self._session.value(
            LAST_CREATED_AT, collection=collection, workspace=workspace, id=record_id
        )
        return created_at

    def changes_since(
        self,
        collection: str,
        workspace: str,
        record_id: str,
        revision: int,
        limit: int,
    ) -> list[ChangeSummary]:
        key = workspace, collection, record_id
        waiting = [
            summary_values(row)
            for row in reversed(self._waiting)
            if row[INSERTED_KEY] == key and row[INSERTED_REVISION] > revision
        ]
        stored = self._session.rows(
            SUMMARIES_SINCE,
            collection=collection,
            workspace=workspace,
            id=record_id,
            since=revision,
            limit=limit,
        )
        return [
            ChangeSummary(found, at, actor or None, operation, command)
            for found, at, actor, operation, command in [*waiting, *stored][:limit]
        ]

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
        # Stored answers of idempotent requests have the data, too.
        self._session.run(delete_answers_with, record_id=record_id)
        key = {"collection": collection, "workspace": workspace, "id": record_id}
        size = BatchSize(MAX_ERASED)
        erased = 0
        while rows := self._session.rows(
            CHANGES_WITH_CONTENT, **key, limit=size.records
        ):
            characters = sum(len(data or "") for _, _, data in rows)
            size.note(len(rows), characters)
            for seq, payload, data in rows:
                hashes = {
                    "payload_hash": text_sha256(payload),
                    "data_hash": text_sha256(data),
                }
                self._session.run(ERASE, change_seq=seq, **hashes)
            erased += len(rows)
        return erased

    def flush(self) -> None:
        """Write the waiting changes.

        The counter is taken here, and every other writer waits for it until the commit:
        no record may be locked after this.
        """
        count = self._spilled_count + len(self._waiting)
        if self._staged is not None:
            count += self._staged.count
        if not count:
            return
        taken = self._session.rows(take_seqs, n=count)[0]
        self.transaction_id = taken[0]
        self.last_seq = taken[1]
        first_seq = self.last_seq - count + 1
        self._seals.begin(SealedHead(*taken[2:5]), first_seq)
        seq = first_seq
        for batch in self._batches():
            self._insert(seq, batch)
            # From memory: the rows need not be read back to be sealed.
            self._seals.add([row[INSERTED_HASH] for row in batch])
            seq += len(batch)
        self._waiting = []
        self.characters = 0
        self.close()
        if self._staged is not None:
            # Last, because one statement copies and numbers them from here on.
            self._staged.store(seq - 1)
            self.written += self._staged.written
            self._seals.add_roots(self._staged.roots())
            self._staged = None

    def _insert(self, first_seq: int, batch: Sequence[Row]) -> None:
        rows = [(seq, *row) for seq, row in enumerate(batch, first_seq)]
        self._session.insert(INSERT_CHANGES, rows)
        self.written.update([row[INSERTED_COLLECTION] for row in batch])

    def _batches(self) -> Iterator[Sequence[Row]]:
        if self._spilled is not None:
            yield from self._spilled
        yield from batches(self._waiting)

    def seal(self) -> None:
        """Seal what was written; nothing may be written after this."""
        self._seals.finish()

    def forget(self, mark: int) -> None:
        """Drop what was appended after ``mark`` changes waited."""
        del self._waiting[mark:]

    def close(self) -> None:
        """Delete what was spilled."""
        if self._spilled is not None:
            self._spilled.close()
        self._spilled = None
        self._spilled_count = 0


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
