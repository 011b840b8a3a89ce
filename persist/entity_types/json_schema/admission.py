"""Admission: which JSON Schemas are accepted, and what they may cost.

A schema is a program that strangers hand over. It has to fit the meta-schema of its
draft, its references stay within it, and its size, its patterns and what its references
unfold to are bounded. What a document may then cost under it is bounded by ``cost``.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError, best_match
from jsonschema_rs import meta
from referencing import Registry

from persist.domain.errors import InvalidSchema, Violation, pointer
from persist.domain.record import dumps
from persist.entity_types.json_schema import CompiledSchema
from persist.entity_types.json_schema.conversion import (
    Converted,
    convert,
    dialect_named,
    unknown_dialect,
)
from persist.entity_types.json_schema.cost import passes
from persist.entity_types.json_schema.dialects import (
    DRAFT_4,
    DRAFT_6,
    DRAFT_7,
    DRAFT_2019,
    DRAFT_2020,
    Dialect,
    misfit_annotations,
    without_annotations,
)
from persist.entity_types.json_schema.engine import weight
from persist.entity_types.json_schema.schema_graph import Graph, Node

MAX_BYTES = 512 * 1024
"""Bytes of a schema as JSON, without its annotations."""

MAX_DEPTH = 48
MAX_NODES = 10_000
"""Objects and arrays in a schema, without those in annotations."""

MAX_UNFOLDED = 2_000
"""Schemas that references may unfold to for one value."""

MAX_PATTERN_STATES = 50_000
"""States of all patterns of a schema in sum."""

MAX_REPORTED = 100
"""Faults and warnings of one schema that are listed."""

LEFT_OUT = (
    "is not of the type that the keyword takes; it only describes and is left out"
)

_TYPES = frozenset(
    ("object", "array", "string", "number", "integer", "boolean", "null")
)
_META_VALIDATORS = {
    DRAFT_4: jsonschema.Draft4Validator,
    DRAFT_6: jsonschema.Draft6Validator,
    DRAFT_7: jsonschema.Draft7Validator,
    DRAFT_2019: jsonschema.Draft201909Validator,
    DRAFT_2020: jsonschema.Draft202012Validator,
}


@dataclass(frozen=True)
class Admitted:
    """A schema that is accepted, in draft 2020-12, and what its author should know."""

    schema: dict[str, Any]
    compiled: CompiledSchema
    warnings: tuple[Violation, ...] = ()
    converted: bool = False


def check_schema(source: object) -> None:
    """Raise ``InvalidSchema`` where ``source`` is not accepted. See ``admit``."""
    admit(source)


def admit(source: Any, *, fill: bool = True) -> Admitted:
    """Return a client's schema in the form that is compiled.

    Raises ``InvalidSchema`` naming every part that is not accepted. References are
    checked only if the form is valid, and the cost only if the references are.
    """
    if source is True:
        source = {}
    _refuse(_wrong_form(source))
    _refuse(_too_large(source))
    dialect = dialect_named(source)
    if dialect is None:
        raise _refusal([unknown_dialect(source["$schema"])])
    source, left_out = _without_misfits(source, dialect)
    _refuse(_against_meta_schema(source, dialect))
    converted = convert(source)
    _refuse(converted.problems)
    # What only a reference leads to is a schema for the first time now.
    schema, unseen = _without_misfits(converted.schema, DRAFT_2020)
    converted = replace(converted, schema=schema)
    left_out += _moved(unseen, converted)
    _refuse(_moved(_against_meta_schema(converted.schema, DRAFT_2020), converted))
    graph = Graph(converted.schema)
    faults = [*graph.problems, *graph.refused_patterns, *_too_costly(graph)]
    _refuse(_moved(faults, converted))
    _refuse(_admits_no_object(graph))
    compiled = CompiledSchema(converted.schema, graph=graph, fill=fill)
    unfit = _moved(compiled.unfit_defaults, converted)
    warnings = dict.fromkeys((*left_out, *converted.warnings, *unfit))
    return Admitted(
        converted.schema,
        compiled,
        tuple(warnings)[:MAX_REPORTED],
        converted.changed or bool(left_out),
    )


def _without_misfits(schema: Any, dialect: Dialect) -> tuple[object, list[Violation]]:
    """Return a schema without annotations that are not of their type, and a warning for
    each."""
    paths = list(misfit_annotations(schema, dialect))
    if not paths:
        return schema, []
    warnings = [Violation(pointer(path), LEFT_OUT) for path in paths]
    copied = copy.deepcopy(schema)
    for *above, keyword in paths:
        part = copied
        for step in above:
            part = part[step]
        del part[keyword]
    return copied, warnings


def _refuse(faults: Iterable[Violation]) -> None:
    errors = list(dict.fromkeys(faults))
    if errors:
        raise _refusal(errors)


def _refusal(errors: list[Violation]) -> InvalidSchema:
    location = errors[0].pointer or "it"
    more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
    return InvalidSchema(
        f"{location} {errors[0].detail}{more}", errors=errors[:MAX_REPORTED]
    )


def _moved(faults: Iterable[Violation], converted: Converted) -> list[Violation]:
    """Return faults of the converted schema with pointers into its source."""
    return [
        Violation(converted.source_pointer(location), detail)
        for location, detail in faults
    ]


def _wrong_form(source: object) -> Iterator[Violation]:
    if source is False:
        yield Violation("", "admits no object, so no record could be stored")
    elif not isinstance(source, dict):
        yield Violation("", "must be an object, the JSON Schema of an object type")


def _too_large(source: dict[str, object]) -> Iterator[Violation]:
    too_deep = _first_too_deep(source)
    if too_deep is not None:
        yield Violation(too_deep, f"is nested more than {MAX_DEPTH} deep")
        return
    counted = without_annotations(source)
    nodes = _count_nodes(counted)
    if nodes > MAX_NODES:
        yield Violation("", f"has {nodes} objects and arrays, {MAX_NODES} are allowed")
    size = len(dumps(counted).encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        yield Violation("", f"takes {size} bytes as JSON, {MAX_BYTES} are allowed")


def _first_too_deep(schema: object) -> str | None:
    """Return the pointer to the first value that lies too deep, if any."""
    waiting: list[tuple[Any, tuple[str | int, ...]]] = [(schema, ())]
    while waiting:
        value, path = waiting.pop()
        if not isinstance(value, dict | list):
            continue
        if len(path) >= MAX_DEPTH:
            return pointer(path)
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        waiting.extend((part, (*path, step)) for step, part in parts)
    return None


def _count_nodes(schema: object) -> int:
    """Return the number of objects and arrays."""
    nodes = 0
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            nodes += 1
            waiting.extend(value.values())
        elif isinstance(value, list):
            nodes += 1
            waiting.extend(value)
    return nodes


def _against_meta_schema(schema: Any, dialect: Dialect) -> Iterator[Violation]:
    fragment = "#" if dialect.ref_hides_siblings else ""
    if meta.is_valid({**schema, "$schema": dialect.uri + fragment}):
        return
    validator: Callable[..., Any] = _META_VALIDATORS[dialect]
    meta_schema = _META_VALIDATORS[dialect].META_SCHEMA
    for error in validator(meta_schema, registry=Registry()).iter_errors(schema):
        cause: ValidationError = error
        if error.context:
            cause = best_match(error.context) or error
        message = cause.message
        if len(message) > 200:
            message = f"{message[:200]} …"
        yield Violation(pointer(error.absolute_path), message)


def _too_costly(graph: Graph) -> Iterator[Violation]:
    states = sum(weight(text) for node in graph.nodes for text in node.patterns)
    if states > MAX_PATTERN_STATES:
        detail = (
            f"its patterns unfold to {states} states in sum, {MAX_PATTERN_STATES} are"
            " allowed"
        )
        yield Violation("", detail)
    unfolded: dict[Node, int] = {}
    for node in graph.nodes:
        in_place = sum(unfolded.get(each, 0) for each in node.in_place)
        unfolded[node] = 1 + passes(node) * in_place
        if unfolded[node] > MAX_UNFOLDED:
            detail = (
                f"unfolds to more than {MAX_UNFOLDED} schemas for one value: its"
                " references fan out"
            )
            yield Violation(node.location, detail)
            return


def _admits_no_object(graph: Graph) -> Iterator[Violation]:
    types: dict[Node, frozenset[str]] = {}
    for node in graph.nodes:
        types[node] = _types_of(node, types)
    if "object" not in types[graph.root]:
        location = "/type" if "type" in graph.root.assertions else ""
        yield Violation(location, "admits no object, so no record could be stored")


def _types_of(node: Node, types: Mapping[Node, frozenset[str]]) -> frozenset[str]:
    """Return the types that a node admits, given those of its subschemas."""
    found = _own_types(node).intersection(*(types[each] for each in node.conjuncts))
    for keyword in ("anyOf", "oneOf"):
        if keyword in node.several:
            branches = (types[each] for each in node.several[keyword])
            found &= frozenset().union(*branches)
    return found


def _own_types(node: Node) -> frozenset[str]:
    if isinstance(node.schema, bool):
        return _TYPES if node.schema else frozenset()
    declared = node.schema.get("type", _TYPES)
    return frozenset([declared]) if isinstance(declared, str) else frozenset(declared)
