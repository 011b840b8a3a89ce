"""Staged rows: new rows of a collection that are made ready before their
transaction."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, cast

import sqlalchemy as sa

from persist.storage.dialect import Dialect
from persist.storage.layout import Layout
from persist.storage.sql import (
    Clause,
    Row,
    Session,
    SqlCondition,
    SqlExpression,
)
from persist.storage.staged_changes import STAGED_CHANGES, temporary


class StagedRows:
    """New rows of one collection in a temporary table of the same form."""

    def __init__(
        self,
        session: Session[Dialect],
        layout: Layout,
        number: int,
    ) -> None:
        self._session = session
        self._layout = layout
        name = f"_staged_rows_{number}"
        metadata = sa.MetaData()
        self._table = layout.table.to_metadata(metadata, name=name)
        self._insert = session.dialect.inserter(self._table)
        create = temporary(session.dialect, self._table)
        session.execute(create)

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows, as many as one statement takes at most."""
        self._insert(self._session.cursor, rows)

    def remove(
        self,
        workspace: str,
        ids: Sequence[str],
    ) -> None:
        """Remove the rows of some records."""
        table = self._table
        one_of = self._session.dialect.one_of(table.c.id, "ids")
        in_workspace = table.c.workspace == sa.bindparam("workspace")
        delete = sa.delete(table).where(in_workspace, one_of)
        self._run(
            delete,
            workspace=workspace,
            ids=self._session.dialect.bound_list(ids),
        )

    def store(self, table: sa.Table) -> None:
        """Copy them into a table."""
        columns = self._table.columns
        names = [column.name for column in columns]
        staged = sa.select(*columns)
        insert = sa.insert(table)
        copied = insert.from_select(names, staged)
        self._run(copied)

    def first_violation(self) -> int | None:
        """Return the number of the first change whose record has a unique value that
        an earlier one or a stored record has."""
        unique = [index for index in self._table.indexes if index.unique]
        queries = map(self._violations, unique)
        found: list[int] = []
        for query in chain.from_iterable(queries):
            rows = self._run(query)
            number = rows[0][0]
            if number is not None:
                found.append(number)
        return min(found, default=None)

    def _violations(self, index: sa.Index) -> Iterator[Clause]:
        """Yield the queries for the first violation of a unique index: among the staged
        rows, and with stored ones."""
        number = STAGED_CHANGES.c.number
        staged_keys = _keys(self._table, index)
        nth = sa.func.row_number().over(
            partition_by=staged_keys,
            order_by=number,
        )
        present = [_is_present(key) for key in staged_keys]
        numbered = sa.select(number, nth.label("nth"))
        ranked = (
            numbered.select_from(self._table)
            .join(STAGED_CHANGES, self._is_change)
            .where(*present)
            .subquery()
        )
        first_ranked = sa.func.min(ranked.c.number)
        is_further = ranked.c.nth > 1
        yield sa.select(first_ranked).where(is_further)
        stored_keys = _keys(self._layout.table, index)
        pairs = zip(staged_keys, stored_keys, strict=True)
        same: list[SqlCondition] = [one == other for one, other in pairs]
        first = sa.func.min(number)
        yield (
            sa.select(first)
            .select_from(self._table)
            .join(STAGED_CHANGES, self._is_change)
            .join(self._layout.table, sa.and_(*same))
        )

    @property
    def _is_change(self) -> SqlCondition:
        """The condition that a staged change is that of a staged row."""
        staged = self._table.c
        changes = STAGED_CHANGES.c
        return sa.and_(
            changes.workspace == staged.workspace,
            changes.id == staged.id,
        )

    def _run(self, statement: Clause, **values: Any) -> list[Row]:
        """Run a statement and return its rows, none if it is not a query."""
        dialect = self._session.dialect
        compiled = dialect.compile(statement)
        cursor = compiled.run(self._session.cursor, values)
        if not isinstance(statement, sa.Select):
            return []
        return cursor.fetchall()


def _keys(table: sa.Table, index: sa.Index) -> list[SqlExpression]:
    """Return the keys of the index that has this name in a table."""
    for other in table.indexes:
        if other.name == index.name:
            keys = list(other.expressions)
            return cast(list[SqlExpression], keys)
    raise LookupError(index.name)


def _is_present(key: SqlExpression) -> SqlCondition:
    text = sa.type_coerce(key, sa.Text())
    return text.is_not(None)
