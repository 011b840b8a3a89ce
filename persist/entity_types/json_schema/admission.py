"""Safety: which JSON Schemas are let in, and what they may cost.

A schema is a program that strangers hand over. It is read by the meta-schema of draft
2020-12, its references stay within it, and its size, its patterns and what its
references unfold to are bounded; what a document may then cost under it is bounded by
the validator (``json_schema.visits``).
"""

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema_rs import meta
from referencing import Registry

from persist.domain.errors import InvalidSchema, Violation, pointer
from persist.domain.record import dumps
from persist.entity_types.json_schema.cost import BudgetExceeded, CostBudget
from persist.entity_types.json_schema.defaults import fill, prepare
from persist.entity_types.json_schema.engine import weight
from persist.entity_types.json_schema.error_report import explain
from persist.entity_types.json_schema.schema_graph import Graph, Node

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32
MAX_NODES = 2_000
MAX_PATTERN_WEIGHT = 20_000
_TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_META: Any = Draft202012Validator(Draft202012Validator.META_SCHEMA, registry=Registry())


def check_schema(schema: Any) -> None:
    """Raise ``InvalidSchema`` naming every place of ``schema`` that is not accepted.

    What can only be looked at once the rest is sound (references, then defaults) is
    reported then.
    """
    _refuse(_too_large(schema))
    _refuse(_against_the_meta_schema(schema))
    graph = Graph(schema)
    _refuse(
        [
            *graph.problems,
            *graph.refused_patterns,
            *_foreign_dialects(graph),
            *_too_costly(graph),
        ]
    )
    _refuse([*_root_of_another_type(graph), *_unfit_defaults(graph.root)])


def _refuse(violations: Iterator[Violation] | list[Violation]) -> None:
    errors = list(dict.fromkeys(violations))
    if errors:
        place = errors[0].pointer or "the schema"
        more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
        raise InvalidSchema(f"{place}: {errors[0].detail}{more}", errors=errors[:100])


def _too_large(schema: Any) -> Iterator[Violation]:
    if not isinstance(schema, dict):
        yield Violation("", "must be an object, the JSON Schema of an object type")
        return
    deepest, nodes = _measured(schema)
    if deepest is not None:
        yield Violation(deepest, f"is nested more than {MAX_DEPTH} deep")
        return
    if nodes > MAX_NODES:
        yield Violation("", f"has {nodes} objects and arrays, {MAX_NODES} are allowed")
    size = len(dumps(schema).encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        yield Violation("", f"takes {size} bytes as JSON, {MAX_BYTES} are allowed")


def _measured(schema: Any) -> tuple[str | None, int]:
    """The first place that lies too deep, if any, and the number of objects and
    arrays."""
    nodes = 0
    waiting: list[tuple[Any, tuple[str | int, ...]]] = [(schema, ())]
    while waiting:
        value, path = waiting.pop()
        if not isinstance(value, dict | list):
            continue
        nodes += 1
        if len(path) >= MAX_DEPTH:
            return pointer(path), nodes
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        waiting.extend((part, (*path, step)) for step, part in parts)
    return None, nodes


def _against_the_meta_schema(schema: Any) -> Iterator[Violation]:
    if meta.is_valid(schema | {"$schema": DIALECT}):
        return
    for error in _META.iter_errors(schema):
        cause: ValidationError = (
            best_match(error.context) or error if error.context else error
        )
        message = (
            cause.message if len(cause.message) <= 200 else f"{cause.message[:200]} …"
        )
        yield Violation(pointer(error.absolute_path), message)


def _foreign_dialects(graph: Graph) -> Iterator[Violation]:
    for node in graph.nodes:
        dialect = (
            node.schema.get("$schema", DIALECT)
            if isinstance(node.schema, dict)
            else DIALECT
        )
        if dialect.rstrip("#") != DIALECT:
            yield Violation(
                f"{node.place}/$schema", f"must be {DIALECT}, or be left out"
            )


def _too_costly(graph: Graph) -> Iterator[Violation]:
    states = sum(weight(text) for node in graph.nodes for text in node.patterns)
    if states > MAX_PATTERN_WEIGHT:
        detail = (
            f"its patterns unfold to {states} states together, {MAX_PATTERN_WEIGHT} are"
            " allowed"
        )
        yield Violation("", detail)
    unfolded: dict[Node, int] = {}
    for node in graph.nodes:
        unfolded[node] = 1 + node.turns * sum(
            unfolded.get(beside, 0) for beside in node.beside
        )
        if unfolded[node] > MAX_NODES:
            detail = (
                f"unfolds to more than {MAX_NODES} schemas for one value: its"
                " references fan out"
            )
            yield Violation(node.place, detail)
            return


def _root_of_another_type(graph: Graph) -> Iterator[Violation]:
    types: dict[Node, set[str]] = {}
    for node in graph.nodes:
        types[node] = _own_types(node).intersection(
            *(types[part] for part in node.parts)
        )
        for keyword in ("anyOf", "oneOf"):
            if keyword in node.leads:
                types[node] &= set().union(
                    *(types[each] for each in node.under(keyword))
                )
    if not types[graph.root] <= {"object"}:
        yield Violation(
            "/type" if "type" in graph.root.schema else "",
            'must be an object type: {"type": "object"}',
        )


def _own_types(node: Node) -> set[str]:
    if isinstance(node.schema, bool):
        return _TYPES if node.schema else set()
    declared = node.schema.get("type", _TYPES)
    return {declared} if isinstance(declared, str) else set(declared)


def _unfit_defaults(root: Node) -> Iterator[Violation]:
    for node in prepare(root):
        for name, default in node.fillable.items():
            why = _objection(node.members[name], default.value) if default else None
            if default and why:
                yield Violation(
                    default.place, f"does not fit where it would be filled in: {why}"
                )


def _objection(node: Node, default: Any) -> str | None:
    try:
        filled = fill(node, default, CostBudget())
        violation = None if node.fits(filled) else explain(node, filled)[0]
    except BudgetExceeded as limit:
        return str(limit)
    except RecursionError:
        return "it fills itself without end"
    return f"{violation.pointer or 'it'} {violation.detail}" if violation else None
