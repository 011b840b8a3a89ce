"""Expressions: the guards, values and results of commands and migrations written as
data, in CEL.

An expression is a pure function of ``data`` and ``payload``. What can be known before
it runs is checked when it is compiled; its cost is bounded by its length and by what
its ``View`` lets in. Source: the CEL language definition
(github.com/cel-expr/cel-spec).
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]

from persist.domain.errors import InvalidSchema, Violation
from persist.domain.field import Field, FieldType, Path, Schema, field_at, fields_of
from persist.domain.record import Data
from persist.entity_types.cel.activation import LIMIT, Seen, TooMuch, View
from persist.entity_types.cel.ast import Apply, Fault, Literal, Node, walk
from persist.entity_types.cel.evaluation import Failure, evaluate
from persist.entity_types.cel.parser import CONFIG, fault, parse
from persist.entity_types.cel.references import (
    Reference,
    is_identifier,
    references,
    unknown,
)

Schemas = Mapping[str, Schema | None]

_TYPES: Mapping[FieldType, Any] = {
    FieldType.INTEGER: cel.Type.INT,
    FieldType.NUMBER: cel.Type.DOUBLE,
    FieldType.STRING: cel.Type.STRING,
    FieldType.BOOLEAN: cel.Type.BOOL,
}
_NO_JSON = re.compile("BYTES|TIMESTAMP|DURATION|TYPE|google")
_MIXED = re.compile(r"\((int, double|double, int)\)")
_LOOPS = ("all", "exists", "exists_one", "filter", "map", "matches")
_SEARCH_LIMIT = LIMIT // 16
"""For texts searched for texts of the data: the time that takes grows with the product
of both."""


class Result(Enum):
    """What an expression is for: a guard or an ``if``, which is true or false, or any
    JSON value."""

    CONDITION = "condition"
    VALUE = "value"


class ExpressionFailed(Exception):
    """An expression that gives no value over this data; the message says why."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression: a pure function of data and payload; changes neither."""

    text: str
    result: Result
    _view: View
    _expression: Any
    _writes_null: bool

    def __call__(self, data: Data, payload: Data | None = None) -> Any:
        """The JSON value for this data. Raises ``ExpressionFailed``."""
        values = {"data": data, "payload": payload or {}}
        try:
            variables, nulls = self._view.of(values)
            value = evaluate(
                self._expression, variables, nulls=nulls or self._writes_null
            )
        except TooMuch as error:
            raise ExpressionFailed(f"{self.text:.200}: {error}") from None
        except Failure as error:
            empty = "".join(
                f"; {name} has no value" for name in self._view.without_value(values)
            )
            raise ExpressionFailed(f"{self.text:.200}: {error}{empty}") from None
        if self.result is Result.VALUE or isinstance(value, bool):
            return value
        if value is None:
            return False
        raise ExpressionFailed(
            f"{self.text:.200}: a condition is true or false, this gave {value!r:.80}"
        )


def compile_expression(
    text: str,
    *,
    data_schema: Schema | None,
    payload_schema: Schema | None = None,
    result: Result = Result.VALUE,
    place: str,
) -> Program:
    """The program of ``text``, which stands at the JSON Pointer ``place`` of a
    definition.

    Without ``data_schema`` the members of data are not known and not checked; without
    ``payload_schema`` there is no payload. Raises ``InvalidSchema`` with every
    violation: syntax, unknown members, ``has`` over a member that is always there,
    types that do not fit.
    """
    schemas: Schemas = {"data": data_schema} | (
        {} if payload_schema is None else {"payload": payload_schema}
    )
    try:
        tree = parse(text)
        _refuse_loops(tree)
        named = list(
            references(tree, lambda root, path: _is_object(schemas, root, path))
        )
        wrong = dict.fromkeys(
            filter(None, (_wrong(schemas, reference) for reference in named))
        )
        if wrong:
            raise InvalidSchema(
                f"{place}: {'; '.join(wrong)}",
                errors=[Violation(place, w) for w in wrong],
            )
        seen = _seen(schemas, named)
        expression, type_name = _compiled(text, schemas, seen)
        _check_result(type_name, result)
    except Fault as error:
        raise InvalidSchema(
            f"{place}: {error}", errors=[Violation(place, str(error))]
        ) from None
    writes_null = any(
        isinstance(node, Literal) and node.value is None for node in walk(tree)
    )
    return Program(
        text,
        result,
        View(seen, _SEARCH_LIMIT if _searches(tree) else LIMIT),
        expression,
        writes_null,
    )


def _refuse_loops(tree: Node) -> None:
    for node in walk(tree):
        if isinstance(node, Apply) and node.function in _LOOPS:
            raise Fault(
                f"{node.function}() is not available: an expression has no loops",
                node.position,
            )


def _is_object(schemas: Schemas, root: str, path: Path) -> bool:
    if not path:
        return root in schemas
    field = _field(schemas, root, path)
    return field is not None and field.type is FieldType.OBJECT


def _field(schemas: Schemas, root: str, path: Path) -> Field | None:
    schema = schemas.get(root)
    return None if schema is None else field_at(schema, path)


def _wrong(schemas: Schemas, reference: Reference) -> str | None:
    """What is wrong with a reference; the names CEL has of its own are left to its
    checker."""
    if reference.root.startswith("."):
        return f"{reference} begins with a dot"
    if reference.root == "payload" and "payload" not in schemas:
        return "there is no payload here"
    schema = schemas.get(reference.root)
    if schema is None or not reference.path:
        return None
    field = field_at(schema, reference.path)
    if field is None:
        return unknown(schema, reference.root, reference.path)
    if reference.tested and not field.nullable:
        return f"{reference} is always there, has() over it asks nothing"
    return None


def _seen(schemas: Schemas, named: list[Reference]) -> list[Seen]:
    """What the program sees: the members it names, and the numbers of a root it takes
    as a whole."""
    reads = Counter(
        (reference.root, reference.path) for reference in named if not reference.tested
    )
    tested = {
        (reference.root, reference.path) for reference in named if reference.tested
    }
    wholes = [
        root for root, path in reads if not path and schemas.get(root) is not None
    ]
    inner = (
        (root, (name,)) for root in wholes for name in fields_of(schemas[root] or {})
    )
    numbers = (
        member for member in inner if _type(schemas, *member) is FieldType.NUMBER
    )
    members = dict.fromkeys((*reads, *tested, *numbers))
    return [
        Seen(
            root,
            path,
            reads=reads[root, path],
            tested=(root, path) in tested,
            double=_type(schemas, root, path) is FieldType.NUMBER,
            variable=_variable(schemas, root, path) if reads[root, path] else None,
        )
        for root, path in members
        if root in schemas
    ]


def _type(schemas: Schemas, root: str, path: Path) -> FieldType | None:
    field = _field(schemas, root, path) if path else None
    return None if field is None else field.type


def _variable(schemas: Schemas, root: str, path: Path) -> str | None:
    """The name under which CEL's checker knows the type of a member: one that is always
    there."""
    field = _field(schemas, root, path) if len(path) == 1 else None
    if (
        field is None
        or field.nullable
        or field.type not in _TYPES
        or not is_identifier(path[0])
    ):
        return None
    return f"{root}.{path[0]}"


def _compiled(text: str, schemas: Schemas, seen: list[Seen]) -> tuple[Any, str]:
    types = {
        member.variable: _type(schemas, member.root, member.path)
        for member in seen
        if member.variable
    }
    try:
        expression = _environment(tuple(schemas), tuple(sorted(types.items()))).compile(
            text
        )
        return expression, expression.return_type().name()
    except RuntimeError as error:
        raise _explained(str(error), text) from None


def _explained(message: str, text: str) -> Fault:
    found = fault(message, text)
    if _MIXED.search(message):
        return Fault(
            f"{found}; a whole number beside a double is written 30.0 or double(…)"
        )
    return found


@lru_cache(maxsize=128)
def _environment(
    roots: tuple[str, ...], types: tuple[tuple[str, FieldType], ...]
) -> Any:
    """CEL's environment with these roots and variables; what is not declared is a
    member of a root and checked when it is computed."""
    objects = {root: cel.Type.Map(cel.Type.STRING, cel.Type.DYN) for root in roots}
    return cel.NewEnv(
        config=CONFIG,
        variables=objects | {name: _TYPES[type_] for name, type_ in types},
    )


def _check_result(type_name: str, result: Result) -> None:
    if result is Result.CONDITION and type_name not in ("BOOL", "DYN"):
        raise Fault(
            f"a condition is true or false, this is of type {type_name.lower()}"
        )
    if _NO_JSON.search(type_name):
        raise Fault(f"a value of type {type_name.lower()} is no JSON value")


def _searches(tree: Node) -> bool:
    """Whether ``contains`` looks for anything but a literal."""
    calls = (
        node
        for node in walk(tree)
        if isinstance(node, Apply) and node.function == "contains"
    )
    return any(
        not isinstance(argument, Literal)
        for call in calls
        for argument in call.arguments
    )
