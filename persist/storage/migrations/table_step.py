"""A migration step over the table of a typed entity: its SQL, and the new data of every
record."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sa

from persist.domain.change import SERVICE_ORIGIN
from persist.domain.entity_type import EntityType
from persist.domain.errors import MigrationFailed
from persist.domain.migration import MigrationStep, apply
from persist.domain.record import Data, Record
from persist.storage.dialect import Dialect
from persist.storage.dialect.columns import COLUMN_TYPES
from persist.storage.entity_types.catalog import Stale
from persist.storage.entity_types.registered_indexes import create_index
from persist.storage.journal.changes import JournalWriter
from persist.storage.layout import Layout, indexes_by_name, layout_of
from persist.storage.long_operations.exclusive import exclusive_transaction
from persist.storage.long_operations.progress import OnProgress
from persist.storage.long_operations.staging import Staging
from persist.storage.migrations.class_comparison import (
    column_faults,
    duplicates,
    own_indexes,
)
from persist.storage.migrations.migration_reports import record_run
from persist.storage.migrations.next_class_table import NextTable, can_be_swapped
from persist.storage.migrations.record_migration import RecordFailures
from persist.storage.migrations.staged_migration import StagedMigration
from persist.storage.migrations.table_versions import (
    layout_between,
    record_version,
    recorded_layout,
    recorded_version,
    stored_version,
)

READING_SECONDS = 60.0
"""Seconds that a step waits for reads that began before its table was filled, while
others write."""

BRIEF_READING_SECONDS = 4.0
"""The same where others wait."""

PLACEHOLDER = re.compile(r"\{[A-Za-z_]\w*\}")
QUOTED = re.compile("'[^']*'")


def step_statements(dialect: Dialect, table: str, step: MigrationStep) -> list[str]:
    """Return a step's SQL for this database, with its placeholders filled in."""
    values = {
        field_type.value: dialect.column_type(field_type) for field_type in COLUMN_TYPES
    }
    values["text"] = values["string"]
    values["document"] = dialect.column_type(None)
    values["table"] = table
    statements = dialect.step_sql(step)
    for name, value in values.items():
        placeholder = "{" + name + "}"
        statements = [statement.replace(placeholder, value) for statement in statements]
    for statement in statements:
        # Text in quotes may contain braces.
        unknown = PLACEHOLDER.search(QUOTED.sub("", statement))
        if unknown is not None:
            known = ", ".join("{" + name + "}" for name in values)
            raise MigrationFailed(
                f"its SQL has the placeholder {unknown[0]}; there are {known}"
            )
    return statements


class TableStep:
    """One migration step over the table of a typed entity.

    Call ``prepare`` in a transaction, ``stage`` while others write, ``store`` in
    another transaction on the connection of the staging.
    """

    def __init__(
        self,
        staging: Staging,
        connection: sa.Connection,
        entity_type: EntityType,
        step: MigrationStep,
        progress: OnProgress,
    ) -> None:
        self.connection = connection
        self.dialect = staging.dialect
        self._staging = staging
        self._session = staging.session
        self._type = entity_type
        self._step = step
        self._progress = progress
        self._is_of_one_moment = False
        self._all_staged = False
        self._last = step.to_version == entity_type.schema_version
        self._own = layout_of(entity_type, self.dialect)

    def is_due(self) -> bool:
        """Return whether the table is at the version that the step starts from."""
        found = stored_version(self.connection, self._type.name)
        return found == self._step.from_version

    def prepare(self, *, swapped: bool) -> None:
        """Create the table that the SQL makes, if it may be ``swapped``.

        Otherwise find out what table that is, on one without rows, and undo it.
        """
        name = self._type.name
        version = self._step.from_version
        recorded = recorded_version(self.connection, name)
        self._old = recorded_layout(self.dialect, name, version, recorded)
        table = self._old.table
        counted = f"SELECT count(*) FROM {table.name}"
        self._rows = self._session.execute(counted).fetchall()[0][0]
        self._present = own_indexes(self.connection, self._own)
        sql = self.dialect.step_sql(self._step)
        self._next = None
        if swapped and can_be_swapped(self.connection, self._old, sql):
            self._next = NextTable.create(self._session, table.name)
            self._new = self._changed(self._next.name)
            self._staging.build(self._new)
        else:
            self._session.execute("SAVEPOINT prepared")
            self._new = self._change_table()
            self._session.execute("ROLLBACK TO SAVEPOINT prepared")
        self._migration = StagedMigration(
            self._staging,
            self._old,
            self._new,
            SERVICE_ORIGIN,
            self._converted,
            _refusal,
            self._on_staged,
        )

    def _on_staged(self, done: int) -> None:
        title = f"{self._type.name} {self._step}"
        # Others may have deleted records since these were counted, or created some.
        self._progress(title, done, max(done, self._rows))

    def stage(self) -> None:
        """Compute the new data of every record while others write.

        Raises ``Stale`` if unique values changed places meanwhile.
        """
        self._migration.stage(self._add_next_indexes)
        if self._next is not None:
            self._wait_for_reads(READING_SECONDS)

    def _wait_for_reads(self, seconds: float) -> None:
        connection = self._session.cursor.connection
        if not self.dialect.wait_for_reads(connection, seconds):
            raise MigrationFailed(
                "a transaction that began before the table was filled still reads the"
                " database; end it and run this again"
            )

    @contextmanager
    def all_staged(self) -> Iterator[None]:
        """Store the rest in the next table before the transaction of ``store``, if
        one that reads may find a renamed table but not see the rows stored since it
        began. Others do not write during the block.
        """
        keep, give_back = self.dialect.session_exclusive
        if self._next is None or not keep:
            yield
            return
        try:
            with exclusive_transaction(self.connection, self.dialect):
                self._migration.finish(self._session)
                self.connection.exec_driver_sql(keep)
            self._all_staged = True
            yield
        finally:
            # The connection may have ended, and with it the lock.
            with suppress(Exception):
                self.connection.exec_driver_sql(give_back)

    def _add_next_indexes(self) -> None:
        """Create the indexes of the next table, once it is filled: that takes less
        time."""
        if self._next is not None:
            self._next.add_indexes(
                self._own, self._wanted_indexes(), self._create_next_index
            )

    def _create_next_index(self, layout: Layout, index: sa.Index) -> None:
        try:
            _check_unique(self.connection, layout, index)
        except MigrationFailed:
            if self._is_of_one_moment:
                raise
            # The batches are of different moments, so a value that changed places may
            # be there twice. The other way sees the records of one moment.
            raise Stale from None
        with self._staging.transaction(is_long=True):
            create_index(self._session, index)

    def stage_within(self) -> None:
        """Compute the new data in the transaction of ``store``."""
        self._is_of_one_moment = True
        self._migration.stage_from(self._session)
        self._add_next_indexes()

    def store(self) -> None:
        """Change the table, store the records, record the version.

        Raises ``MigrationFailed`` if another process has changed the table meanwhile.
        """
        if not self.is_due():
            raise MigrationFailed("another release has changed the table meanwhile")
        if self._all_staged:
            self._wait_for_reads(BRIEF_READING_SECONDS)
        else:
            self._migration.finish(self._session)
        if self._next is None:
            self._change_table()
        journal = JournalWriter(self._session, self._staging.at)
        rows = self._migration.store(journal, self._new.table)
        # The transaction has no unit of work, which would do it.
        journal.flush()
        journal.seal()
        if self._next is None:
            self._add_indexes()
        else:
            # Last: on PostgreSQL readers wait from here on.
            self._next.swap(self._present)
        record_version(self.connection, self.dialect, self._new.type)
        self._record_run(rows)

    def _change_table(self) -> Layout:
        """Remove the rows, run the step's SQL and return the layout after it.

        The entity's own indexes are dropped: unique values may change places while the
        rows are stored.
        """
        table = self._old.table.name
        # On PostgreSQL a transaction that began before still sees deleted rows, but
        # not those of a table that was truncated.
        self._session.execute(f"DELETE FROM {table}")
        changed = self._changed(table)
        # The SQL may have dropped some.
        self._present = own_indexes(self.connection, self._own)
        for name in self._present:
            self.connection.exec_driver_sql(f'DROP INDEX "{name}"')
        return changed

    def _changed(self, table: str) -> Layout:
        """Run the step's SQL on a table without rows and return the layout after it."""
        for statement in step_statements(self.dialect, table, self._step):
            self._session.execute(statement)
        if self._last:
            layout = layout_of(self._type, self.dialect, table_name=table)
            self._check_columns(layout)
            return layout
        return layout_between(
            self.connection,
            self.dialect,
            self._type,
            self._step.to_version,
            self._old,
            table,
        )

    def _check_columns(self, layout: Layout) -> None:
        faults = column_faults(self.connection, layout)
        if faults:
            raise MigrationFailed(
                f"its SQL does not make the table that the class needs: {faults[0]}"
            )

    def _wanted_indexes(self) -> set[str]:
        """Return the names of the indexes after the step.

        Those of the class are complete after the last one.
        """
        indexes = indexes_by_name(self._own.table)
        if self._last:
            return set(indexes)
        columns = set(self._new.table.columns.keys())
        return {
            name
            for name in self._present & indexes.keys()
            # The SQL may have dropped the column.
            if set(indexes[name].columns.keys()) <= columns
        }

    def _add_indexes(self) -> None:
        wanted = self._wanted_indexes()
        for index in self._own.table.indexes:
            if str(index.name) in wanted:
                _check_unique(self.connection, self._own, index)
                create_index(self._session, index)

    def _converted(self, record: Record) -> Data:
        changed = self._new.type.validate(apply(self._step, record.data))
        lost = sorted(changed.keys() - self._new.columns.keys())
        if lost:
            raise MigrationFailed(
                f"the step returns {', '.join(lost)}, for which the table has no"
                " column; its SQL must add it"
            )
        return changed

    def _record_run(self, rows: int) -> None:
        collection = {
            "name": self._type.name,
            "from_versions": {str(self._step.from_version): rows},
            "to_version": self._step.to_version,
        }
        record_run(
            self._session,
            self._staging.at,
            {
                "kind": "in-place",
                "migrated": rows,
                "collections": [collection],
            },
        )


def _check_unique(connection: sa.Connection, layout: Layout, index: sa.Index) -> None:
    """Raise ``MigrationFailed`` with the records that share a value.

    SQL would only say that the index cannot be created.
    """
    found = duplicates(connection, layout, index) if index.unique else None
    if found is not None:
        raise MigrationFailed(found)


def _refusal(failures: RecordFailures) -> MigrationFailed:
    listed = [
        f"record {failure.id}: {failure.pointer} {failure.detail}"
        for failure in failures.listed
    ]
    return MigrationFailed(
        f"{failures.failed} of {failures.records} records fail: " + "; ".join(listed)
    )
