"""Next table: the table that replaces the table of a class. It is filled under another
name while others read and write, and takes the name of the old table at the end.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.sql import quoted_name

from persist.storage.dialect import Dialect
from persist.storage.entity_types.definitions import Definitions
from persist.storage.layout import Layout, indexes_by_name
from persist.storage.migrations.class_comparison import own_indexes
from persist.storage.migrations.next_tables import retire_table
from persist.storage.sql import Session

PRIMARY_KEY_INDEX = re.compile("sqlite_autoindex_.*|.*_pkey")
"""The names that databases give the index of a primary key."""

ON_TABLE = re.compile(r"\s*ALTER\s+TABLE\s+\{table\}\s", re.IGNORECASE)
"""The statements of steps that may run on a table of another name."""


def can_be_swapped(
    connection: sa.Connection,
    current: Layout,
    statements: Iterable[str],
) -> bool:
    """Return whether another table may replace the current one.

    Triggers, views, privileges and indexes that others attached to the current one
    would be lost. ``statements`` are those of the step, with placeholders.
    """
    if not all(map(ON_TABLE.match, statements)):
        return False
    table = current.table.name
    dialect = current.dialect
    attached = connection.exec_driver_sql(dialect.attached_objects, (table,))
    if attached.first() is not None:
        return False
    names = set()
    for row in connection.exec_driver_sql(dialect.index_names, (table,)):
        names.add(str(row[0]))
    own_names = own_indexes(connection, current)
    return all(map(PRIMARY_KEY_INDEX.fullmatch, names - own_names))


class NextTable:
    """The next table of a class: ``create``, ``add_indexes``, ``swap``."""

    def __init__(
        self,
        session: Session[Dialect],
        current: str,
        name: str,
    ) -> None:
        self.name = name
        self._session = session
        self._current = current
        self._indexes: dict[str, str] = {}

    @classmethod
    def create(cls, session: Session[Dialect], current: str) -> "NextTable":
        """Create a table of the same columns under a name that was never used."""
        name = Definitions(session).next_table()
        session.dialect.create_empty_copy(session.cursor, current, name)
        return cls(session, current, name)

    def add_indexes(
        self,
        layout: Layout,
        names: Collection[str],
        add: Callable[[Layout, sa.Index], None],
    ) -> None:
        """Have ``add`` create the indexes of a layout whose names are in ``names``.

        They have other names until ``swap``.
        """
        moved = _moved(layout, self.name)
        indexes = indexes_by_name(moved.table)
        for number, name in enumerate(indexes):
            if name not in names:
                continue
            present = f"{self.name}_{number}"
            index = indexes[name]
            index.name = quoted_name(present, quote=None)
            add(moved, index)
            self._indexes[present] = name

    def swap(self, names: Iterable[str]) -> None:
        """Take the name of the current table, which has indexes of these names.

        The current table gets a name that no process knows.
        """
        _, _, number = self.name.rpartition("_")
        for position, name in enumerate(names):
            self._rename_index(name, f"_retired_{number}_{position}")
        retire_table(self._session, self._current, number)
        for present, name in self._indexes.items():
            self._rename_index(present, name)
        self._session.execute(f"ALTER TABLE {self.name} RENAME TO {self._current}")

    def _rename_index(self, present: str, name: str) -> None:
        session = self._session
        dialect = session.dialect
        dialect.rename_index(session.cursor, present, name)


def _moved(layout: Layout, name: str) -> Layout:
    """Return a layout whose table and indexes are those of another table."""
    table = layout.table.to_metadata(sa.MetaData(), name=name)
    columns = {
        member: table.c[column.name] for member, column in layout.columns.items()
    }
    return replace(layout, table=table, columns=columns)
