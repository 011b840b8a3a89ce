"""Safety: which JSON Schemas are let in, and what they may cost.

A schema is a program that strangers hand over. It is read by the meta-schema of draft 2020-12, its references
stay within it, and its size, its patterns and what its references unfold to are bounded; what a
document may then cost under it is bounded by the validator (``json_schema.run``).
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
from referencing import Registry

from app.domain.errors import InvalidSchema, Violation, pointer
from app.domain.record import to_text
from app.entity_types.json_schema.defaults import fill, prepare
from app.entity_types.json_schema.graph import Graph
from app.entity_types.json_schema.run import Exhausted, Node, Run

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32
MAX_NODES = 2_000
MAX_PATTERN_WEIGHT = 20_000
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_META: Any = Draft202012Validator(Draft202012Validator.META_SCHEMA, registry=Registry())


@cache
def _compiled_meta_schema() -> Node:
    """The meta-schema and its vocabularies as one schema, compiled: it says yes a hundred times sooner."""
    parts = {
        uri: REGISTRY.contents(uri) for uri in REGISTRY if uri.startswith(DIALECT.removesuffix("schema"))
    }
    return Graph({"$ref": DIALECT, "$defs": parts}).root


def check_schema(schema: Any) -> None:
    """Raise ``InvalidSchema`` naming every place of ``schema`` that is not accepted.

    What can only be looked at once the rest is sound (references, then defaults) is reported then.
    """
    _refuse(_too_large(schema))
    _refuse(_against_the_meta_schema(schema))
    graph = Graph(schema)
    _refuse([*graph.problems, *graph.refused_patterns, *_foreign_dialects(graph), *_too_costly(graph)])
    _refuse([*_root_of_another_type(graph.root), *_unfit_defaults(graph.root)])


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
    size = len(to_text(schema).encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        yield Violation("", f"takes {size} bytes as JSON, {MAX_BYTES} are allowed")


def _measured(schema: Any) -> tuple[str | None, int]:
    """The first place that lies too deep, if any, and the number of objects and arrays."""
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
    if _compiled_meta_schema().check(schema, Run()):
        return
    for error in _META.iter_errors(schema):
        cause: ValidationError = best_match(error.context) or error if error.context else error
        message = cause.message if len(cause.message) <= 200 else f"{cause.message[:200]} …"
        yield Violation(pointer(error.absolute_path), message)


def _foreign_dialects(graph: Graph) -> Iterator[Violation]:
    for node in graph.nodes:
        dialect = node.schema.get("$schema", DIALECT) if isinstance(node.schema, dict) else DIALECT
        if dialect.rstrip("#") != DIALECT:
            yield Violation(f"{node.place}/$schema", f"must be {DIALECT}, or be left out")


def _too_costly(graph: Graph) -> Iterator[Violation]:
    if graph.weight > MAX_PATTERN_WEIGHT:
        detail = f"its patterns unfold to {graph.weight} states together, {MAX_PATTERN_WEIGHT} are allowed"
        yield Violation("", detail)
    unfolded: dict[Node, int] = {}
    for node in graph.nodes:
        unfolded[node] = 1 + sum(unfolded.get(beside, 0) for beside in node.beside)
        if unfolded[node] > MAX_NODES:
            detail = f"unfolds to more than {MAX_NODES} schemas for one value: its references fan out"
            yield Violation(node.place, detail)
            return


def _root_of_another_type(root: Node) -> Iterator[Violation]:
    if not root.refused >= set(root.checks) - {dict}:
        yield Violation(
            "/type" if "type" in root.schema else "", 'must be an object type: {"type": "object"}'
        )


def _unfit_defaults(root: Node) -> Iterator[Violation]:
    prepare(root)
    for node in _reached(root):
        for member in node.fillable:
            if member.default is not None:
                why = _objection(member.node, member.default.value)
                if why is not None:
                    yield Violation(member.default.place, f"does not fit where it would be filled in: {why}")


def _reached(root: Node) -> Iterator[Node]:
    waiting, seen = [root], {root}
    while waiting:
        node = waiting.pop()
        yield node
        below = [*node.parts, *node.members.values(), *([node.items] if node.items else [])]
        waiting.extend(fresh := [each for each in below if each not in seen])
        seen.update(fresh)


def _objection(node: Node, default: Any) -> str | None:
    findings: list[Any] = []
    try:
        node.check(fill(node, default, Run()), Run(findings))
    except Exhausted as limit:
        return str(limit)
    except RecursionError:
        return "it fills itself without end"
    return f"{pointer(findings[0].path) or 'it'} {findings[0].detail}" if findings else None
