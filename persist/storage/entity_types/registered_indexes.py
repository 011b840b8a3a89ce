"""Indexes of registered types: they are created, and brought up to date at start.

A release may index another expression of a member than the one before.
"""

import logging

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex

from persist.domain.errors import UniqueViolation, Violation
from persist.storage.dialect import Dialect
from persist.storage.entity_types.catalog import Catalog
from persist.storage.layout import Layout, indexes_by_name
from persist.storage.long_operations.exclusive import exclusive_connection
from persist.storage.migrations.class_comparison import duplicates, own_indexes
from persist.storage.sql import Session

logger = logging.getLogger(__name__)


def create_index(session: Session[Dialect], index: sa.Index) -> None:
    """Create an index."""
    create = CreateIndex(index)
    session.execute(session.dialect.ddl(create))


def check_unique(session: Session[Dialect], layout: Layout, index: sa.Index) -> None:
    """Raise ``UniqueViolation`` with samples if stored records share a value.

    The database would only say that the index cannot be created.
    """
    table = layout.table
    expressions = list(index.expressions)
    texts = [sa.type_coerce(expression, sa.Text()) for expression in expressions]
    present = [text.is_not(None) for text in texts]
    first = sa.func.min(table.c.id)
    last = sa.func.max(table.c.id)
    is_shared = sa.func.count() > sa.literal_column("1")
    shared = (
        sa.select(first, last)
        .where(*present)
        .group_by(*expressions)
        .having(is_shared)
        .limit(sa.literal_column("10"))
    )
    statement = session.dialect.compile(shared)
    found = statement.run(session.cursor, {}).fetchall()
    if found:
        named = " and ".join(layout.unique[str(index.name)])
        samples = [
            Violation("/unique", f"{one} and {other} have the same {named}")
            for one, other in found
        ]
        raise UniqueViolation(f"stored records share values of {named}", errors=samples)


def update_registered_indexes(
    dialect: Dialect, catalog: Catalog, *, auto_migrate: bool = True
) -> list[str]:
    """Replace the indexes that are not those of the definitions; return the types.

    A unique index stays as it is if stored records break the new one, with a warning.
    Without ``auto_migrate`` all stay as they are, with a warning.
    """
    outdated = outdated_types(dialect, catalog)
    if not outdated:
        return []
    if not auto_migrate:
        logger.warning(
            "the indexes of %s are those of another release and stay as they are;"
            " `persist migrate` replaces them",
            " and ".join(outdated),
        )
        return []
    engine = dialect.engine()
    try:
        with exclusive_connection(engine, dialect) as connection:
            _refresh(dialect, catalog)
            for layout in _outdated(connection, catalog):
                _replace(connection, layout)
    finally:
        engine.dispose()
    return outdated


def outdated_types(dialect: Dialect, catalog: Catalog) -> list[str]:
    """Return the registered types whose indexes are not those of their definitions."""
    engine = dialect.engine()
    try:
        with engine.connect() as connection:
            _refresh(dialect, catalog)
            return [layout.type.name for layout in _outdated(connection, catalog)]
    finally:
        engine.dispose()


def _refresh(dialect: Dialect, catalog: Catalog) -> None:
    reader = dialect.connect()
    try:
        catalog.refresh(Session(dialect, reader.cursor()))
    finally:
        reader.close()


def _outdated(connection: sa.Connection, catalog: Catalog) -> list[Layout]:
    return [
        layout
        for name, layout in sorted(catalog.layouts.items())
        if not catalog.is_typed(name)
        and own_indexes(connection, layout) != indexes_by_name(layout.table).keys()
    ]


def _replace(connection: sa.Connection, layout: Layout) -> None:
    present = own_indexes(connection, layout)
    expected = indexes_by_name(layout.table)
    for name, index in expected.items():
        if name in present:
            continue
        if index.unique and duplicates(connection, layout, index):
            paths = " and ".join(layout.unique[name])
            logger.warning(
                "stored records of %s have the same %s; the index of an earlier"
                " release stays until they differ",
                layout.type.name,
                paths,
            )
            return
        connection.execute(CreateIndex(index))
    for name in sorted(present - expected.keys()):
        connection.exec_driver_sql(f'DROP INDEX "{name}"')
