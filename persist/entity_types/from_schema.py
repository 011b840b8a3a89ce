"""The second compiler: a JSON Schema definition becomes an ``EntityType``."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from persist.domain.command import Command, Guard, Transition
from persist.domain.entity_type import EntityType, Kind
from persist.domain.errors import (
    InvalidData,
    InvalidPayload,
    InvalidSchema,
    MigrationFailed,
    Violation,
    pointer,
)
from persist.domain.field import FieldType, Schema
from persist.domain.migration import InvalidPlan, MigrationPlan, MigrationStep
from persist.domain.record import Data, Json
from persist.domain.suggestions import did_you_mean
from persist.entity_types.assignments import (
    Assignments,
    check_assignments,
    compile_assignments,
)
from persist.entity_types.cel.program import (
    ExpressionFailed,
    Program,
    Result,
    compile_expression,
)
from persist.entity_types.definition import (
    FILL,
    Location,
    check_paths,
    refusal_at,
    refuse,
)
from persist.entity_types.derived import example_of, set_command
from persist.entity_types.json_schema.admission import Admitted, admit
from persist.entity_types.json_schema.fields import field_at, members_of
from persist.entity_types.storable import checked

_MEMBER = re.compile(r"\s*data\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*", re.ASCII)

ANY_OBJECT: Schema = {"type": "object", "additionalProperties": False}


Schemas = Mapping[Location, Admitted]
"""The schemas of a definition by their location in it."""


@dataclass(frozen=True)
class AdmittedDefinition:
    """A definition in its normal form that is accepted, its compiled schemas, and what
    its author should know."""

    definition: Mapping[str, Any]
    schemas: Schemas

    @property
    def warnings(self) -> list[Violation]:
        """The warnings of all schemas, with pointers into the definition."""
        return [
            Violation(pointer(location) + inner, detail)
            for location, admitted in self.schemas.items()
            for inner, detail in admitted.warnings
        ]


def admit_definition(normal: Mapping[str, Any]) -> AdmittedDefinition:
    """Compile the schemas of a definition in its normal form.

    The schema is converted to draft 2020-12; ``source_schema`` is then what was sent.
    Raises ``InvalidSchema`` naming the location.
    """
    fill = normal.get("defaults", FILL) == FILL
    admitted = _admit(normal["schema"], ("schema",), fill=fill)
    schemas: dict[Location, Admitted] = {("schema",): admitted}
    for command, written in normal["commands"].items():
        location = ("commands", command, "payload")
        schemas[location] = _admit(written.get("payload", ANY_OBJECT), location)
    definition = {**normal, "schema": admitted.schema}
    if admitted.converted:
        # Kept for comparison: the same definition sent again must be recognized.
        definition.setdefault("source_schema", normal["schema"])
    return AdmittedDefinition(definition, schemas)


def check_commands(admitted: AdmittedDefinition) -> None:
    """Raise ``InvalidSchema`` if a command of a new definition can never run."""
    schema = admitted.schemas["schema",].schema
    for command, written in admitted.definition["commands"].items():
        payload = admitted.schemas["commands", command, "payload"].schema
        location = ("commands", command, "set")
        check_assignments(written.get("set", {}), location, schema, payload)


def from_schema(
    name: str,
    schema_version: int,
    definition: Mapping[str, Any],
    steps: Iterable[Mapping[str, Any]] = (),
    schemas: Schemas | None = None,
) -> EntityType:
    """Return the entity type of a definition in its normal form.

    ``steps`` are the declarative steps of its plan, those of older versions too.
    ``schemas`` are its compiled schemas if they are at hand. Raises
    ``InvalidSchema`` naming the location.
    """
    if schemas is None:
        schemas = admit_definition(definition).schemas
    admitted = schemas["schema",]
    schema = admitted.schema
    check_paths(definition, schema)
    commands = {
        command: _command(
            command, written, schema, schemas["commands", command, "payload"]
        )
        for command, written in definition["commands"].items()
    }
    write_decimals = admitted.compiled.write_decimals
    commands["set"] = set_command(
        schema, admitted.compiled.members_validator(InvalidPayload), write_decimals
    )
    description = schema.get("description", "")
    return EntityType(
        name=name,
        kind=Kind.REGISTERED,
        schema_version=schema_version,
        schema=schema,
        validate=admitted.compiled.validator(InvalidData),
        commands=commands,
        unique=tuple(map(tuple, definition["unique"])),
        indexes=tuple(map(tuple, definition["indexes"])),
        plan=plan_of(schema_version, steps),
        description=description if isinstance(description, str) else "",
        example=example_of(schema),
        definition=definition,
        find_members=members_of,
        write_decimals=write_decimals,
    )


def plan_of(
    current: int,
    steps: Iterable[Mapping[str, Any]],
    location: Location = ("migration",),
) -> MigrationPlan:
    """Return the plan of declarative steps. Raises ``InvalidSchema``.

    A step from version 0 is that of a type that did not exist yet: it never runs.
    """
    compiled = [
        step_of(step, (*location, index))
        for index, step in enumerate(steps)
        # A later version may have been deleted with its type and be stored still.
        if step["from"] >= 1 and step["to"] <= current
    ]
    try:
        return MigrationPlan(compiled, current=current)
    except InvalidPlan as error:
        raise refuse(location, str(error)) from None


def check_expressions(step: Mapping[str, Any], location: Location) -> None:
    """Raise ``InvalidSchema`` if an expression of a declarative step is faulty."""
    compile_assignments(step.get("set", {}), (*location, "set"), None)


def check_members(step: Mapping[str, Any], schema: Schema, location: Location) -> None:
    """Raise ``InvalidSchema`` if a step renames or drops a member that the closed
    ``schema`` it starts from does not declare."""
    members = members_of(schema)
    # Anything may be stored there.
    if members.is_open():
        return
    known = set(members.declared)
    rename = step.get("rename", {})
    for name in rename:
        if name not in known:
            _refuse_unknown(name, known, (*location, "rename", name), step["from"])
    known = (known - set(rename)) | set(rename.values())
    for index, name in enumerate(step.get("drop", ())):
        if name not in known:
            _refuse_unknown(name, known, (*location, "drop", index), step["from"])


def check_results(step: Mapping[str, Any], schema: Schema, location: Location) -> None:
    """Raise ``InvalidSchema`` if a step sets, defaults or renames to a member that
    the closed ``schema`` it leads to does not declare: no record would fit."""
    members = members_of(schema)
    if members.is_open():
        return
    known = set(members.declared)
    dropped = set(step.get("drop", ()))
    for old, new in step.get("rename", {}).items():
        if new not in known | dropped:
            _refuse_unknown(new, known, (*location, "rename", old), step["to"])
    for part in ("set", "default"):
        for name in step.get(part, {}):
            if name not in known:
                _refuse_unknown(name, known, (*location, part, name), step["to"])


def _refuse_unknown(
    name: str, known: Iterable[str], location: Location, version: int
) -> NoReturn:
    hint = did_you_mean(name, known)
    raise refuse(location, f"schema version {version} has no member {name[:100]}{hint}")


def _renamed(data: Data, rename: Mapping[str, str]) -> Data:
    """Return data with members renamed. A member that is renamed replaces one that has
    its new name already."""
    # First the names that come: the order of members must not decide which one wins.
    replaced = {new for old, new in rename.items() if old in data}
    return {
        rename.get(name, name): value
        for name, value in data.items()
        if name in rename or name not in replaced
    }


def step_of(step: Mapping[str, Any], location: Location) -> MigrationStep:
    """Return a declarative step: rename, drop, set, default, in that order.

    Every ``set`` sees the data as after ``drop``. A member that is renamed replaces one
    that has its new name already.
    """
    rename = step.get("rename", {})
    drop = step.get("drop", ())
    assigned = compile_assignments(step.get("set", {}), (*location, "set"), None)
    defaults = step.get("default", {})

    def transform(data: Data) -> Data:
        data = _renamed(data, rename) if rename else dict(data)
        for name in drop:
            data.pop(name, None)
        try:
            # All expressions are computed before the first member is set.
            data |= assigned(data, None)
        except ExpressionFailed as error:
            raise MigrationFailed(
                f"the step from {step['from']} to {step['to']}: {error}"
            ) from None
        # Defaults first: what is there already wins.
        return defaults | data if defaults else data

    parts = [
        f"{verb} {', '.join(step[verb])}"
        for verb in ("rename", "drop", "set", "default")
        if step.get(verb)
    ]
    return MigrationStep(
        step["from"],
        step["to"],
        transform,
        description="; ".join(parts),
        definition=step,
    )


def _command(
    name: str, written: Mapping[str, Any], schema: Schema, payload: Admitted
) -> Command:
    location: Location = ("commands", name)
    payload_schema = payload.schema
    when = _program(written, "when", Result.CONDITION, location, schema, None)
    result = _program(written, "result", Result.VALUE, location, schema, payload_schema)
    assigned = compile_assignments(
        written.get("set", {}), (*location, "set"), schema, payload_schema
    )
    return Command(
        name,
        written.get("description", ""),
        payload_schema,
        payload.compiled.validator(InvalidPayload),
        _guard(when),
        _transition(name, written.get("unset", ()), assigned, result),
        _result_schema(written, schema),
        payload.compiled.write_decimals,
    )


def _guard(when: Program | None) -> Guard:
    """Return the guard of a command (``Command.refusal``)."""

    def refusal(data: Data) -> str | None:
        if when is None:
            return None
        try:
            holds = when(data)
        except ExpressionFailed as error:
            return f"its guard cannot be computed: {error}"
        return None if holds else f"its guard does not hold: {when.text}"

    return refusal


def _transition(
    name: str, unset: Sequence[str], assigned: Assignments, result: Program | None
) -> Transition:
    """Return the function that runs a command (``Command.run``)."""

    def run(data: Data, payload: Data) -> tuple[Data, Any]:
        try:
            changed = {
                member: value for member, value in data.items() if member not in unset
            }
            changed |= assigned(data, payload)
            # CEL computes values that JSON cannot have, such as an infinity.
            stored = checked(changed, InvalidData)
            answer = None if result is None else result(changed, payload)
        except ExpressionFailed as error:
            raise InvalidData(
                f"the command {name} cannot be computed: {error}"
            ) from None
        return stored, answer

    return run


def _result_schema(written: Mapping[str, Any], schema: Schema) -> Json:
    """Return the JSON Schema of a command's result: null without one, the type of the
    member if it names one, anything else otherwise."""
    if "result" not in written:
        return {"type": "null"}
    named = _MEMBER.fullmatch(written["result"])
    if named is None:
        return {}
    field = field_at(schema, tuple(named[1].split(".")))
    if field is None or field.type is FieldType.ANY:
        return {}
    types = [field.type.value, "null"] if field.nullable else field.type.value
    return {"type": types}


def _admit(schema: object, location: Location, *, fill: bool = True) -> Admitted:
    """Admit the schema at a location of the definition. Raises ``InvalidSchema``."""
    try:
        return admit(schema, fill=fill)
    except InvalidSchema as error:
        raise refusal_at(location, error.errors) from None


def _program(
    written: Mapping[str, Any],
    member: str,
    result: Result,
    location: Location,
    schema: Schema,
    payload: Schema | None,
) -> Program | None:
    if member not in written:
        return None
    where = pointer((*location, member))
    return compile_expression(
        written[member],
        data_schema=schema,
        payload_schema=payload,
        result=result,
        pointer=where,
    )
