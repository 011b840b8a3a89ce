"""Query: which records, in which order.

The parsers of query strings and of CEL make it, and the storage compiles it to SQL. Its
values are kept apart from its shape, so that the SQL of each shape is compiled once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from persist.domain.field import ENVELOPE, Field, FieldType


class Function(StrEnum):
    """What a ``Call`` computes.

    Null and absent are the same value. A condition is true or false, never unknown as
    in SQL: ``EQ`` and ``NE`` compare null like any value, ordering and text functions
    of null are false. A condition that is null is false, so ``NOT`` of it is true.
    """

    AND = "and"
    OR = "or"
    NOT = "not"
    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    CONTAINS = "contains"
    STARTSWITH = "startswith"
    ENDSWITH = "endswith"
    IEQ = "ieq"
    ICONTAINS = "icontains"
    ISTARTSWITH = "istartswith"
    IENDSWITH = "iendswith"
    HAS = "has"
    LEN = "len"
    ISNULL = "isnull"
    ADD = "add"
    SUBTRACT = "subtract"
    MULTIPLY = "multiply"
    DIVIDE = "divide"
    REMAINDER = "remainder"


ARITHMETIC = (
    Function.ADD,
    Function.SUBTRACT,
    Function.MULTIPLY,
    Function.DIVIDE,
    Function.REMAINDER,
)
"""Functions of two numbers; a result without a value is compared like null."""

EQUALITY = (Function.EQ, Function.NE, Function.IN)
ORDERING = (Function.GT, Function.GTE, Function.LT, Function.LTE)
FOLDED = (
    Function.IEQ,
    Function.ICONTAINS,
    Function.ISTARTSWITH,
    Function.IENDSWITH,
)
"""Functions of text that ignore case (simple case folding)."""

TEXT_FUNCTIONS = (Function.CONTAINS, Function.STARTSWITH, Function.ENDSWITH, *FOLDED)
"""Functions whose argument is text, whatever the type of the member."""

BRIEF_CALLS = 12
"""Functions of a query whose SQL is written in a few milliseconds."""

BRIEF_VALUES = 100
"""Values that a brief query compares with: each is a parameter in its SQL."""

BRIEF_KEYS = 4
"""Keys of an order of which the same is true."""

_SCALAR = (*EQUALITY, *ORDERING, Function.ISNULL)
_TEXT = (*EQUALITY, *ORDERING, *TEXT_FUNCTIONS, Function.ISNULL)

OPERATORS: Mapping[FieldType, tuple[Function, ...]] = {
    FieldType.INTEGER: _SCALAR,
    FieldType.NUMBER: _SCALAR,
    FieldType.DECIMAL: _SCALAR,
    FieldType.BOOLEAN: (*EQUALITY, Function.ISNULL),
    FieldType.STRING: _TEXT,
    FieldType.DATE: _SCALAR,
    FieldType.TIME: _SCALAR,
    FieldType.DATE_TIME: _SCALAR,
    FieldType.DURATION: _SCALAR,
    FieldType.UUID: _TEXT,
    FieldType.OBJECT: (Function.ISNULL,),
    FieldType.ARRAY: (Function.HAS, Function.LEN, Function.ISNULL),
    FieldType.ANY: (*_TEXT, Function.HAS, Function.LEN),
}
"""The functions that ``field__op=`` has for each type of field. ``LEN`` takes an
operator of numbers, as in ``tags__len__gte=2``."""


@dataclass(frozen=True, slots=True)
class Operator:
    """What follows ``field__`` in a query string, and the type of its argument.

    ``of_length`` means that the length of a list is compared.
    """

    name: str
    function: Function
    argument: FieldType
    of_length: bool = False


def operators_of(field: Field) -> dict[str, Operator]:
    """Return the operators of a field by name."""
    found: dict[str, Operator] = {}
    for function in _functions_of(field):
        if function is Function.LEN:
            found |= _LENGTH
        else:
            name = function.value
            found[name] = Operator(name, function, _argument(field, function))
    return found


def _functions_of(field: Field) -> list[Function]:
    if field.type is not FieldType.ANY or not field.types:
        return list(OPERATORS[field.type])
    found = [function for kind in field.types for function in OPERATORS[kind]]
    return list(dict.fromkeys(found))


def _argument(field: Field, function: Function) -> FieldType:
    if function in TEXT_FUNCTIONS:
        return FieldType.STRING
    if function is Function.ISNULL:
        return FieldType.BOOLEAN
    if function is Function.HAS:
        return field.items.type if field.items is not None else FieldType.ANY
    return field.type


_LENGTH = {
    operator.name: operator
    for operator in (
        Operator("len", Function.EQ, FieldType.INTEGER, of_length=True),
        *(
            Operator(f"len__{function}", function, FieldType.INTEGER, of_length=True)
            for function in (*EQUALITY, *ORDERING)
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the record."""

    field: Field


@dataclass(frozen=True, slots=True)
class Parameter:
    """The value at ``index`` of the query's ``values``, in the form that is compared
    as ``type``."""

    index: int
    type: FieldType


@dataclass(frozen=True, slots=True)
class Call:
    """A function of conditions or operands.

    ``IN`` takes the member, then a parameter for each value. ``ISNULL`` and ``LEN``
    take one member, ``HAS`` a list and a parameter, ``AND`` and ``OR`` any number. A
    ``Member`` of type boolean is a condition by itself. Those of ``ARITHMETIC`` take
    two operands: integers if both are, otherwise doubles.
    """

    function: Function
    arguments: "tuple[Expression, ...]"


Expression = Member | Parameter | Call


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of the order; nulls come last in either direction."""

    field: Field
    descending: bool = False


BY_ID = (SortKey(ENVELOPE["id"]),)


@dataclass(frozen=True, slots=True)
class Query:
    """``where`` with its ``values``, and the order.

    ``sort`` ends with the id, so that the order is total. ``after`` has the sort values
    of the last record of the page before, in the form that is compared. ``as_of`` is
    the last change that is seen, if the records of an earlier moment are read.
    """

    where: Expression | None = None
    values: tuple[Any, ...] = ()
    sort: tuple[SortKey, ...] = BY_ID
    after: tuple[Any, ...] | None = None
    limit: int | None = None
    as_of: int | None = None

    @property
    def sorts_by_id(self) -> bool:
        """Whether records are ordered by id, in either direction."""
        return self.sort[0].field == ENVELOPE["id"]

    @property
    def is_brief(self) -> bool:
        """Whether it may run where others wait: it does not search for text within
        text, which takes long in large records, and its SQL is written quickly."""
        if len(self.sort) > BRIEF_KEYS or len(self.values) > BRIEF_VALUES:
            return False
        return self.where is None or _calls(self.where) <= BRIEF_CALLS

    def one_more(self) -> "Query":
        """Return the query with one record more, which tells whether a page follows."""
        return self if self.limit is None else replace(self, limit=self.limit + 1)


def _calls(expression: Expression) -> int:
    """Return how many functions an expression has; too many if it searches text."""
    if not isinstance(expression, Call):
        return 0
    if expression.function in TEXT_FUNCTIONS:
        return BRIEF_CALLS + 1
    return 1 + sum(map(_calls, expression.arguments))
