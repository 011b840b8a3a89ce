"""Shapes: how the table of a typed entity is at the schema version the database records
for it, and the transaction in which it changes."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from persist.domain.entity_type import EntityType, Kind
from persist.domain.field import FieldType, Schema
from persist.domain.record import dumps
from persist.storage.column_names import RESERVED
from persist.storage.dialect import Dialect, Failure
from persist.storage.dialect.columns import COLUMN_TYPES
from persist.storage.layout import ENVELOPE_COLUMNS, Layout, layout_of
from persist.storage.sql import Connection, Cursor
from persist.storage.tables import DEFINITIONS, REGISTRY_HEAD
from persist.storage.unit_of_work import now

ATTEMPTS = 120

SQL_KINDS: tuple[tuple[type[sa.types.TypeEngine[Any]], FieldType], ...] = (
    (sa.Boolean, FieldType.BOOLEAN),
    (sa.Integer, FieldType.INTEGER),
    (sa.Numeric, FieldType.NUMBER),
    (sa.Float, FieldType.NUMBER),
    (sa.String, FieldType.STRING),
)
"""What columns of these SQL types hold; any other is a document."""


@contextmanager
def exclusive(engine: sa.Engine, dialect: Dialect) -> Iterator[sa.Connection]:
    """A transaction that no other writer crosses. Another process that migrates is
    waited for: SQLite gives up after seconds, a migration may take minutes."""
    with engine.connect() as connection:
        for attempt in range(ATTEMPTS):
            try:
                connection.exec_driver_sql(dialect.begin_exclusive)
                break
            except sa.exc.OperationalError as error:
                busy = (
                    error.orig is not None
                    and dialect.failure(error.orig) is Failure.BUSY
                )
                if not busy or attempt == ATTEMPTS - 1:
                    raise
        yield connection
        connection.exec_driver_sql("COMMIT")


def stored_version(connection: sa.Connection, name: str) -> int | None:
    """The schema version of a typed entity's table, None where there is none."""
    stored: int | None = connection.scalar(
        sa.select(DEFINITIONS.c.schema_version).where(
            DEFINITIONS.c.name == name, DEFINITIONS.c.current
        )
    )
    return stored


def record_version(
    connection: sa.Connection,
    dialect: Dialect,
    name: str,
    schema_version: int,
    schema: Schema,
) -> None:
    """Make a schema version the current one of a typed entity's table."""
    connection.execute(
        sa.update(DEFINITIONS).where(DEFINITIONS.c.name == name).values(current=False)
    )
    definition = dumps({"schema": dict(schema)})
    row = (name, schema_version, Kind.TYPED.value, True, now(), definition, None)
    dialect.inserter(DEFINITIONS)(cursor_of(connection), [row])
    connection.execute(sa.update(REGISTRY_HEAD).values(epoch=REGISTRY_HEAD.c.epoch + 1))


def recorded_shape(
    connection: sa.Connection, dialect: Dialect, type: EntityType, version: int
) -> Layout:
    """The layout of the table as the recorded schema version has it."""
    recorded = sa.cast(DEFINITIONS.c.definition, sa.Text())
    named = sa.select(recorded).where(
        DEFINITIONS.c.name == type.name, DEFINITIONS.c.current
    )
    schema: Schema = json.loads(connection.execute(named).scalar_one())["schema"]
    return _shape(dialect, type.name, version, schema)


def present_shape(
    connection: sa.Connection,
    dialect: Dialect,
    type: EntityType,
    version: int,
    old: Layout,
) -> Layout:
    """The layout of the table as it stands between the ``old`` version and that of
    ``type``: no class is left of the versions in between, so the columns themselves
    tell."""
    members = {
        column.name: member
        for layout in (layout_of(type, dialect), old)
        for member, column in layout.columns.items()
    }
    properties = {}
    for column in sa.inspect(connection).get_columns(old.table.name):
        if column["name"] not in ("workspace", *ENVELOPE_COLUMNS):
            name = members.get(column["name"]) or _member(column["name"])
            known = [
                other.fields[name].type
                for other in (old.type, type)
                if name in other.fields
            ]
            properties[name] = _schema_of(dialect, _kind(column["type"]), known)
    return _shape(
        dialect, type.name, version, {"type": "object", "properties": properties}
    )


def cursor_of(connection: sa.Connection) -> Cursor:
    """The driver's own cursor, inside the connection's transaction."""
    driver: Connection | None = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection is closed")
    return driver.cursor()


def _shape(dialect: Dialect, name: str, version: int, schema: Schema) -> Layout:
    """The layout of an entity type that only tells how its table looks."""
    return layout_of(
        EntityType(name, Kind.TYPED, version, schema, lambda data: data, {}), dialect
    )


def _member(column: str) -> str:
    """The member a column is of; one called like an envelope column is set apart."""
    bare = column.removeprefix("data_")
    return bare if bare in RESERVED else column


def _kind(type: sa.types.TypeEngine[Any]) -> FieldType | None:
    return next((kind for known, kind in SQL_KINDS if isinstance(type, known)), None)


def _schema_of(
    dialect: Dialect, kind: FieldType | None, known: list[FieldType]
) -> Mapping[str, Any]:
    """The schema of a column: what a known version says of it, where its column was of
    that kind."""
    column = dialect.column_type(kind)
    fitting = [type for type in known if dialect.column_type(type) == column]
    type = fitting[0] if fitting else kind
    return {"type": type.value} if type in COLUMN_TYPES else {}
