"""Staging: rows and changes of a long operation are made ready while others write.

They wait in temporary tables of a connection of their own. The transaction that stores
them runs on that connection and copies whole tables, so that it is short. Temporary
tables end with their connection: a killed process leaves nothing of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import sqlalchemy as sa

from persist.domain.change import Change
from persist.storage.dialect import Dialect
from persist.storage.journal_rows import change_row
from persist.storage.layout import Layout
from persist.storage.record_reader import refusal
from persist.storage.sql import Connection, Session
from persist.storage.staged_changes import StagedChanges
from persist.storage.staged_rows import StagedRows
from persist.storage.unit_of_work import UnitOfWork, now


class Staging:
    """Rows and changes of one long operation.

    ``open`` and ``add`` in a thread, ``store`` in a transaction on ``connection``,
    ``close``. The changes have the time ``at`` at which it was opened.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.connection: Connection | None = None
        self.dialect = dialect
        self._rows: dict[str, StagedRows] = {}

    def open(self) -> None:
        """Open the connection. Raises the driver's errors."""
        self.at = now()
        self.connection = self.dialect.connect_staging()
        cursor = self.connection.cursor()
        self.session = Session(self.dialect, cursor)
        self.changes = StagedChanges(self.session)

    def rows(self, layout: Layout) -> StagedRows:
        """Return the staged rows of a collection."""
        name = layout.type.name
        found = self._rows.get(name)
        if found is None:
            number = len(self._rows)
            found = StagedRows(self.session, layout, number)
            self._rows[name] = found
        return found

    def add(
        self,
        layout: Layout,
        changes: Sequence[Change],
    ) -> None:
        """Add changes of a collection, and the records that they store."""
        new_rows = [layout.row(change.record) for change in changes]
        rows = self.rows(layout)
        rows.add(new_rows)
        self.add_changes(changes)

    def add_changes(self, changes: Sequence[Change]) -> None:
        """Add changes without rows."""
        journal_rows = [change_row(change, self.at) for change in changes]
        self.changes.add(journal_rows)

    def replace(
        self,
        layout: Layout,
        workspace: str,
        ids: Sequence[str],
        changes: Sequence[Change],
    ) -> None:
        """Replace the changes of some records, and the rows that they store."""
        name = layout.type.name
        self.replace_changes(name, workspace, ids, changes)
        new_rows = [layout.row(change.record) for change in changes]
        rows = self.rows(layout)
        rows.remove(workspace, ids)
        rows.add(new_rows)

    def replace_changes(
        self,
        collection: str,
        workspace: str,
        ids: Sequence[str],
        changes: Sequence[Change],
    ) -> None:
        """Replace the changes of records that have no rows."""
        journal_rows = [change_row(change, self.at) for change in changes]
        self.changes.replace(collection, workspace, ids, journal_rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a transaction over the staged rows only.

        Without one SQLite has one for each row.
        """
        self.session.execute("BEGIN")
        yield
        self.session.execute("COMMIT")

    def remove_stored(self, tables: Mapping[str, sa.Table]) -> None:
        """Remove the stored records that staged ones replace, so that unique values may
        have changed places."""
        for name, rows in self._rows.items():
            rows.remove_stored(tables[name])

    def store(self, work: UnitOfWork, tables: Mapping[str, sa.Table]) -> None:
        """Store all rows, into ``tables`` by the name of the collection, and changes.

        Raises the driver's errors.
        """
        self.changes.finish()
        for name, rows in self._rows.items():
            rows.store(tables[name])
        work.journal.add_staged(self.changes)

    def close(self) -> None:
        """Close the connection, which drops the tables."""
        if self.connection is not None:
            self.connection.close()


@contextmanager
def refusing(dialect: Dialect) -> Iterator[None]:
    """Raise the refusals of a read for the driver's errors inside the block."""
    try:
        yield
    except Exception as error:
        if not dialect.is_driver_error(error):
            raise
        raise refusal(dialect, error) from error
