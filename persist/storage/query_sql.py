"""Conditions and pages in SQL: a ``Query`` of the domain becomes a statement.

No condition is ever unknown. Below a NOT, an unknown comparison is made false.
Elsewhere WHERE treats it as false anyway, and an index can still be used.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from persist.domain.comparable import MONTHS_PREFIX
from persist.domain.field import FieldType
from persist.domain.field_types import json_type_of
from persist.domain.query import (
    FOLDED,
    ORDERING,
    TEXT_FUNCTIONS,
    Call,
    Expression,
    Function,
    Member,
    Parameter,
    Query,
    SortKey,
)
from persist.storage.dialect.columns import COLUMN_TYPES, TEXT
from persist.storage.record_source import RecordSource
from persist.storage.sql import SqlCondition, SqlExpression, big_integer, constant

COMPARISONS: Mapping[Function, Callable[[Any, Any], Any]] = {
    Function.EQ: lambda left, right: left == right,
    Function.IEQ: lambda left, right: left == right,
    Function.GT: lambda left, right: left > right,
    Function.GTE: lambda left, right: left >= right,
    Function.LT: lambda left, right: left < right,
    Function.LTE: lambda left, right: left <= right,
}
UNFOLDED = {
    Function.ICONTAINS: Function.CONTAINS,
    Function.ISTARTSWITH: Function.STARTSWITH,
    Function.IENDSWITH: Function.ENDSWITH,
}
"""The functions of folded text that those which ignore case are."""


def condition(
    layout: RecordSource,
    expression: Expression,
    *,
    negated: bool = False,
) -> SqlCondition:
    """Return the SQL of a condition.

    In place of false it may be unknown, but not where it is ``negated``.
    """
    if isinstance(expression, Member):
        member = layout.key(expression.field, FieldType.BOOLEAN)
        return _known(member.is_(sa.true()), negated)
    if isinstance(expression, Parameter):
        return _bound(expression, FieldType.BOOLEAN) == sa.true()
    write = _WRITERS.get(expression.function, _comparison)
    return write(
        layout,
        expression,
        negated,
    )


def _joined(
    layout: RecordSource,
    call: Call,
    negated: bool,
) -> SqlCondition:
    join = sa.and_ if call.function is Function.AND else sa.or_
    conditions = [
        condition(
            layout,
            part,
            negated=negated,
        )
        for part in call.arguments
    ]
    return join(*conditions).self_group()


def _not(
    layout: RecordSource,
    call: Call,
    _negated: bool,
) -> SqlCondition:
    return sa.not_(
        condition(
            layout,
            call.arguments[0],
            negated=True,
        ).self_group()
    )


def _not_equal(
    layout: RecordSource,
    call: Call,
    negated: bool,
) -> SqlCondition:
    equal = Call(Function.EQ, call.arguments)
    differs = _not(
        layout,
        Call(Function.NOT, (equal,)),
        negated,
    )
    return sa.and_(differs, *_fit(layout, call)).self_group()


def _fit(
    layout: RecordSource,
    call: Call,
) -> list[SqlCondition]:
    """Return the tests that the members of a call are of their declared types."""
    members = [part.field for part in call.arguments if isinstance(part, Member)]
    tests = [layout.fits(field) for field in members]
    return [test for test in tests if test is not None]


def _is_null(
    layout: RecordSource,
    call: Call,
    _negated: bool,
) -> SqlCondition:
    return layout.is_null(_member(call).field)


def _comparison(
    layout: RecordSource,
    call: Call,
    negated: bool,
) -> SqlCondition:
    """Compare two operands, each in the type that the other gives it."""
    function = call.function
    left, right = call.arguments
    if isinstance(left, Member) and isinstance(right, Member):
        return _between_members(
            layout,
            function,
            left,
            right,
            negated,
        )
    one = _operand(
        layout,
        left,
        right,
        function,
    )
    other = _operand(
        layout,
        right,
        left,
        function,
    )
    tests = [
        _test(
            layout,
            function,
            one,
            other,
        )
    ]
    if isinstance(left, Member):
        tests += _guards(
            layout,
            function,
            left,
            one,
            _type(right),
        )
    return _known(sa.and_(*tests) if len(tests) > 1 else tests[0], negated)


def _between_members(
    layout: RecordSource,
    function: Function,
    left: Member,
    right: Member,
    negated: bool,
) -> SqlCondition:
    normalized = left.field.normalized and right.field.normalized
    one = layout.key(left.field, normalized=normalized)
    other = layout.key(right.field, normalized=normalized)
    if function is Function.EQ:
        same = one.is_not_distinct_from(other)
        fit = _fit(layout, Call(function, (left, right)))
        return _known(sa.and_(same, *fit), negated)
    tests = [
        _test(
            layout,
            function,
            one,
            other,
        )
    ]
    for member, key in ((left, one), (right, other)):
        tests += _guards(
            layout,
            function,
            member,
            key,
            member.field.type,
        )
    return _known(sa.and_(*tests), negated)


def _test(
    layout: RecordSource,
    function: Function,
    left: Any,
    right: Any,
) -> SqlCondition:
    compare = COMPARISONS.get(function)
    if compare is not None:
        test: SqlCondition = compare(left, right)
        return test
    name = UNFOLDED.get(function, function).value
    found: SqlCondition = getattr(layout.dialect, name)(left, right)
    return found


def _guards(
    layout: RecordSource,
    function: Function,
    member: Member,
    key: SqlExpression,
    compared: FieldType,
) -> list[SqlCondition]:
    """Return what must hold so that a member can be compared as a type."""
    found = []
    guard = layout.guard(member.field, compared)
    if guard is not None:
        found.append(guard)
    if compared is FieldType.DURATION and function in ORDERING:
        found.append(key < constant(MONTHS_PREFIX))  # the others have no length
    return found


def _one_of(
    layout: RecordSource,
    call: Call,
    negated: bool,
) -> SqlCondition:
    """Compare with a list for each type of value; a chain of OR would nest too deep."""
    member = call.arguments[0]
    lists: dict[FieldType, list[Expression]] = {}
    for value in call.arguments[1:]:
        lists.setdefault(_type(value), []).append(value)
    tests: list[SqlCondition] = []
    for values in lists.values():
        listed = [
            _operand(
                layout,
                value,
                member,
                Function.IN,
            )
            for value in values
        ]
        key = _operand(
            layout,
            member,
            values[0],
            Function.IN,
        )
        test: SqlCondition = key.in_(listed)
        if isinstance(member, Member):
            guard = layout.guard(member.field, _type(values[0]))
            test = test if guard is None else sa.and_(test, guard)
        tests.append(_known(test, negated))
    return sa.or_(sa.false(), *tests).self_group()


def _has(
    layout: RecordSource,
    call: Call,
    _negated: bool,
) -> SqlCondition:
    """Compare the elements of a list with a value."""
    parameter = call.arguments[1]
    assert isinstance(parameter, Parameter)
    kind = parameter.type
    stored = FieldType.NUMBER if kind is FieldType.INTEGER else kind
    bound = _bound(parameter, stored if kind is not FieldType.NUMBER else FieldType.ANY)

    def test(
        json_type: Any,
        value: Callable[[FieldType], Any],
    ) -> SqlCondition:
        key = layout.dialect.comparable(kind, value(stored))
        return sa.and_(json_type == constant(json_type_of(kind)), key == bound)

    return layout.has_element(_member(call).field, test)


_WRITERS: Mapping[Function, Callable[[RecordSource, Call, bool], SqlCondition]] = {
    Function.AND: _joined,
    Function.OR: _joined,
    Function.NOT: _not,
    Function.NE: _not_equal,
    Function.IN: _one_of,
    Function.HAS: _has,
    Function.ISNULL: _is_null,
}
"""What writes the functions that are no comparison of two operands."""


def _known(
    test: SqlCondition,
    negated: bool,
) -> SqlCondition:
    return sa.func.coalesce(test, sa.false()) if negated else test


def _member(call: Call) -> Member:
    member = call.arguments[0]
    assert isinstance(member, Member)
    return member


def _type(expression: Expression) -> FieldType:
    if isinstance(expression, Member):
        return expression.field.type
    if isinstance(expression, Parameter):
        return expression.type
    is_length = expression.function is Function.LEN
    return FieldType.INTEGER if is_length else FieldType.BOOLEAN


def _operand(
    layout: RecordSource,
    expression: Expression,
    other: Expression,
    function: Function,
) -> Any:
    """Return the SQL of an operand that is compared with ``other``."""
    if isinstance(expression, Parameter):
        return _bound(expression, _type(other))
    if isinstance(expression, Call):
        if expression.function is Function.LEN:
            return layout.list_length(_member(expression).field)
        return condition(
            layout,
            expression,
            negated=True,
        )
    if function in TEXT_FUNCTIONS:
        text = layout.member(expression.field, FieldType.STRING)
        return layout.dialect.fold(text) if function in FOLDED else text
    kind = _type(other)
    return layout.key(expression.field, None if kind is FieldType.ANY else kind)


def _bound(
    parameter: Parameter,
    other: FieldType,
) -> sa.BindParameter[Any]:
    name = f"p{parameter.index}"
    if parameter.type is FieldType.NUMBER and other is FieldType.NUMBER:
        return sa.bindparam(name, type_=sa.Double())
    if parameter.type is FieldType.NUMBER:
        return sa.bindparam(name, type_=sa.Numeric())
    return sa.bindparam(name, type_=COLUMN_TYPES.get(parameter.type, TEXT))


def _after(
    layout: RecordSource,
    sort: tuple[SortKey, ...],
    position: tuple[Any, ...],
    name: str = "a",
) -> SqlCondition:
    """Return the condition of records after a position.

    Its sort values are bound as ``a0``, ``a1`` and so on. It is one row comparison
    where no key can be null and all have one direction: an index serves that.
    Otherwise it is, for each key, that the ones before are equal and this one is after.
    """
    keys = [layout.key(key.field) for key in sort]
    bounds = [
        sa.bindparam(f"{name}{n}", type_=COLUMN_TYPES.get(key.field.type, TEXT))
        for n, key in enumerate(sort)
    ]
    directions = {key.descending for key in sort}
    if len(directions) == 1 and not any(layout.may_lack_key(key.field) for key in sort):
        compare = COMPARISONS[Function.LT if sort[0].descending else Function.GT]
        if len(keys) == 1:
            return _typed(compare(keys[0], bounds[0]))
        return _typed(compare(sa.tuple_(*keys), sa.tuple_(*bounds)))
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
        branches.append(
            sa.and_(
                *equal,
                _is_after(
                    layout,
                    key,
                    value,
                    bound,
                    null,
                ),
            )
        )
        equal.append(value.is_(None) if null else value == bound)
    return sa.or_(*branches)


def _typed(test: Any) -> SqlCondition:
    condition: SqlCondition = test
    return condition


def _is_after(
    layout: RecordSource,
    key: SortKey,
    value: Any,
    bound: Any,
    null: bool,
) -> SqlCondition:
    if null:
        return sa.false()
    compare = COMPARISONS[Function.LT if key.descending else Function.GT]
    after = _typed(compare(value, bound))
    may_be_null = layout.may_lack_key(key.field)
    return sa.or_(after, value.is_(None)) if may_be_null else after


def _order(
    layout: RecordSource,
    key: SortKey,
) -> SqlExpression:
    value = layout.key(key.field)
    ordered: SqlExpression = value.desc() if key.descending else value.asc()
    return ordered.nulls_last() if layout.may_lack_key(key.field) else ordered


def where(
    layout: RecordSource,
    query: Query,
) -> list[SqlCondition]:
    """Return the conditions of a query; its workspace is bound as ``workspace``."""
    found = layout.conditions()
    if query.where is not None:
        found.append(condition(layout, query.where))
    if query.after is not None:
        found.append(_after(layout, query.sort, query.after))
    return found


def page(
    layout: RecordSource,
    query: Query,
) -> sa.Select[Any]:
    """Return the statement of a page: the record's columns, then the sort values."""
    keys = [layout.key(key.field).label(f"k{n}") for n, key in enumerate(query.sort)]
    statement = sa.select(*layout.selected, *keys).where(*where(layout, query))
    statement = statement.order_by(*(_order(layout, key) for key in query.sort))
    return statement if query.limit is None else statement.limit(big_integer("limit"))


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
    for number, layout in enumerate(layouts):
        conditions = where(layout, replace(query, after=None))
        if query.after is not None:
            # Other tables may have the id that the page before ended with.
            after = sa.bindparam("a0", type_=TEXT)
            conditions.append(layout.table.c.id >= after)
        table_number = sa.literal_column(str(number), sa.Integer()).label("number")
        columns: list[SqlExpression] = [table_number, *layout.selected]
        branch = (
            sa.select(*columns)
            .where(*conditions)
            .order_by(layout.table.c.id)
            .limit(limit)
        )
        branches.append(layout.dialect.ordered_branch(branch))
    return sa.union_all(*branches).order_by("id").limit(limit)


def erased_count(
    erased: RecordSource,
    query: Query,
    until: tuple[Any, ...] | None,
) -> sa.Select[Any]:
    """Return the statement that counts the erased records of a page.

    The page ends at the position ``until``, whose values are bound as ``b0`` and so on;
    None is the last page.
    """
    envelope = replace(query, where=_of_envelope(query.where))
    conditions = where(erased, envelope)
    if until is not None:
        beyond = _after(erased, query.sort, until, "b")
        conditions.append(sa.not_(sa.func.coalesce(beyond, sa.false())))
    counted = sa.select(sa.func.count()).select_from(erased.table)
    return counted.where(*conditions)


def _of_envelope(where: Expression | None) -> Expression | None:
    """Return those parts of a conjunction that are only about the envelope."""
    is_all = isinstance(where, Call) and where.function is Function.AND
    parts = where.arguments if isinstance(where, Call) and is_all else (where,)
    kept = tuple(part for part in parts if part and not _names_data(part))
    return Call(Function.AND, kept) if kept else None


def _names_data(expression: Expression) -> bool:
    if isinstance(expression, Member):
        return not expression.field.envelope
    if isinstance(expression, Call):
        return any(map(_names_data, expression.arguments))
    return False


def shape(query: Query) -> tuple[Any, ...]:
    """Return what two queries with the same statement have in common."""
    return (
        query.where,
        query.sort,
        query.after is not None,
        _nulls(query.after),
        query.limit is None,
    )


def _nulls(position: tuple[Any, ...] | None) -> tuple[bool, ...]:
    return tuple(value is None for value in position or ())


def values(
    layout: RecordSource,
    workspace: str,
    query: Query,
) -> dict[str, Any]:
    """Return the values of a query's statement as the driver takes them."""
    bindable = layout.dialect.bound_value
    found = {f"p{n}": bindable(value) for n, value in enumerate(query.values)}
    found |= {f"a{n}": bindable(value) for n, value in enumerate(query.after or ())}
    return found | {
        "workspace": workspace,
        "limit": query.limit,
        "as_of": query.as_of,
    }
