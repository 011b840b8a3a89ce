"""The journal: every change under a ``seq`` that grows in commit order."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from persist.domain.change import Change, Operation
from persist.domain.record import Record
from persist.storage.dialect import Dialect
from persist.storage.records import batches
from persist.storage.sql import Compiled, Cursor, Insert
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

EMPTY = 500
"""The weight of a change without data."""


@dataclass(frozen=True)
class JournalStatements:
    """The journal's statements, written once for a dialect."""

    insert: Insert
    take: Compiled
    last_revision: Compiled
    last_revisions: Compiled
    array: Callable[[Sequence[Any]], Any]
    history: Compiled
    revision: Compiled
    erase: Compiled


def journal_statements(dialect: Dialect) -> JournalStatements:
    """Write the journal's statements."""
    of_record = [
        JOURNAL.c[name] == sa.bindparam(name)
        for name in ("collection", "workspace", "id")
    ]
    before = JOURNAL.c.revision < sa.bindparam("before", type_=sa.BigInteger())
    newest = JOURNAL.c.revision.desc()
    history = sa.select(*HISTORY).where(*of_record, before).order_by(newest)
    updated_at = sa.func.coalesce(JOURNAL.c.updated_at, JOURNAL.c.at)
    past = (
        JOURNAL.c.id,
        JOURNAL.c.revision,
        JOURNAL.c.schema_version,
        JOURNAL.c.created_at,
        updated_at,
    )
    revision = sa.select(*past, JOURNAL.c.data).where(
        *of_record, JOURNAL.c.revision == sa.bindparam("revision")
    )
    last = sa.select(JOURNAL.c.id, sa.func.max(JOURNAL.c.revision)).group_by(
        JOURNAL.c.id
    )
    of_some = last.where(*of_record[:2], dialect.one_of(JOURNAL.c.id, "ids"))
    erase = (
        sa.update(JOURNAL)
        .where(*of_record, _has_data())
        .values(data=sa.null(), payload=sa.null())
    )
    take = sa.update(JOURNAL_HEAD).values(
        seq=JOURNAL_HEAD.c.seq + sa.bindparam("n", type_=sa.BigInteger())
    )
    return JournalStatements(
        insert=dialect.inserter(JOURNAL),
        take=dialect.compile(dialect.take_seq(take, JOURNAL_HEAD.c.seq)),
        last_revision=dialect.compile(
            sa.select(JOURNAL.c.revision)
            .where(*of_record)
            .order_by(newest)
            .limit(sa.literal_column("1"))
        ),
        last_revisions=dialect.compile(of_some),
        array=dialect.bound_list,
        history=dialect.compile(
            history.limit(sa.bindparam("limit", type_=sa.BigInteger()))
        ),
        revision=dialect.compile(revision),
        erase=dialect.compile(erase),
    )


def _has_data() -> sa.ColumnElement[bool]:
    return sa.or_(JOURNAL.c.data.is_not(None), JOURNAL.c.payload.is_not(None))


class WorkJournal:
    """``domain.stores.Journal`` of a unit of work: changes wait until it ends.
    ``weight`` is about the characters that wait; what is forgotten still counts."""

    def __init__(self, statements: JournalStatements, cursor: Cursor, now: str) -> None:
        self._statements = statements
        self._cursor = cursor
        self._now = now
        self._waiting: list[Change] = []
        self.weight = 0
        self.written: Counter[str] = Counter()
        self.last_seq = 0

    def append(self, change: Change) -> None:
        self._waiting.append(change)
        self.weight += EMPTY + len(change.record.text) + len(change.payload or "")

    def __len__(self) -> int:
        return len(self._waiting)

    def last_revision(self, collection: str, workspace: str, id: str) -> int:
        for change in reversed(self._waiting):
            record = change.record
            if (record.id, record.workspace, record.collection) == (
                id,
                workspace,
                collection,
            ):
                return record.revision
        statement = self._statements.last_revision
        values = {"collection": collection, "workspace": workspace, "id": id}
        found = self._cursor.execute(
            statement.text, statement.arguments(values)
        ).fetchone()
        return int(found[0]) if found else 0

    def last_revisions(
        self, collection: str, workspace: str, ids: Sequence[str]
    ) -> dict[str, int]:
        """The last revision of each id that was ever known, of changes that wait no
        more."""
        statement = self._statements.last_revisions
        values = {
            "collection": collection,
            "workspace": workspace,
            "ids": self._statements.array(ids),
        }
        return dict(
            self._cursor.execute(statement.text, statement.arguments(values)).fetchall()
        )

    def erase(self, collection: str, workspace: str, id: str) -> int:
        statement = self._statements.erase
        values = {"collection": collection, "workspace": workspace, "id": id}
        erased: int = self._cursor.execute(
            statement.text, statement.arguments(values)
        ).rowcount
        return erased

    def flush(self) -> None:
        """Write what waits. The counter is taken here: nothing locks a record after
        this."""
        changes, self._waiting, self.weight = self._waiting, [], 0
        if not changes:
            return
        take = self._statements.take
        last = take.run(self._cursor, {"n": len(changes)}).fetchall()[0][0]
        self.last_seq = last
        first = last - len(changes) + 1
        rows = [self._row(seq, change) for seq, change in enumerate(changes, first)]
        for batch in batches(rows):
            self._statements.insert(self._cursor, batch)
        self.written.update(change.record.collection for change in changes)

    def forget(self, mark: int = 0) -> None:
        """Drop what was appended after ``mark`` entries."""
        del self._waiting[mark:]

    def _row(self, seq: int, change: Change) -> tuple[Any, ...]:
        record = change.record
        return (
            seq,
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


def past_record(collection: str, workspace: str, row: tuple[Any, ...]) -> Record | None:
    """A row of ``JournalStatements.revision`` as the record it was; None for a
    deletion, and where its data was erased."""
    id, revision, schema_version, created_at, updated_at, text = row
    if text is None:
        return None
    return Record(
        id,
        collection,
        workspace,
        revision,
        schema_version,
        created_at,
        updated_at,
        text,
    )
