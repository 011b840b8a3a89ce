"""Assertions: the keywords of draft 2020-12 that look at a value alone (Validation, sections 6 and 7).

Every maker yields rules: the types of values it concerns, and a check. Values of other types pass.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Context, Decimal
from typing import Any, NamedTuple, Protocol

from app.domain.record import canonical_text, to_text, whole
from app.entity_types.json_schema.formats import FORMATS
from app.entity_types.json_schema.patterns import Pattern
from app.entity_types.json_schema.run import Check, Node, Run, Seen


class Together(NamedTuple):
    """In place of a check: everything that ``node`` checks."""

    node: Node


class Either(NamedTuple):
    """In place of a check: one of ``nodes`` fits, or more, ``most`` at most."""

    keyword: str
    nodes: list[Node]
    most: float


Types = tuple[type, ...]
Rule = tuple[Types, Check | Together | Either]
Schema = Mapping[str, Any]

NUMBER: Types = (int, float)
ANY: Types = (dict, list, str, int, float, bool, type(None))

TYPES: Mapping[str, tuple[Types, str]] = {
    "object": ((dict,), "an object"),
    "array": ((list,), "an array"),
    "string": ((str,), "a string"),
    "number": (NUMBER, "a number"),
    "integer": (NUMBER, "an integer"),
    "boolean": ((bool,), "true or false"),
    "null": ((type(None),), "null"),
}


class Place(Protocol):
    """Where a keyword is compiled: gives it the nodes of the schemas it leads to."""

    node: Node

    def below(self, schema: Any, detail: str = ...) -> Node:
        """The node of a schema for the value's members; ``detail`` says why ``false`` refuses."""

    def beside(self, schema: Any, *, always: bool = ...) -> Node:
        """The node of a schema for the same value; ``always`` if it must hold unconditionally."""

    def refer(self, reference: str, *, dynamic: bool) -> Node:
        """The node that ``$ref`` or ``$dynamicRef`` leads to."""

    def pattern(self, text: str, *path: str) -> Pattern:
        """A compiled pattern; ``path`` leads to it from this schema."""


Maker = Callable[[Place, Schema], Iterator[Rule]]


def asserting(keyword: str, holds: Callable[[Any], bool], detail: str) -> Check:
    """The check of a keyword that needs nothing but the value."""

    def check(value: Any, run: Run, _seen: Seen) -> bool:
        return holds(value) or run.refuse(keyword, detail)

    return check


def quoted(values: list[Any]) -> str:
    """Values as JSON text for a message, not too many."""
    text = ", ".join(to_text(value) for value in values[:20])
    return text if len(text) <= 200 and len(values) <= 20 else text[:200] + " …"


def _limit(keyword: str, types: Types, holds: Callable[[Any], Callable[[Any], bool]], detail: str) -> Maker:
    def make(_place: Place, schema: Schema) -> Iterator[Rule]:
        limit = schema[keyword]
        yield types, asserting(keyword, holds(limit), detail.format(quoted([limit])))

    return make


def _multiple_of(divisor: int | float) -> Callable[[Any], bool]:
    """In decimal, as written: 19.99 is a multiple of 0.01. No quotient of doubles has more digits."""
    context, exact = Context(prec=700), Decimal(repr(divisor))

    def holds(value: int | float) -> bool:
        if type(value) is int and type(divisor) is int:
            return value % divisor == 0
        return not context.remainder(Decimal(repr(value)), exact)

    return holds


def allowed_types(schema: Schema) -> set[type]:
    """The types of values that ``type`` lets through."""
    if "type" not in schema:
        return set(ANY)
    return {python for name in _names(schema) for python in TYPES[name][0]}


def _names(schema: Schema) -> list[str]:
    declared = schema["type"]
    return [declared] if isinstance(declared, str) else list(declared)


def _type(_place: Place, schema: Schema) -> Iterator[Rule]:
    allowed, names = allowed_types(schema), _names(schema)
    detail = f"must be {' or '.join(TYPES[name][1] for name in names)}"
    yield tuple(set(ANY) - allowed), asserting("type", lambda _: False, detail)
    if "integer" in names and "number" not in names:
        yield (float,), asserting("type", lambda value: type(whole(value)) is int, f"{detail} within 64 bits")


def _enum(_place: Place, schema: Schema) -> Iterator[Rule]:
    options = schema["enum"]
    return _among("enum", options, f"must be one of {quoted(options)}")


def _const(_place: Place, schema: Schema) -> Iterator[Rule]:
    return _among("const", [schema["const"]], f"must be {quoted([schema['const']])}")


def _among(keyword: str, options: list[Any], detail: str) -> Iterator[Rule]:
    groups: tuple[Types, ...] = ((str,), NUMBER, (bool, type(None)))
    for types in groups:
        scalars = frozenset(option for option in options if type(option) in types)
        yield types, asserting(keyword, scalars.__contains__, detail)
    deep = [option for option in options if type(option) in (dict, list)]
    lengths, texts = {len(option) for option in deep}, {canonical_text(option) for option in deep}

    def check(value: Any, run: Run, _seen: Seen) -> bool:
        if len(value) in lengths:
            text = canonical_text(value)
            run.spend(len(text) >> 6)
            if text in texts:
                return True
        return run.refuse(keyword, detail)

    yield (dict, list), check


def _unique_items(_place: Place, schema: Schema) -> Iterator[Rule]:
    def check(value: list[Any], run: Run, _seen: Seen) -> bool:
        first: dict[str, int] = {}
        for index, item in enumerate(value):
            text = canonical_text(item)
            run.spend(1 + (len(text) >> 6))
            if first.setdefault(text, index) != index:
                run.refuse("uniqueItems", f"repeats item {first[text]}", index)
                if run.found is None:
                    return False
        return len(first) == len(value)

    if schema["uniqueItems"]:
        yield (list,), check


def _pattern(place: Place, schema: Schema) -> Iterator[Rule]:
    pattern = place.pattern(schema["pattern"], "pattern")
    longest = schema.get("maxLength")
    detail = f"must match the pattern {quoted([pattern.text])}"

    def check(value: str, run: Run, _seen: Seen) -> bool:
        if longest is not None and len(value) > longest:
            return False  # maxLength says so
        return run.matches(pattern, value) or run.refuse("pattern", detail)

    yield (str,), check


def _format(_place: Place, schema: Schema) -> Iterator[Rule]:
    asserted = FORMATS.get(schema["format"])
    if asserted is None:
        return
    holds, toll, detail = asserted.holds, asserted.toll, f"must be {asserted.described}"

    def check(value: str, run: Run, _seen: Seen) -> bool:
        run.spend(int(len(value) * toll))
        return holds(value) or run.refuse("format", detail)

    yield (str,), check


def _at_least(limit: Any) -> Callable[[Any], bool]:
    return lambda value: bool(value >= limit)


def _at_most(limit: Any) -> Callable[[Any], bool]:
    return lambda value: bool(value <= limit)


def _more_than(limit: Any) -> Callable[[Any], bool]:
    return lambda value: bool(value > limit)


def _less_than(limit: Any) -> Callable[[Any], bool]:
    return lambda value: bool(value < limit)


def _no_shorter(limit: int) -> Callable[[Any], bool]:
    return lambda value: len(value) >= limit


def _no_longer(limit: int) -> Callable[[Any], bool]:
    return lambda value: len(value) <= limit


_LIMITS: tuple[tuple[str, Types, Callable[[Any], Callable[[Any], bool]], str], ...] = (
    ("minimum", NUMBER, _at_least, "must be {} or more"),
    ("maximum", NUMBER, _at_most, "must be {} or less"),
    ("exclusiveMinimum", NUMBER, _more_than, "must be more than {}"),
    ("exclusiveMaximum", NUMBER, _less_than, "must be less than {}"),
    ("multipleOf", NUMBER, _multiple_of, "must be a multiple of {}"),
    ("minLength", (str,), _no_shorter, "must have {} or more characters"),
    ("maxLength", (str,), _no_longer, "must have {} or fewer characters"),
    ("minItems", (list,), _no_shorter, "must have {} or more items"),
    ("maxItems", (list,), _no_longer, "must have {} or fewer items"),
    ("minProperties", (dict,), _no_shorter, "must have {} or more members"),
    ("maxProperties", (dict,), _no_longer, "must have {} or fewer members"),
)

ASSERTIONS: Mapping[str, Maker] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    **{keyword: _limit(keyword, types, holds, detail) for keyword, types, holds, detail in _LIMITS},
    "pattern": _pattern,
    "format": _format,
    "uniqueItems": _unique_items,
}
