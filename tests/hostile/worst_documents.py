"""The worst schema and document of each keyword of JSON Schema 2020-12: what costs its
validation most within the limits of a schema and of a body."""

import json
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]
Case = tuple[Json, Any]
"""A schema, and the value of its member ``a``."""

TEXT = "a" * 900_000
TEXTS = ["a" * 8] * 80_000
NUMBERS = [number * 1e-310 for number in range(44_000)]
INTEGERS = list(range(130_000))
EMPTY: list[list[Any]] = [[]] * 250_000
DOUBLES = [number / 7 for number in range(8_000)]
NAMES = [f"name{number}" for number in range(4_000)]
OBJECTS: list[Json] = [{}] * 250_000
WIDE = {f"n{number}": number for number in range(60_000)}
DEEP: Any = json.loads("[" * 40 + "1" + "]" * 40)
REFUSED: Json = {"enum": DOUBLES}

FORMATS = (
    "date",
    "date-time",
    "decimal",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
)


def items(schema: Json) -> Json:
    return {"items": schema}


def several(keyword: str) -> Iterator[Case]:
    for below in (REFUSED, {"required": NAMES}, {"type": "string"}):
        yield items({keyword: [below] * 40}), EMPTY
    yield {keyword: [{"pattern": "(a|b){40}c"}] * 20}, TEXT


def one(keyword: str) -> Iterator[Case]:
    """Cases of a keyword whose value is a schema for the items or members."""
    yield {keyword: REFUSED}, NUMBERS
    yield {keyword: REFUSED}, WIDE
    yield items({keyword: {"required": NAMES}}), OBJECTS
    yield {keyword: {"pattern": "(n|0){30}c"}}, WIDE


def bound(keyword: str, value: float = 1) -> Iterator[Case]:
    yield items({keyword: value}), NUMBERS
    yield items({keyword: value}), TEXTS
    yield items({keyword: value}), OBJECTS
    yield {keyword: value}, TEXT


def number_bound(keyword: str) -> Iterator[Case]:
    yield items({keyword: 1.5}), NUMBERS
    yield items({keyword: 1e-310}), NUMBERS
    yield from bound(keyword)


def recursive(reference: str, anchor: str) -> Iterator[Case]:
    """A reference that each level of the document follows twice."""
    below = {reference: "#node"}
    node = {anchor: "node", "anyOf": [items(below), {"additionalProperties": below}]}
    yield {reference: "#node", "$defs": {"node": node}}, DEEP
    yield {reference: "#node", "$defs": {"node": node}}, EMPTY


CASES: dict[str, Callable[[], Iterator[Case]]] = {
    "$ref": lambda: recursive("$ref", "$anchor"),
    "$dynamicRef": lambda: recursive("$dynamicRef", "$dynamicAnchor"),
    "additionalProperties": lambda: one("additionalProperties"),
    "allOf": lambda: several("allOf"),
    "anyOf": lambda: several("anyOf"),
    "const": lambda: iter(
        [
            (items({"const": DEEP}), [DEEP] * 4_000),
            (items({"const": 0.5}), NUMBERS),
            (items({"const": TEXT[:200_000]}), [TEXT[:200_000]] * 4),
        ]
    ),
    "contains": lambda: one("contains"),
    "dependentRequired": lambda: iter(
        [
            ({"dependentRequired": {"n1": NAMES}}, WIDE),
            (items({"dependentRequired": {"": NAMES}}), [{"": 0}] * 100_000),
        ]
    ),
    "dependentSchemas": lambda: iter(
        [(items({"dependentSchemas": {"": REFUSED}}), [{"": 0}] * 100_000)]
    ),
    "else": lambda: iter([(items({"if": False, "else": REFUSED}), NUMBERS)]),
    "enum": lambda: iter(
        [
            (items({"enum": DOUBLES}), NUMBERS),
            (items({"enum": [1e-310, 2, "a", *DOUBLES]}), NUMBERS),
            (items({"enum": [[number] for number in range(6_000)]}), EMPTY),
            (items({"enum": NAMES}), TEXTS),
        ]
    ),
    "exclusiveMaximum": lambda: number_bound("exclusiveMaximum"),
    "exclusiveMinimum": lambda: number_bound("exclusiveMinimum"),
    "format": lambda: iter(
        [(items({"format": name}), TEXTS) for name in FORMATS]
        + [({"format": name}, TEXT) for name in FORMATS]
        + [({"allOf": [{"format": name} for name in FORMATS]}, "1." * 400_000)]
    ),
    "if": lambda: iter([(items({"if": REFUSED, "then": REFUSED}), NUMBERS)]),
    "items": lambda: one("items"),
    "maxContains": lambda: iter([({"contains": REFUSED, "maxContains": 1}, NUMBERS)]),
    "maxItems": lambda: bound("maxItems"),
    "maxLength": lambda: bound("maxLength"),
    "maxProperties": lambda: bound("maxProperties"),
    "maximum": lambda: number_bound("maximum"),
    "minContains": lambda: iter([({"contains": REFUSED, "minContains": 9}, NUMBERS)]),
    "minItems": lambda: bound("minItems"),
    "minLength": lambda: bound("minLength", 9),
    "minProperties": lambda: bound("minProperties"),
    "minimum": lambda: number_bound("minimum"),
    "multipleOf": lambda: iter(
        [
            (items({"multipleOf": 1e-300}), [1e300 + n for n in range(40_000)]),
            (items({"multipleOf": 0.01}), NUMBERS),
            (items({"multipleOf": 7}), INTEGERS),
        ]
    ),
    "not": lambda: iter(
        [(items({"not": REFUSED}), NUMBERS), (items({"not": {"not": {}}}), EMPTY)]
    ),
    "oneOf": lambda: several("oneOf"),
    "pattern": lambda: iter(
        [
            ({"pattern": "(a|b){60}c"}, TEXT),
            ({"pattern": "[a-m][a-z]{200}\\d"}, TEXT),
            (items({"pattern": "(a|b){60}c"}), TEXTS),
        ]
    ),
    "patternProperties": lambda: iter(
        [
            (
                {"patternProperties": {f"(n|{n}){{9}}": {} for n in range(200)}},
                WIDE,
            ),
            ({"patternProperties": {"^n": REFUSED}}, WIDE),
        ]
    ),
    "prefixItems": lambda: iter([({"prefixItems": [REFUSED] * 40}, NUMBERS)]),
    "properties": lambda: iter(
        [(items({"properties": dict.fromkeys(NAMES, False)}), OBJECTS)]
    ),
    "propertyNames": lambda: one("propertyNames"),
    "required": lambda: iter(
        [(items({"required": NAMES}), OBJECTS), ({"required": NAMES}, WIDE)]
    ),
    "then": lambda: iter([(items({"if": True, "then": REFUSED}), NUMBERS)]),
    "type": lambda: iter(
        [(items({"type": ["string", "null"]}), EMPTY), ({"type": "string"}, EMPTY)]
    ),
    "unevaluatedItems": lambda: iter(
        [
            ({"anyOf": [{"prefixItems": [{}]}, {}], "unevaluatedItems": False}, EMPTY),
            ({"unevaluatedItems": REFUSED}, NUMBERS),
            ({"anyOf": [{"contains": REFUSED}] * 8, "unevaluatedItems": {}}, NUMBERS),
        ]
    ),
    "unevaluatedProperties": lambda: iter(
        [
            (
                {
                    "anyOf": [{"properties": {"n1": {}}}, {}],
                    "unevaluatedProperties": False,
                },
                WIDE,
            ),
            ({"unevaluatedProperties": REFUSED}, WIDE),
        ]
    ),
    "uniqueItems": lambda: iter(
        [
            ({"uniqueItems": True}, INTEGERS),
            ({"uniqueItems": True}, [[number] for number in range(90_000)]),
            ({"uniqueItems": True}, [{"n": number} for number in range(44_000)]),
            ({"uniqueItems": True}, [number / 3 for number in range(45_000)]),
        ]
    ),
}
"""By keyword, functions that make its cases."""

WITHOUT_COST = frozenset(
    (
        "$anchor",
        "$comment",
        "$defs",
        "$dynamicAnchor",
        "$id",
        "$schema",
        "$vocabulary",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "default",
        "deprecated",
        "description",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    )
)
"""Keywords that look at no value."""
