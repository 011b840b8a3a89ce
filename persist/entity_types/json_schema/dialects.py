"""Drafts: which keywords each draft of JSON Schema knows, and what they lead to.

Sources: the meta-schemas of draft-04, draft-06, draft-07, 2019-09 and 2020-12.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from persist.domain.record import canonical_text

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Path = tuple[str | int, ...]
"""Steps of a JSON Pointer, unescaped."""

ONE = frozenset(
    (
        "not",
        "if",
        "then",
        "else",
        "additionalProperties",
        "additionalItems",
        "propertyNames",
        "items",
        "contains",
        "unevaluatedProperties",
        "unevaluatedItems",
        "contentSchema",
    )
)
"""Keywords whose value is a schema (``items`` may be an array of them up to
2019-09)."""

SEVERAL = frozenset(("allOf", "anyOf", "oneOf", "prefixItems", "items"))
"""Keywords whose value is an array of schemas."""

NAMED = frozenset(
    (
        "properties",
        "patternProperties",
        "dependentSchemas",
        "dependencies",
        "$defs",
        "definitions",
    )
)
"""Keywords whose value is an object of schemas."""

ANNOTATIONS = frozenset(("title", "description", "examples", "$comment", "deprecated"))
"""Keywords that only describe."""

UNENFORCED = frozenset(("readOnly", "writeOnly"))
"""Annotations that people expect to be enforced, and that are not."""

_DRAFT_4 = frozenset(
    [
        "id",
        "$schema",
        "title",
        "description",
        "default",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "maxLength",
        "minLength",
        "pattern",
        "additionalItems",
        "items",
        "maxItems",
        "minItems",
        "uniqueItems",
        "maxProperties",
        "minProperties",
        "required",
        "additionalProperties",
        "definitions",
        "properties",
        "patternProperties",
        "dependencies",
        "enum",
        "type",
        "format",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "$ref",
    ]
)
_DRAFT_6 = (_DRAFT_4 - {"id"}) | frozenset(
    ["$id", "examples", "contains", "const", "propertyNames"]
)
_DRAFT_7 = _DRAFT_6 | frozenset(
    [
        "$comment",
        "readOnly",
        "writeOnly",
        "contentMediaType",
        "contentEncoding",
        "if",
        "then",
        "else",
    ]
)
_DRAFT_2019 = (_DRAFT_7 - {"definitions", "dependencies"}) | frozenset(
    [
        "$anchor",
        "$recursiveRef",
        "$recursiveAnchor",
        "$vocabulary",
        "$defs",
        "dependentRequired",
        "dependentSchemas",
        "unevaluatedProperties",
        "unevaluatedItems",
        "minContains",
        "maxContains",
        "deprecated",
        "contentSchema",
    ]
)
_DRAFT_2020 = (
    _DRAFT_2019 - {"$recursiveRef", "$recursiveAnchor", "additionalItems"}
) | frozenset(["$dynamicRef", "$dynamicAnchor", "prefixItems"])


@dataclass(frozen=True)
class Dialect:
    """A draft: its ``title``, the ``uri`` of its meta-schema and its ``keywords``.

    Up to draft-07 a ``$ref`` hides its siblings (``ref_hides_siblings``), and
    a fragment in ``$id`` names an anchor.
    """

    title: str
    uri: str
    keywords: frozenset[str]
    ref_hides_siblings: bool = False

    @property
    def id_keyword(self) -> str:
        """The keyword that gives a schema its address."""
        return "id" if "id" in self.keywords else "$id"


DRAFT_4 = Dialect("draft-04", "http://json-schema.org/draft-04/schema", _DRAFT_4, True)
DRAFT_6 = Dialect("draft-06", "http://json-schema.org/draft-06/schema", _DRAFT_6, True)
DRAFT_7 = Dialect("draft-07", "http://json-schema.org/draft-07/schema", _DRAFT_7, True)
DRAFT_2019 = Dialect(
    "2019-09", "https://json-schema.org/draft/2019-09/schema", _DRAFT_2019
)
DRAFT_2020 = Dialect("2020-12", DIALECT, _DRAFT_2020)

DRAFTS = (DRAFT_4, DRAFT_6, DRAFT_7, DRAFT_2019, DRAFT_2020)

OLDER_KEYWORDS: Mapping[str, str] = {
    "id": "$id",
    "definitions": "$defs",
    "dependencies": "dependentRequired and dependentSchemas",
    "additionalItems": "items with prefixItems",
    "$recursiveRef": "$dynamicRef",
    "$recursiveAnchor": "$dynamicAnchor",
}
"""Keywords that only older drafts know, and what 2020-12 has in their place."""

ALL_KEYWORDS = frozenset().union(*(dialect.keywords for dialect in DRAFTS))

MEANINGFUL = (
    _DRAFT_2020
    - ANNOTATIONS
    - UNENFORCED
    - frozenset(
        [
            "$schema",
            "$id",
            "$anchor",
            "$vocabulary",
            "contentMediaType",
            "contentEncoding",
            "contentSchema",
        ]
    )
)
"""Keywords of 2020-12 that can change a verdict or a default."""


def dialect_of(uri: str) -> Dialect | None:
    """Return the draft whose meta-schema has this address, or None."""
    wanted = _without_scheme(uri)
    if wanted == "json-schema.org/schema":  # whatever is the latest draft
        return DRAFT_2020
    for dialect in DRAFTS:
        if _without_scheme(dialect.uri) == wanted:
            return dialect
    return None


def _without_scheme(uri: str) -> str:
    """Return an address so that ``https://….org/draft-07/schema#`` and
    ``http://….org/draft-07/schema`` are one."""
    return uri.strip().rstrip("#").partition("://")[2]


ANNOTATION_TYPES: Mapping[str, type] = {
    "title": str,
    "description": str,
    "$comment": str,
    "examples": list,
    "deprecated": bool,
    "readOnly": bool,
    "writeOnly": bool,
}
"""The Python types of what keywords that only describe may have."""


def subschemas(
    schema: Mapping[str, object], dialect: Dialect
) -> Iterator[tuple[Path, object]]:
    """Yield the schemas directly inside a schema with the paths to them.

    ``definitions`` counts in every draft, because references lead there in every one.
    """
    for keyword, value in schema.items():
        if keyword in dialect.keywords or keyword in ("definitions", "$defs"):
            yield from _below(keyword, value)


def _below(keyword: str, value: object) -> Iterator[tuple[Path, Any]]:
    """Yield the schemas that a keyword leads to with the paths to them."""
    if keyword in ONE and isinstance(value, dict | bool):
        yield (keyword,), value
    elif keyword in SEVERAL and isinstance(value, list):
        for index, part in enumerate(value):
            yield (keyword, index), part
    elif keyword in NAMED and isinstance(value, dict):
        yield from (
            ((keyword, name), part)
            for name, part in value.items()
            if isinstance(part, dict | bool)
        )


def mistyped_annotations(schema: object, dialect: Dialect) -> Iterator[Path]:
    """Yield the paths of the annotations that are not of their type."""
    waiting: list[tuple[Path, Any]] = [((), schema)]
    while waiting:
        path, part = waiting.pop()
        if isinstance(part, dict):
            for keyword in _mistyped_annotations_of(part):
                yield (*path, keyword)
            for below, subschema in subschemas(part, dialect):
                waiting.append(((*path, *below), subschema))


def _mistyped_annotations_of(schema: Mapping[str, object]) -> list[str]:
    """Return the annotations of one schema that are not of their type."""
    found = []
    for keyword, kind in ANNOTATION_TYPES.items():
        if keyword in schema and not isinstance(schema[keyword], kind):
            found.append(keyword)
    return found


def without_annotations(schema: object) -> object:
    """Return a schema of any draft without the keywords that only describe."""
    return _filtered(schema, lambda keyword: keyword not in ANNOTATIONS)


def meaning_of(schema: object) -> object:
    """Return what of a schema of draft 2020-12 can change a verdict or a default, in
    one order."""
    return _filtered(schema, MEANINGFUL.__contains__, _in_order)


def _in_order(keyword: str, value: Any) -> object:
    """Return the value of a keyword; one whose order means nothing is sorted."""
    if keyword == "type" and isinstance(value, str):
        return [value]
    if keyword in ("required", "enum", "type") and isinstance(value, list):
        return sorted(value, key=canonical_text)
    return value


def _as_written(_keyword: str, value: object) -> object:
    return value


def _filtered(
    schema: object,
    is_kept: Callable[[str], bool],
    leaf: Callable[[str, object], object] = _as_written,
) -> object:
    """Return a schema with the keywords that are kept, in its subschemas too; ``leaf``
    gives the values of keywords that contain no schema."""
    if not isinstance(schema, dict):
        return schema

    def filtered(part: object) -> object:
        return _filtered(part, is_kept, leaf)

    return {
        keyword: _filtered_value(keyword, value, filtered, leaf)
        for keyword, value in schema.items()
        if is_kept(keyword)
    }


def _filtered_value(
    keyword: str,
    value: object,
    filtered: Callable[[object], object],
    leaf: Callable[[str, object], object],
) -> object:
    if keyword in ONE and isinstance(value, dict):
        return filtered(value)
    if keyword in SEVERAL and isinstance(value, list):
        return [filtered(part) for part in value]
    if keyword in NAMED and isinstance(value, dict):
        return {name: filtered(part) for name, part in value.items()}
    return leaf(keyword, value)
