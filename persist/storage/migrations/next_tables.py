"""Next tables: the next table of a type is filled while others write.

It is created, filled and indexed in separate transactions. No definition names it yet,
so nobody else uses it. The transaction that stores the definition renames the old
table, so that a process that reads by the old version of a registered type gets an
error and no wrong data. Unused tables are dropped afterwards: the old table, and tables
of an operation that failed or was killed.
"""

import logging
import re
from contextlib import closing

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable, DropTable

from persist.domain.entity_type import EntityType
from persist.storage.dialect import Dialect
from persist.storage.entity_types.definitions import Definitions
from persist.storage.layout import DOCUMENT_TABLE, Layout, layout_of
from persist.storage.long_operations.staging import Staging
from persist.storage.sql import Session

logger = logging.getLogger(__name__)

RETIRED = re.compile(r"_retired_\d+")


def create_table(
    session: Session[Dialect],
    entity_type: EntityType,
) -> Layout:
    """Create a table without indexes for a registered type, under a new name."""
    dialect = session.dialect
    definitions = Definitions(session)
    name = definitions.next_table()
    layout = layout_of(entity_type, dialect, table_name=name)
    create = CreateTable(layout.table)
    session.execute(dialect.ddl(create))
    return layout


def retire_table(
    session: Session[Dialect],
    name: str,
    number: str,
) -> None:
    """Rename a table that is no longer used to ``_retired_<number>``. ``number`` is
    that of the table that replaces it, so that the name is unique."""
    session.execute(f"ALTER TABLE {name} RENAME TO _retired_{number}")


def drop_unused_tables(dialect: Dialect) -> None:
    """Drop the tables that no definition has and that nobody builds.

    A table that cannot be dropped now is left for the next time.
    """
    try:
        with closing(Staging(dialect)) as staging:
            staging.open()
            staging.builds = True
            for name in _unused(staging.session):
                logger.info("dropping %s, which is no longer used", name)
                table = sa.Table(name, sa.MetaData())
                drop = DropTable(table, if_exists=True)
                sql = dialect.ddl(drop)
                with staging.transaction(is_long=True):
                    staging.session.execute(sql)
    except Exception as error:
        if not dialect.is_driver_error(error):
            raise
        logger.warning("tables that are no longer used are left: %s", error)


def _unused(session: Session[Dialect]) -> list[str]:
    with session.dialect.sweeping_turn() as nobody_builds:
        # Before the definitions: a table that is created after this is not in the list.
        rows = session.execute(session.dialect.table_names).fetchall()
        names = [name for (name,) in rows]
        unused = list(filter(RETIRED.fullmatch, names))
        if nobody_builds:
            unused += _undefined(session, names)
        return unused


def _undefined(
    session: Session[Dialect],
    names: list[str],
) -> list[str]:
    """Return the tables of registered types that no definition has."""
    definitions = Definitions(session)
    used = {definition.table_name for definition in definitions.current()}
    return [
        name for name in filter(DOCUMENT_TABLE.fullmatch, names) if name not in used
    ]
