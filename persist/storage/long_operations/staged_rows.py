"""Staged rows: new rows of a collection that are made ready before their
transaction."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, cast

import sqlalchemy as sa
from sqlalchemy.schema import CreateView

from persist.domain.errors import UniqueViolation
from persist.domain.record import Record
from persist.storage.dialect import Dialect
from persist.storage.dialect.columns import INTEGER
from persist.storage.layout import Layout, unique_violation
from persist.storage.long_operations.staged_changes import (
    STAGED_CHANGES,
    key_column,
    temporary,
)
from persist.storage.sql import (
    Clause,
    Row,
    Session,
    SqlCondition,
    SqlExpression,
    constant,
)


class StagedViolation(NamedTuple):
    """The change that violates a unique constraint, and the refusal for it."""

    number: int
    id: str
    reason: UniqueViolation


class NewRows(Protocol):
    """The new rows of one collection in a staging.

    Each belongs to the change that has its key.
    """

    def rows_of(self, records: Sequence[Record]) -> list[Row]:
        """Return what is added of records."""

    def add(self, keys: Iterable[int], rows: Sequence[Row]) -> None:
        """Add what ``rows_of`` returned, as much as one statement takes at most."""

    def remove(self, workspace: str, ids: Sequence[str]) -> None:
        """Remove the rows of some records, whose changes have been removed."""

    def remove_stored(self, table: sa.Table) -> None:
        """Remove the records of a table that staged ones replace."""

    def store(self, table: sa.Table) -> None:
        """Copy all rows into a table."""

    def violations(self, limit: int) -> list[StagedViolation]:
        """Return the first changes whose records have a unique value that an earlier
        one has, or a stored record that is not replaced."""

    def drop(self) -> None:
        """Remove everything."""


class StagedRows:
    """New rows of a collection, without the values that their changes already have.

    What remains, the member columns of a class, is in a temporary table. A temporary
    view has the rows in the form of the collection's table.
    """

    def __init__(
        self,
        session: Session[Dialect],
        layout: Layout,
        number: int,
        at: str,
    ) -> None:
        dialect = session.dialect
        metadata = sa.MetaData()
        self._session = session
        self._layout = layout
        self._members = _table_of_members(layout, metadata, number)
        self._insert = dialect.inserter(self._members)
        if layout.columns:
            create = temporary(dialect, self._members)
            session.execute(create)
        # The form of the collection's table, and the number of the change.
        name = f"_staged_rows_{number}"
        self._view = layout.table.to_metadata(metadata, name=name)
        change_number = sa.Column("number", INTEGER)
        self._view.append_column(change_number)
        rows = _rows(layout, self._members, at)
        view = CreateView(
            rows,
            name,
            temporary=True,
        )
        created = dialect.ddl(view)
        session.execute(created)

    def drop(self) -> None:
        self._session.execute(f"DROP VIEW {self._view.name}")
        if self._layout.columns:
            self._session.execute(f"DROP TABLE {self._members.name}")

    def rows_of(self, records: Sequence[Record]) -> list[Row]:
        if not self._layout.columns:
            return []
        return list(map(self._layout.data_of, records))

    def add(
        self,
        keys: Iterable[int],
        rows: Sequence[Row],
    ) -> None:
        if not rows:
            return
        keyed = []
        for key, row in zip(keys, rows, strict=True):
            keyed.append((key, *row))
        self._insert(self._session.cursor, keyed)

    def remove(
        self,
        workspace: str,
        ids: Sequence[str],
    ) -> None:
        """Do nothing: what has no change is not in the view."""

    def store(self, table: sa.Table) -> None:
        # By name: a migration may have added columns in another order.
        columns = self._layout.table.columns
        names = [column.name for column in columns]
        own = [self._view.c[name] for name in names]
        staged = sa.select(*own)
        insert = sa.insert(table)
        copied = insert.from_select(names, staged)
        self._run(copied)

    def remove_stored(self, table: sa.Table) -> None:
        columns = table.c
        key = sa.tuple_(columns.workspace, columns.id)
        own = self._view.c
        staged = sa.select(own.workspace, own.id)
        is_replaced = key.in_(staged)
        delete = sa.delete(table).where(is_replaced)
        self._run(delete)

    def violations(self, limit: int) -> list[StagedViolation]:
        found: dict[int, StagedViolation] = {}
        for index in self._view.indexes:
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
        number = self._view.c.number
        record_id = self._view.c.id
        stored = self._layout.table
        staged_keys = _keys(self._view, index)
        nth = sa.func.row_number().over(
            partition_by=staged_keys,
            order_by=number,
        )
        # Nulls are never equal to one another.
        present = [_is_present(key) for key in staged_keys]
        numbered = sa.select(number, record_id, nth.label("nth"))
        ranked = numbered.where(*present).subquery()
        # The first one of each value may stay.
        further = ranked.c.nth > sa.literal_column("1")
        among_them = sa.select(ranked.c.number, ranked.c.id)
        yield among_them.where(further).order_by(ranked.c.number)
        stored_keys = _keys(stored, index)
        pairs = zip(staged_keys, stored_keys, strict=True)
        same: list[SqlCondition] = [one == other for one, other in pairs]
        # A stored record that is replaced leaves its value to others.
        replacing = self._view.alias()
        is_replaced = sa.exists().where(
            replacing.c.workspace == stored.c.workspace,
            replacing.c.id == stored.c.id,
        )
        yield (
            sa.select(number, record_id)
            .select_from(self._view)
            .join(stored, sa.and_(*same))
            .where(~is_replaced)
            .order_by(number)
        )

    def _run(self, statement: Clause) -> list[Row]:
        """Run a statement and return its rows, none if it is not a query."""
        compiled = self._session.dialect.compile(statement)
        cursor = compiled.run(self._session.cursor, {})
        if not isinstance(statement, sa.Select):
            return []
        return cursor.fetchall()


def _table_of_members(
    layout: Layout,
    metadata: sa.MetaData,
    number: int,
) -> sa.Table:
    """Return the table that has the columns of the members by the key of a row."""
    members = []
    for column in layout.columns.values():
        member = sa.Column(column.name, column.type)
        members.append(member)
    return sa.Table(
        f"_staged_members_{number}",
        metadata,
        key_column("row"),
        *members,
    )


def _rows(
    layout: Layout,
    members: sa.Table,
    at: str,
) -> sa.Select[Any]:
    """Return the query for the rows of a collection as its table has them, and for the
    numbers of their changes."""
    change = STAGED_CHANGES.c
    # Null if it is the time of the change.
    updated_at = sa.func.coalesce(
        change.updated_at,
        constant(at),
    )
    rows = sa.select(
        change.workspace,
        change.id,
        change.revision,
        change.schema_version,
        change.created_at,
        updated_at.label("updated_at"),
    )
    name = constant(layout.type.name)
    of_collection = change.collection == name
    rows = rows.where(of_collection)
    if not layout.columns:
        return rows.add_columns(
            change.data,
            change.number,
        )
    columns = [members.c[column.name] for column in layout.columns.values()]
    is_row = members.c.row == change.row
    return rows.add_columns(
        *columns,
        change.number,
    ).join_from(STAGED_CHANGES, members, is_row)


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
