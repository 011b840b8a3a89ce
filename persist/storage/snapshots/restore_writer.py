"""Writing a restore: records of a snapshot or an export go into their tables.

What becomes of each is decided, and staged, while others write. Those that changed
meanwhile are decided again; the last of them in the transaction that stores all.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, StrEnum
from itertools import groupby
from typing import NamedTuple

import sqlalchemy as sa

from persist.domain.canonical_json import same_json_text
from persist.domain.change import Change, Operation, Origin
from persist.domain.errors import (
    RecordExists,
    RestoreConflict,
    UniqueViolation,
    Violation,
)
from persist.domain.record import Data, Record
from persist.storage.dialect import Dialect, Failure
from persist.storage.journal.changes import last_revisions
from persist.storage.layout import Layout
from persist.storage.long_operations.catch_up import CatchUp
from persist.storage.long_operations.staged_changes import STAGED_TWICE, temporary
from persist.storage.long_operations.staging import Staging, refusing
from persist.storage.migrations.record_migration import RecordFailures, batched
from persist.storage.sql import Inserter, Session, Statement
from persist.storage.writes.unit_of_work import UnitOfWork

LISTED_FAULTS = 100
"""Faults that a refusal lists."""


class OnConflict(Enum):
    """What happens to a record whose id exists already."""

    FAIL = "fail"
    SKIP = "skip"
    OVERWRITE = "overwrite"


class Decision(StrEnum):
    """What becomes of a record."""

    CREATED = "created"
    SKIPPED = "skipped"
    OVERWRITTEN = "overwritten"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


STORED = (Decision.CREATED, Decision.OVERWRITTEN)
"""Decisions by which a record is stored."""


class IncomingRow(NamedTuple):
    """A record on its way into the database.

    ``changed`` tells whether a migration step changed its data. ``parsed`` is the
    value of ``text`` if it is known already.
    """

    collection: str
    workspace: str
    id: str
    revision: int
    created_at: str
    updated_at: str
    text: str
    changed: bool
    parsed: Data | None = None

    def record(self, schema_version: int) -> Record:
        """Return it as a record."""
        return Record(
            self.id,
            self.collection,
            self.workspace,
            self.revision,
            schema_version,
            self.created_at,
            self.updated_at,
            self.text,
            self.parsed,
        )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text())


# No collection has a table of this name.
INCOMING = sa.Table(
    "_staged_incoming",
    sa.MetaData(),
    _text("collection"),
    _text("workspace"),
    _text("id"),
    sa.Column("revision", sa.BigInteger()),
    _text("created_at"),
    _text("updated_at"),
    _text("text"),
    sa.Column("changed", sa.Boolean()),
    _text("decision"),
)
"""Every record of the restore, with what becomes of it."""

INDEX_INCOMING = "CREATE INDEX _staged_ids ON _staged_incoming (workspace, id)"

INSERT_INCOMING = Inserter(INCOMING)

_DECISION = INCOMING.c.decision
_ROW = [column for column in INCOMING.c if column is not _DECISION]
"""The columns of an ``IncomingRow``, in its order."""

_OF_IDS = (
    INCOMING.c.collection == sa.bindparam("collection"),
    INCOMING.c.workspace == sa.bindparam("workspace"),
)


@Statement
def incoming_of(dialect: Dialect) -> sa.ClauseElement:
    """Select the decision and the row of each of ``ids``."""
    one_of = dialect.one_of(INCOMING.c.id, "ids")
    selected = sa.select(_DECISION, *_ROW)
    return selected.where(*_OF_IDS, one_of)


@Statement
def delete_incoming(dialect: Dialect) -> sa.ClauseElement:
    """Delete the rows of ``ids``."""
    one_of = dialect.one_of(INCOMING.c.id, "ids")
    return sa.delete(INCOMING).where(*_OF_IDS, one_of)


def _characters_of(row: IncomingRow) -> int:
    return len(row.text)


class RestoreWriter:
    """``stage`` in a thread, ``store`` in a transaction on the connection of the
    staging; then ``counts`` say what happened."""

    def __init__(
        self,
        staging: Staging,
        on_conflict: OnConflict,
        snapshot: str | None,
        origin: Origin,
    ) -> None:
        self.counts: Counter[Decision] = Counter()
        self._staging = staging
        self._on_conflict = on_conflict
        self._snapshot = snapshot
        self._origin = origin
        self._layouts: dict[str, Layout] = {}
        self._without_table: set[str] = set()
        self._conflicts = RecordFailures(LISTED_FAULTS)
        self._twice = RecordFailures(LISTED_FAULTS)
        self._catch_up = CatchUp(staging, self._stage_again, self._layouts.keys())

    def add_collection(self, layout: Layout, *, has_table: bool) -> None:
        """Take the layout of a collection that records come for."""
        name = layout.type.name
        self._layouts[name] = layout
        if not has_table:
            self._without_table.add(name)

    def stage(self, dialect: Dialect, rows: Iterable[IncomingRow]) -> None:
        """Decide and stage everything.

        Raises ``RestoreConflict`` with the records that exist already.
        """
        self._stage_all(dialect, rows)
        # Once at the end: finding duplicates in each batch would need an index over the
        # staged changes.
        session = self._staging.session
        for name, record_id in session.rows(STAGED_TWICE, limit=LISTED_FAULTS):
            self._comes_twice(name, record_id)

    def _stage_all(self, dialect: Dialect, rows: Iterable[IncomingRow]) -> None:
        with self._catch_up.reading() as reader:
            self._staging.open()
            self._staging.session.execute(temporary(dialect, INCOMING))
            for batch in batched(rows, _characters_of):
                with self._staging.transaction():
                    self._stage_batch(reader, batch)
            self._check_conflicts()
            # For catching up only: filling an indexed table takes longer.
            self._staging.session.execute(INDEX_INCOMING)

    def _stage_batch(
        self,
        reader: Session[Dialect],
        rows: Iterable[IncomingRow],
    ) -> None:
        # A snapshot has them by collection and workspace, so that groups are few.
        for (name, workspace), group in groupby(rows, key=lambda row: row[:2]):
            self._stage_rows(reader, name, workspace, list(group))

    def _stage_rows(
        self,
        reader: Session[Dialect],
        name: str,
        workspace: str,
        rows: Sequence[IncomingRow],
    ) -> None:
        """Decide about records of one collection in a workspace, and stage them."""
        ids = [row.id for row in rows]
        current = self._current(reader, name, workspace, ids)
        last = reader.rows(
            last_revisions,
            collection=name,
            workspace=workspace,
            ids=reader.dialect.bound_list(ids),
        )
        revisions: Mapping[str, int] = dict(last)
        decisions = [self._decide(row, current.get(row.id)) for row in rows]
        self.counts.update(decisions)
        incoming = []
        stored = []
        for row, decision in zip(rows, decisions, strict=True):
            incoming.append((*row[:-1], decision.value))
            if decision in STORED:
                stored.append(row)
        session = self._staging.session
        session.insert(INSERT_INCOMING, incoming)
        self._stage_changes(name, workspace, stored, revisions)

    def _current(
        self,
        reader: Session[Dialect],
        name: str,
        workspace: str,
        ids: Sequence[str],
    ) -> dict[str, Record]:
        # A registered type that the transaction will create.
        if name in self._without_table:
            return {}
        layout = self._layouts[name]
        values = {
            "workspace": workspace,
            "ids": reader.dialect.bound_list(ids),
        }
        rows = layout.by_ids.run(reader.cursor, values).fetchall()
        return {row[0]: layout.record(workspace, row) for row in rows}

    def _decide(self, row: IncomingRow, current: Record | None) -> Decision:
        if current is None:
            return Decision.CREATED
        if self._on_conflict is OnConflict.SKIP:
            return Decision.SKIPPED
        if self._on_conflict is OnConflict.FAIL:
            exists = RecordExists(
                f"a record with this id exists, at revision {current.revision}"
            )
            self._conflicts.add(row.collection, row.id, exists)
            return Decision.REFUSED
        # No change without a difference: the revision and the history stay.
        if same_json_text(current.text, row.text):
            return Decision.UNCHANGED
        return Decision.OVERWRITTEN

    def _stage_changes(
        self,
        name: str,
        workspace: str,
        rows: Sequence[IncomingRow],
        revisions: Mapping[str, int],
    ) -> None:
        layout = self._layouts[name]
        version = layout.type.schema_version
        staged = set()
        changes = []
        for row in rows:
            if row.id in staged:
                self._comes_twice(name, row.id)
                continue
            staged.add(row.id)
            last = revisions.get(row.id, 0)
            record = row.record(version).restored(last, changed=row.changed)
            change = Change(
                Operation.RESTORE,
                record,
                self._origin,
                snapshot=self._snapshot,
            )
            changes.append(change)
        self._staging.add(layout, changes)

    def _comes_twice(self, name: str, record_id: str) -> None:
        """Note an id that the snapshot has in several workspaces, restored into one."""
        twice = RecordExists(
            "this id comes twice for the workspace it is restored into"
        )
        self._twice.add(name, record_id, twice)

    def _stage_again(
        self,
        reader: Session[Dialect],
        name: str,
        workspace: str,
        ids: Sequence[str],
    ) -> None:
        """Decide again about the records that come for ids that have changed."""
        session = self._staging.session
        values = {
            "collection": name,
            "workspace": workspace,
            "ids": session.dialect.bound_list(ids),
        }
        found = session.rows(incoming_of, **values)
        rows = []
        for decision, *columns in found:
            # They are counted again with their new decision.
            self.counts[Decision(decision)] -= 1
            rows.append(IncomingRow(*columns))
        if not rows:
            return
        with self._staging.transaction():
            session.run(delete_incoming, **values)
            self._staging.replace(self._layouts[name], workspace, ids, ())
            self._stage_rows(reader, name, workspace, rows)

    def store(
        self,
        work: UnitOfWork,
        layouts: Mapping[str, Layout],
    ) -> None:
        """Store the records with their changes; ``layouts`` are the tables they go to.

        The transaction is exclusive if there are several: others lock them in another
        order.

        Raises ``RestoreConflict``, ``UniqueViolation``, for which ``refusal`` has the
        records, and ``Stale`` if a transaction before this one failed.
        """
        for layout in layouts.values():
            layout.dialect.lock_table(work.session.cursor, layout.table.name)
        self._catch_up.finish(work.session)
        self._check_conflicts()
        self._check_twice()
        tables = {name: layout.table for name, layout in layouts.items()}
        try:
            # Removed before any is inserted: two records may exchange a unique value.
            if self.counts[Decision.OVERWRITTEN]:
                self._staging.remove_stored(tables)
            self._staging.store(work.journal, tables)
        except Exception as error:
            if work.session.dialect.failure(error) is not Failure.UNIQUE:
                raise
            # Which ones they are is looked for after the transaction, so that others
            # need not wait for it (``refusal``).
            raise UniqueViolation("other records have the unique values") from error

    def totals(self) -> tuple[int, int, int]:
        """Return how many records were created, skipped and overwritten."""
        counts = self.counts
        overwritten = counts[Decision.OVERWRITTEN] + counts[Decision.UNCHANGED]
        return counts[Decision.CREATED], counts[Decision.SKIPPED], overwritten

    def _check_conflicts(self) -> None:
        if self._conflicts.failed:
            raise self._conflict(
                self._conflicts,
                "Choose on_conflict skip or overwrite, or another workspace",
            )

    def _check_twice(self) -> None:
        if self._twice.failed:
            raise self._conflict(
                self._twice,
                "Restore it where it was taken, or one workspace at a time",
            )

    def _conflict(self, failures: RecordFailures, advice: str) -> RestoreConflict:
        first = failures.listed[0]
        return RestoreConflict(
            f"{first.id}: {first.detail}; nothing was restored. {advice}",
            failures=failures.as_json(),
        )

    def refusal(self, error: UniqueViolation) -> UniqueViolation:
        """Return a refusal with the records whose unique values others have."""
        failures = RecordFailures(LISTED_FAULTS)
        for name, layout in self._layouts.items():
            with refusing(layout.dialect):
                found = self._staging.rows(layout).violations(LISTED_FAULTS)
            for violation in found:
                reason = violation.reason
                pointer = reason.errors[0].pointer
                fault = Violation(pointer, reason.detail)
                listed = UniqueViolation(reason.detail, errors=[fault])
                failures.add(name, violation.id, listed)
        if not failures.failed:
            return error
        first = failures.listed[0]
        return UniqueViolation(
            f"{first.id}: {first.detail}; nothing was restored. Change or delete the"
            " records that have these values, or restore into another workspace",
            failures=failures.as_json(),
        )
