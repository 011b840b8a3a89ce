"""Programs: CEL that is evaluated here, for commands, migrations and filters of
changes.

A program is a pure function of its roots. Names and types are checked
when it is compiled. Its length and its ``Activation`` bound its cost. Source: the CEL
language definition (github.com/cel-expr/cel-spec).
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from persist.domain.errors import InvalidSchema, Violation
from persist.domain.field import FieldType, Path, Schema
from persist.domain.record import Data
from persist.entity_types.cel.activation import (
    MAX_SIZE,
    Activation,
    InputTooLarge,
    Member,
)
from persist.entity_types.cel.ast import Call, CompileError, Literal, Node, walk
from persist.entity_types.cel.checker import check_types, compiled, variable_of
from persist.entity_types.cel.evaluation import (
    EvaluationError,
    TypesDoNotFit,
    evaluate,
)
from persist.entity_types.cel.numbers import with_doubles, written
from persist.entity_types.cel.parser import parse
from persist.entity_types.cel.references import (
    Reference,
    Roots,
    references,
    unknown,
    unknown_below_indexes,
)
from persist.entity_types.json_schema.fields import field_at

_NO_JSON = re.compile("BYTES|TIMESTAMP|DURATION|TYPE|google")
_LOOPS = ("all", "exists", "exists_one", "filter", "map", "matches")
_MAX_SEARCH_SIZE = MAX_SIZE // 16
"""Limit, in the same units, if text of the data is searched for text of the data:
the time grows with the product of both."""


class Result(Enum):
    """The kind of value an expression is for: a boolean, or any JSON value."""

    CONDITION = "condition"
    VALUE = "value"


class ExpressionFailed(Exception):
    """An expression gives no value for this data; the message says why."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form of an expression that CEL evaluates, and its variables."""

    activation: Activation
    expression: object
    writes_null: bool

    def evaluate(self, values: Mapping[str, Data | None]) -> object:
        """Return the value for these roots.

        Raises ``EvaluationError`` and ``InputTooLarge``.
        """
        variables, holds_null = self.activation.bind(values)
        nulls = holds_null or self.writes_null
        return evaluate(self.expression, variables, nulls=nulls)


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression: a pure function of its roots.

    ``_with_doubles`` is the form for members of unknown type that have a fraction;
    None if no member is of unknown type.
    """

    text: str
    result: Result
    _form: Form
    _with_doubles: Form | None
    type_name: str
    """CEL's name of the value's type, ``DYN`` if it is not known."""

    def __call__(
        self,
        data: Data,
        payload: Data | None = None,
    ) -> object:
        """Return the JSON value for this data. Raises ``ExpressionFailed``."""
        value = self.evaluate({"data": data, "payload": payload or {}})
        if self.result is Result.VALUE or isinstance(value, bool):
            return value
        # A member without a value: a guard that reads it does not hold.
        if value is None:
            return False
        raise self._failed(f"a condition is true or false, this gave {value!r:.80}")

    @property
    def roots(self) -> frozenset[str]:
        """The roots whose members the expression names."""
        return self._form.activation.roots

    def evaluate(self, values: Mapping[str, Data | None]) -> object:
        """Return the value for these roots. Raises ``ExpressionFailed``."""
        try:
            return self._value(values)
        except InputTooLarge as error:
            raise self._failed(str(error)) from None
        except EvaluationError as error:
            empty = [
                f"; {name} has no value"
                for name in self._form.activation.without_value(values)
            ]
            raise self._failed(f"{error}{''.join(empty)}") from None

    def _value(self, values: Mapping[str, Data | None]) -> object:
        try:
            return self._form.evaluate(values)
        except TypesDoNotFit:
            if self._with_doubles is None:
                raise
            try:
                return self._with_doubles.evaluate(values)
            except EvaluationError:
                pass
            # The first reason names the types that were stored.
            raise

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
        return compile_over(text, schemas, result)
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
    schemas: Mapping[str, Schema | None],
    result: Result,
    nullable: frozenset[str] = frozenset(),
) -> Program:
    """Return the program of a text over the roots that ``schemas`` names.

    A root without a schema is not checked; those of ``nullable`` may be null. Raises
    ``CompileError`` and ``InvalidReferences``.
    """
    roots = Roots(schemas, nullable)
    tree = parse(given)
    # A loop over the data makes the time a product of its lengths, which no limit on
    # the text bounds.
    _refuse_loops(tree)
    named = list(references(tree, roots.is_object))
    _check_references(tree, roots, named)
    form, type_name = _form(given, tree, roots, named)
    # A second time, with the members that may be null, whose types the program does
    # not know.
    known_type = check_types(with_doubles(tree, roots.below), roots, named)
    _check_result(type_name, result)
    return Program(
        given,
        result,
        form,
        _form_with_doubles(given, tree, roots, named),
        known_type,
    )


def _form(
    given: str, tree: Node, roots: Roots, named: list[Reference]
) -> tuple[Form, str]:
    """Return what CEL evaluates, and the name of its type."""
    members = _members(roots, named)
    numbers = _numbers(tree, roots)
    # The library compiles text. It gets the author's own if nothing had to be
    # changed, for its messages.
    text = given if numbers == written(tree) else numbers
    expression, type_name = compiled(text, roots, members)
    limit = _MAX_SEARCH_SIZE if _searches(tree) else MAX_SIZE
    form = Form(Activation(members, limit), expression, _writes_null(tree))
    return form, type_name


def _numbers(tree: Node, roots: Roots) -> str:
    return written(with_doubles(tree, roots.below))


def _form_with_doubles(
    given: str, tree: Node, roots: Roots, named: list[Reference]
) -> Form | None:
    """Return the form in which numbers of unknown type are doubles.

    CEL has no arithmetic of an integer with a double, and JSON has one kind of number.
    """
    as_doubles = replace(roots, unknown_are_numbers=True)
    is_same = _members(as_doubles, named) == _members(roots, named)
    if is_same and _numbers(tree, as_doubles) == _numbers(tree, roots):
        return None
    try:
        return _form(given, tree, as_doubles, named)[0]
    except CompileError:
        return None


def _writes_null(tree: Node) -> bool:
    return any(isinstance(node, Literal) and node.value is None for node in walk(tree))


def _check_references(tree: Node, roots: Roots, named: list[Reference]) -> None:
    details = [_wrong(roots, reference) for reference in named]
    details += unknown_below_indexes(tree, roots)
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


def _wrong(roots: Roots, reference: Reference) -> str | None:
    """Return what is wrong with a reference; CEL's checker knows CEL's own names."""
    if reference.root.startswith("."):
        return f"{reference} begins with a dot"
    if reference.root == "payload" and "payload" not in roots.schemas:
        return "there is no payload here"
    schema = roots.schemas.get(reference.root)
    if schema is None or not reference.path:
        return None
    field = field_at(schema, reference.path)
    if field is None:
        return unknown(schema, reference.root, reference.path)
    may_be_absent = field.nullable or reference.root in roots.nullable
    if reference.tested and not may_be_absent:
        return f"{reference} is always present; remove has()"
    return None


def _members(roots: Roots, named: list[Reference]) -> list[Member]:
    """Return the members a program names, and the numbers of a root it reads whole."""
    reads: Counter[tuple[str, Path]] = Counter()
    tested: set[tuple[str, Path]] = set()
    for reference in named:
        location = (reference.root, reference.path)
        if reference.tested:
            tested.add(location)
        else:
            reads[location] += 1
    complete = [root for root, path in reads if not path]
    numbers = [number for root in complete for number in roots.numbers(root)]
    locations = dict.fromkeys((*reads, *tested, *numbers))
    return [
        Member(
            root,
            path,
            reads=reads[root, path],
            tested=(root, path) in tested,
            double=roots.type(root, path) is FieldType.NUMBER,
            variable=variable_of(roots, root, path) if reads[root, path] else None,
        )
        for root, path in locations
        if root in roots.schemas
    ]


def _check_result(type_name: str, result: Result) -> None:
    if result is Result.CONDITION and type_name not in ("BOOL", "DYN"):
        raise CompileError(
            f"a condition is true or false, this is of type {type_name.lower()}"
        )
    if _NO_JSON.search(type_name):
        raise CompileError(f"a value of type {type_name.lower()} is not a JSON value")


def _searches(tree: Node) -> bool:
    """Return whether ``contains`` searches for anything but a literal."""
    searched: list[Node] = []
    for node in walk(tree):
        if isinstance(node, Call) and node.function == "contains":
            searched += node.arguments
    return not all(isinstance(node, Literal) for node in searched)
