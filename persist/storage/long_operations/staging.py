"""Staging: rows and changes of a long operation are made ready while others write.

They wait in temporary tables of a separate connection. The transaction that stores them
runs on that connection and copies whole tables, so that it is short. Temporary tables
end with their connection: a killed process leaves nothing of them. Rows may also go
into a table that nobody else uses yet (``next_tables``), which is not copied.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress

import sqlalchemy as sa

from persist.domain.change import Change
from persist.storage.clock import now
from persist.storage.dialect import Dialect
from persist.storage.journal.changes import JournalWriter
from persist.storage.journal.rows import change_row
from persist.storage.layout import Layout
from persist.storage.long_operations.built_rows import BuiltRows
from persist.storage.long_operations.staged_changes import StagedChanges
from persist.storage.long_operations.staged_rows import NewRows, StagedRows
from persist.storage.reads.read_error import read_error
from persist.storage.sql import Connection, Row, Session


class Staging:
    """Rows and changes of one long operation.

    Call ``open`` and ``add`` in a thread, ``store`` in a transaction on ``connection``,
    then ``close``. The changes have the time ``at`` at which it was opened.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.connection: Connection | None = None
        self.dialect = dialect
        self.builds = False
        self._building = ExitStack()
        self._rows: dict[str, NewRows] = {}

    def open(self) -> Connection:
        """Open the connection and return it. Raises the driver's errors."""
        self.connection = self.dialect.connect_staging()
        cursor = self.connection.cursor()
        self.session = Session(self.dialect, cursor)
        self._begin()
        return self.connection

    def begin_building(self) -> None:
        """Keep the tables that are built from being swept until ``close``."""
        self.builds = True
        self._building.enter_context(self.dialect.building_turn())

    def build(self, layout: Layout) -> None:
        """Have the rows of a collection stored in its table, which nobody else uses."""
        self._rows[layout.type.name] = BuiltRows(self.session, layout)

    def _begin(self) -> None:
        # One time for all of its changes, however long it takes to stage them.
        self.at = now()
        self.changes = StagedChanges(self.session)

    def begin_again(self) -> None:
        """Drop what is staged, so that another operation may be."""
        # The views before the table that they are over.
        for rows in self._rows.values():
            rows.drop()
        self._rows = {}
        self.changes.drop()
        self._begin()

    def rows(self, layout: Layout) -> NewRows:
        """Return the staged rows of a collection."""
        name = layout.type.name
        found = self._rows.get(name)
        if found is None:
            found = StagedRows(
                self.session,
                layout,
                number=len(self._rows),
                at=self.at,
            )
            self._rows[name] = found
        return found

    def add(
        self,
        layout: Layout,
        changes: Sequence[Change],
    ) -> None:
        """Add changes of a collection, and the records that they store."""
        rows = self.rows(layout)
        new_rows = rows.rows_of([change.record for change in changes])
        journal_rows = self._journal_rows(changes)
        with self.transaction():
            keys = self.changes.add(journal_rows)
            rows.add(keys, new_rows)

    def add_changes(self, changes: Sequence[Change]) -> None:
        """Add changes without rows."""
        journal_rows = self._journal_rows(changes)
        with self.transaction():
            self.changes.add(journal_rows)

    def _journal_rows(self, changes: Sequence[Change]) -> list[Row]:
        return [change_row(change, self.at) for change in changes]

    def replace(
        self,
        layout: Layout,
        workspace: str,
        ids: Sequence[str],
        changes: Sequence[Change],
    ) -> None:
        """Replace the changes of some records, and the rows that they store."""
        name = layout.type.name
        rows = self.rows(layout)
        new_rows = rows.rows_of([change.record for change in changes])
        journal_rows = self._journal_rows(changes)
        with self.transaction():
            keys = self.changes.replace(name, workspace, ids, journal_rows)
            # Removed first: the new rows may have the unique values of the old ones.
            rows.remove(workspace, ids)
            rows.add(keys, new_rows)

    def replace_changes(
        self,
        collection: str,
        workspace: str,
        ids: Sequence[str],
        changes: Sequence[Change],
    ) -> None:
        """Replace the changes of records that have no rows."""
        journal_rows = self._journal_rows(changes)
        with self.transaction():
            self.changes.replace(collection, workspace, ids, journal_rows)

    @contextmanager
    def transaction(self, *, is_long: bool = False) -> Iterator[None]:
        """Open a transaction over the staged rows only, unless one is open.

        Without one SQLite has one for each row. Other writers wait for it if a table is
        built; ``is_long`` tells them that it may take long.
        """
        if self.dialect.in_transaction(self.session.cursor.connection):
            yield
        elif self.builds:
            with self.dialect.turn(is_long=is_long):
                yield from self._transaction(self.dialect.begin_unshared)
        else:
            yield from self._transaction("BEGIN")

    def _transaction(self, begin: str) -> Iterator[None]:
        self.session.execute(begin)
        try:
            yield
            self.session.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        # The database may have ended the transaction, or the connection.
        with suppress(Exception):
            self.session.execute("ROLLBACK")

    def remove_stored(self, tables: Mapping[str, sa.Table]) -> None:
        """Remove the stored records that staged ones replace, so that unique values may
        have changed places."""
        for name, rows in self._rows.items():
            rows.remove_stored(tables[name])

    def store(self, journal: JournalWriter, tables: Mapping[str, sa.Table]) -> None:
        """Store all rows, into ``tables`` by the name of the collection, and changes.

        Raises the driver's errors.
        """
        self.changes.finish()
        for name, rows in self._rows.items():
            rows.store(tables[name])
        journal.add_staged(self.changes)

    def close(self) -> None:
        """Close the connection, which drops the temporary tables."""
        with self._building:
            if self.connection is not None:
                self.connection.close()


@contextmanager
def refusing(dialect: Dialect) -> Iterator[None]:
    """Replace errors of the driver inside the block by the refusals of a read."""
    try:
        yield
    except Exception as error:
        # A refusal of the operation itself has its own sentence.
        if not dialect.is_driver_error(error):
            raise
        raise read_error(dialect, error) from error
