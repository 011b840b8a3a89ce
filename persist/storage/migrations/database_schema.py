"""The tables of a database: creating, upgrading and comparing them with the models."""

import warnings
from collections.abc import Iterable

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from persist.domain.entity_type import EntityType
from persist.storage.dialect import Dialect
from persist.storage.layout import layout_of
from persist.storage.long_operations.exclusive import (
    exclusive_connection,
    exclusive_transaction,
)
from persist.storage.long_operations.progress import OnProgress, ignore_progress
from persist.storage.migrations.class_comparison import (
    ClassChanges,
    class_changes,
    compare,
    update_indexes,
)
from persist.storage.migrations.migrator import (
    Pending,
    migrate,
    pending,
    run_steps,
    staging_connection,
)
from persist.storage.migrations.table_upgrades import (
    add_missing_columns,
    seal_journal,
    summarize_snapshots,
)
from persist.storage.migrations.table_versions import (
    record_version,
    stored_version,
)
from persist.storage.tables import (
    DEFINITIONS,
    JOURNAL_FIRST,
    JOURNAL_HEAD,
    METADATA,
    REGISTRY_HEAD,
)

SINGLE_ROWS: tuple[tuple[sa.Table, dict[str, int]], ...] = (
    (JOURNAL_HEAD, {"seq": 0}),
    (JOURNAL_FIRST, {"seq": 1}),
    (REGISTRY_HEAD, {"epoch": 0, "documents": 0}),
)
"""The tables of one row, with its first values."""


class SchemaMismatch(Exception):
    """The database's tables do not fit this code; the message says which."""


def prepare(
    dialect: Dialect,
    types: Iterable[EntityType],
    *,
    auto_migrate: bool = True,
    progress: OnProgress = ignore_progress,
) -> list[Pending]:
    """Create missing tables and bring up to date those that are behind.

    Returns what was brought up to date. One process does so at a time; others wait and
    find it done. Raises ``SchemaMismatch`` if a table is ahead of the code, or behind
    it and ``auto_migrate`` is off, or if a class differs from what was recorded for its
    schema version, and ``MigrationStopped``.
    """
    types = list(types)
    due = _created(dialect, types, auto_migrate=auto_migrate)
    seal_journal(dialect, progress)
    summarize_snapshots(dialect)
    if due and not auto_migrate:
        behind = ", ".join(
            f"{work.type.name} ({work.stored_version} to {work.type.schema_version})"
            for work in due
        )
        raise SchemaMismatch(
            f"tables are behind the code: {behind}; run `persist migrate`"
        )
    for work in due:
        migrate(dialect, work, progress)
    return due


def _created(
    dialect: Dialect, types: list[EntityType], *, auto_migrate: bool
) -> list[Pending]:
    engine = dialect.engine()
    try:
        with exclusive_connection(engine, dialect) as connection:
            _create(connection, dialect, types)
            found = _update_indexes(connection, dialect, types)
            # Raised inside, so that it is rolled back.
            if found and not auto_migrate:
                raise SchemaMismatch(f"{'; '.join(found)}; run `persist migrate`")
            return pending(connection, dialect, types)
    finally:
        engine.dispose()


def rehearse(dialect: Dialect, types: Iterable[EntityType]) -> list[str]:
    """Do what ``prepare`` does in one transaction, and roll it back.

    Returns a sentence for each index that would be created or dropped. Raises
    ``SchemaMismatch`` and ``MigrationStopped``.
    """
    types = list(types)
    with (
        staging_connection(dialect) as (staging, connection),
        exclusive_transaction(connection, dialect, end="ROLLBACK"),
    ):
        _create(connection, dialect, types)
        found = _update_indexes(connection, dialect, types)
        # In one transaction, because nothing of it may stay.
        run_steps(connection, staging, pending(connection, dialect, types))
    return found


def _create(
    connection: sa.Connection, dialect: Dialect, types: list[EntityType]
) -> None:
    """Create the functions of expressions, and missing tables and columns."""
    for statement in dialect.function_statements():
        connection.exec_driver_sql(statement)
    add_missing_columns(connection)
    _metadata(dialect, types).create_all(connection)
    for table, row in SINGLE_ROWS:
        if connection.scalar(sa.select(sa.func.count()).select_from(table)) == 0:
            connection.execute(table.insert().values(row))
    # A database that cannot be written is noticed here, not by the first client.
    connection.execute(sa.update(JOURNAL_HEAD).values(seq=JOURNAL_HEAD.c.seq))


def _update_indexes(
    connection: sa.Connection, dialect: Dialect, types: list[EntityType]
) -> list[str]:
    """Compare each class with its recorded version and update indexes.

    Returns a sentence for each index that was created or dropped. Raises
    ``SchemaMismatch`` for every other difference.
    """
    known = [each for each in types if _is_known(connection, dialect, each)]
    comparisons = [compare(connection, dialect, each) for each in known]
    faults = [fault for each in comparisons for fault in each.faults]
    if faults:
        raise SchemaMismatch("\n".join(faults))
    for comparison in comparisons:
        update_indexes(connection, comparison)
    return [text for each in comparisons for text in each.differences()]


def _is_known(
    connection: sa.Connection, dialect: Dialect, entity_type: EntityType
) -> bool:
    """Return whether the database has recorded this schema version of a type.

    A type that it does not know at all is recorded. Raises ``SchemaMismatch``.
    """
    stored = stored_version(connection, entity_type.name)
    if stored is None:
        record_version(connection, dialect, entity_type)
    elif stored > entity_type.schema_version:
        raise SchemaMismatch(_ahead(entity_type, stored))
    return stored == entity_type.schema_version


def class_differences(dialect: Dialect, types: Iterable[EntityType]) -> dict[str, str]:
    """Return what differs between classes and what the database recorded for their
    schema versions, by collection; change nothing."""
    engine = dialect.engine()
    try:
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table(DEFINITIONS.name):
                return {}
            found = {
                each.name: compare(connection, dialect, each).differences()
                for each in types
                if stored_version(connection, each.name) == each.schema_version
            }
    finally:
        engine.dispose()
    return {name: "; ".join(texts) for name, texts in found.items() if texts}


def changes_of(dialect: Dialect, entity_type: EntityType) -> ClassChanges | None:
    """Return what changed in a class since the schema version of its table."""
    engine = dialect.engine()
    try:
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table(DEFINITIONS.name):
                return None
            return class_changes(connection, dialect, entity_type)
    finally:
        engine.dispose()


def _ahead(entity_type: EntityType, stored: int) -> str:
    name = entity_type.name
    known = entity_type.schema_version
    return (
        f"the table of {name} is at schema version {stored}, this code knows {known}: a"
        " newer version of the service has migrated it; run that one"
    )


def ahead(dialect: Dialect, types: Iterable[EntityType]) -> dict[str, str]:
    """Return a sentence for each table that a newer release has migrated."""
    engine = dialect.engine()
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(DEFINITIONS.name):
            return {}
        versions = [
            (entity_type, stored_version(connection, entity_type.name) or 0)
            for entity_type in types
        ]
    return {
        entity_type.name: _ahead(entity_type, stored)
        for entity_type, stored in versions
        if stored > entity_type.schema_version
    }


def due(dialect: Dialect, types: Iterable[EntityType]) -> list[Pending]:
    """Return what ``prepare`` would bring up to date; changes nothing."""
    engine = dialect.engine()
    try:
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table(DEFINITIONS.name):
                return []
            return pending(connection, dialect, types)
    finally:
        engine.dispose()


def drift(dialect: Dialect, types: Iterable[EntityType]) -> list[str]:
    """Return every difference between the database's tables and the models."""
    engine = dialect.engine()
    expected = _metadata(dialect, types)

    def is_ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name in expected.tables

    with engine.connect() as connection, warnings.catch_warnings():
        # It cannot read indexes over expressions; ``class_comparison`` looks at these.
        warnings.simplefilter("ignore")
        context = MigrationContext.configure(
            connection, opts={"include_name": is_ours, "compare_type": True}
        )
        differences = compare_metadata(context, expected)
    engine.dispose()
    return [_described(difference) for difference in differences]


def _described(difference: object) -> str:
    if isinstance(difference, list):
        return "; ".join(_described(part) for part in difference)
    if not isinstance(difference, tuple):
        return str(difference)
    kind, *rest = difference
    named = [str(getattr(part, "name", part)) for part in rest if part is not None]
    return f"{str(kind).replace('_', ' ')}: {', '.join(named)}"


def _metadata(dialect: Dialect, types: Iterable[EntityType]) -> sa.MetaData:
    metadata = sa.MetaData()
    for table in METADATA.tables.values():
        table.to_metadata(metadata)
    for entity_type in types:
        layout_of(entity_type, dialect, metadata=metadata)
    return metadata
