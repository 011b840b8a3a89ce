"""Undo in a transaction: which records the selected changes touched, what they were
before, and whether somebody has changed them since."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from typing import NamedTuple

from persist.domain.change import Operation, Origin
from persist.domain.collection import Collection
from persist.domain.counting import counted
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
)
from persist.storage.undo_sql import (
    COUNT_SELECTED,
    SURROUNDINGS,
    TOUCHED,
    ChangeRow,
    Form,
    TouchedRecord,
    changes_of_undo,
    values_of,
)
from persist.storage.unit_of_work import UnitOfWork

Authorize = Callable[[Sequence[tuple[str, str]]], None]
"""Raises unless changes of these collections and workspaces may be undone."""


class _Judged(NamedTuple):
    """A record, and why it cannot go back."""

    past: Past
    conflict: Conflict | None


def undo(
    work: UnitOfWork,
    selected: SelectedChanges,
    on_conflict: OnConflict,
    type_of: Callable[[str], EntityType | None],
    authorize: Authorize,
    origin: Origin,
) -> UndoReport:
    """Take back the selected changes and return what became of each record.

    ``authorize`` raises where the caller may not write one of the collections and
    workspaces that the changes are of. Raises ``NotFound`` if nothing is selected,
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
        self._first, head = self._session.rows(JOURNAL_ENDS)[0]
        self._values = values_of(selected, self._first, head)

    def touched(self, authorize: Authorize) -> list[TouchedRecord]:
        """Return the records that selected changes touched."""
        selected = self._selected
        form = Form(
            selected.request_id is not None,
            selected.collection is not None,
            selected.workspace is not None,
        )
        counts = self._session.rows(COUNT_SELECTED[form], **self._values)
        authorize([(collection, workspace) for collection, workspace, _ in counts])
        count = sum(changes for _, _, changes in counts)
        if not count:
            raise NotFound("no change is selected, so there is nothing to undo")
        if count > MAX_CHANGES:
            raise TooManyAffected(
                f"more than {MAX_CHANGES:,} changes are selected; nothing was undone."
                " Undo them in parts, from the last seq to the first"
            )
        rows = self._session.rows(TOUCHED[form], **self._values)
        return sorted(TouchedRecord(*row) for row in rows)

    def take_back(
        self, collection: Collection, touched: Sequence[TouchedRecord]
    ) -> None:
        """Have the records of a collection in a workspace go back.

        Unique values may change places, so records that have some make room first.
        """
        with closing(Spool()) as waiting:
            for batch in batches(touched):
                pasts = list(self._able(collection, batch))
                if not self._is_refused:
                    self._begin(collection, pasts, waiting)
                self._work.release_records()
            if self._is_refused:
                return
            for rows in waiting:
                pasts = [_past_of(row) for row in rows]
                _occupy(collection, pasts)
                self._write(collection, pasts)

    def leave(self, touched: Sequence[TouchedRecord]) -> None:
        """Report the records of a collection that was deleted, which cannot go back."""
        for batch in batches(touched):
            rows = self._surroundings(batch)
            seqs = {row[4] for row in rows} | {row[5] for row in rows}
            changes = self._read(seqs - {None})
            by_id = {record.id: record for record in batch}
            for record_id, _, _, _, last, later in rows:
                left = self._left(
                    by_id[record_id],
                    changes[last],
                    changes.get(later),
                )
                self.report.add(left)

    def _left(
        self,
        record: TouchedRecord,
        last: ChangeRow,
        later: ChangeRow | None,
    ) -> UndoneRecord:
        reason = Conflict(Obstacle.CHANGED)
        return UndoneRecord(
            record.collection,
            record.workspace or None,
            record.id,
            last.revision,
            None,
            None,
            self._refused_outcome,
            reason if later is None else _changed(later),
        )

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
    def _refused_outcome(self) -> Outcome:
        fails = self._on_conflict is OnConflict.FAIL
        return Outcome.CONFLICT if fails else Outcome.SKIPPED

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
        self, collection: Collection, touched: Sequence[TouchedRecord]
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
            self._report(collection, past, self._refused_outcome, None, conflict)

    def _judged(
        self, collection: Collection, touched: Sequence[TouchedRecord]
    ) -> Iterator[_Judged]:
        by_id = {record.id: record for record in touched}
        rows = self._surroundings(touched)
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

    def _surroundings(self, touched: Sequence[TouchedRecord]) -> list[Row]:
        """Return the first selected change of each record with those around it."""
        session = self._session
        seqs = [record.first_seq for record in touched]
        return session.rows(
            SURROUNDINGS[self._selected.request_id is not None],
            seqs=session.dialect.bound_list(seqs),
            **self._values,
        )

    def _is_trimmed(self, operation: str, revision: int) -> bool:
        """Return whether a change without one before it had one that was trimmed."""
        if operation == Operation.CREATE.value:
            return False
        if operation == Operation.RESTORE.value:
            return revision > 1 and self._first > 1
        return True

    def _changes(
        self, collection: Collection, rows: Sequence[Row]
    ) -> dict[int | None, ChangeRow]:
        """Return the changes around the selected ones, by ``seq``."""
        seqs: set[int] = set()
        for record_id, _, _, before, last, later in rows:
            current = collection.records.get(collection.workspace, record_id)
            # Of a record that is there the last change is not needed.
            wanted = (before, later, last if current is None else None)
            seqs.update(seq for seq in wanted if seq is not None)
        return self._read(seqs)

    def _read(self, seqs: set[int]) -> dict[int | None, ChangeRow]:
        """Return changes by ``seq``."""
        bound = self._session.dialect.bound_list(sorted(seqs))
        found = self._session.rows(changes_of_undo, seqs=bound)
        return {row[0]: ChangeRow(*row) for row in found}

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


def _past(
    collection: Collection,
    record_id: str,
    before: ChangeRow | None,
    last: ChangeRow | None,
) -> Past:
    """Return a record; ``last`` is its last change where it is deleted."""
    current = collection.records.get(collection.workspace, record_id)
    past = _record(collection, record_id, before)
    if current is not None:
        return Past(record_id, past, current, current.revision, current.created_at)
    assert last is not None
    return Past(record_id, past, None, last.revision, last.created_at)


def _conflict(
    before: ChangeRow | None,
    later: ChangeRow | None,
    *,
    is_trimmed: bool,
    is_migrated: bool,
) -> Conflict | None:
    """Return why a record cannot go back."""
    if later is not None:
        return _changed(later)
    if is_trimmed:
        return Conflict(Obstacle.TRIMMED)
    if before is not None and before.data is None and not _is_deletion(before):
        return Conflict(Obstacle.ERASED)
    return Conflict(Obstacle.MIGRATED) if is_migrated else None


def _changed(later: ChangeRow) -> Conflict:
    return Conflict(Obstacle.CHANGED, later.at, later.actor or None)


def _is_deletion(change: ChangeRow) -> bool:
    return change.operation == Operation.DELETE.value


def _record(
    collection: Collection, record_id: str, change: ChangeRow | None
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
        None if past.before is None else past.before.stored,
        None if past.current is None else past.current.stored,
        past.revision,
        past.created_at,
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
