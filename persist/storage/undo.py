"""Undo in a transaction: which records the selected changes touched, what they were
before, and whether somebody has changed them since."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from typing import Any, NamedTuple

import sqlalchemy as sa

from persist.domain.change import Operation, Origin
from persist.domain.collection import Collection
from persist.domain.counting import counted
from persist.domain.entity_type import EntityType
from persist.domain.errors import (
    ChangesGone,
    InvalidQuery,
    NotFound,
    TooManyAffected,
    UndoConflict,
)
from persist.domain.record import Record
from persist.domain.undo import (
    MAX_CHANGES,
    Conflict,
    Obstacle,
    OnConflict,
    Outcome,
    Past,
    SelectedChanges,
    UndoneRecord,
    UndoReport,
)
from persist.storage.change_feed import JOURNAL_ENDS
from persist.storage.dialect import Dialect
from persist.storage.records import batches
from persist.storage.spool import Spool
from persist.storage.sql import (
    Row,
    Session,
    SqlCondition,
    Statement,
    big_integer,
    constant,
)
from persist.storage.tables import JOURNAL
from persist.storage.unit_of_work import UnitOfWork

_MIGRATE = constant(Operation.MIGRATE.value)

Journal = sa.Table | sa.Alias


class Form(NamedTuple):
    """What a selection names; each has a statement of its own, for its index."""

    of_request: bool
    of_collection: bool
    of_workspace: bool


def _in_range(journal: Any, *, of_request: bool) -> SqlCondition:
    """Compare changes with the range of a selection, and its request."""
    conditions = [
        journal.c.seq >= big_integer("low"),
        journal.c.seq <= big_integer("high"),
    ]
    if of_request:
        conditions.append(journal.c.request_id == sa.bindparam("request_id"))
    return sa.and_(*conditions)


def _selected(form: Form) -> SqlCondition:
    conditions = [_in_range(JOURNAL, of_request=form.of_request)]
    if form.of_collection:
        conditions.append(JOURNAL.c.collection == sa.bindparam("collection"))
    if form.of_workspace:
        conditions.append(JOURNAL.c.workspace == sa.bindparam("workspace"))
    return sa.and_(*conditions)


def _count_selected(form: Form) -> Statement:
    """Count the selected changes, to one more than an undo takes."""
    limit = sa.literal_column(str(MAX_CHANGES + 1), sa.Integer())
    selected = sa.select(JOURNAL.c.seq).where(_selected(form)).limit(limit)
    return Statement(sa.select(sa.func.count()).select_from(selected.subquery()))


def _touched(form: Form) -> Statement:
    """Select each record with its first selected change, and whether all of them are
    migrations."""
    key = (JOURNAL.c.collection, JOURNAL.c.workspace, JOURNAL.c.id)
    others = sa.func.sum(sa.case((JOURNAL.c.operation == _MIGRATE, 0), else_=1))
    first = sa.func.min(JOURNAL.c.seq)
    selected = sa.select(*key, first, others)
    return Statement(selected.where(_selected(form)).group_by(*key))


FORMS = [
    Form(of_request, of_collection, of_workspace)
    for of_request in (False, True)
    for of_collection in (False, True)
    for of_workspace in (False, True)
]
COUNT_SELECTED = {form: _count_selected(form) for form in FORMS}
TOUCHED = {form: _touched(form) for form in FORMS}


def _neighbour(name: str, newest_first: bool, condition: Any) -> Any:
    """Select the ``seq`` of another change of the record of a change."""
    other = JOURNAL.alias(name)
    order = other.c.revision.desc() if newest_first else other.c.revision
    return (
        sa.select(other.c.seq)
        .where(
            other.c.collection == JOURNAL.c.collection,
            other.c.workspace == JOURNAL.c.workspace,
            other.c.id == JOURNAL.c.id,
            condition(other),
        )
        .order_by(order)
        .limit(sa.literal_column("1"))
        .correlate(JOURNAL)
        .scalar_subquery()
    )


def _surroundings(*, of_request: bool) -> Callable[[Dialect], sa.ClauseElement]:
    def write(dialect: Dialect) -> sa.ClauseElement:
        """Select the changes of ``seqs``, each with three others of its record: the one
        before, the last one, and the first later one that is not selected."""

        def unselected(other: Any) -> SqlCondition:
            # What the plan did to a record is nobody's change of it.
            return sa.and_(
                other.c.revision > JOURNAL.c.revision,
                sa.not_(_in_range(other, of_request=of_request)),
                other.c.operation != _MIGRATE,
            )

        return sa.select(
            JOURNAL.c.id,
            JOURNAL.c.revision,
            JOURNAL.c.operation,
            _neighbour(
                "earlier", True, lambda other: other.c.revision < JOURNAL.c.revision
            ),
            _neighbour(
                "newest", True, lambda other: other.c.revision >= JOURNAL.c.revision
            ),
            _neighbour("later", False, unselected),
        ).where(dialect.one_of(JOURNAL.c.seq, "seqs"))

    return write


SURROUNDINGS = {
    of_request: Statement(_surroundings(of_request=of_request))
    for of_request in (False, True)
}


@Statement
def changes_of_undo(dialect: Dialect) -> sa.ClauseElement:
    """Select what undo reads of the changes of ``seqs``."""
    return sa.select(
        JOURNAL.c.seq,
        JOURNAL.c.revision,
        JOURNAL.c.schema_version,
        JOURNAL.c.operation,
        JOURNAL.c.at,
        JOURNAL.c.actor,
        JOURNAL.c.created_at,
        sa.func.coalesce(JOURNAL.c.updated_at, JOURNAL.c.at),
        JOURNAL.c.data,
    ).where(dialect.one_of(JOURNAL.c.seq, "seqs"))


class _Change(NamedTuple):
    """A row of ``changes_of_undo``."""

    seq: int
    revision: int
    schema_version: int
    operation: str
    at: str
    actor: str
    created_at: str
    updated_at: str
    data: str | None


class _Touched(NamedTuple):
    """A record that selected changes touched; they sort as writers lock records."""

    collection: str
    workspace: str
    id: str
    first_seq: int
    others: int


class _Judged(NamedTuple):
    """A record, and why it cannot go back."""

    past: Past
    conflict: Conflict | None


def undo(
    work: UnitOfWork,
    selected: SelectedChanges,
    on_conflict: OnConflict,
    type_of: Callable[[str], EntityType],
    authorize: Callable[[set[tuple[str, str]]], None],
    origin: Origin,
) -> UndoReport:
    """Take back the selected changes and return what became of each record.

    ``authorize`` raises where the caller may not write one of the collections and
    workspaces. Raises ``NotFound`` if nothing is selected, ``ChangesGone``,
    ``InvalidQuery``, ``TooManyAffected``, ``UndoConflict`` and ``MigrationFailed``.
    """
    undoing = _Undo(work, selected, on_conflict)
    touched = undoing.touched()
    authorize({(record.collection, record.workspace) for record in touched})
    groups = groupby(touched, key=lambda record: (record.collection, record.workspace))
    for (name, workspace), records in groups:
        collection = work.collection(type_of(name), workspace, origin)
        undoing.take_back(collection, list(records))
    undoing.check_conflicts()
    return undoing.report


class _Undo:
    """One undo inside its transaction."""

    def __init__(
        self, work: UnitOfWork, selected: SelectedChanges, on_conflict: OnConflict
    ) -> None:
        self.report = UndoReport()
        self._work = work
        self._session: Session[Dialect] = work.session
        self._selected = selected
        self._on_conflict = on_conflict
        self._first, head = self._session.rows(JOURNAL_ENDS)[0]
        self._values = _values(selected, self._first, head)

    def touched(self) -> list[_Touched]:
        """Return the records that selected changes touched."""
        selected = self._selected
        form = Form(
            selected.request_id is not None,
            selected.collection is not None,
            selected.workspace is not None,
        )
        count = self._session.value(COUNT_SELECTED[form], **self._values)
        if not count:
            raise NotFound("no change is selected, so there is nothing to undo")
        if count > MAX_CHANGES:
            raise TooManyAffected(
                f"more than {MAX_CHANGES:,} changes are selected; nothing was undone."
                " Undo them in parts, from the last seq to the first"
            )
        rows = self._session.rows(TOUCHED[form], **self._values)
        return sorted(_Touched(*row) for row in rows)

    def take_back(self, collection: Collection, touched: Sequence[_Touched]) -> None:
        """Have the records of a collection in a workspace go back.

        Unique values may change places, so records that have some make room first.
        """
        with closing(Spool()) as waiting:
            for batch in batches(touched):
                pasts = list(self._able(collection, batch))
                if not self._is_refused:
                    self._begin(collection, pasts, waiting)
                self._work.release_records()
            for rows in () if self._is_refused else waiting:
                pasts = [_past_of(row) for row in rows]
                _occupy(collection, pasts)
                self._write(collection, pasts)

    def _begin(
        self, collection: Collection, pasts: Sequence[Past], waiting: Spool
    ) -> None:
        """Write records, or have them make room for one another."""
        if not collection.type.unique:
            self._write(collection, pasts)
            return
        for past in pasts:
            if past.current is not None:
                collection.make_room(past.current)
        waiting.put([_row_of(past) for past in pasts])

    def check_conflicts(self) -> None:
        """Raise ``UndoConflict`` where a record cannot go back and none may stay."""
        if self._is_refused:
            raise UndoConflict(
                f"{counted(self.report.conflicts, 'record')} cannot go back: changed"
                " since, or what was before is no longer known; nothing was undone."
                " With on_conflict skip what cannot go back stays as it is",
                records=self.report.records,
            )

    @property
    def _is_refused(self) -> bool:
        fails = self._on_conflict is OnConflict.FAIL
        return fails and self.report.conflicts > 0

    def _write(self, collection: Collection, pasts: Sequence[Past]) -> None:
        payload = self._selected.payload
        for past in pasts:
            after = collection.take_back(past, payload)
            self._report(collection, past, _outcome(past, after), after)
        self._work.release_records()

    def _able(
        self, collection: Collection, touched: Sequence[_Touched]
    ) -> Iterator[Past]:
        """Yield the records that can go back, and report the others.

        They are locked before the journal is read: what others did to them is then
        there.
        """
        collection.records.lock(collection.workspace, [record.id for record in touched])
        for past, conflict in self._judged(collection, touched):
            if conflict is None:
                yield past
                continue
            fails = self._on_conflict is OnConflict.FAIL
            outcome = Outcome.CONFLICT if fails else Outcome.SKIPPED
            self._report(collection, past, outcome, None, conflict)

    def _judged(
        self, collection: Collection, touched: Sequence[_Touched]
    ) -> Iterator[_Judged]:
        session = self._session
        by_id = {record.id: record for record in touched}
        seqs = [record.first_seq for record in touched]
        rows = session.rows(
            SURROUNDINGS[self._selected.request_id is not None],
            seqs=session.dialect.bound_list(seqs),
            **self._values,
        )
        changes = self._changes(collection, rows)
        for record_id, revision, operation, *neighbours in rows:
            before, last, later = map(changes.get, neighbours)
            past = _past(collection, record_id, before, last)
            is_trimmed = before is None and self._is_trimmed(operation, revision)
            conflict = _conflict(
                before,
                later,
                is_trimmed=is_trimmed,
                is_migrated=by_id[record_id].others == 0,
            )
            yield _Judged(past, conflict)

    def _is_trimmed(self, operation: str, revision: int) -> bool:
        """Return whether a change without one before it had one that was trimmed."""
        if operation == Operation.CREATE.value:
            return False
        if operation == Operation.RESTORE.value:
            return revision > 1 and self._first > 1
        return True

    def _changes(
        self, collection: Collection, rows: Sequence[Row]
    ) -> dict[int | None, _Change]:
        """Return the changes around the selected ones, by ``seq``."""
        seqs: set[int] = set()
        for record_id, _, _, before, last, later in rows:
            current = collection.records.get(collection.workspace, record_id)
            # Of a record that is there the last change is not needed.
            wanted = (before, later, last if current is None else None)
            seqs.update(seq for seq in wanted if seq is not None)
        bound = self._session.dialect.bound_list(sorted(seqs))
        found = self._session.rows(changes_of_undo, seqs=bound)
        return {row[0]: _Change(*row) for row in found}

    def _report(
        self,
        collection: Collection,
        past: Past,
        outcome: Outcome,
        after: Record | None,
        conflict: Conflict | None = None,
    ) -> None:
        has_data = outcome is not Outcome.DELETED and conflict is None
        self.report.add(
            UndoneRecord(
                collection.type.name,
                collection.workspace or None,
                past.id,
                past.revision,
                None if after is None else after.revision,
                past.before.revision if past.before and has_data else None,
                outcome,
                conflict,
            )
        )


def _values(selected: SelectedChanges, first: int, head: int) -> dict[str, Any]:
    """Return the values of a selection. Raises ``ChangesGone``, ``InvalidQuery``."""
    values: dict[str, Any] = {"low": first, "high": head}
    if selected.request_id is None:
        if selected.from_seq < first:
            raise ChangesGone(
                f"the journal was trimmed and begins at seq {first}", first_seq=first
            )
        if selected.to_seq > head:
            raise InvalidQuery(
                f"to_seq={selected.to_seq} is beyond the last change, whose seq is"
                f" {head}",
                last_seq=head,
            )
        values |= {"low": selected.from_seq, "high": selected.to_seq}
    named = {
        "request_id": selected.request_id,
        "collection": selected.collection,
        "workspace": selected.workspace,
    }
    return values | {name: value for name, value in named.items() if value is not None}


def _past(
    collection: Collection,
    record_id: str,
    before: _Change | None,
    last: _Change | None,
) -> Past:
    """Return a record; ``last`` is its last change where it is deleted."""
    current = collection.records.get(collection.workspace, record_id)
    past = _record(collection, record_id, before)
    if current is not None:
        return Past(record_id, past, current, current.revision, current.created_at)
    assert last is not None
    return Past(record_id, past, None, last.revision, last.created_at)


def _conflict(
    before: _Change | None,
    later: _Change | None,
    *,
    is_trimmed: bool,
    is_migrated: bool,
) -> Conflict | None:
    """Return why a record cannot go back."""
    if later is not None:
        return Conflict(Obstacle.CHANGED, later.at, later.actor or None)
    if is_trimmed:
        return Conflict(Obstacle.TRIMMED)
    if before is not None and before.data is None and not _is_deletion(before):
        return Conflict(Obstacle.ERASED)
    return Conflict(Obstacle.MIGRATED) if is_migrated else None


def _is_deletion(change: _Change) -> bool:
    return change.operation == Operation.DELETE.value


def _record(
    collection: Collection, record_id: str, change: _Change | None
) -> Record | None:
    """Return the record as a change left it, None if it left none."""
    if change is None or change.data is None:
        return None
    return Record(
        record_id,
        collection.type.name,
        collection.workspace,
        change.revision,
        change.schema_version,
        change.created_at,
        change.updated_at,
        change.data,
    )


def _outcome(past: Past, after: Record | None) -> Outcome:
    if after is None or after is past.current:
        return Outcome.UNCHANGED
    if past.before is None:
        return Outcome.DELETED
    return Outcome.RECREATED if past.current is None else Outcome.REVERTED


def _occupy(collection: Collection, pasts: Sequence[Past]) -> None:
    """Take records that made room for present again."""
    collection.records.lock(collection.workspace, [past.id for past in pasts])
    for past in pasts:
        if past.current is not None:
            collection.records.put(past.current)


def _row_of(past: Past) -> Row:
    return (
        past.id,
        _fields(past.before),
        _fields(past.current),
        past.revision,
        past.created_at,
    )


def _fields(record: Record | None) -> Row | None:
    if record is None:
        return None
    return (
        record.id,
        record.collection,
        record.workspace,
        record.revision,
        record.schema_version,
        record.created_at,
        record.updated_at,
        record.text,
    )


def _past_of(row: Row) -> Past:
    record_id, before, current, revision, created_at = row
    return Past(
        record_id,
        None if before is None else Record(*before),
        None if current is None else Record(*current),
        revision,
        created_at,
    )
