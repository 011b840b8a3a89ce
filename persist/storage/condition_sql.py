"""Conditions in SQL: what ``Query.where`` becomes.

No condition is ever unknown. Below a NOT, an unknown comparison is made false.
Elsewhere WHERE treats it as false anyway, and an index can still be used.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import operators

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
)
from persist.storage.dialect.columns import COLUMN_TYPES, TEXT
from persist.storage.record_source import RecordSource
from persist.storage.sql import SqlCondition, SqlExpression, constant

Compare = Callable[[SqlExpression, Any], SqlCondition]

COMPARISONS: Mapping[Function, Compare] = {
    Function.EQ: operator.eq,
    Function.IEQ: operator.eq,
    Function.GT: operator.gt,
    Function.GTE: operator.ge,
    Function.LT: operator.lt,
    Function.LTE: operator.le,
}
WITH_EQUAL: Mapping[Compare, tuple[Compare, Compare]] = {
    operator.gt: (operator.ge, operator.gt),
    operator.ge: (operator.ge, operator.gt),
    operator.lt: (operator.le, operator.lt),
    operator.le: (operator.le, operator.lt),
}
"""The forms of a comparison that include and exclude equal values."""
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
        same = _compared(layout, operators.is_not_distinct_from, one, other)
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
    left: SqlExpression,
    right: SqlExpression,
) -> SqlCondition:
    compare = COMPARISONS.get(function)
    if compare is not None:
        return _compared(layout, compare, left, right)
    name = UNFOLDED.get(function, function).value
    found: SqlCondition = getattr(layout.dialect, name)(left, right)
    return found


def _compared(
    layout: RecordSource,
    compare: Compare,
    left: SqlExpression,
    right: SqlExpression,
) -> SqlCondition:
    """Compare two values; a double and an integer by their value, not as doubles."""
    exact_left = _exact(layout, left, right)
    exact_right = _exact(layout, right, left)
    if exact_left is left and exact_right is right:
        return compare(left, right)
    exactly = compare(exact_left, exact_right)
    if compare not in WITH_EQUAL:
        return sa.and_(compare(left, right), exactly)
    including, excluding = WITH_EQUAL[compare]
    # An index serves the first condition.
    return sa.and_(including(left, right), sa.or_(excluding(left, right), exactly))


def _is_in(
    layout: RecordSource, key: SqlExpression, listed: list[SqlExpression]
) -> SqlCondition:
    test: SqlCondition = key.in_(listed)
    exact = _exact(layout, key, listed[0])
    return test if exact is key else sa.and_(test, exact.in_(listed))


def _exact(
    layout: RecordSource, value: SqlExpression, other: SqlExpression
) -> SqlExpression:
    """Return a value in the form in which it is compared with another by value."""
    if isinstance(value.type, sa.Double) and isinstance(other.type, sa.Integer):
        return layout.dialect.exact(value)
    return value


def _guards(
    layout: RecordSource,
    function: Function,
    member: Member,
    key: SqlExpression,
    compared: FieldType,
) -> list[SqlCondition]:
    """Return the conditions under which a member can be compared as a type."""
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
        test = _is_in(layout, key, listed)
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
        json_type: SqlExpression,
        value: Callable[[FieldType], SqlExpression],
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
) -> SqlExpression:
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
