"""Definition: what a client writes of an entity type, checked member by member.

The normal form has every member: ``schema``, ``unique``, ``indexes`` (lists of lists of
dotted paths), ``commands`` and ``steps`` (declarative migration steps with ``from`` and
``to``).
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from persist.domain.errors import InvalidSchema, Violation, pointer
from persist.domain.field import Schema, path_of
from persist.domain.identifiers import COMMAND_NAME
from persist.domain.record import Data, dumps
from persist.domain.schema_fields import SchemaFields
from persist.entity_types.json_schema.compiled_schema import CompiledSchema
from persist.entity_types.json_schema.fields import members_of
from persist.entity_types.storable import checked

MAX_PARTS = 64
"""Commands, groups of paths or steps a definition may have."""

FILL = "fill"
KEEP = "keep"
"""What ``defaults`` may be: fill in the schema's defaults, or keep them as annotations
only."""

MAX_EXPRESSIONS = 500
"""Expressions that a definition may have."""

MAX_PART_BYTES = 64 * 1024
"""Expressions of a definition, and bytes of its commands and of its migration: every
process compiles them, and waits for it."""

VERSIONS = range(1, 2**31)

Location = tuple[str | int, ...]

_TEXT: dict[str, object] = {"type": "string"}
_ANY_MEMBERS: dict[str, object] = {"type": "object", "maxProperties": MAX_PARTS}
_NAMES: Schema = {"type": "array", "items": _TEXT}
_SEGMENT = r'([A-Za-z_][A-Za-z0-9_]*|"([^"\\]|\\.)*")'
"""A name, or any name in quotes, as a JSON string."""

_PATH = _TEXT | {"maxLength": 200, "pattern": rf"^{_SEGMENT}(\.{_SEGMENT})*$"}
_VERSION: dict[str, object] = {
    "type": "integer",
    "minimum": VERSIONS[0],
    "maximum": VERSIONS[-1],
}


def _closed(*required: str, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [*required],
        "additionalProperties": False,
    }


def _array(
    items: Schema,
    limit: int = MAX_PARTS,
    least: int = 0,
) -> dict[str, object]:
    return {"type": "array", "items": items, "maxItems": limit, "minItems": least}


def _nullable(*schemas: Schema) -> Schema:
    return {"anyOf": [*schemas, {"type": "null"}]}


_CONDITIONAL = _closed("if", "value", **{"if": _TEXT, "value": _TEXT})
_SET = _ANY_MEMBERS | {
    "additionalProperties": {"anyOf": [_TEXT, _CONDITIONAL]},
}
_GROUP = _array(_PATH, 16, 1) | {"uniqueItems": True}
_GROUPS = _nullable(_array({"anyOf": [_PATH, _GROUP]}))
_STEP = {
    "rename": _ANY_MEMBERS | {"additionalProperties": _TEXT},
    "drop": _NAMES,
    "set": _SET,
    "default": _ANY_MEMBERS,
}
_VERSIONS_OF_STEP = {
    "from": _VERSION | {"minimum": 0},
    "to": _VERSION,
}
_NUMBERED = _closed("from", "to", **_VERSIONS_OF_STEP, **_STEP)
_COMMAND = _closed(
    description=_TEXT,
    payload={},
    when=_TEXT,
    set=_SET,
    unset=_NAMES,
    result=_TEXT,
)
_COMMANDS = _ANY_MEMBERS | {
    "propertyNames": {"pattern": f"^{COMMAND_NAME.pattern}$"},
    "additionalProperties": _COMMAND,
}

DEFINITION: Schema = _closed(
    "schema",
    name={},
    schema_version=_nullable(_VERSION),
    schema={"description": "JSON Schema of an object; 2020-12, or what $schema names"},
    defaults={"enum": [FILL, KEEP], "description": "whether defaults are filled in"},
    unique=_GROUPS,
    indexes=_GROUPS,
    commands=_nullable(_COMMANDS),
    migration=_nullable(_closed(**_STEP), _array(_NUMBERED)),
)
"""What a client writes, as JSON Schema."""

_check_definition = CompiledSchema(DEFINITION, suggest=True).validator(InvalidSchema)
_check_numbered = CompiledSchema(_NUMBERED, suggest=True).validator(InvalidSchema)


def refuse(location: Location, detail: str) -> InvalidSchema:
    """Return the refusal of what a definition has at ``location``."""
    return refusal_at((), [Violation(pointer(location), detail)])


def refusal_at(location: Location, errors: Iterable[Violation]) -> InvalidSchema:
    """Return the refusal of what is wrong with the part of a definition at
    ``location``; the pointers of ``errors`` are relative to it."""
    at = pointer(location)
    found = [Violation(at + inner, detail) for inner, detail in errors]
    first = found[0]
    others = len(found) - 1
    subject = first.pointer or "the definition"
    more = f", and {others} more" if others else ""
    return InvalidSchema(f"{subject} {first.detail}{more}", errors=found)


def _check(
    check: Callable[[Data], Data],
    value: Any,
    location: Location = (),
) -> None:
    try:
        check(value)
    except InvalidSchema as error:
        raise refusal_at(location, error.errors) from None


def normal_form(definition: Any) -> dict[str, object]:
    """Return a definition in its normal form.

    Raises ``InvalidSchema``, which names the location of every fault.
    """
    _check(_check_definition, definition)
    if "set" in (definition.get("commands") or {}):
        raise refuse(
            ("commands", "set"),
            "every collection has this command already; choose another name",
        )
    steps = _steps(definition.get("migration") or [])
    normal = {
        "schema": definition["schema"],
        "unique": _groups(definition, "unique"),
        "indexes": _groups(definition, "indexes"),
        "commands": definition.get("commands") or {},
        "steps": steps,
    }
    if definition.get("defaults", FILL) != FILL:
        normal["defaults"] = definition["defaults"]
    _check_budget(normal)
    return normal


def _steps(migration: Any) -> list[dict[str, object]]:
    """Return the steps of a migration. Raises ``InvalidSchema``.

    A single step is an object without version numbers.
    """
    if isinstance(migration, dict):
        _check_meaning(migration, ("migration",))
        return [dict(migration)]
    for index, step in enumerate(migration):
        _check_meaning(step, ("migration", index))
    return [dict(step) for step in migration]


def source_of(definition: Mapping[str, object]) -> object:
    """Return the schema of a definition as its author wrote it."""
    return definition.get("source_schema", definition["schema"])


def _groups(definition: Mapping[str, Any], member: str) -> list[list[str]]:
    """Return groups of paths; a single path is a group of one."""
    found: dict[tuple[str, ...], None] = {}
    for group in definition.get(member) or ():
        paths = [group] if isinstance(group, str) else group
        found[tuple(paths)] = None
    return [list(paths) for paths in found]


def _check_budget(normal: Mapping[str, Any]) -> None:
    for member, written in (("commands", "commands"), ("steps", "migration")):
        text = dumps(normal[member])
        size = len(text.encode(errors="surrogatepass"))
        if size > MAX_PART_BYTES:
            detail = f"takes {size} bytes as JSON, {MAX_PART_BYTES} are allowed"
            raise refuse((written,), detail)
    parts = [*normal["commands"].values(), *normal["steps"]]
    count = sum(map(_expressions_of, parts))
    if count > MAX_EXPRESSIONS:
        detail = f"has {count} expressions, {MAX_EXPRESSIONS} are allowed"
        raise refuse((), detail)


def _expressions_of(part: Mapping[str, Any]) -> int:
    """Return how many expressions a command or a step has."""
    assigned = part.get("set", {}).values()
    count = len(assigned)
    count += sum(isinstance(value, dict) for value in assigned)
    count += "when" in part
    count += "result" in part
    return count


def check_paths(
    definition: Mapping[str, Any],
    schema: Schema,
) -> None:
    """Check that a schema has every member that ``unique`` and ``indexes`` of its
    definition name. Raises ``InvalidSchema``."""
    members = members_of(schema)
    for keyword in ("unique", "indexes"):
        for index, group in enumerate(definition[keyword]):
            location = (keyword, index)
            for text in group:
                _check_path(members, text, location)


def _check_path(
    members: SchemaFields,
    text: str,
    location: Location,
) -> None:
    try:
        path = path_of(text)
    except ValueError as error:
        raise refuse(location, str(error)) from None
    if members.named(path) is None:
        detail = f"names {text}, which the schema does not have"
        raise refuse(location, detail)


def check_step(step: Any, location: Location) -> None:
    """Check a declarative migration step with its versions.

    Raises ``InvalidSchema``, which names the location of the fault.
    """
    _check(_check_numbered, step, location)
    _check_meaning(step, location)


def _check_meaning(step: Mapping[str, Any], location: Location) -> None:
    last = step.get("to", 1)
    first = step.get("from", 0)
    if last <= first:
        raise refuse((*location, "to"), "a step goes forward")
    for name, value in step.get("default", {}).items():
        try:
            checked(copy.deepcopy(value), InvalidSchema)
        except InvalidSchema as error:
            raise refusal_at((*location, "default", name), error.errors) from None
    renamed = step.get("rename", {})
    new_names = set(renamed.values())
    if len(new_names) < len(renamed):
        detail = "two members cannot get one name"
        raise refuse((*location, "rename"), detail)


def expressions(
    values: Mapping[str, Any],
    location: Location,
) -> Iterator[tuple[str, str | None, str, str]]:
    """Yield the members of a ``set``: (name, condition or None, value, pointer)."""
    for name, value in values.items():
        where = pointer((*location, name))
        if isinstance(value, str):
            yield name, None, value, where
        else:
            yield name, value["if"], value["value"], where
