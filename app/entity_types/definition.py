"""Definition: what a client writes of an entity type, checked member by member.

The normal form has every member: ``schema``, ``unique``, ``indexes`` (lists of lists of dotted
paths), ``commands`` and ``steps`` (declarative migration steps with ``from`` and ``to``).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.errors import InvalidSchema, Violation, pointer
from app.domain.field import field_at
from app.domain.record import to_text

MEMBERS = frozenset(("name", "schema_version", "schema", "unique", "indexes", "commands", "migration"))
COMMAND_MEMBERS = frozenset(("description", "payload", "when", "set", "unset", "result"))
STEP_MEMBERS = frozenset(("rename", "drop", "set", "default"))
COMMAND_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
MOST = 64
"""Commands, groups of paths or steps a definition may have."""

MOST_EXPRESSIONS = 500
MOST_BYTES = 64 * 1024
"""Expressions of a definition, and bytes of its commands and of its migration: every process
compiles them, and waits for it."""

VERSIONS = range(1, 2**31)

Place = tuple[str | int, ...]


def refuse(place: Place, detail: str) -> InvalidSchema:
    """The refusal of what stands at a place of the definition."""
    return InvalidSchema(
        f"{pointer(place) or 'the definition'}: {detail}", errors=[Violation(pointer(place), detail)]
    )


def normal_form(definition: Any) -> dict[str, Any]:
    """A definition in its normal form. Raises ``InvalidSchema`` naming the place."""
    checked_object(definition, (), MEMBERS)
    if "schema" not in definition:
        raise refuse(("schema",), "the definition needs a schema")
    commands = checked_object(_given(definition, "commands", {}), ("commands",), None)
    for name, command in commands.items():
        _check_command(name, command)
    normal = {
        "schema": definition["schema"],
        "unique": _groups(definition, "unique"),
        "indexes": _groups(definition, "indexes"),
        "commands": commands,
        "steps": _steps(definition.get("migration")),
    }
    _check_budget(normal)
    return normal


def _given(definition: Mapping[str, Any], member: str, absent: Any) -> Any:
    value = definition.get(member)
    return absent if value is None else value


def _check_budget(normal: Mapping[str, Any]) -> None:
    for member, written in (("commands", "commands"), ("steps", "migration")):
        size = len(to_text(normal[member]).encode(errors="surrogatepass"))
        if size > MOST_BYTES:
            raise refuse((written,), f"takes {size} bytes as JSON, {MOST_BYTES} are allowed")
    count = sum(map(_expressions_of, (*normal["commands"].values(), *normal["steps"])))
    if count > MOST_EXPRESSIONS:
        raise refuse((), f"has {count} expressions, {MOST_EXPRESSIONS} are allowed")


def _expressions_of(part: Mapping[str, Any]) -> int:
    assigned = part.get("set", {}).values()
    return sum(1 + isinstance(value, dict) for value in assigned) + ("when" in part) + ("result" in part)


def check_paths(definition: Mapping[str, Any]) -> None:
    """Check that the schema of a definition in normal form has every member that ``unique`` and
    ``indexes`` name. Raises ``InvalidSchema``. Not part of the normal form, because a schema may
    only be walked once it is known to be harmless."""
    for member in ("unique", "indexes"):
        for index, group in enumerate(definition[member]):
            for path in group:
                if field_at(definition["schema"], tuple(path.split("."))) is None:
                    raise refuse((member, index), f"the schema has no member {path}")


def version_of(definition: Mapping[str, Any]) -> int | None:
    """The schema version a definition carries. Raises ``InvalidSchema``."""
    version = definition.get("schema_version")
    if version is not None and (type(version) is not int or version not in VERSIONS):
        raise refuse(("schema_version",), f"a schema version is a whole number from 1 to {VERSIONS[-1]}")
    return version


def checked_object(value: Any, place: Place, members: frozenset[str] | None) -> dict[str, Any]:
    """An object with no other members than these."""
    if not isinstance(value, dict):
        raise refuse(place, "this must be an object")
    if members is None and len(value) > MOST:
        raise refuse(place, f"there may be {MOST} of these")
    for name in value:
        if members is not None and name not in members:
            raise refuse((*place, name), f"no such member; known: {', '.join(sorted(members))}")
    return value


def _check_command(name: str, command: Any) -> None:
    place = ("commands", name)
    if not COMMAND_NAME.fullmatch(name):
        raise refuse(place, f"a command's name fits {COMMAND_NAME.pattern}")
    if name == "set":
        raise refuse(place, "every collection has the command set already; choose another name")
    checked_object(command, place, COMMAND_MEMBERS)
    for member in ("description", "when", "result"):
        if not isinstance(command.get(member, ""), str):
            raise refuse((*place, member), "this must be text")
    _check_values(command.get("set", {}), (*place, "set"))
    _check_names(command.get("unset", []), (*place, "unset"))


def _check_values(values: Any, place: Place) -> None:
    for name, value in checked_object(values, place, None).items():
        if isinstance(value, dict):
            checked_object(value, (*place, name), frozenset(("if", "value")))
            for member in ("if", "value"):
                if not isinstance(value.get(member), str):
                    raise refuse((*place, name, member), "an expression must stand here")
        elif not isinstance(value, str):
            raise refuse((*place, name), 'an expression, or an object of "if" and "value", must stand here')


def _check_names(names: Any, place: Place) -> None:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise refuse(place, "this must be a list of top-level members")


def _groups(definition: Mapping[str, Any], member: str) -> list[list[str]]:
    """Groups of paths; a path alone is a group of one."""
    given = _given(definition, member, [])
    if not isinstance(given, list) or len(given) > MOST:
        raise refuse((member,), f"this must be a list of at most {MOST} paths, or of lists of paths")
    groups = [[group] if isinstance(group, str) else group for group in given]
    for index, group in enumerate(groups):
        if (
            not isinstance(group, list)
            or not group
            or len(group) > 16
            or len(set(map(str, group))) != len(group)
        ):
            raise refuse((member, index), "this must be a path, or a list of 1 to 16 different paths")
        for path in group:
            _check_path(path, (member, index))
    return [list(group) for group in dict.fromkeys(map(tuple, groups))]


def _check_path(path: Any, place: Place) -> None:
    if not isinstance(path, str) or not PATH.fullmatch(path) or len(path) > 200:
        raise refuse(place, "a path is made of names fitting [A-Za-z_][A-Za-z0-9_]*, with dots between them")


def _steps(migration: Any) -> list[dict[str, Any]]:
    """A migration as a list of steps; one alone has no ``from`` and ``to`` yet."""
    if migration is None:
        return []
    alone = not isinstance(migration, list)
    steps = [migration] if alone else migration
    if len(steps) > MOST:
        raise refuse(("migration",), f"a migration may have {MOST} steps")
    for index, step in enumerate(steps):
        place: Place = ("migration",) if alone else ("migration", index)
        check_step(step, place, numbered=not alone)
    return [dict(step) for step in steps]


def check_step(step: Any, place: Place, *, numbered: bool) -> None:
    """Check a declarative migration step. Raises ``InvalidSchema`` naming the place."""
    checked_object(step, place, STEP_MEMBERS | (frozenset(("from", "to")) if numbered else frozenset()))
    for member in ("from", "to") if numbered else ():
        if type(step.get(member)) is not int or step[member] not in VERSIONS:
            raise refuse((*place, member), "a step of a list carries its versions, from and to")
    if numbered and step["to"] <= step["from"]:
        raise refuse((*place, "to"), "a step goes forward")
    renamed = checked_object(step.get("rename", {}), (*place, "rename"), None)
    if not all(isinstance(name, str) for name in renamed.values()):
        raise refuse((*place, "rename"), "rename maps old names to new ones")
    if len(set(renamed.values())) < len(renamed):
        raise refuse((*place, "rename"), "two members cannot get one name")
    _check_names(step.get("drop", []), (*place, "drop"))
    _check_values(step.get("set", {}), (*place, "set"))
    checked_object(step.get("default", {}), (*place, "default"), None)


def expressions(values: Mapping[str, Any], place: Place) -> Iterator[tuple[str, str | None, str, str]]:
    """The members of a ``set``: (name, its condition, its value, where it stands)."""
    for name, value in values.items():
        if isinstance(value, str):
            yield name, None, value, pointer((*place, name))
        else:
            yield name, value["if"], value["value"], pointer((*place, name))
