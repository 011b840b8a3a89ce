"""Importing lines: each line of an import becomes a new record."""

from collections.abc import Iterable

from persist.domain.change import Change, Origin
from persist.domain.identifiers import new_id
from persist.domain.record import Data
from persist.storage.layout import Layout
from persist.storage.long_operations.staging import Staging, refusing
from persist.storage.migrations.record_migration import batched, characters_of
from persist.storage.writes.unit_of_work import UnitOfWork


class LineImport:
    """New records of a collection in a workspace: ``stage`` in a thread, ``store`` in a
    transaction on the connection of ``staging``, ``close``."""

    def __init__(
        self,
        layout: Layout,
        workspace: str,
        origin: Origin,
    ) -> None:
        self.staging = Staging(layout.dialect)
        self._layout = layout
        self._workspace = workspace
        self._origin = origin

    def stage(self, lines: Iterable[Data]) -> None:
        """Make records of valid data."""
        with refusing(self._layout.dialect):
            self.staging.open()
            self.staging.rows(self._layout)
            creations = map(self._creation, lines)
            for batch in batched(creations, characters_of):
                self.staging.add(self._layout, batch)
            self.staging.changes.finish()

    def _creation(self, data: Data) -> Change:
        return Change.creation(
            self._layout.type,
            self._workspace,
            new_id(),
            data,
            self._origin,
            self.staging.at,
        )

    def store(self, work: UnitOfWork) -> int:
        """Store the records with their changes and return how many there are.

        Raises the driver's errors and what ``UnitOfWork.collection`` raises.
        """
        work.collection(self._layout.type, self._workspace)
        tables = {self._layout.type.name: self._layout.table}
        self.staging.store(work.journal, tables)
        return self.staging.changes.count

    def first_violation(self) -> int | None:
        """Return the number of the first record that violates a unique constraint."""
        with refusing(self._layout.dialect):
            rows = self.staging.rows(self._layout)
            found = rows.violations(1)
        return found[0].number if found else None

    def close(self) -> None:
        """Drop what is staged."""
        self.staging.close()
