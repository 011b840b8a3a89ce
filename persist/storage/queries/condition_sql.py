"""Conditions in SQL: what ``Query.where`` becomes.

A comparison with a missing value counts as false. Below a NOT, COALESCE makes it
false; elsewhere it stays unknown, which WHERE treats as false, so that an index serves.
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
    ARITHMETIC,
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
from persist.storage.queries.record_source import RecordSource
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
"""For each function that ignores case, the one that is applied to folded text."""


def condition(
    source: RecordSource,
    expression: Expression,
    *,
    negated: bool = False,
) -> SqlCondition:
    """Return the SQL of a condition.

    The SQL may be NULL instead of false. If ``negated``, it is true or false, because
    NOT NULL is not true.
    """
    if isinstance(expression, Member):
        member = source.key(expression.field, FieldType.BOOLEAN)
        # IS, because a member without a value is not true.
        return _known(member.is_(sa.true()), negated)
    if isinstance(expression, Parameter):
        return _bound(expression, FieldType.BOOLEAN) == sa.true()
    write = _WRITERS.get(expression.function, _comparison)
    return write(
        source,
        expression,
        negated,
    )


def _joined(
    source: RecordSource,
    call: Call,
    negated: bool,
) -> SqlCondition:
    join = sa.and_ if call.function is Function.AND else sa.or_
    conditions = [
        condition(
            source,
            part,
            negated=negated,
        )
        for part in call.arguments
    ]
    return join(*conditions).self_group()


def _not(
    source: RecordSource,
    call: Call,
    _negated: bool,
) -> SqlCondition:
    return sa.not_(
        condition(
            source,
            call.arguments[0],
            negated=True,
        ).self_group()
    )


def _not_equal(
    source: RecordSource,
    call: Call,
    negated: bool,
) -> SqlCondition:
    equal = Call(Function.EQ, call.arguments)
    differs = _not(
        source,
        Call(Function.NOT, (equal,)),
        negated,
    )
    return sa.and_(differs, *_fit(source, call)).self_group()


def _fit(
    source: RecordSource,
    call: Call,
) -> list[SqlCondition]:
    """Return the tests that the members of a call are of their declared types."""
    tests: list[SqlCondition] = []
    for part in call.arguments:
        if isinstance(part, Member):
            test = source.fits(part.field)
            tests += [] if test is None else [test]
        elif isinstance(part, Call) and part.function in ARITHMETIC:
            tests += _fit(source, part)
    return tests


def _is_null(
    source: RecordSource,
    call: Call,
    _negated: bool,
) -> SqlCondition:
    return source.is_null(_member(call).field)


def _comparison(
    source: RecordSource,
    call: Call,
    negated: bool,
) -> SqlCondition:
    """Compare two operands, each in the type that the other gives it."""
    function = call.function
    left, right = call.arguments
    if _are_calculated(left, right):
        return _of_numbers(source, call, negated)
    if isinstance(left, Member) and isinstance(right, Member):
        return _between_members(
            source,
            function,
            left,
            right,
            negated,
        )
    one = _operand(
        source,
        left,
        right,
        function,
    )
    other = _operand(
        source,
        right,
        left,
        function,
    )
    tests = [
        _test(
            source,
            function,
            one,
            other,
        )
    ]
    if isinstance(left, Member):
        tests += _guards(
            source,
            function,
            left,
            one,
            _type(right),
        )
    return _known(sa.and_(*tests) if len(tests) > 1 else tests[0], negated)


def _are_calculated(left: Expression, right: Expression) -> bool:
    """Return whether an operand is calculated, or a length compared with a member."""
    functions = [each.function for each in (left, right) if isinstance(each, Call)]
    if any(function in ARITHMETIC for function in functions):
        return True
    has_parameter = isinstance(left, Parameter) or isinstance(right, Parameter)
    return Function.LEN in functions and not has_parameter


def _of_numbers(source: RecordSource, call: Call, negated: bool) -> SqlCondition:
    """Compare two numbers, of which one is calculated."""
    left, right = call.arguments
    compare = COMPARISONS[call.function]
    one = _number(source, left, _type(left))
    other = _number(source, right, _type(right))
    return _known(_compared(source, compare, one, other), negated)


def _number(
    source: RecordSource, expression: Expression, kind: FieldType
) -> SqlExpression:
    """Return an operand as an integer or as a double."""
    own = _type(expression)
    if own is not FieldType.INTEGER:
        own = FieldType.NUMBER
    number: SqlExpression
    match expression:
        case Parameter():
            number = sa.bindparam(f"p{expression.index}", type_=COLUMN_TYPES[own])
        case Member():
            number = source.number(expression.field, own)
        case Call(function=Function.LEN):
            number = source.list_length(_member(expression).field)
        case Call():
            operands = [
                _number(source, argument, own) for argument in expression.arguments
            ]
            number = source.dialect.calculate(expression.function.value, *operands)
    if kind is not FieldType.INTEGER:
        kind = FieldType.NUMBER
    if own is kind and isinstance(expression, Call) and expression.arguments[1:]:
        return number  # its function returns that type; SQLite nests few functions
    return sa.cast(number, COLUMN_TYPES[kind])


def _between_members(
    source: RecordSource,
    function: Function,
    left: Member,
    right: Member,
    negated: bool,
) -> SqlCondition:
    normalized = left.field.normalized and right.field.normalized
    one = source.key(left.field, normalized=normalized)
    other = source.key(right.field, normalized=normalized)
    if function is Function.EQ:
        # Two members without a value are equal.
        same = _compared(source, operators.is_not_distinct_from, one, other)
        fit = _fit(source, Call(function, (left, right)))
        return _known(sa.and_(same, *fit), negated)
    tests = [
        _test(
            source,
            function,
            one,
            other,
        )
    ]
    for member, key in ((left, one), (right, other)):
        tests += _guards(
            source,
            function,
            member,
            key,
            member.field.type,
        )
    return _known(sa.and_(*tests), negated)


def _test(
    source: RecordSource,
    function: Function,
    left: SqlExpression,
    right: SqlExpression,
) -> SqlCondition:
    compare = COMPARISONS.get(function)
    if compare is not None:
        return _compared(source, compare, left, right)
    # The method of the dialect has the name of the operator.
    name = UNFOLDED.get(function, function).value
    found: SqlCondition = getattr(source.dialect, name)(left, right)
    return found


def _compared(
    source: RecordSource,
    compare: Compare,
    left: SqlExpression,
    right: SqlExpression,
) -> SqlCondition:
    """Compare two values; a double and an integer by their value, not as doubles."""
    exact_left = _exact(source, left, right)
    exact_right = _exact(source, right, left)
    if exact_left is left and exact_right is right:
        return compare(left, right)
    exactly = compare(exact_left, exact_right)
    if compare not in WITH_EQUAL:
        return sa.and_(compare(left, right), exactly)
    including, excluding = WITH_EQUAL[compare]
    # An index serves the first condition.
    return sa.and_(including(left, right), sa.or_(excluding(left, right), exactly))


def _is_in(
    source: RecordSource, key: SqlExpression, listed: list[SqlExpression]
) -> SqlCondition:
    test: SqlCondition = key.in_(listed)
    exact = _exact(source, key, listed[0])
    return test if exact is key else sa.and_(test, exact.in_(listed))


def _exact(
    source: RecordSource, value: SqlExpression, other: SqlExpression
) -> SqlExpression:
    """Return a value in the form in which it is compared with another by value."""
    if isinstance(value.type, sa.Double) and isinstance(other.type, sa.Integer):
        return source.dialect.exact(value)
    return value


def _guards(
    source: RecordSource,
    function: Function,
    member: Member,
    key: SqlExpression,
    compared: FieldType,
) -> list[SqlCondition]:
    """Return the conditions under which a member can be compared as a type."""
    found = []
    guard = source.guard(member.field, compared)
    if guard is not None:
        found.append(guard)
    if compared is FieldType.DURATION and function in ORDERING:
        found.append(key < constant(MONTHS_PREFIX))  # the others have no length
    return found


def _one_of(
    source: RecordSource,
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
                source,
                value,
                member,
                Function.IN,
            )
            for value in values
        ]
        key = _operand(
            source,
            member,
            values[0],
            Function.IN,
        )
        test = _is_in(source, key, listed)
        if isinstance(member, Member):
            guard = source.guard(member.field, _type(values[0]))
            test = test if guard is None else sa.and_(test, guard)
        tests.append(_known(test, negated))
    return sa.or_(sa.false(), *tests).self_group()


def _has(
    source: RecordSource,
    call: Call,
    _negated: bool,
) -> SqlCondition:
    """Compare the elements of a list with a value."""
    parameter = call.arguments[1]
    assert isinstance(parameter, Parameter)
    kind = parameter.type
    # In a list integers and other numbers are compared as one type.
    stored = FieldType.NUMBER if kind is FieldType.INTEGER else kind
    bound = _bound(parameter, stored if kind is not FieldType.NUMBER else FieldType.ANY)

    def test(
        json_type: SqlExpression,
        value: Callable[[FieldType], SqlExpression],
    ) -> SqlCondition:
        key = source.dialect.comparable(kind, value(stored))
        return sa.and_(json_type == constant(json_type_of(kind)), key == bound)

    return source.has_element(_member(call).field, test)


_WRITERS: Mapping[Function, Callable[[RecordSource, Call, bool], SqlCondition]] = {
    Function.AND: _joined,
    Function.OR: _joined,
    Function.NOT: _not,
    Function.NE: _not_equal,
    Function.IN: _one_of,
    Function.HAS: _has,
    Function.ISNULL: _is_null,
}
"""The functions that write the SQL of all but comparisons of two operands."""


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
    if expression.function in ARITHMETIC:
        are_integers = all(
            _type(argument) is FieldType.INTEGER for argument in expression.arguments
        )
        return FieldType.INTEGER if are_integers else FieldType.NUMBER
    is_length = expression.function is Function.LEN
    return FieldType.INTEGER if is_length else FieldType.BOOLEAN


def _operand(
    source: RecordSource,
    expression: Expression,
    other: Expression,
    function: Function,
) -> SqlExpression:
    """Return the SQL of an operand that is compared with ``other``."""
    if isinstance(expression, Parameter):
        return _bound(expression, _type(other))
    if isinstance(expression, Call):
        if expression.function is Function.LEN:
            return source.list_length(_member(expression).field)
        return condition(
            source,
            expression,
            negated=True,
        )
    if function in TEXT_FUNCTIONS:
        text = source.member(expression.field, FieldType.STRING)
        return source.dialect.fold(text) if function in FOLDED else text
    kind = _type(other)
    return source.key(expression.field, None if kind is FieldType.ANY else kind)


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
