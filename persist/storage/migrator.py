"""Migrator: brings the table of a typed entity up to date in place.

A step is one exclusive transaction. The data of every row is put aside as the old
version stored it, the step's SQL changes the table, the step's function computes the
new data, which is written with one revision and one ``migrate`` change each, and the
schema version is recorded. A database is before a step or after it, never between.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, DropIndex

from persist.domain.change import SERVICE_ORIGIN
from persist.domain.entity_type import EntityType
from persist.domain.errors import MigrationFailed, PersistError
from persist.domain.identifiers import new_id
from persist.domain.migration import MigrationStep, apply
from persist.domain.record import Data, Record, dumps
from persist.storage.class_comparison import (
    column_faults,
    duplicates,
    own_indexes,
)
from persist.storage.dialect import Dialect
from persist.storage.dialect.columns import COLUMN_TYPES
from persist.storage.journal import JournalWriter
from persist.storage.layout import Layout, layout_of
from persist.storage.progress import OnProgress, ignore_progress
from persist.storage.record_migration import (
    MigratedRecords,
    NewData,
    RecordFailures,
    bring_forward,
    name_of,
    records_of,
)
from persist.storage.spool import Spool
from persist.storage.sql import Inserter, Session
from persist.storage.table_versions import (
    cursor_of,
    exclusive,
    layout_between,
    record_version,
    recorded_layout,
    recorded_version,
    stored_version,
)
from persist.storage.tables import MIGRATIONS
from persist.storage.unit_of_work import now

LISTED_FAULTS = 10
"""Faults that the message lists."""

PLACEHOLDER = re.compile(r"\{[A-Za-z_]\w*\}")
QUOTED = re.compile("'[^']*'")


INSERT_RUNS = Inserter(MIGRATIONS)


class MigrationStopped(Exception):
    """A step failed and was rolled back; the message names it and the record."""


@dataclass(frozen=True)
class Pending:
    """What has to be done to the table of an entity type."""

    type: EntityType
    stored_version: int
    steps: tuple[MigrationStep, ...]
    rows: int

    def sql(self, dialect: Dialect, step: MigrationStep) -> list[str]:
        """Return a step's statements as they will run."""
        return step_statements(dialect, layout_of(self.type, dialect).table.name, step)


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
        unknown = PLACEHOLDER.search(QUOTED.sub("", statement))
        if unknown is not None:
            known = ", ".join("{" + name + "}" for name in values)
            raise MigrationFailed(
                f"its SQL has the placeholder {unknown[0]}; there are {known}"
            )
    return statements


def pending(
    connection: sa.Connection, dialect: Dialect, types: Iterable[EntityType]
) -> list[Pending]:
    """Return the typed entities whose tables are behind the code.

    Raises ``MigrationStopped`` if no plan leads from where they are.
    """
    found = []
    for entity_type in types:
        stored = stored_version(connection, entity_type.name)
        if stored is None or stored >= entity_type.schema_version:
            continue
        table = layout_of(entity_type, dialect).table.name
        count = connection.exec_driver_sql(f"SELECT count(*) FROM {table}")
        steps = _chain(entity_type, stored)
        found.append(Pending(entity_type, stored, steps, count.scalar_one()))
    return found


def _chain(entity_type: EntityType, stored: int) -> tuple[MigrationStep, ...]:
    try:
        return tuple(entity_type.plan.chain(stored))
    except MigrationFailed as error:
        raise MigrationStopped(f"{entity_type.name}: {error.detail}") from error


def migrate(dialect: Dialect, work: Pending, progress: OnProgress) -> None:
    """Run the pending steps, each in its own transaction.

    Raises ``MigrationStopped``.
    """
    engine = dialect.engine()
    try:
        for step in work.steps:
            _migrate(engine, dialect, work.type, step, progress)
    finally:
        engine.dispose()


def _migrate(
    engine: sa.Engine,
    dialect: Dialect,
    entity_type: EntityType,
    step: MigrationStep,
    progress: OnProgress,
) -> None:
    """Run one step unless another process has done it."""
    with (
        _stopped(dialect, entity_type, step),
        exclusive(engine, dialect) as connection,
    ):
        if stored_version(connection, entity_type.name) == step.from_version:
            _Step(connection, dialect, entity_type, step, progress).run()


def run_steps(
    connection: sa.Connection, dialect: Dialect, works: Iterable[Pending]
) -> None:
    """Run all pending steps in the connection's transaction.

    Raises ``MigrationStopped``.
    """
    for work in works:
        for step in work.steps:
            with _stopped(dialect, work.type, step):
                _Step(connection, dialect, work.type, step, ignore_progress).run()


@contextmanager
def _stopped(
    dialect: Dialect, entity_type: EntityType, step: MigrationStep
) -> Iterator[None]:
    """Raise ``MigrationStopped`` for the errors of a step inside the block."""
    undone = f"{entity_type.name}: the step {step} was undone"
    try:
        yield
    except PersistError as error:
        faults = "; ".join(f"{pointer} {detail}" for pointer, detail in error.errors)
        raise MigrationStopped(f"{undone}: {error.detail} {faults}".strip()) from error
    except Exception as error:
        cause = getattr(error, "orig", error)  # SQLAlchemy wraps the driver's errors
        if not dialect.is_driver_error(cause):
            raise
        raise MigrationStopped(f"{undone}: {cause}") from error


class _Step:
    """One step over one table, inside its transaction."""

    def __init__(
        self,
        connection: sa.Connection,
        dialect: Dialect,
        entity_type: EntityType,
        step: MigrationStep,
        progress: OnProgress,
    ) -> None:
        self._connection = connection
        self._session = Session(dialect, cursor_of(connection))
        self._dialect = dialect
        self._type = entity_type
        self._step = step
        self._progress = progress
        self._last = step.to_version == entity_type.schema_version
        self._own = layout_of(entity_type, dialect)
        self._now = now()
        self._indexes: list[sa.Index] = []

    def run(self) -> None:
        """Put the data aside, change the table, write the data, record the version."""
        name = self._type.name
        version = self._step.from_version
        recorded = recorded_version(self._connection, name)
        old = recorded_layout(self._dialect, name, version, recorded)
        with Spool() as aside:
            rows = self._put_aside(old, aside)
            new = self._change_table(old)
            self._write_back(new, aside, rows)
        self._add_indexes()
        record_version(self._connection, self._dialect, new.type)
        self._record_run(rows)

    def _put_aside(self, old: Layout, aside: Spool) -> int:
        count = 0
        for record in records_of(old, self._session):
            aside.put(record.stored)
            count += 1
        return count

    def _change_table(self, old: Layout) -> Layout:
        """Run the step's SQL and return the layout after it.

        The entity's own indexes are dropped: unique values may change places while the
        rows are written.
        """
        table = old.table.name
        for statement in step_statements(self._dialect, table, self._step):
            self._session.execute(statement)
        self._drop_indexes()
        if self._last:
            self._check_columns()
            return self._own
        return layout_between(
            self._connection, self._dialect, self._type, self._step.to_version, old
        )

    def _check_columns(self) -> None:
        faults = column_faults(self._connection, self._own)
        if faults:
            raise MigrationFailed(
                f"its SQL does not make the table that the class needs: {faults[0]}"
            )

    def _drop_indexes(self) -> None:
        """Drop the indexes of the class, and those that it no longer has."""
        present = own_indexes(self._connection, self._own)
        for index in self._own.table.indexes:
            if index.name in present:
                self._indexes.append(index)
                self._connection.execute(DropIndex(index))
        if self._last:
            for name in present - {str(index.name) for index in self._indexes}:
                self._connection.exec_driver_sql(f'DROP INDEX "{name}"')

    def _add_indexes(self) -> None:
        for index in self._own.table.indexes if self._last else self._indexes:
            if index.unique:
                found = duplicates(self._connection, self._own, index)
                if found is not None:
                    raise MigrationFailed(found)
            self._connection.execute(CreateIndex(index))

    def _write_back(self, new: Layout, aside: Spool, rows: int) -> None:
        journal = JournalWriter(self._session, self._now)
        writer = MigratedRecords(new, self._session, journal, SERVICE_ORIGIN, self._now)
        title = f"{self._type.name} {self._step}"
        done = 0
        self._progress(title, done, rows)
        for written in writer.write(self._converted(new, aside)):
            done += written
            self._progress(title, done, rows)
        journal.seal()

    def _converted(self, new: Layout, aside: Spool) -> Iterator[tuple[Record, NewData]]:
        """Return each record with its new data. Raises at the end if one failed."""
        failures = RecordFailures(LISTED_FAULTS)

        def convert(record: Record) -> NewData:
            data = self._new_data(new, record.data)
            return NewData(dumps(data), data)

        records = (Record(*values) for values in aside)
        yield from bring_forward(records, convert, name_of, failures)
        if failures.failed:
            listed = [
                f"record {failure.id}: {failure.pointer} {failure.detail}"
                for failure in failures.listed
            ]
            raise MigrationFailed(
                f"{failures.failed} of {failures.records} records fail: "
                + "; ".join(listed)
            )

    def _new_data(self, new: Layout, data: Data) -> Data:
        changed = new.type.validate(apply(self._step, data))
        lost = sorted(changed.keys() - new.columns.keys())
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
            self._now,
            {
                "kind": "in-place",
                "migrated": rows,
                "collections": [collection],
            },
        )


def record_run(
    session: Session[Dialect], at: str, report: dict[str, Any]
) -> dict[str, Any]:
    """Store the report of a completed migration and return it with its id."""
    identified = {"id": new_id(), "at": at, **report}
    session.insert(INSERT_RUNS, [(identified["id"], at, dumps(identified))])
    return identified
