"""Undo in a transaction: which records the selected changes touched, what they were
before, and whether somebody has changed them since."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import closing
from itertools import groupby

from persist.domain.change import Operation, Origin
from persist.domain.collection import Collection
from persist.domain.entity_type import EntityType
from persist.domain.errors import (
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
    RecordToUndo,
    SelectedChanges,
    UndoneRecord,
    UndoReport,
)
from persist.domain.wording import counted
from persist.storage.dialect import Dialect
from persist.storage.journal.changes import JOURNAL_ENDS
from persist.storage.operation.spool import Spool
from persist.storage.sql import Row, Session
from persist.storage.writes.records import batches
from persist.storage.writes.undo_sql import (
    CHANGES_AFTER,
    TOUCHED,
    ChangeBefore,
    ChangesAfter,
    SelectionForm,
    TouchedRecord,
    changes_before,
    operations,
    values_of,
)
from persist.storage.writes.unit_of_work import UnitOfWork

Authorize = Callable[[Set[tuple[str, str]]], None]
"""Raises unless changes of these collections and workspaces may be undone."""


def undo(
    work: UnitOfWork,
    selected: SelectedChanges,
    on_conflict: OnConflict,
    type_of: Callable[[str], EntityType | None],
    authorize: Authorize,
    origin: Origin,
) -> UndoReport:
    """Take back the selected changes and return what became of each record.

    ``authorize`` raises if the caller may not write one of the collections and
    workspaces of the changes. Raises ``NotFound`` if nothing is selected,
    ``ChangesGone``, ``InvalidQuery``, ``TooManyAffected``, ``UndoConflict`` and
    ``MigrationFailed``.
    """
    undoing = _Undo(work, selected, on_conflict)
    touched = undoing.touched(authorize)
    groups = groupby(touched, key=lambda record: (record.collection, record.workspace))
    for (name, workspace), records in groups:
        entity_type = type_of(name)
        if entity_type is None:
            undoing.leave(list(records))
            continue
        collection = work.collection(entity_type, workspace, origin)
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
        first, head = self._session.rows(JOURNAL_ENDS)[0]
        self._first: int = first
        self._values = values_of(selected, first, head)

    def touched(self, authorize: Authorize) -> list[TouchedRecord]:
        """Return the records that selected changes touched."""
        selected = self._selected
        form = SelectionForm(
            selected.request_id is not None,
            selected.collection is not None,
            selected.workspace is not None,
        )
        rows = self._session.rows(TOUCHED[form], **self._values)
        # In the order in which all transactions lock records, so that none deadlock.
        touched = sorted([TouchedRecord(*row) for row in rows])
        # First, so that no refusal tells anything about changes of others.
        authorize({(record.collection, record.workspace) for record in touched})
        count = sum([record.changes for record in touched])
        if not count:
            raise NotFound("no change is selected, so there is nothing to undo")
        if count > MAX_CHANGES:
            raise TooManyAffected(
                f"more than {MAX_CHANGES:,} changes are selected; nothing was undone."
                f" Undo ranges of at most {MAX_CHANGES:,} changes, the latest first"
            )
        return touched

    def take_back(
        self, collection: Collection, touched: Sequence[TouchedRecord]
    ) -> None:
        """Have the records of a collection in a workspace go back.

        Records may exchange unique values, so those that have some are removed first.
        """
        with closing(Spool()) as waiting:
            for batch in batches(touched):
                records = list(self._revertible(collection, batch))
                if not self._is_refused:
                    self._begin(collection, records, waiting)
                self._work.release_records()
            if self._is_refused:
                return
            for rows in waiting:
                records = [_record_of(row) for row in rows]
                _put_back(collection, records)
                self._write(collection, records)

    def leave(self, touched: Sequence[TouchedRecord]) -> None:
        """Report the records of a collection that was deleted, which cannot go back."""
        for batch in batches(touched):
            following = self._changes_after(batch)
            for record in batch:
                after = following[record.first_seq]
                conflict = _changed(after) or Conflict(Obstacle.CHANGED)
                key = record.collection, record.workspace or None, record.id
                self._leave(key, after.revision, conflict)

    def _leave(
        self, key: tuple[str, str | None, str], revision: int, conflict: Conflict
    ) -> None:
        """Report a record that cannot go back."""
        fails = self._on_conflict is OnConflict.FAIL
        outcome = Outcome.CONFLICT if fails else Outcome.SKIPPED
        if self.report.note_conflict():
            left = UndoneRecord(*key, revision, None, None, outcome, conflict)
            self.report.add(left)

    def _begin(
        self, collection: Collection, records: Sequence[RecordToUndo], waiting: Spool
    ) -> None:
        """Write records, or remove them if they may exchange unique values."""
        # Without unique values no record can be in the way of another.
        if not collection.type.unique:
            self._write(collection, records)
            return
        for record in records:
            if record.current is not None:
                collection.records.remove(record.current)
        # On disk, because one transaction may undo an import of 100,000 records.
        waiting.put([_row_of(record) for record in records])

    def check_conflicts(self) -> None:
        """Raise ``UndoConflict`` if a record cannot be undone and none may stay."""
        if self._is_refused:
            raise UndoConflict(
                f"{counted(self.report.conflicts, 'record')} cannot be undone, because"
                " of later changes or because the earlier data is no longer stored;"
                " nothing was undone. With on_conflict=skip such records stay as they"
                " are and the others are undone",
                records=self.report.records,
            )

    @property
    def _is_refused(self) -> bool:
        fails = self._on_conflict is OnConflict.FAIL
        return fails and self.report.conflicts > 0

    def _write(self, collection: Collection, records: Sequence[RecordToUndo]) -> None:
        payload = self._selected.payload
        for record in records:
            after = collection.undo(record, payload)
            outcome = _outcome(record, after)
            if self.report.note(outcome):
                self.report.add(_undone(collection, record, outcome, after))
        self._work.release_records()

    def _revertible(
        self, collection: Collection, touched: Sequence[TouchedRecord]
    ) -> Iterator[RecordToUndo]:
        """Yield the records that can go back, and report the others.

        They are locked before the journal is read, so that it has all changes of
        others.
        """
        collection.records.lock(collection.workspace, [record.id for record in touched])
        for record, conflict in self._with_conflicts(collection, touched):
            if conflict is None:
                yield record
                continue
            key = collection.type.name, collection.workspace or None, record.id
            self._leave(key, record.revision, conflict)

    def _with_conflicts(
        self, collection: Collection, touched: Sequence[TouchedRecord]
    ) -> Iterator[tuple[RecordToUndo, Conflict | None]]:
        currents = [
            collection.records.get(collection.workspace, record.id)
            for record in touched
        ]
        pairs = list(zip(touched, currents, strict=True))
        previous = self._changes_before(touched)
        trimmed = self._after_trimmed(touched, previous)
        following = self._changes_after(
            [record for record, current in pairs if not _is_as_left(record, current)]
        )
        for record, current in pairs:
            before = previous.get(record.before_seq)
            after = following.get(record.first_seq)
            undoing = _record_to_undo(collection, record.id, before, current, after)
            is_trimmed = record.first_seq in trimmed
            yield undoing, _conflict(record, before, after, is_trimmed)

    def _changes_before(
        self, touched: Sequence[TouchedRecord]
    ) -> dict[int | None, ChangeBefore]:
        """Return the changes before the first selected ones, by their ``seq``."""
        seqs = [
            record.before_seq for record in touched if record.before_seq is not None
        ]
        if not seqs:
            return {}
        bound_list = self._session.dialect.bound_list
        rows = self._session.rows(changes_before, seqs=bound_list(seqs))
        return {row[0]: ChangeBefore(*row) for row in rows}

    def _after_trimmed(
        self,
        touched: Sequence[TouchedRecord],
        previous: Mapping[int | None, ChangeBefore],
    ) -> set[int]:
        """Return the ``seq`` of the first selected changes whose predecessor was
        trimmed."""
        seqs = [
            record.first_seq
            for record in touched
            if record.first_revision > 1 and record.before_seq not in previous
        ]
        if not seqs:
            return set()
        bound_list = self._session.dialect.bound_list
        rows = self._session.rows(operations, seqs=bound_list(seqs))
        found: dict[int, str] = dict(rows)
        # A selected change that is not found was trimmed meanwhile.
        return {seq for seq in seqs if seq not in found or self._is_trimmed(found[seq])}

    def _changes_after(
        self, touched: Sequence[TouchedRecord]
    ) -> dict[int, ChangesAfter]:
        """Return what follows the first selected changes, by ``seq`` of these."""
        if not touched:
            return {}
        seqs = [record.first_seq for record in touched]
        rows = self._session.rows(
            CHANGES_AFTER[self._selected.request_id is not None],
            seqs=self._session.dialect.bound_list(seqs),
            **self._values,
        )
        return {row[0]: ChangesAfter(*row) for row in rows}

    def _is_trimmed(self, operation: str) -> bool:
        """Return whether the predecessor of a change was trimmed. The change is not of
        the first revision, and the journal has no predecessor of it."""
        if operation == Operation.CREATE:
            return False
        # A restore creates records at the revision of the snapshot.
        if operation == Operation.RESTORE:
            return self._first > 1
        return True


def _is_as_left(record: TouchedRecord, current: Record | None) -> bool:
    """Return whether a record is there as the selected changes left it, and only they
    changed it since the first of them."""
    if current is None or current.revision != record.last_revision:
        return False
    return record.is_continuous


def _conflict(
    record: TouchedRecord,
    before: ChangeBefore | None,
    after: ChangesAfter | None,
    is_trimmed: bool,
) -> Conflict | None:
    """Return why a record cannot go back."""
    changed = None if after is None else _changed(after)
    if changed is not None:
        return changed
    if is_trimmed:
        return Conflict(Obstacle.TRIMMED)
    if before is not None and _is_erased(before):
        return Conflict(Obstacle.ERASED)
    return None if record.others else Conflict(Obstacle.MIGRATED)


def _record_to_undo(
    collection: Collection,
    record_id: str,
    before: ChangeBefore | None,
    current: Record | None,
    after: ChangesAfter | None,
) -> RecordToUndo:
    """Return the record to undo. ``after`` must be given if the record is deleted."""
    former = None if before is None else _record(collection, record_id, before)
    if current is not None:
        return RecordToUndo(
            record_id, former, current, current.revision, current.created_at
        )
    assert after is not None
    return RecordToUndo(record_id, former, None, after.revision, after.created_at)


def _is_erased(before: ChangeBefore) -> bool:
    return before.data is None and before.operation != Operation.DELETE


def _changed(after: ChangesAfter) -> Conflict | None:
    if after.later_at is None:
        return None
    return Conflict(Obstacle.CHANGED, after.later_at, after.later_actor or None)


def _record(
    collection: Collection, record_id: str, before: ChangeBefore
) -> Record | None:
    """Return the record as a change left it, None if it left none."""
    if before.data is None:
        return None
    return Record(
        record_id,
        collection.type.name,
        collection.workspace,
        before.revision,
        before.schema_version,
        before.created_at,
        before.updated_at,
        before.data,
    )


def _undone(
    collection: Collection, record: RecordToUndo, outcome: Outcome, after: Record | None
) -> UndoneRecord:
    before = None if outcome is Outcome.DELETED else record.before
    return UndoneRecord(
        collection.type.name,
        collection.workspace or None,
        record.id,
        record.revision,
        None if after is None else after.revision,
        None if before is None else before.revision,
        outcome,
    )


def _outcome(record: RecordToUndo, after: Record | None) -> Outcome:
    if after is None or after is record.current:
        return Outcome.UNCHANGED
    if record.before is None:
        return Outcome.DELETED
    return Outcome.RECREATED if record.current is None else Outcome.REVERTED


def _put_back(collection: Collection, records: Sequence[RecordToUndo]) -> None:
    """Put back the records that ``_begin`` removed."""
    collection.records.lock(collection.workspace, [record.id for record in records])
    for record in records:
        if record.current is not None:
            collection.records.put(record.current)


def _row_of(record: RecordToUndo) -> Row:
    return (
        record.id,
        None if record.before is None else record.before.stored,
        None if record.current is None else record.current.stored,
        record.revision,
        record.created_at,
    )


def _record_of(row: Row) -> RecordToUndo:
    record_id, before, current, revision, created_at = row
    return RecordToUndo(
        record_id,
        None if before is None else Record(*before),
        None if current is None else Record(*current),
        revision,
        created_at,
    )
