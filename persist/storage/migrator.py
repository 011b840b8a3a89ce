"""Migrator: brings the table of a typed entity up to date where it stands.

A step is one transaction that nobody else crosses: every row's data is put aside as the
old version stored it, the SQL changes the table's shape, the step's function makes the
new data, which is written back with one revision and one ``migrate`` change each, and
the schema version is recorded. A database is before a step or after it, never between.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, DropIndex

from persist.domain.change import NOBODY, Change, Operation
from persist.domain.entity_type import EntityType
from persist.domain.errors import MigrationFailed, PersistError
from persist.domain.identifiers import new_id
from persist.domain.migration import MigrationStep, apply
from persist.domain.record import Data, Record, dumps
from persist.storage.dialect import Dialect
from persist.storage.dialect.columns import COLUMN_TYPES
from persist.storage.evolution import rows_of
from persist.storage.journal import WorkJournal
from persist.storage.layout import Layout, layout_of
from persist.storage.records import BATCH
from persist.storage.spool import Spool
from persist.storage.sql import Row
from persist.storage.table_versions import (
    cursor_of,
    exclusive,
    present_shape,
    record_version,
    recorded_shape,
    stored_version,
)
from persist.storage.tables import MIGRATIONS
from persist.storage.unit_of_work import now, statements_of

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many rows are done, and how many there are."""


class MigrationStopped(Exception):
    """A step did not go through and was rolled back; the message names it and the
    record."""


@dataclass(frozen=True)
class Pending:
    """What has to be done to the table of an entity type."""

    type: EntityType
    stored_version: int
    steps: tuple[MigrationStep, ...]
    rows: int

    def sql(self, dialect: Dialect, step: MigrationStep) -> list[str]:
        """A step's statements as they will run."""
        return filled(dialect, layout_of(self.type, dialect).table.name, step)


def filled(dialect: Dialect, table: str, step: MigrationStep) -> list[str]:
    """A step's SQL for this database, its placeholders filled in."""
    names = {"table": table} | {
        type.value: dialect.column_type(type) for type in COLUMN_TYPES
    }
    names |= {"text": names["string"], "document": dialect.column_type(None)}
    statements = dialect.step_sql(step)
    for name, value in names.items():
        statements = [
            statement.replace("{" + name + "}", value) for statement in statements
        ]
    return statements


def pending(
    connection: sa.Connection, dialect: Dialect, types: Iterable[EntityType]
) -> list[Pending]:
    """The typed entities whose tables are behind the code. Raises ``MigrationStopped``
    where no plan leads from where they are."""
    found = []
    for type in types:
        stored = stored_version(connection, type.name)
        if stored is not None and stored < type.schema_version:
            table = layout_of(type, dialect).table.name
            rows = connection.exec_driver_sql(
                f"SELECT count(*) FROM {table}"
            ).scalar_one()
            found.append(Pending(type, stored, _chain(type, stored), rows))
    return found


def _chain(type: EntityType, stored: int) -> tuple[MigrationStep, ...]:
    try:
        return tuple(type.plan.chain(stored))
    except MigrationFailed as error:
        raise MigrationStopped(f"{type.name}: {error.detail}") from error


def migrate(dialect: Dialect, work: Pending, progress: Progress) -> None:
    """Run the steps that are due, each in its own transaction. Raises
    ``MigrationStopped``."""
    engine = dialect.engine()
    try:
        for step in work.steps:
            _migrate(engine, dialect, work.type, step, progress)
    finally:
        engine.dispose()


def _migrate(
    engine: sa.Engine,
    dialect: Dialect,
    type: EntityType,
    step: MigrationStep,
    progress: Progress,
) -> None:
    """One step, unless another process has done it."""
    try:
        with exclusive(engine, dialect) as connection:
            if stored_version(connection, type.name) == step.from_version:
                _Step(connection, dialect, type, step, progress).run()
    except PersistError as error:
        places = "; ".join(f"{place} {detail}" for place, detail in error.errors)
        named = f"{error.detail} {places}".strip()
        raise MigrationStopped(
            f"{type.name}: the step {step} was undone: {named}"
        ) from error
    except Exception as error:
        cause = getattr(error, "orig", error)
        if not dialect.is_driver_error(cause):
            raise
        raise MigrationStopped(
            f"{type.name}: the step {step} was undone: {cause}"
        ) from error


class _Step:
    """One step over one table, inside its transaction."""

    def __init__(
        self,
        connection: sa.Connection,
        dialect: Dialect,
        type: EntityType,
        step: MigrationStep,
        progress: Progress,
    ) -> None:
        self._connection = connection
        self._cursor = cursor_of(connection)
        self._dialect = dialect
        self._type = type
        self._step = step
        self._progress = progress
        self._last = step.to_version == type.schema_version
        self._own = layout_of(type, dialect)
        self._now = now()
        self._indexes: list[sa.Index] = []

    def run(self) -> None:
        """Put aside, reshape, write back, record."""
        old = recorded_shape(
            self._connection, self._dialect, self._type, self._step.from_version
        )
        with Spool() as aside:
            rows = self._put_aside(old, aside)
            new = self._reshaped(old)
            self._write_back(new, aside, rows)
        self._add_indexes()
        version, schema = self._step.to_version, new.type.schema
        record_version(
            self._connection, self._dialect, self._type.name, version, schema
        )
        self._record_run(rows)

    def _put_aside(self, old: Layout, aside: Spool) -> int:
        count = 0
        for workspace, row in rows_of(self._dialect, old, self._cursor):
            aside.put((workspace, tuple(row)))
            count += 1
        return count

    def _reshaped(self, old: Layout) -> Layout:
        """The table after the step's SQL, without the entity's own indexes: unique
        values may change places while the rows are written."""
        for statement in filled(self._dialect, old.table.name, self._step):
            self._cursor.execute(statement)
        present = {
            index["name"]
            for index in sa.inspect(self._connection).get_indexes(old.table.name)
        }
        self._indexes = [
            index for index in self._own.table.indexes if index.name in present
        ]
        for index in self._indexes:
            self._connection.execute(DropIndex(index))
        if self._last:
            return self._own
        return present_shape(
            self._connection, self._dialect, self._type, self._step.to_version, old
        )

    def _add_indexes(self) -> None:
        for index in self._own.table.indexes if self._last else self._indexes:
            self._connection.execute(CreateIndex(index))

    def _write_back(self, new: Layout, aside: Spool, rows: int) -> None:
        journal = WorkJournal(
            statements_of(self._dialect).journal, self._cursor, self._now
        )
        title, done = f"{self._type.name} {self._step}", 0
        self._progress(title, done, rows)
        for piece in _pieces(aside):
            written = [
                (self._record(new, workspace, row), row[1]) for workspace, row in piece
            ]
            values = [
                (*new.row(record), record.workspace, record.id, was)
                for record, was in written
            ]
            new.writer.update(self._cursor, values)
            for record, _ in written:
                journal.append(Change(Operation.MIGRATE, record, NOBODY))
            journal.flush()
            done += len(piece)
            self._progress(title, done, rows)

    def _record(self, new: Layout, workspace: str, row: Row) -> Record:
        id, revision, _, created_at, _, text = row
        try:
            changed = self._changed(new, json.loads(text))
        except PersistError as error:
            error.detail = f"record {id}: {error.detail}"
            raise
        version, text = self._step.to_version, dumps(changed)
        name, now = self._type.name, self._now
        return Record(
            id, name, workspace, revision + 1, version, created_at, now, text, changed
        )

    def _changed(self, new: Layout, data: Data) -> Data:
        changed = new.type.validate(apply(self._step, data))
        if lost := sorted(changed.keys() - new.columns.keys()):
            raise MigrationFailed(
                f"the step gives {', '.join(lost)}, for which the table has no column;"
                " its SQL must add it"
            )
        return changed

    def _record_run(self, rows: int) -> None:
        step = self._step
        collection = {
            "name": self._type.name,
            "from_versions": {str(step.from_version): rows},
            "to_version": step.to_version,
        }
        report = {
            "id": new_id(),
            "kind": "in-place",
            "at": self._now,
            "migrated": rows,
            "collections": [collection],
        }
        self._dialect.inserter(MIGRATIONS)(
            self._cursor, [(report["id"], self._now, dumps(report))]
        )


def _pieces(aside: Spool) -> Iterator[list[tuple[str, Row]]]:
    piece: list[tuple[str, Row]] = []
    for row in aside:
        piece.append(row)
        if len(piece) == BATCH:
            yield piece
            piece = []
    if piece:
        yield piece
