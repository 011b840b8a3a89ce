"""Conditions and pages in SQL: a ``Query`` of the domain becomes a statement.

No condition is ever unknown. A comparison below a NOT that would be unknown is made
false. Elsewhere WHERE treats unknown as false, and an index can still be used.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from persist.domain.field import Field, FieldType
from persist.domain.query import Expression, Function, Member, Parameter, Query, SortKey
from persist.storage.dialect.columns import COLUMN_TYPES, TEXT
from persist.storage.layout import Layout
from persist.storage.sql import big_integer

COMPARISONS: Mapping[Function, Callable[[Any, Any], Any]] = {
    Function.GT: lambda left, right: left > right,
    Function.GTE: lambda left, right: left >= right,
    Function.LT: lambda left, right: left < right,
    Function.LTE: lambda left, right: left <= right,
}


def condition(  # noqa: PLR0911 - a table of functions
    layout: Layout, expression: Expression, *, negated: bool = False
) -> sa.ColumnElement[bool]:
    """Return the SQL of a condition.

    In place of false it may be unknown, unless it is ``negated``.
    """
    if isinstance(expression, Member):
        return _known(
            _operand(layout, expression, FieldType.BOOLEAN).is_(sa.true()), negated
        )
    if isinstance(expression, Parameter):
        return _bound(expression, FieldType.BOOLEAN) == sa.true()
    function, arguments = expression.function, expression.arguments
    if function in (Function.AND, Function.OR):
        join = sa.and_ if function is Function.AND else sa.or_
        return join(
            *(condition(layout, argument, negated=negated) for argument in arguments)
        ).self_group()
    if function is Function.NOT:
        return sa.not_(condition(layout, arguments[0], negated=True).self_group())
    if function is Function.ISNULL:
        return _is_null(layout, arguments[0])
    if function is Function.IN:
        return _one_of(layout, arguments[0], arguments[1:], negated)
    if function is Function.EQ:
        return _equal(layout, arguments[0], arguments[1], negated)
    if function is Function.NE:
        return sa.not_(_equal(layout, arguments[0], arguments[1], True).self_group())
    left, right = _operands(layout, *arguments)
    test = COMPARISONS[function](left, right) if function in COMPARISONS else None
    if test is None:
        test = getattr(layout.dialect, function.value)(left, right)
    return _known(_guarded(layout, arguments, test), negated)


def _known(test: Any, negated: bool) -> sa.ColumnElement[bool]:
    known: sa.ColumnElement[bool] = (
        sa.func.coalesce(test, sa.false()) if negated else test
    )
    return known


def _equal(
    layout: Layout, left: Expression, right: Expression, negated: bool
) -> sa.ColumnElement[bool]:
    if isinstance(left, Member) and isinstance(right, Member):
        one, other = _operands(layout, left, right)
        same: sa.ColumnElement[bool] = one.is_not_distinct_from(other)
        return same
    one, other = _operands(layout, left, right)
    return _known(_guarded(layout, (left, right), one == other), negated)


def _guarded(layout: Layout, sides: Sequence[Expression], test: Any) -> Any:
    """Add to a test that a member of any type is of the type it is compared with."""
    left, right = sides
    guards = []
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Member):
            guard = layout.guard(one.field, _type(other))
            if guard is not None:
                guards.append(guard)
    return sa.and_(test, *guards) if guards else test


def _one_of(
    layout: Layout, member: Expression, values: Sequence[Expression], negated: bool
) -> sa.ColumnElement[bool]:
    """Write ``IN`` with a list for each type of value.

    A chain of OR would nest too deeply.
    """
    lists: dict[FieldType, list[Expression]] = {}
    for value in values:
        lists.setdefault(_type(value), []).append(value)
    tests = []
    for value_type, listed in lists.items():
        bound = [_operand(layout, value, _type(member)) for value in listed]
        test = _operand(layout, member, value_type).in_(bound)
        tests.append(_known(_guarded(layout, (member, listed[0]), test), negated))
    return sa.or_(sa.false(), *tests).self_group()


def _is_null(layout: Layout, operand: Expression) -> sa.ColumnElement[bool]:
    return layout.is_null(operand.field) if isinstance(operand, Member) else sa.false()


def _operands(layout: Layout, left: Expression, right: Expression) -> tuple[Any, Any]:
    """Return both sides of a comparison, each in the type that the other has."""
    return _operand(layout, left, _type(right)), _operand(layout, right, _type(left))


def _type(expression: Expression) -> FieldType:
    return (
        expression.field.type
        if isinstance(expression, Member)
        else getattr(expression, "type", FieldType.ANY)
    )


def _operand(layout: Layout, expression: Expression, other: FieldType) -> Any:
    if isinstance(expression, Member):
        return layout.member(
            expression.field, None if other is FieldType.ANY else other
        )
    if isinstance(expression, Parameter):
        return _bound(expression, other)
    return condition(layout, expression, negated=True)


def _bound(parameter: Parameter, other: FieldType) -> sa.BindParameter[Any]:
    if parameter.type is FieldType.NUMBER:
        return sa.bindparam(
            f"p{parameter.index}",
            type_=sa.Double() if other is FieldType.NUMBER else sa.Numeric(),
        )
    return sa.bindparam(
        f"p{parameter.index}", type_=COLUMN_TYPES.get(parameter.type, TEXT)
    )


def _after(
    layout: Layout, sort: tuple[SortKey, ...], nulls: tuple[bool, ...]
) -> sa.ColumnElement[bool]:
    """Return the condition of records after the sort values ``a0``, ``a1`` and so on.

    It is one comparison of rows, which an index serves, if no key can be null and all
    have one direction. Otherwise it is for each key: those before it are equal, and
    this one comes after.
    """
    keys = [layout.member(key.field) for key in sort]
    bounds = [
        sa.bindparam(f"a{n}", type_=COLUMN_TYPES.get(key.field.type, TEXT))
        for n, key in enumerate(sort)
    ]
    if len({key.descending for key in sort}) == 1 and not any(
        key.field.nullable for key in sort
    ):
        compare = COMPARISONS[Function.LT if sort[0].descending else Function.GT]
        behind: sa.ColumnElement[bool] = (
            compare(sa.tuple_(*keys), sa.tuple_(*bounds))
            if len(keys) > 1
            else compare(keys[0], bounds[0])
        )
        return behind
    branches: list[sa.ColumnElement[bool]] = []
    equal: list[sa.ColumnElement[bool]] = []
    for key, value, bound, null in zip(sort, keys, bounds, nulls, strict=True):
        branches.append(sa.and_(*equal, _behind(layout, key, value, bound, null)))
        equal.append(layout.is_null(key.field) if null else value == bound)
    return sa.or_(*branches)


def _behind(
    layout: Layout, key: SortKey, value: Any, bound: Any, null: bool
) -> sa.ColumnElement[bool]:
    if null:
        return sa.false()
    behind: sa.ColumnElement[bool] = COMPARISONS[
        Function.LT if key.descending else Function.GT
    ](value, bound)
    return sa.or_(behind, layout.is_null(key.field)) if key.field.nullable else behind


def _order(layout: Layout, key: SortKey) -> sa.ColumnElement[Any]:
    value = layout.member(key.field)
    ordered: sa.ColumnElement[Any] = value.desc() if key.descending else value.asc()
    return ordered.nulls_last() if key.field.nullable else ordered


def where(layout: Layout, query: Query) -> list[sa.ColumnElement[bool]]:
    """Return the conditions of a query; its workspace is bound as ``workspace``."""
    found = [layout.table.c.workspace == sa.bindparam("workspace")]
    if query.where is not None:
        found.append(condition(layout, query.where))
    if query.after is not None:
        found.append(_after(layout, query.sort, _nulls(query)))
    return found


def page(layout: Layout, query: Query) -> sa.Select[Any]:
    """Return the statement of a page: the record's columns, then the sort values."""
    keys = [layout.member(key.field).label(f"k{n}") for n, key in enumerate(query.sort)]
    statement = sa.select(*layout.selected, *keys).where(*where(layout, query))
    statement = statement.order_by(*(_order(layout, key) for key in query.sort))
    return statement if query.limit is None else statement.limit(big_integer("limit"))


def merged_page(layouts: Sequence[Layout], query: Query) -> sa.CompoundSelect[Any]:
    """Return the statement of what matches in several tables, by id only.

    The databases merge the indexes and read no more than is asked for. Each row begins
    with the number of its table.
    """
    limit = big_integer("limit")
    branches = []
    for number, layout in enumerate(layouts):
        conditions = where(layout, replace(query, after=None))
        if query.after is not None:
            # Other tables may have the id that the page before ended with.
            after = sa.bindparam("a0", type_=TEXT)
            conditions.append(layout.table.c.id >= after)
        table_number = sa.literal_column(str(number), sa.Integer()).label("number")
        branch = (
            sa.select(table_number, *layout.selected)
            .where(*conditions)
            .order_by(layout.table.c.id)
            .limit(limit)
        )
        branches.append(layout.dialect.ordered_branch(branch))
    return sa.union_all(*branches).order_by("id").limit(limit)


def shape(query: Query) -> tuple[Any, ...]:
    """Return what two queries with the same statement have in common."""
    return (
        query.where,
        query.sort,
        query.after is not None,
        _nulls(query),
        query.limit is None,
    )


def _nulls(query: Query) -> tuple[bool, ...]:
    return tuple(value is None for value in query.after or ())


def values(layout: Layout, workspace: str, query: Query) -> dict[str, Any]:
    """Return the values of a query's statement as the driver takes them."""
    bindable = layout.dialect.bound_value
    found = {f"p{n}": bindable(value) for n, value in enumerate(query.values)}
    found |= {f"a{n}": bindable(value) for n, value in enumerate(query.after or ())}
    return found | {"workspace": workspace, "limit": query.limit}


def sortable(field: Field) -> bool:
    """Return whether records can be sorted by a field: it has one scalar type."""
    return field.type in COLUMN_TYPES
