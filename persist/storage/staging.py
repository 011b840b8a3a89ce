"""Staging: new records are made ready outside of the transaction that stores them.

Only that transaction blocks other writers, so texts, hashes and rows are made before
it and wait in temporary files, which a killed process leaves nothing of.
"""

from collections.abc import Callable, Iterable

from persist.domain.change import Change, Operation, Origin
from persist.domain.identifiers import new_id
from persist.domain.record import Data, Record
from persist.storage.journal_rows import StagedChanges, change_row
from persist.storage.layout import Layout
from persist.storage.record_migration import batched
from persist.storage.records import BATCH_ROWS
from persist.storage.spool import Spool
from persist.storage.sql import Row
from persist.storage.unit_of_work import UnitOfWork, now


class StagedCreations:
    """New records of a collection in a workspace: ``stage`` in a thread, ``store`` in a
    transaction, ``close``.

    The records and their changes have the time at which they were staged.
    """

    def __init__(
        self,
        layout: Layout,
        workspace: str,
        origin: Origin,
    ) -> None:
        self._layout = layout
        self._workspace = workspace
        self._origin = origin
        self._rows = Spool()
        self._changes = StagedChanges()

    def stage(self, numbered: Iterable[tuple[int, Data]]) -> None:
        """Make records of valid data, which comes with the numbers of its lines."""
        at = now()
        for batch in batched(numbered, BATCH_ROWS):
            numbers = []
            changes = []
            for number, data in batch:
                numbers.append(number)
                change = self._creation(data, at)
                changes.append(change)
            rows = [self._layout.row(change.record) for change in changes]
            self._rows.put((numbers, rows))
            journal_rows = [change_row(change, at) for change in changes]
            self._changes.add(journal_rows)
        self._changes.finish()

    def _creation(self, data: Data, at: str) -> Change:
        entity_type = self._layout.type
        record = Record.first(
            entity_type.name,
            entity_type.schema_version,
            self._workspace,
            new_id(),
            data,
            at,
        )
        return Change(Operation.CREATE, record, self._origin)

    def store(self, work: UnitOfWork) -> int:
        """Store the records with their changes and return how many there are.

        Raises the driver's errors and what ``UnitOfWork.collection`` raises.
        """
        self._check(work)
        for _, rows in self._rows:
            self._insert(work, rows)
        work.journal.add_staged(self._changes)
        return self._changes.count

    def store_one_by_one(
        self,
        work: UnitOfWork,
        before: Callable[[int], None],
    ) -> None:
        """Store the records one by one; ``before`` is called with each line's number.

        Raises as ``store``.
        """
        self._check(work)
        for numbers, rows in self._rows:
            pairs = zip(numbers, rows, strict=True)
            for number, row in pairs:
                before(number)
                self._insert(work, [row])

    def _check(self, work: UnitOfWork) -> None:
        work.collection(self._layout.type, self._workspace)

    def _insert(self, work: UnitOfWork, rows: list[Row]) -> None:
        cursor = work.session.cursor
        self._layout.writer.insert(cursor, rows)

    def close(self) -> None:
        """Delete what is on the disk."""
        self._rows.close()
        self._changes.close()
