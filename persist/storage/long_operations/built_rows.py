"""Built rows: new rows of a collection that go into its table at once, because nobody
else uses that yet."""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from persist.domain.record import Record
from persist.storage.dialect import Dialect
from persist.storage.layout import Layout
from persist.storage.long_operations.staged_rows import StagedViolation
from persist.storage.sql import Row, Session


class BuiltRows:
    """``staged_rows.NewRows`` of a table that is built."""

    def __init__(
        self,
        session: Session[Dialect],
        layout: Layout,
    ) -> None:
        self._session = session
        self._layout = layout
        self._insert = session.dialect.inserter(layout.table)

    def rows_of(self, records: Sequence[Record]) -> list[Row]:
        return list(map(self._layout.row, records))

    def add(
        self,
        keys: Iterable[int],
        rows: Sequence[Row],
    ) -> None:
        self._insert(self._session.cursor, rows)

    def remove(
        self,
        workspace: str,
        ids: Sequence[str],
    ) -> None:
        dialect = self._session.dialect
        table = self._layout.table
        one_of = dialect.one_of(table.c.id, "ids")
        in_workspace = table.c.workspace == sa.bindparam("workspace")
        delete = sa.delete(table).where(in_workspace, one_of)
        compiled = dialect.compile(delete)
        values = {
            "workspace": workspace,
            "ids": dialect.bound_list(ids),
        }
        compiled.run(self._session.cursor, values)

    def remove_stored(self, table: sa.Table) -> None:
        """Do nothing: the table has no others."""

    def store(self, table: sa.Table) -> None:
        """Do nothing: the rows are in the table."""

    def violations(self, limit: int) -> list[StagedViolation]:
        """Return none: they are looked for before the unique indexes are created."""
        return []

    def drop(self) -> None:
        """Do nothing: what nobody uses is swept."""
