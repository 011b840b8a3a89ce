"""Applicators: the keywords of draft 2020-12 that lead to other schemas, or name several places
(Core, sections 10 and 11; Validation, section 6.5).

A maker stands under every keyword that starts it; the first of a schema's keywords makes the one
check for its group.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, count, repeat
from typing import Any

from app.entity_types.json_schema.assertions import ANY, Maker, Place, Rule, Schema, Together
from app.entity_types.json_schema.branches import BRANCHES
from app.entity_types.json_schema.patterns import Pattern
from app.entity_types.json_schema.run import ANYTHING, Check, Node, Run, Seen, Step

UNKNOWN = "is not a member this object may have"
SURPLUS = "is one item too many"


def _members(place: Place, schema: Schema) -> Iterator[Rule]:
    """``properties``, ``patternProperties`` and ``additionalProperties``."""
    known = {name: place.below(part) for name, part in schema.get("properties", {}).items()}
    place.node.members = known
    closed = "additionalProperties" in schema
    rest = place.below(schema["additionalProperties"], UNKNOWN) if closed else ANYTHING
    if "patternProperties" in schema:
        patterns = [
            (place.pattern(text, "patternProperties", text), place.below(part))
            for text, part in schema["patternProperties"].items()
        ]
        check = _members_by_pattern(patterns, known, rest, closed)
    else:
        check = _members_by_name(known, rest, closed)
    place.node.each_member = check
    yield (dict,), check


def _members_by_name(known: Mapping[str, Node], rest: Node, closed: bool) -> Check:
    def check(value: dict[str, Any], run: Run, seen: Seen) -> bool:
        if seen is not None:
            seen.update(value if closed else value.keys() & known.keys())
        nodes = map(known.get, value, repeat(rest))
        return run.every(len(value), zip(value, nodes, value.values(), strict=True))

    return check


def _members_by_pattern(
    patterns: list[tuple[Pattern, Node]], known: Mapping[str, Node], rest: Node, closed: bool
) -> Check:
    def nodes(name: str, run: Run, seen: Seen) -> list[Node]:
        found = [node for pattern, node in patterns if run.matches(pattern, name)]
        if name in known:
            found.append(known[name])
        if seen is not None and (found or closed):
            seen.add(name)
        return found or [rest]

    def check(value: dict[str, Any], run: Run, seen: Seen) -> bool:
        parts = ((name, node, item) for name, item in value.items() for node in nodes(name, run, seen))
        return run.every(len(value) * (1 + len(patterns)), parts)

    return check


def _elements(place: Place, schema: Schema) -> Iterator[Rule]:
    """``prefixItems`` and ``items``."""
    first = [place.below(part) for part in schema.get("prefixItems", ())]
    rest = place.node.items = place.below(schema["items"], SURPLUS) if "items" in schema else None

    def check(value: list[Any], run: Run, seen: Seen) -> bool:
        if seen is not None:
            seen.update(range(len(value) if rest is not None else min(len(value), len(first))))
        nodes = first if rest is None else chain(first, repeat(rest))
        return run.every(len(value), zip(count(), nodes, value, strict=False))

    yield (list,), check


def _contains(place: Place, schema: Schema) -> Iterator[Rule]:
    node = place.below(schema["contains"])
    least, most = schema.get("minContains", 1), schema.get("maxContains")

    def check(value: list[Any], run: Run, seen: Seen) -> bool:
        run.spend(len(value))
        hits = [index for index, item in enumerate(value) if run.quietly(node, item)]
        if seen is not None:
            seen.update(hits)
        if len(hits) < least:
            return run.refuse("contains", f"must contain {least} or more items of the kind asked for")
        if most is not None and len(hits) > most:
            return run.refuse("contains", f"must contain {most} or fewer items of the kind asked for")
        return True

    yield (list,), check


def _required(_place: Place, schema: Schema) -> Iterator[Rule]:
    names, price = frozenset(schema["required"]), len(schema["required"]) >> 4

    def check(value: dict[str, Any], run: Run, _seen: Seen) -> bool:
        run.spend(price)
        if value.keys() >= names:
            return True
        if run.found is not None:
            for name in schema["required"]:
                if name not in value:
                    run.refuse("required", "is required", name)
        return False

    yield (dict,), check


def _dependent_required(_place: Place, schema: Schema) -> Iterator[Rule]:
    pairs = [(name, other) for name, others in schema["dependentRequired"].items() for other in others]

    def check(value: dict[str, Any], run: Run, _seen: Seen) -> bool:
        run.spend(len(pairs) >> 4)
        missing = {other: name for name, other in pairs if name in value and other not in value}
        for other, name in missing.items():
            run.refuse("dependentRequired", f"is required beside {name[:100]}", other)
        return not missing

    yield (dict,), check


def _dependent_schemas(place: Place, schema: Schema) -> Iterator[Rule]:
    nodes = {name: place.beside(part) for name, part in schema["dependentSchemas"].items()}

    def check(value: dict[str, Any], run: Run, seen: Seen) -> bool:
        run.spend(len(nodes) >> 4)
        fitting = [node.check(value, run, seen) for name, node in nodes.items() if name in value]
        return all(fitting)

    yield (dict,), check


def _property_names(place: Place, schema: Schema) -> Iterator[Rule]:
    node = place.below(schema["propertyNames"])

    def check(value: dict[str, Any], run: Run, _seen: Seen) -> bool:
        run.spend(len(value))
        refused = [name for name in value if not run.quietly(node, name)]
        for name in refused:
            if run.found is not None:
                why = " and ".join(finding.detail for finding in run.apart(node, name))
                run.refuse("propertyNames", f"has a name that is not accepted: it {why}", name)
        return not refused

    yield (dict,), check


def _all_of(place: Place, schema: Schema) -> Iterator[Rule]:
    for part in schema["allOf"]:
        yield ANY, Together(place.beside(part, always=True))


def _ref(place: Place, schema: Schema) -> Iterator[Rule]:
    yield ANY, Together(place.refer(schema["$ref"], dynamic=False))


def _dynamic_ref(place: Place, schema: Schema) -> Iterator[Rule]:
    yield ANY, Together(place.refer(schema["$dynamicRef"], dynamic=True))


def _unused(keyword: str) -> Maker:
    """Schemas that stand here to be referred to, or that assert nothing; their references are checked."""

    def make(place: Place, schema: Schema) -> Iterator[Rule]:
        parts = schema[keyword]
        for part in parts.values() if keyword in ("$defs", "definitions") else (parts,):
            place.below(part)
        return iter(())

    return make


APPLICATORS: tuple[tuple[tuple[str, ...], Maker], ...] = (
    (("$ref",), _ref),
    (("$dynamicRef",), _dynamic_ref),
    (("required",), _required),
    (("properties", "patternProperties", "additionalProperties"), _members),
    (("propertyNames",), _property_names),
    (("dependentRequired",), _dependent_required),
    (("dependentSchemas",), _dependent_schemas),
    (("prefixItems", "items"), _elements),
    (("contains",), _contains),
    (("allOf",), _all_of),
    *BRANCHES,
    *(
        ((keyword,), _unused(keyword))
        for keyword in ("$defs", "definitions", "contentSchema", "then", "else")
    ),
)


def unevaluated(python: type, checks: tuple[Check, ...], rest: Node) -> Check:
    """``unevaluatedProperties`` or ``unevaluatedItems``: ``checks`` are all others of the schema, and
    ``rest`` is for the members that none of them evaluated."""
    steps: Callable[[Any], Iterable[tuple[Step, Any]]] = enumerate if python is list else dict.items

    def check(value: Any, run: Run, seen: Seen) -> bool:
        evaluated: set[Step] = set()
        run.spend(len(checks))
        fits = False not in [check(value, run, evaluated) for check in checks]
        left = ((step, rest, item) for step, item in steps(value) if step not in evaluated)
        fits = run.every(len(value), left) and fits
        if seen is not None:
            seen.update(step for step, _ in steps(value))
        return fits

    return check
