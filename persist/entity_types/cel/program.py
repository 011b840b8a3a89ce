"""Programs: the guards, values and results of commands and migrations, in CEL.

A program is a pure function of ``data`` and ``payload``. Names and types are checked
when it is compiled. Its length and its ``Activation`` bound its cost. Source: the CEL
language definition (github.com/cel-expr/cel-spec).
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
from persist.domain.field import Field, FieldType, Path, Schema
from persist.domain.field_types import TEXT_TYPES
from persist.domain.record import Data
from persist.entity_types.cel.activation import (
    MAX_SIZE,
    Activation,
    InputTooLarge,
    Member,
)
from persist.entity_types.cel.ast import Call, CompileError, Literal, Node, walk
from persist.entity_types.cel.evaluation import EvaluationError, evaluate
from persist.entity_types.cel.numbers import with_doubles, without_presence, written
from persist.entity_types.cel.parser import CONFIG, compile_error, parse
from persist.entity_types.cel.references import (
    Reference,
    is_identifier,
    references,
    unknown,
)
from persist.entity_types.json_schema.fields import field_at, fields_of

Schemas = Mapping[str, Schema | None]

_TYPES: Mapping[FieldType, Any] = {
    FieldType.INTEGER: cel.Type.INT,
    FieldType.NUMBER: cel.Type.DOUBLE,
    FieldType.BOOLEAN: cel.Type.BOOL,
    **dict.fromkeys(TEXT_TYPES, cel.Type.STRING),
}
_WRAPPERS: Mapping[FieldType, str] = {
    FieldType.INTEGER: "google.protobuf.Int64Value",
    FieldType.NUMBER: "google.protobuf.DoubleValue",
    FieldType.BOOLEAN: "google.protobuf.BoolValue",
    **dict.fromkeys(TEXT_TYPES, "google.protobuf.StringValue"),
}
"""CEL's types of a value that may be null."""

_NO_JSON = re.compile("BYTES|TIMESTAMP|DURATION|TYPE|google")
_LOOPS = ("all", "exists", "exists_one", "filter", "map", "matches")
_MAX_SEARCH_SIZE = MAX_SIZE // 16
"""Limit, in the same units, where text of the data is searched for text of the data:
the time grows with the product of both."""


class Result(Enum):
    """The kind of value an expression is for: a boolean, or any JSON value."""

    CONDITION = "condition"
    VALUE = "value"


class ExpressionFailed(Exception):
    """An expression gives no value for this data; the message says why."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression: a pure function of data and payload."""

    text: str
    result: Result
    _activation: Activation
    _expression: Any
    _writes_null: bool

    def __call__(
        self,
        data: Data,
        payload: Data | None = None,
    ) -> Any:
        """Return the JSON value for this data. Raises ``ExpressionFailed``."""
        value = self.evaluate({"data": data, "payload": payload or {}})
        if self.result is Result.VALUE or isinstance(value, bool):
            return value
        if value is None:
            return False
        raise self._failed(f"a condition is true or false, this gave {value!r:.80}")

    @property
    def roots(self) -> frozenset[str]:
        """The roots of which the expression names a member."""
        return self._activation.roots

    def evaluate(self, values: Mapping[str, Data]) -> Any:
        """Return the value for these roots. Raises ``ExpressionFailed``."""
        try:
            variables, holds_null = self._activation.bind(values)
            nulls = holds_null or self._writes_null
            return evaluate(
                self._expression,
                variables,
                nulls=nulls,
            )
        except InputTooLarge as error:
            raise self._failed(str(error)) from None
        except EvaluationError as error:
            empty = [
                f"; {name} has no value"
                for name in self._activation.without_value(values)
            ]
            raise self._failed(f"{error}{''.join(empty)}") from None

    def _failed(self, reason: str) -> ExpressionFailed:
        return ExpressionFailed(f"{self.text:.200}: {reason}")


def compile_expression(
    text: str,
    *,
    data_schema: Schema | None,
    payload_schema: Schema | None = None,
    result: Result = Result.VALUE,
    pointer: str,
) -> Program:
    """Return the program of ``text``, which is at ``pointer`` in a definition.

    Without ``data_schema`` the members of data are unknown and not checked. Without
    ``payload_schema`` there is no payload. Raises ``InvalidSchema`` with every
    violation: syntax, unknown members, ``has`` of a member that is always present,
    types that do not fit.
    """
    schemas: dict[str, Schema | None] = {"data": data_schema}
    if payload_schema is not None:
        schemas["payload"] = payload_schema
    try:
        return compile_over(
            text,
            schemas,
            result,
        )
    except InvalidReferences as error:
        raise InvalidSchema(
            f"{pointer}: {error}",
            errors=[Violation(pointer, detail) for detail in error.details],
        ) from None
    except CompileError as error:
        raise InvalidSchema(
            f"{pointer}: {error}", errors=[Violation(pointer, str(error))]
        ) from None


class InvalidReferences(Exception):
    """An expression names members that it cannot name, one sentence each."""

    def __init__(self, details: list[str]) -> None:
        super().__init__("; ".join(details))
        self.details = details


def compile_over(
    given: str,
    schemas: Schemas,
    result: Result,
) -> Program:
    """Return the program of a text over the roots that ``schemas`` names.

    A root without a schema is not checked. Raises ``CompileError`` and
    ``InvalidReferences``.
    """
    tree = parse(given)
    _refuse_loops(tree)
    named = list(
        references(
            tree,
            lambda root, path: _is_object(
                schemas,
                root,
                path,
            ),
        )
    )
    _check_references(schemas, named)
    members = _members(schemas, named)
    numbers = with_doubles(
        tree,
        lambda member: _type(
            schemas,
            member.root,
            member.path,
        ),
    )
    text = given if written(numbers) == written(tree) else written(numbers)
    expression, type_name = _compiled(
        text,
        schemas,
        members,
    )
    _check_types(
        numbers,
        schemas,
        named,
    )
    _check_result(type_name, result)
    limit = _MAX_SEARCH_SIZE if _searches(tree) else MAX_SIZE
    return Program(
        given,
        result,
        Activation(members, limit),
        expression,
        _writes_null(tree),
    )


def _writes_null(tree: Node) -> bool:
    return any(isinstance(node, Literal) and node.value is None for node in walk(tree))


def _check_references(
    schemas: Schemas,
    named: list[Reference],
) -> None:
    details = [_wrong(schemas, reference) for reference in named]
    wrong = list(dict.fromkeys(detail for detail in details if detail))
    if wrong:
        raise InvalidReferences(wrong)


def _refuse_loops(tree: Node) -> None:
    for node in walk(tree):
        if isinstance(node, Call) and node.function in _LOOPS:
            raise CompileError(
                f"{node.function}() is not available: an expression has no loops",
                node.position,
            )


def _is_object(
    schemas: Schemas,
    root: str,
    path: Path,
) -> bool:
    if not path:
        return root in schemas
    field = _field(
        schemas,
        root,
        path,
    )
    return field is not None and field.type is FieldType.OBJECT


def _field(
    schemas: Schemas,
    root: str,
    path: Path,
) -> Field | None:
    schema = schemas.get(root)
    return None if schema is None else field_at(schema, path)


def _wrong(
    schemas: Schemas,
    reference: Reference,
) -> str | None:
    """Return what is wrong with a reference; CEL's checker knows CEL's own names."""
    if reference.root.startswith("."):
        return f"{reference} begins with a dot"
    if reference.root == "payload" and "payload" not in schemas:
        return "there is no payload here"
    schema = schemas.get(reference.root)
    if schema is None or not reference.path:
        return None
    field = field_at(schema, reference.path)
    if field is None:
        return unknown(
            schema,
            reference.root,
            reference.path,
        )
    if reference.tested and not field.nullable:
        return f"{reference} is always present; remove has()"
    return None


def _members(
    schemas: Schemas,
    named: list[Reference],
) -> list[Member]:
    """Return the members a program names, and the numbers of a root it reads whole."""
    reads: Counter[tuple[str, Path]] = Counter()
    tested: set[tuple[str, Path]] = set()
    for reference in named:
        location = (reference.root, reference.path)
        if reference.tested:
            tested.add(location)
        else:
            reads[location] += 1
    roots = [root for root, path in reads if not path]
    numbers = [number for root in roots for number in _numbers(schemas, root)]
    locations = dict.fromkeys((*reads, *tested, *numbers))
    return [
        Member(
            root,
            path,
            reads=reads[root, path],
            tested=(root, path) in tested,
            double=_type(
                schemas,
                root,
                path,
            )
            is FieldType.NUMBER,
            variable=_variable(
                schemas,
                root,
                path,
            )
            if reads[root, path]
            else None,
        )
        for root, path in locations
        if root in schemas
    ]


def _numbers(
    schemas: Schemas,
    root: str,
) -> list[tuple[str, Path]]:
    """Return the number members of a root."""
    fields = fields_of(schemas.get(root) or {})
    return [
        (root, field.path)
        for field in fields.values()
        if field.type is FieldType.NUMBER
    ]


def _type(
    schemas: Schemas,
    root: str,
    path: Path,
) -> FieldType | None:
    field = (
        _field(
            schemas,
            root,
            path,
        )
        if path
        else None
    )
    return None if field is None else field.type


def _variable(
    schemas: Schemas,
    root: str,
    path: Path,
) -> str | None:
    """Return the variable whose type CEL's checker knows: a member always present."""
    field = (
        _field(
            schemas,
            root,
            path,
        )
        if len(path) == 1
        else None
    )
    if field is None or field.nullable or field.type not in _TYPES:
        return None
    return f"{root}.{path[0]}" if is_identifier(path[0]) else None


def _compiled(
    text: str,
    schemas: Schemas,
    members: list[Member],
) -> tuple[Any, str]:
    types = {
        member.variable: _type(
            schemas,
            member.root,
            member.path,
        )
        for member in members
        if member.variable
    }
    environment = _environment(tuple(schemas), tuple(sorted(types.items())))
    try:
        expression = environment.compile(text)
        return expression, expression.return_type().name()
    except RuntimeError as error:
        raise compile_error(str(error), text) from None


def _check_types(
    tree: Node,
    schemas: Schemas,
    named: list[Reference],
) -> None:
    """Raise ``CompileError`` if the types of the members leave nothing to compute.

    CEL's checker sees the members that may be null as wrappers, which it does not
    evaluate here: an expression is compiled a second time to run.
    """
    types: dict[str, FieldType] = {}
    for reference in named:
        kind = _type(
            schemas,
            reference.root,
            reference.path,
        )
        if kind is None or kind not in _WRAPPERS or reference.tested:
            continue
        if all(map(is_identifier, reference.path)):
            types[str(reference)] = kind
    environment = _wrapper_environment(tuple(schemas), tuple(sorted(types.items())))
    text = written(without_presence(tree))
    try:
        environment.compile(text)
    except RuntimeError as error:
        raise CompileError(compile_error(str(error), text).detail) from None


@lru_cache(maxsize=128)
def _wrapper_environment(
    roots: tuple[str, ...],
    types: tuple[tuple[str, FieldType], ...],
) -> Any:
    objects = {root: cel.Type.Map(cel.Type.STRING, cel.Type.DYN) for root in roots}
    variables = {name: cel.Type(_WRAPPERS[type_]) for name, type_ in types}
    return cel.NewEnv(config=CONFIG, variables=objects | variables)


@lru_cache(maxsize=128)
def _environment(
    roots: tuple[str, ...],
    types: tuple[tuple[str, FieldType], ...],
) -> Any:
    """Return CEL's environment with these roots and variables.

    What is not declared is a member of a root, whose type CEL checks at run time.
    """
    objects = {root: cel.Type.Map(cel.Type.STRING, cel.Type.DYN) for root in roots}
    variables = {name: _TYPES[type_] for name, type_ in types}
    return cel.NewEnv(config=CONFIG, variables=objects | variables)


def _check_result(
    type_name: str,
    result: Result,
) -> None:
    if result is Result.CONDITION and type_name not in ("BOOL", "DYN"):
        raise CompileError(
            f"a condition is true or false, this is of type {type_name.lower()}"
        )
    if _NO_JSON.search(type_name):
        raise CompileError(f"a value of type {type_name.lower()} is no JSON value")


def _searches(tree: Node) -> bool:
    """Return whether ``contains`` searches for anything but a literal."""
    searched: list[Node] = []
    for node in walk(tree):
        if isinstance(node, Call) and node.function == "contains":
            searched += node.arguments
    return not all(isinstance(node, Literal) for node in searched)
