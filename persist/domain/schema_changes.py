"""What changed between two JSON Schemas of one schema version, member by member."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

from persist.domain.comparable import decimal_form, duration_form
from persist.domain.field import Field, Schema
from persist.domain.record import canonical_text, dumps
from persist.domain.schema_fields import SchemaFields
from persist.domain.schema_keywords import resolve

ANNOTATIONS = frozenset(
    ("title", "description", "examples", "$comment", "deprecated", "$defs")
)
"""Keywords that change no verdict, and ``$defs``, which is followed by ``$ref``."""


class Kind(StrEnum):
    """What happened to a member."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """A change of one member that needs a new schema version."""

    member: str
    kind: Kind
    reason: str


def schema_changes(old: Schema, new: Schema) -> list[SchemaChange]:
    """Return the changes of top-level members that need a new schema version.

    Annotations and constraints that only widen need none.
    """
    before = old.get("properties", {})
    after = new.get("properties", {})
    added = [
        SchemaChange(name, Kind.ADDED, "it is new")
        for name in after
        if name not in before
    ]
    removed = [
        SchemaChange(name, Kind.REMOVED, "it was taken out")
        for name in before
        if name not in after
    ]
    return [*added, *removed, *_changed(old, new)]


def _changed(old: Schema, new: Schema) -> Iterator[SchemaChange]:
    before = SchemaFields(old).declared
    after = SchemaFields(new).declared
    for name in new.get("properties", {}):
        if name not in before:
            continue
        reason = (
            _nullability(before[name], after[name])
            or _requirement(name, old, new)
            or _Comparison(old, new).difference(
                old["properties"][name], new["properties"][name]
            )
        )
        if reason is not None:
            yield SchemaChange(name, Kind.CHANGED, reason)


def _nullability(before: Field, after: Field) -> str | None:
    if before.type is not after.type:
        return f"its type was {before.type} and is {after.type}"
    if before.nullable is after.nullable:
        return None
    return "it may be null now" if after.nullable else "it may no longer be null"


def _requirement(name: str, old: Schema, new: Schema) -> str | None:
    was_required = name in old.get("required", ())
    if was_required is (name in new.get("required", ())):
        return None
    return "it has a default now" if was_required else "it is required now"


class _Comparison:
    """The comparison of one member.

    Two definitions that refer to one another are compared once: a schema may contain
    itself.
    """

    def __init__(self, old: Schema, new: Schema) -> None:
        self._roots = old, new
        self._compared: set[tuple[object, object]] = set()

    def difference(self, old: object, new: object) -> str | None:
        """Return a difference that is more than a wider constraint, or None."""
        if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
            return None if _same(old, new) else "it changed"
        old = _with_key_pattern(old)
        new = _with_key_pattern(new)
        if "$ref" in old or "$ref" in new:
            pair = old.get("$ref"), new.get("$ref")
            if pair in self._compared:
                return None
            self._compared.add(pair)
            return self.difference(
                _target(old, self._roots[0]), _target(new, self._roots[1])
            )
        keywords = sorted((old.keys() | new.keys()) - ANNOTATIONS)
        found = (self._keyword(keyword, old, new) for keyword in keywords)
        return next(filter(None, found), None)

    def _keyword(self, keyword: str, old: Schema, new: Schema) -> str | None:
        before = old.get(keyword)
        after = new.get(keyword)
        if keyword in CONSTRAINTS:
            if _is_wider(keyword, old, new):
                return None
            return _sentence(keyword, before, after)
        if keyword == "default" and _same_default(old, new):
            return None
        form = _NESTED.get(keyword, ())
        if isinstance(before, form) and isinstance(after, form):
            return self._nested(keyword, before, after)
        same = keyword in old and keyword in new and _same(before, after)
        return None if same else _sentence(keyword, before, after)

    def _nested(self, keyword: str, before: Any, after: Any) -> str | None:
        if keyword in ("properties", "patternProperties"):
            return self._members(before, after)
        if isinstance(before, Mapping):
            return self.difference(before, after)
        if len(before) != len(after):
            return f"{keyword} had {len(before)} branches and has {len(after)}"
        pairs = zip(before, after, strict=True)
        found = (self.difference(*pair) for pair in pairs)
        return next(filter(None, found), None)

    def _members(self, before: Schema, after: Schema) -> str | None:
        for name in sorted(before.keys() | after.keys()):
            if name not in before:
                return f"its member {name} is new"
            if name not in after:
                return f"its member {name} was taken out"
            found = self.difference(before[name], after[name])
            if found is not None:
                return f"in its member {name}, {found}"
        return None


def _target(part: Schema, root: Schema) -> Schema:
    """Return the schema that ``$ref`` leads to, with the other keywords of the part."""
    if "$ref" not in part:
        return part
    target = resolve(root, part["$ref"])
    others = {key: value for key, value in part.items() if key != "$ref"}
    return {**target, **others} if isinstance(target, Mapping) else others


def _same(before: object, after: object) -> bool:
    return canonical_text(before) == canonical_text(after)


def _with_key_pattern(part: Schema) -> Schema:
    """Return the schema of a dict in today's form.

    Earlier releases wrote the pattern of its keys as ``patternProperties``.
    """
    patterns = part.get("patternProperties", {})
    if len(patterns) != 1 or part.keys() & {"properties", "additionalProperties"}:
        return part
    [(pattern, values)] = patterns.items()
    others = {key: part[key] for key in part if key != "patternProperties"}
    names = {**part.get("propertyNames", {}), "pattern": pattern}
    return {**others, "propertyNames": names, "additionalProperties": values}


def _same_default(old: Schema, new: Schema) -> bool:
    """Return whether two defaults are one value.

    Earlier releases wrote a decimal with an exponent and a duration in years.
    """
    before = old.get("default")
    after = new.get("default")
    if not (isinstance(before, str) and isinstance(after, str)):
        return False
    return any(
        form(before) is not None and form(before) == form(after)
        for name, form in _FORMS.items()
        if _has_format(old, name) and _has_format(new, name)
    )


def _has_format(part: Schema, name: str) -> bool:
    return any(branch.get("format") == name for branch in part.get("anyOf", [part]))


def _length(text: str) -> str | None:
    """Return the form of a duration, of which a year has 365 days and a month 30."""
    found = _YEARS_AND_MONTHS.match(text)
    if found is None:
        return duration_form(text)
    sign, years, months, days, rest = found.groups()
    all_days = int(years or 0) * 365 + int(months or 0) * 30 + int(days or 0)
    return duration_form(f"{sign}P{all_days}D{rest}")


_YEARS_AND_MONTHS = re.compile(
    r"([+-]?)P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)D)?((?:T.*)?)$", re.ASCII
)
_FORMS: Mapping[str, Callable[[str], str | None]] = {
    "decimal": decimal_form,
    "duration": _length,
}

_NESTED: Mapping[str, type] = {
    "properties": Mapping,
    "patternProperties": Mapping,
    "items": Mapping,
    "additionalProperties": Mapping,
    "anyOf": list,
    "oneOf": list,
    "allOf": list,
    "prefixItems": list,
}
"""Keywords that contain schemas, and the form of their value."""


def _sentence(keyword: str, before: object, after: object) -> str:
    if before is None:
        return f"{keyword} is {dumps(after)} now"
    if after is None:
        return f"{keyword} was {dumps(before)} and is no longer there"
    return f"{keyword} was {dumps(before)} and is {dumps(after)}"


CHOICES = frozenset(("const", "enum"))

UPPER_BOUNDS = frozenset(
    (
        "exclusiveMaximum",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
    )
)

LOWER_BOUNDS = frozenset(
    (
        "exclusiveMinimum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
    )
)

CONSTRAINTS = frozenset(
    (
        *CHOICES,
        *UPPER_BOUNDS,
        *LOWER_BOUNDS,
        "format",
        "multipleOf",
        "pattern",
        "uniqueItems",
    )
)
"""Keywords that may admit more values without a new schema version."""


def _is_wider(keyword: str, old: Schema, new: Schema) -> bool:
    """Return whether a constraint of ``new`` admits all that the old one admits."""
    if keyword in CHOICES:
        return _has_all_choices(old, new)
    if keyword not in new or keyword not in old:
        return keyword not in new
    before = old[keyword]
    after = new[keyword]
    if keyword in UPPER_BOUNDS:
        return bool(after >= before)
    if keyword in LOWER_BOUNDS:
        return bool(after <= before)
    if keyword == "multipleOf":
        # As the texts that were written: 0.3 % 0.1 is 0.1.
        return Fraction(str(before)) % Fraction(str(after)) == 0
    return bool(before == after)


def _has_all_choices(old: Schema, new: Schema) -> bool:
    before = _choices(old)
    after = _choices(new)
    if after is None:
        return True
    return before is not None and before <= after


def _choices(schema: Schema) -> set[str] | None:
    if "const" in schema:
        return {canonical_text(schema["const"])}
    if "enum" in schema:
        return set(map(canonical_text, schema["enum"]))
    return None
