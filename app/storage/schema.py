"""The tables of a database: made when they are missing, compared with what the code expects."""

import json
from collections.abc import Iterable

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from app.domain.entity_type import EntityType
from app.storage.dialect import Dialect
from app.storage.layout import layout_of
from app.storage.tables import DEFINITIONS, JOURNAL_HEAD, METADATA, REGISTRY_HEAD
from app.storage.unit_of_work import now


class SchemaMismatch(Exception):
    """The database's tables are not the ones this code works with; the message says which."""


def prepare(dialect: Dialect, types: Iterable[EntityType]) -> None:
    """Make the tables that are missing and record the schema version of each entity type; one
    process at a time. Raises ``SchemaMismatch`` where a table has another schema version."""
    engine = dialect.engine()
    metadata = _metadata(dialect, types)
    with engine.connect() as connection:
        connection.exec_driver_sql(dialect.begin_exclusive)
        metadata.create_all(connection)
        for head, first in ((JOURNAL_HEAD, {"seq": 0}), (REGISTRY_HEAD, {"epoch": 0, "documents": 0})):
            if connection.scalar(sa.select(sa.func.count()).select_from(head)) == 0:
                connection.execute(head.insert().values(first))
        for type in types:
            _record_version(connection, type)
        connection.exec_driver_sql("COMMIT")
    engine.dispose()


def _record_version(connection: sa.Connection, type: EntityType) -> None:
    named = sa.select(DEFINITIONS.c.schema_version).where(DEFINITIONS.c.name == type.name)
    stored = connection.scalar(named.where(DEFINITIONS.c.current))
    if stored is None:
        connection.execute(
            DEFINITIONS.insert().values(
                name=type.name,
                schema_version=type.schema_version,
                kind=type.kind.value,
                current=True,
                at=now(),
                definition=json.dumps({"schema": dict(type.schema)}),
            )
        )
    elif stored != type.schema_version:
        raise SchemaMismatch(
            f"the table of {type.name} is at schema version {stored}, the code at {type.schema_version}"
        )


def drift(dialect: Dialect, types: Iterable[EntityType]) -> list[str]:
    """Every difference between the database's tables and the models, in words."""
    engine = dialect.engine()
    expected = _metadata(dialect, types)

    def ours(object: sa.schema.SchemaItem, name: str | None, kind: str, reflected: bool, other: object) -> bool:
        return kind != "table" or name in expected.tables

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
        differences = compare_metadata(context, expected)
    engine.dispose()
    return [_words(difference) for difference in differences]


def _words(difference: object) -> str:
    if isinstance(difference, list):
        return "; ".join(_words(part) for part in difference)
    if not isinstance(difference, tuple):
        return str(difference)
    kind, *rest = difference
    return f"{str(kind).replace('_', ' ')}: {', '.join(str(part) for part in rest if part is not None)}"


def _metadata(dialect: Dialect, types: Iterable[EntityType]) -> sa.MetaData:
    metadata = sa.MetaData()
    for table in METADATA.tables.values():
        table.to_metadata(metadata)
    for type in types:
        layout_of(type, dialect, metadata=metadata)
    return metadata
