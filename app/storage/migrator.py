"""Migrator: brings the table of a typed entity up to date where it stands.

A step is one transaction that nobody else crosses: every row's data is put aside as the old
version stored it, the SQL changes the table's shape, the step's function makes the new data,
which is written back with one revision and one ``migrate`` change each, and the schema version is
recorded. A database is before a step or after it, never between.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex

from app.domain.change import NOBODY, Change, Operation
from app.domain.entity_type import EntityType, Kind
from app.domain.errors import PersistError
from app.domain.identity import new_id
from app.domain.migration import MigrationStep, apply
from app.domain.record import Data, Record, to_text
from app.storage.dialect import COLUMN_TYPES, Cursor, Dialect, Row
from app.storage.evolution import rows_of
from app.storage.journal import WorkJournal
from app.storage.layout import ENVELOPE_COLUMNS, Layout, layout_of
from app.storage.records import BATCH
from app.storage.spool import Spool
from app.storage.tables import DEFINITIONS, MIGRATIONS, REGISTRY_HEAD
from app.storage.unit_of_work import now, statements_of

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many rows are done, and how many there are."""


class MigrationStopped(Exception):
    """A step did not go through and was rolled back; the message names it and the record."""


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
    names = {"table": table} | {type.value: dialect.column_type(type) for type in COLUMN_TYPES}
    names |= {"text": names["string"], "document": dialect.column_type(None)}
    statements = step.statements(dialect.name)
    for name, value in names.items():
        statements = [statement.replace("{" + name + "}", value) for statement in statements]
    return statements


def pending(connection: sa.Connection, dialect: Dialect, types: Iterable[EntityType]) -> list[Pending]:
    """The typed entities whose tables are behind the code."""
    found = []
    for type in types:
        stored = stored_version(connection, type.name)
        if stored is not None and stored < type.schema_version:
            table = layout_of(type, dialect).table.name
            rows = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
            found.append(Pending(type, stored, tuple(type.plan.chain(stored)), rows))
    return found


def stored_version(connection: sa.Connection, name: str) -> int | None:
    """The schema version of a typed entity's table, None where there is none."""
    stored: int | None = connection.scalar(
        sa.select(DEFINITIONS.c.schema_version).where(DEFINITIONS.c.name == name, DEFINITIONS.c.current)
    )
    return stored


def record_version(
    connection: sa.Connection, name: str, schema_version: int, schema: Mapping[str, Any]
) -> None:
    """Make a schema version the current one of a typed entity's table."""
    connection.execute(sa.update(DEFINITIONS).where(DEFINITIONS.c.name == name).values(current=False))
    row = {
        "name": name,
        "schema_version": schema_version,
        "kind": Kind.TYPED.value,
        "current": True,
        "at": now(),
    }
    connection.execute(
        DEFINITIONS.insert().values(row | {"definition": json.dumps({"schema": dict(schema)})})
    )
    connection.execute(sa.update(REGISTRY_HEAD).values(epoch=REGISTRY_HEAD.c.epoch + 1))


def migrate(dialect: Dialect, work: Pending, progress: Progress) -> None:
    """Run the steps that are due, each in its own transaction. Raises ``MigrationStopped``."""
    engine = dialect.engine()
    try:
        for step in work.steps:
            with engine.connect() as connection:
                connection.exec_driver_sql(dialect.begin_exclusive)
                if stored_version(connection, work.type.name) == step.from_version:
                    _Step(connection, dialect, work.type, step, progress).run()
                connection.exec_driver_sql("COMMIT")
    except PersistError as error:
        places = "; ".join(f"{place} {detail}" for place, detail in error.errors)
        raise MigrationStopped(f"{work.type.name}: {error.detail} {places}".strip()) from error
    finally:
        engine.dispose()


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
        self._cursor: Cursor = connection.connection.driver_connection.cursor()  # type: ignore[union-attr]
        self._dialect = dialect
        self._type = type
        self._step = step
        self._progress = progress

    def run(self) -> None:
        """Put aside, reshape, write back, record."""
        old = layout_of(_shape(self._type.name, self._step.from_version, self._old_schema()), self._dialect)
        with Spool() as aside:
            rows = self._put_aside(old, aside)
            for statement in filled(self._dialect, old.table.name, self._step):
                self._connection.exec_driver_sql(statement.replace("%", "%%"))
            new = self._new_layout(old)
            self._write_back(new, aside, rows)
        record_version(self._connection, self._type.name, self._step.to_version, new.type.schema)
        self._record_run(rows)

    def _old_schema(self) -> Mapping[str, Any]:
        named = sa.select(DEFINITIONS.c.definition).where(
            DEFINITIONS.c.name == self._type.name, DEFINITIONS.c.current
        )
        found: Any = self._connection.scalar(named)
        schema: Mapping[str, Any] = (json.loads(found) if isinstance(found, str) else found)["schema"]
        return schema

    def _put_aside(self, old: Layout, aside: Spool) -> int:
        count = 0
        for workspace, row in rows_of(self._dialect, old, self._cursor):
            aside.put((workspace, tuple(row)))
            count += 1
        return count

    def _new_layout(self, old: Layout) -> Layout:
        """The table as it is now; after the last step it is the entity's own."""
        if self._step.to_version == self._type.schema_version:
            layout = layout_of(self._type, self._dialect)
            self._add_indexes(layout)
            return layout
        inspected = sa.inspect(self._connection).get_columns(old.table.name)
        names = [
            column["name"].removeprefix("data_") for column in inspected if column["name"] not in ENVELOPE
        ]
        known = {**self._type.schema.get("properties", {}), **old.type.schema.get("properties", {})}
        schema = {**old.type.schema, "properties": {name: known.get(name, {}) for name in names}}
        return layout_of(_shape(self._type.name, self._step.to_version, schema), self._dialect)

    def _add_indexes(self, layout: Layout) -> None:
        present = {index["name"] for index in sa.inspect(self._connection).get_indexes(layout.table.name)}
        for index in layout.table.indexes:
            if index.name not in present:
                self._connection.execute(CreateIndex(index))

    def _write_back(self, new: Layout, aside: Spool, rows: int) -> None:
        journal = WorkJournal(statements_of(self._dialect).journal, self._cursor, now())
        title, done = f"{self._type.name} {self._step}", 0
        self._progress(title, done, rows)
        for piece in _pieces(aside):
            written = [(self._record(new, workspace, row), row[1]) for workspace, row in piece]
            values = [(*new.row(record), record.workspace, record.id, was) for record, was in written]
            new.writer.update(self._cursor, values)
            for record, _ in written:
                journal.append(Change(Operation.MIGRATE, record, NOBODY))
            journal.flush()
            done += len(piece)
            self._progress(title, done, rows)

    def _record(self, new: Layout, workspace: str, row: Row) -> Record:
        id, revision, _, created_at, _, text = row
        data: Data = json.loads(text)
        try:
            changed = new.type.validate(apply(self._step, data))
        except PersistError as error:
            error.detail = f"record {id}: {error.detail}"
            raise
        version = self._step.to_version
        return Record(
            id, self._type.name, workspace, revision + 1, version, created_at, now(), to_text(changed)
        )

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
            "at": now(),
            "migrated": rows,
            "collections": [collection],
        }
        self._connection.execute(
            MIGRATIONS.insert().values(id=report["id"], at=report["at"], report=json.dumps(report))
        )


ENVELOPE = frozenset(("workspace", *ENVELOPE_COLUMNS))


def _shape(name: str, version: int, schema: Mapping[str, Any]) -> EntityType:
    """An entity type that only tells how its table looks."""
    return EntityType(name, Kind.TYPED, version, schema, validate=lambda data: data, commands={})


def _pieces(aside: Spool) -> Iterator[list[tuple[str, Row]]]:
    piece: list[tuple[str, Row]] = []
    for row in aside:
        piece.append(row)
        if len(piece) == BATCH:
            yield piece
            piece = []
    if piece:
        yield piece
