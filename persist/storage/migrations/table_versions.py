"""Table versions: the layout of a typed entity's table at a recorded schema version."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from persist.domain.entity_type import EntityType, Kind, Paths
from persist.domain.field import FieldType, Schema
from persist.domain.field_types import schema_of
from persist.domain.record import Json, dumps
from persist.storage.clock import now
from persist.storage.column_names import RESERVED
from persist.storage.dialect import Dialect
from persist.storage.dialect.columns import COLUMN_TYPES, DOCUMENT
from persist.storage.layout import ENVELOPE_COLUMNS, Layout, layout_of
from persist.storage.sql import Connection, Cursor, Inserter, Session
from persist.storage.tables import DEFINITIONS, REGISTRY_HEAD

INSERT_DEFINITIONS = Inserter(DEFINITIONS)

ENVELOPE_AND_WORKSPACE = frozenset(("workspace", *ENVELOPE_COLUMNS))
"""Columns of every table that contain no data."""

SQL_KINDS: tuple[tuple[type[sa.types.TypeEngine[Any]], FieldType], ...] = (
    (sa.Boolean, FieldType.BOOLEAN),
    (sa.Integer, FieldType.INTEGER),
    (sa.Numeric, FieldType.NUMBER),
    (sa.Float, FieldType.NUMBER),
    (sa.String, FieldType.STRING),
)
"""The field types of SQL types; any other column contains a document."""


def stored_version(connection: sa.Connection, name: str) -> int | None:
    """Return the schema version of a typed entity's table, None if there is none."""
    stored: int | None = connection.scalar(
        sa.select(DEFINITIONS.c.schema_version).where(
            DEFINITIONS.c.name == name, DEFINITIONS.c.current
        )
    )
    return stored


@dataclass(frozen=True)
class Recorded:
    """What the database records of a class for one schema version.

    ``is_comparable`` is false for what earlier releases recorded: only the schema,
    which their compiler wrote in another form.
    """

    schema: Schema
    unique: tuple[Paths, ...] = ()
    indexes: tuple[Paths, ...] = ()
    is_comparable: bool = True

    @classmethod
    def of(cls, entity_type: EntityType) -> "Recorded":
        """Return what is recorded of an entity type."""
        return cls(entity_type.schema, entity_type.unique, entity_type.indexes)

    @property
    def definition(self) -> Json:
        """The recorded document."""
        return {
            "schema": dict(self.schema),
            "unique": self.unique,
            "indexes": self.indexes,
        }


def recorded_version(connection: sa.Connection, name: str) -> Recorded:
    """Return what is recorded for the current schema version of a typed entity."""
    current = sa.select(sa.cast(DEFINITIONS.c.definition, sa.Text())).where(
        DEFINITIONS.c.name == name,
        DEFINITIONS.c.current,
    )
    found = json.loads(connection.execute(current).scalar_one())
    if "unique" not in found:
        return Recorded(found["schema"], is_comparable=False)
    return Recorded(
        found["schema"],
        tuple(map(tuple, found["unique"])),
        tuple(map(tuple, found["indexes"])),
    )


def update_recorded(connection: sa.Connection, entity_type: EntityType) -> None:
    """Replace what is recorded of the current schema version by the class."""
    text = dumps(Recorded.of(entity_type).definition)
    connection.execute(
        sa.update(DEFINITIONS)
        .where(DEFINITIONS.c.name == entity_type.name, DEFINITIONS.c.current)
        .values(definition=sa.cast(sa.literal(text, sa.Text()), DOCUMENT))
    )


def record_version(
    connection: sa.Connection,
    dialect: Dialect,
    entity_type: EntityType,
) -> None:
    """Make the schema version of a type the current one of its table."""
    connection.execute(
        sa.update(DEFINITIONS)
        .where(DEFINITIONS.c.name == entity_type.name)
        .values(current=False)
    )
    row = (
        entity_type.name,
        entity_type.schema_version,
        Kind.TYPED.value,
        True,
        now(),
        dumps(Recorded.of(entity_type).definition),
        None,
    )
    Session(dialect, cursor_of(connection)).insert(INSERT_DEFINITIONS, [row])
    connection.execute(sa.update(REGISTRY_HEAD).values(epoch=REGISTRY_HEAD.c.epoch + 1))


def layout_between(
    connection: sa.Connection,
    dialect: Dialect,
    entity_type: EntityType,
    version: int,
    old: Layout,
    table_name: str,
) -> Layout:
    """Return the layout of a table between the ``old`` version and the type's.

    There is no class of the versions in between, so it follows from the columns.
    """
    members = {
        column.name: member
        # The old one counts if both have a column.
        for layout in (layout_of(entity_type, dialect), old)
        for member, column in layout.columns.items()
    }
    properties = {}
    for column in sa.inspect(connection).get_columns(table_name):
        if column["name"] not in ENVELOPE_AND_WORKSPACE:
            name = members.get(column["name"]) or _member(column["name"])
            known = [
                other.fields[name].type
                for other in (old.type, entity_type)
                if name in other.fields
            ]
            properties[name] = _schema_of(dialect, _kind(column["type"]), known)
    schema = {"type": "object", "properties": properties}
    recorded = Recorded(schema)
    return recorded_layout(
        dialect, entity_type.name, version, recorded, table_name=table_name
    )


def cursor_of(connection: sa.Connection) -> Cursor:
    """Return a cursor of the driver in the connection's transaction."""
    driver: Connection | None = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection is closed")
    return driver.cursor()


def recorded_layout(
    dialect: Dialect,
    name: str,
    version: int,
    recorded: Recorded,
    *,
    table_name: str = "",
) -> Layout:
    """Return the layout of the table as a recorded schema version has it.

    ``table_name`` is its name while it is filled under another one.
    """
    entity_type = EntityType(
        name=name,
        kind=Kind.TYPED,
        schema_version=version,
        schema=recorded.schema,
        validate=lambda data: data,
        commands={},
        unique=recorded.unique,
        indexes=recorded.indexes,
    )
    return layout_of(entity_type, dialect, table_name=table_name)


def has_column_type(dialect: Dialect, column: Any, field: FieldType) -> bool:
    """Return whether a column's SQL type is the one for a field of that type."""
    found = dialect.column_type(_kind(column))
    return found == dialect.column_type(field if field in COLUMN_TYPES else None)


def _member(column: str) -> str:
    """Return the member that a column belongs to."""
    bare = column.removeprefix("data_")
    return bare if bare in RESERVED else column


def _kind(sql_type: sa.types.TypeEngine[Any]) -> FieldType | None:
    for known, kind in SQL_KINDS:
        if isinstance(sql_type, known):
            return kind
    return None


def _schema_of(
    dialect: Dialect,
    kind: FieldType | None,
    known: list[FieldType],
) -> Mapping[str, object]:
    """Return the schema of a column, by a known version with a column of that kind."""
    column = dialect.column_type(kind)
    fitting = (
        field_type for field_type in known if dialect.column_type(field_type) == column
    )
    field_type = next(fitting, kind)
    return schema_of(field_type) if field_type in COLUMN_TYPES else {}
