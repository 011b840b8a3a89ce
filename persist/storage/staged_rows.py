"""Staged rows: new rows of a collection that are made ready before their
transaction."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import sqlalchemy as sa

from persist.domain.errors import UniqueViolation
from persist.storage.dialect import Dialect
from persist.storage.layout import Layout, unique_violation
from persist.storage.sql import (
    Clause,
    Row,
    Session,
    SqlCondition,
    SqlExpression,
)
from persist.storage.staged_changes import STAGED_CHANGES, temporary


class StagedViolation(NamedTuple):
    """The change that violates a unique constraint, and the refusal for it."""

    number: int
    id: str
    reason: UniqueViolation


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

    def remove_stored(self, table: sa.Table) -> None:
        """Remove the records of a table that staged ones replace."""
        columns = table.c
        key = sa.tuple_(columns.workspace, columns.id)
        own = self._table.c
        staged = sa.select(own.workspace, own.id)
        is_replaced = key.in_(staged)
        delete = sa.delete(table).where(is_replaced)
        self._run(delete)

    def staged_ids(
        self,
        workspace: str,
        ids: Sequence[str],
    ) -> set[str]:
        """Return which of some ids are staged."""
        table = self._table
        one_of = self._session.dialect.one_of(table.c.id, "ids")
        in_workspace = table.c.workspace == sa.bindparam("workspace")
        selected = sa.select(table.c.id).where(in_workspace, one_of)
        rows = self._run(
            selected,
            workspace=workspace,
            ids=self._session.dialect.bound_list(ids),
        )
        return {record_id for (record_id,) in rows}

    def violations(self, limit: int) -> list[StagedViolation]:
        """Return the first changes whose records have a unique value that an earlier
        one has, or a stored record that is not replaced."""
        found: dict[int, StagedViolation] = {}
        for index in self._table.indexes:
            if index.unique:
                for violation in self._violations_of(index, limit):
                    found.setdefault(violation.number, violation)
        return [violation for _, violation in sorted(found.items())][:limit]

    def _violations_of(
        self,
        index: sa.Index,
        limit: int,
    ) -> Iterator[StagedViolation]:
        name = str(index.name)
        reason = unique_violation([self._layout], name)
        if reason is None:
            raise LookupError(name)
        for query in self._violations(index):
            limited = query.limit(limit)
            for number, record_id in self._run(limited):
                yield StagedViolation(number, record_id, reason)

    def _violations(self, index: sa.Index) -> Iterator[sa.Select[Any]]:
        """Yield the queries for the violations of a unique index: among the staged
        rows, and with stored ones."""
        changes = STAGED_CHANGES.c
        number = changes.number
        record_id = changes.id
        stored = self._layout.table
        staged_keys = _keys(self._table, index)
        nth = sa.func.row_number().over(
            partition_by=staged_keys,
            order_by=number,
        )
        present = [_is_present(key) for key in staged_keys]
        numbered = sa.select(number, record_id, nth.label("nth"))
        ranked = (
            numbered.select_from(self._table)
            .join(STAGED_CHANGES, self._is_change)
            .where(*present)
            .subquery()
        )
        further = ranked.c.nth > sa.literal_column("1")
        among_them = sa.select(ranked.c.number, ranked.c.id)
        yield among_them.where(further).order_by(ranked.c.number)
        stored_keys = _keys(stored, index)
        pairs = zip(staged_keys, stored_keys, strict=True)
        same: list[SqlCondition] = [one == other for one, other in pairs]
        replacing = self._table.alias()
        is_replaced = sa.exists().where(
            replacing.c.workspace == stored.c.workspace,
            replacing.c.id == stored.c.id,
        )
        yield (
            sa.select(number, record_id)
            .select_from(self._table)
            .join(STAGED_CHANGES, self._is_change)
            .join(stored, sa.and_(*same))
            .where(~is_replaced)
            .order_by(number)
        )

    @property
    def _is_change(self) -> SqlCondition:
        """The condition that a staged change is that of a staged row."""
        staged = self._table.c
        changes = STAGED_CHANGES.c
        return sa.and_(
            changes.collection == self._layout.type.name,
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
