"""Pages in SQL: a ``Query`` of the domain becomes a statement.

It has the conditions of ``condition_sql``, the position after the page before, and the
order.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from persist.domain.query import (
    Call,
    Expression,
    Function,
    Member,
    Query,
    SortKey,
)
from persist.storage.dialect.columns import COLUMN_TYPES, TEXT
from persist.storage.queries.condition_sql import COMPARISONS, condition
from persist.storage.queries.record_source import RecordSource
from persist.storage.sql import SqlCondition, SqlExpression, big_integer


def _after(
    source: RecordSource,
    sort: tuple[SortKey, ...],
    position: tuple[object, ...],
    name: str = "a",
) -> SqlCondition:
    """Return the condition of records after a position.

    Its sort values are bound as ``a0``, ``a1`` and so on. It is one row comparison
    if no key can be null and all have one direction: an index serves that.
    Otherwise it is, for each key, that the ones before are equal and this one is after.
    """
    keys = [source.key(key.field) for key in sort]
    bounds = []
    for number, key in enumerate(sort):
        column_type = COLUMN_TYPES.get(key.field.type, TEXT)
        bounds.append(sa.bindparam(f"{name}{number}", type_=column_type))
    directions = {key.descending for key in sort}
    if len(directions) == 1 and not any(source.may_lack_key(key.field) for key in sort):
        is_after = _comparison(sort[0])
        if len(keys) == 1:
            return is_after(keys[0], bounds[0])
        return is_after(sa.tuple_(*keys), sa.tuple_(*bounds))
    nulls = _nulls(position)
    branches: list[SqlCondition] = []
    equal: list[SqlCondition] = []
    for key, value, bound, null in zip(
        sort,
        keys,
        bounds,
        nulls,
        strict=True,
    ):
        after = _is_after(
            source,
            key,
            value,
            bound,
            null,
        )
        branches.append(sa.and_(*equal, after))
        # Null equals nothing in SQL.
        equal.append(value.is_(None) if null else value == bound)
    return sa.or_(*branches)


def _comparison(key: SortKey) -> Callable[[SqlExpression, SqlExpression], SqlCondition]:
    """Return the comparison of a value with one that comes before it in the order."""
    if key.descending:
        return COMPARISONS[Function.LT]
    return COMPARISONS[Function.GT]


def _is_after(
    source: RecordSource,
    key: SortKey,
    value: SqlExpression,
    bound: SqlExpression,
    null: bool,
) -> SqlCondition:
    # The position is among the nulls, which are last: nothing comes after by this key.
    if null:
        return sa.false()
    after = _comparison(key)(value, bound)
    if source.may_lack_key(key.field):
        # Nulls come last in both directions.
        return sa.or_(after, value.is_(None))
    return after


def _order(
    source: RecordSource,
    key: SortKey,
) -> SqlExpression:
    value = source.key(key.field)
    ordered: SqlExpression = value.asc()
    if key.descending:
        ordered = value.desc()
    if source.may_lack_key(key.field):
        return ordered.nulls_last()
    return ordered


def where(
    source: RecordSource,
    query: Query,
) -> list[SqlCondition]:
    """Return the conditions of a query; its workspace is bound as ``workspace``."""
    found = source.conditions()
    if query.where is not None:
        found.append(condition(source, query.where))
    if query.after is not None:
        found.append(_after(source, query.sort, query.after))
    return found


def page(
    source: RecordSource,
    query: Query,
) -> sa.Select[Any]:
    """Return the statement of a page: the record's columns, then the sort values."""
    keys = [
        source.key(key.field).label(f"k{number}")
        for number, key in enumerate(query.sort)
    ]
    order = [_order(source, key) for key in query.sort]
    statement = (
        sa.select(*source.selected, *keys).where(*where(source, query)).order_by(*order)
    )
    if query.limit is None:
        return statement
    return statement.limit(big_integer("limit"))


def merged_page(
    layouts: Sequence[RecordSource],
    query: Query,
) -> sa.CompoundSelect[Any]:
    """Return the statement of what matches in several tables, by id only.

    The databases merge the indexes and read no more than is asked for. Each row begins
    with the number of its table.
    """
    limit = big_integer("limit")
    branches = []
    for number, source in enumerate(layouts):
        conditions = where(source, replace(query, after=None))
        if query.after is not None:
            # Other tables may have the id that the page before ended with.
            after = sa.bindparam("a0", type_=TEXT)
            conditions.append(source.table.c.id >= after)
        table_number = sa.literal_column(str(number), sa.Integer()).label("number")
        columns: list[SqlExpression] = [table_number, *source.selected]
        branch = (
            sa.select(*columns)
            .where(*conditions)
            .order_by(source.table.c.id)
            .limit(limit)
        )
        branches.append(source.dialect.ordered_branch(branch))
    return sa.union_all(*branches).order_by("id").limit(limit)


def erased_count(
    erased: RecordSource,
    query: Query,
    until: tuple[object, ...] | None,
) -> sa.Select[Any]:
    """Return the statement that counts the erased records of a page.

    The page ends at the position ``until``, whose values are bound as ``b0`` and so on;
    None is the last page.
    """
    envelope = replace(query, where=_of_envelope(query.where))
    conditions = where(erased, envelope)
    if until is not None:
        beyond = _after(erased, query.sort, until, "b")
        # Not of unknown is unknown, and would leave the record out.
        conditions.append(sa.not_(sa.func.coalesce(beyond, sa.false())))
    counted = sa.select(sa.func.count()).select_from(erased.table)
    return counted.where(*conditions)


def _of_envelope(where: Expression | None) -> Expression | None:
    """Return the parts of a conjunction that name members of the envelope only."""
    parts = [where]
    if isinstance(where, Call) and where.function is Function.AND:
        parts = [*where.arguments]
    # What an erased record had in its data is not known any more.
    kept = [part for part in parts if part and not _names_data(part)]
    if not kept:
        return None
    return Call(Function.AND, tuple(kept))


def _names_data(expression: Expression) -> bool:
    if isinstance(expression, Member):
        return not expression.field.envelope
    if isinstance(expression, Call):
        return any(map(_names_data, expression.arguments))
    return False


def shape(query: Query) -> tuple[object, ...]:
    """Return a key that is equal for two queries with the same statement."""
    return (
        query.where,
        query.sort,
        query.after is not None,
        _nulls(query.after),
        query.limit is None,
    )


def _nulls(position: tuple[object, ...] | None) -> tuple[bool, ...]:
    return tuple(value is None for value in position or ())


def values(
    source: RecordSource,
    workspace: str,
    query: Query,
) -> dict[str, Any]:
    """Return the values of a query's statement as the driver takes them."""
    bindable = source.dialect.bound_value
    found = {
        "workspace": workspace,
        "limit": query.limit,
        "as_of": query.as_of,
    }
    for number, value in enumerate(query.values):
        found[f"p{number}"] = bindable(value)
    for number, value in enumerate(query.after or ()):
        found[f"a{number}"] = bindable(value)
    return found
