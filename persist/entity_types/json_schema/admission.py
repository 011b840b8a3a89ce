"""Admission: which JSON Schemas are accepted, and what they may cost.

A schema is a program that strangers hand over. It has to fit the meta-schema of its
draft, its references stay within it, and its size, its patterns and what its references
unfold to are bounded. What a document may then cost under it is bounded by ``cost``.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError, best_match
from jsonschema_rs import meta
from referencing import Registry

from persist.domain.errors import InvalidSchema, Violation, pointer
from persist.domain.record import Json, dumps
from persist.entity_types.json_schema.compiled_schema import CompiledSchema
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
    Path,
    mistyped_annotations,
    subschemas,
    without_annotations,
)
from persist.entity_types.json_schema.engine import weight
from persist.entity_types.json_schema.keyword_messages import SENTENCES, cut, sentence
from persist.entity_types.json_schema.references import embedded_dialect
from persist.entity_types.json_schema.schema_graph import Graph, Node

OLDER_FORMS: Mapping[str | int, type] = {
    "required": bool,
    "exclusiveMinimum": bool,
    "exclusiveMaximum": bool,
    "items": list,
}
"""Keywords that older drafts write with a value of another type."""

MAX_BYTES = 512 * 1024
"""Bytes of a schema as JSON, without its annotations."""

MAX_DEPTH = 48
"""Levels to which the objects and arrays of a schema may nest."""

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

    schema: Json
    compiled: CompiledSchema
    warnings: tuple[Violation, ...] = ()
    converted: bool = False


def check_schema(source: object) -> None:
    """Raise ``InvalidSchema`` if ``source`` is not accepted. See ``admit``."""
    admit(source)


def admit(source: Any, *, fill: bool = True) -> Admitted:
    """Return a client's schema in the form that is compiled.

    Raises ``InvalidSchema`` naming every part that is not accepted. References are
    checked only if the form is valid, and the cost only if the references are.
    """
    if source is True:
        source = {}
    _refuse(_wrong_form(source))
    # Before anything walks the schema: what follows may take time in proportion to it.
    _refuse(_too_large(source))
    dialect = dialect_named(source)
    if dialect is None:
        raise _refusal([unknown_dialect(source["$schema"])])
    source, left_out = _without_mistyped_annotations(source, dialect)
    _refuse(_against_meta_schemas(source, dialect))
    converted = convert(source)
    _refuse(converted.problems)
    # What only a reference leads to is a schema for the first time now.
    schema, newly_left_out = _without_mistyped_annotations(converted.schema, DRAFT_2020)
    converted = replace(converted, schema=schema)
    left_out += _moved(newly_left_out, converted)
    _refuse(_moved(_against_meta_schema(converted.schema, DRAFT_2020), converted))
    # Once, for the checks and for the compiler.
    graph = Graph(converted.schema)
    faults = [*graph.problems, *graph.refused_patterns, *_too_costly(graph)]
    _refuse(_moved(faults, converted))
    _refuse(_admits_no_object(graph))
    compiled = CompiledSchema(converted.schema, graph=graph, fill=fill)
    invalid = _moved(compiled.invalid_defaults, converted)
    warnings = dict.fromkeys((*left_out, *converted.warnings, *invalid))
    return Admitted(
        converted.schema,
        compiled,
        tuple(warnings)[:MAX_REPORTED],
        converted.changed or bool(left_out),
    )


def _without_mistyped_annotations(
    schema: Any, dialect: Dialect
) -> tuple[object, list[Violation]]:
    """Return a schema without annotations that are not of their type, and a warning for
    each."""
    paths = list(mistyped_annotations(schema, dialect))
    if not paths:
        return schema, []
    warnings = [Violation(pointer(path), LEFT_OUT) for path in paths]
    # The client's own text is stored as it was sent.
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


def _against_meta_schemas(schema: Any, dialect: Dialect) -> Iterator[Violation]:
    """Yield the faults of a document; each resource has the meta-schema of its own
    draft."""
    embedded = list(_other_dialects(schema, dialect))
    if embedded:
        schema = copy.deepcopy(schema)
    for (*above, last), own in reversed(embedded):
        parent = schema
        for step in above:
            parent = parent[step]
        part = parent[last]
        parent[last] = True
        for location, detail in _against_meta_schema(part, own):
            yield Violation(pointer((*above, last)) + location, detail)
    yield from _against_meta_schema(schema, dialect)


def _other_dialects(schema: Any, dialect: Dialect) -> Iterator[tuple[Path, Dialect]]:
    """Yield the paths and drafts of embedded resources in another draft than what is
    around them, outer ones first."""
    waiting: list[tuple[Path, Any, Dialect]] = [((), schema, dialect)]
    while waiting:
        path, part, around = waiting.pop()
        for steps, below in subschemas(part, around):
            if not isinstance(below, dict):
                continue
            own = embedded_dialect(below) or around
            if own is not around:
                yield (*path, *steps), own
            waiting.append(((*path, *steps), below, own))


def _against_meta_schema(schema: Any, dialect: Dialect) -> Iterator[Violation]:
    # Up to draft-07 the address of a meta-schema ends in an empty fragment.
    fragment = "#" if dialect.ref_hides_siblings else ""
    # In Rust, and much faster than what follows, which is there to say what is wrong.
    if meta.is_valid({**schema, "$schema": dialect.uri + fragment}):
        return
    validator: Callable[..., Any] = _META_VALIDATORS[dialect]
    meta_schema = _META_VALIDATORS[dialect].META_SCHEMA
    for error in validator(meta_schema, registry=Registry()).iter_errors(schema):
        cause: ValidationError = error
        if error.context:
            # Of a union that fails, its own message says only that nothing matched.
            cause = best_match(error.context) or error
        detail = _fault_of_schema(cause)
        if "$schema" not in schema:
            detail += _hint_at_older_drafts(error)
        yield Violation(pointer(error.absolute_path), detail)


def _fault_of_schema(error: ValidationError) -> str:
    """Return what a meta-schema demands, as a document's faults are described."""
    keyword = str(error.validator)
    if keyword == "uniqueItems":
        return "must not repeat an item"
    if keyword in SENTENCES:
        return sentence(keyword, error.validator_value)
    return cut(error.message, 200)


def _hint_at_older_drafts(error: ValidationError) -> str:
    name = error.absolute_path[-1] if error.absolute_path else ""
    if type(error.instance) is not OLDER_FORMS.get(name):
        return ""
    return "; if an older draft writes it so, name the draft in $schema"


def _too_costly(graph: Graph) -> Iterator[Violation]:
    # An automaton is compiled in time and memory that grow with its states.
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
    if "not" in node.one:
        found -= _unrestricted_types(node.one["not"].schema)
    for keyword in ("anyOf", "oneOf"):
        if keyword in node.several:
            branches = (types[each] for each in node.several[keyword])
            found &= frozenset().union(*branches)
    return found


def _own_types(node: Node) -> frozenset[str]:
    if isinstance(node.schema, bool):
        return _TYPES if node.schema else frozenset()
    found = _declared_types(node.schema)
    if "const" in node.schema or "enum" in node.schema:
        has_object = any(isinstance(value, dict) for value in _constants(node.schema))
        found -= frozenset() if has_object else frozenset(("object",))
    return found


def _constants(schema: Mapping[str, Any]) -> Sequence[object]:
    return [schema["const"]] if "const" in schema else schema["enum"]


def _unrestricted_types(schema: Any) -> frozenset[str]:
    """Return types of which a schema admits every value."""
    if isinstance(schema, bool):
        return _TYPES if schema else frozenset()
    return frozenset() if schema.keys() - {"type"} else _declared_types(schema)


def _declared_types(schema: Mapping[str, Any]) -> frozenset[str]:
    declared = schema.get("type", _TYPES)
    return frozenset([declared]) if isinstance(declared, str) else frozenset(declared)
