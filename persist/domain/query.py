"""Query: which records, in which order. The parsers of query strings and of CEL both
make it, the store compiles it to SQL; values stand apart from the shape so that the SQL
is made once."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from persist.domain.field import ENVELOPE, Field, FieldType


class Function(StrEnum):
    """What a ``Call`` computes. Null and absent are one, and no condition is ever
    unknown: ``EQ`` and ``NE`` know null as a value, ordering and text functions of null
    are false, a null condition is false (so ``NOT`` of it is true)."""

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
    ISNULL = "isnull"


EQUALITY = (Function.EQ, Function.NE, Function.IN)
ORDERING = (Function.GT, Function.GTE, Function.LT, Function.LTE)
TEXT = (Function.CONTAINS, Function.STARTSWITH)

OPERATORS: dict[FieldType, tuple[Function, ...]] = {
    FieldType.INTEGER: (*EQUALITY, *ORDERING, Function.ISNULL),
    FieldType.NUMBER: (*EQUALITY, *ORDERING, Function.ISNULL),
    FieldType.STRING: (*EQUALITY, *ORDERING, *TEXT, Function.ISNULL),
    FieldType.BOOLEAN: (*EQUALITY, Function.ISNULL),
    FieldType.OBJECT: (Function.ISNULL,),
    FieldType.ARRAY: (Function.ISNULL,),
    FieldType.ANY: (*EQUALITY, *ORDERING, *TEXT, Function.ISNULL),
}
"""The operators ``field__op=`` offers for each type of field."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the record."""

    field: Field


@dataclass(frozen=True, slots=True)
class Parameter:
    """The value at ``index`` of the query's ``values``; ``type`` is the value's own."""

    index: int
    type: FieldType


@dataclass(frozen=True, slots=True)
class Call:
    """A function of conditions or operands. ``IN`` takes the member, then one parameter
    a value; ``ISNULL`` one operand; ``AND`` and ``OR`` any number; a bare boolean
    ``Member`` is a condition."""

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
    """``where`` with its ``values``; ``sort`` ends with the id, so that the order is
    total; ``after`` holds the sort values of the last record of the page before."""

    where: Expression | None = None
    values: tuple[Any, ...] = ()
    sort: tuple[SortKey, ...] = BY_ID
    after: tuple[Any, ...] | None = None
    limit: int | None = None

    def one_more(self) -> "Query":
        """The same with one record more: it tells whether there is a next page."""
        return self if self.limit is None else replace(self, limit=self.limit + 1)
