"""The first compiler: an ordinary SQLModel class becomes an ``EntityType``."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic_core import (
    PydanticSerializationError,
    SchemaValidator,
    to_json,
    to_jsonable_python,
)
from sqlmodel import SQLModel

from persist.domain.command import Command
from persist.domain.entity_type import EntityType, Kind, Paths
from persist.domain.errors import InvalidData, InvalidPayload, Violation
from persist.domain.migration import MigrationPlan
from persist.domain.record import Data, dumps
from persist.entity_types.cel.operands import stored_time
from persist.entity_types.payloads import example_of, set_command
from persist.entity_types.values import checked, violations

Model = TypeVar("Model", bound=SQLModel)
Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(frozen=True)
class _Entity:
    name: str
    schema_version: int
    unique: tuple[Paths, ...]
    indexes: tuple[Paths, ...]
    plan: MigrationPlan


@dataclass(frozen=True)
class _Guard:
    when: Callable[[Any], bool] | None
    otherwise: str


def entity(
    name: str,
    *,
    schema_version: int = 1,
    plan: MigrationPlan | None = None,
    unique: Iterable[Iterable[str]] = (),
    indexes: Iterable[Iterable[str]] = (),
) -> Callable[[type[Model]], type[Model]]:
    """Make a SQLModel class the entity type of the collection ``name``.

    ``plan`` brings data of older schema versions up to this one; ``InvalidPlan`` is
    raised where it does not. Without one, data of older versions cannot be restored. A
    single field is indexed or unique by ``Field(index=True)`` and
    ``Field(unique=True)``; ``unique`` and ``indexes`` here take groups of fields.
    """
    if plan is not None:
        plan.check_complete(schema_version)
    plan = plan or MigrationPlan(current=schema_version)
    declared = _Entity(
        name,
        schema_version,
        tuple(map(tuple, unique)),
        tuple(map(tuple, indexes)),
        plan,
    )

    def declare(model: type[Model]) -> type[Model]:
        model.__persist_entity__ = declared
        return model

    return declare


@overload
def command(method: Method) -> Method: ...
@overload
def command(
    method: None = None,
    *,
    when: Callable[[Any], bool] | None = None,
    otherwise: str = "",
) -> Callable[[Method], Method]: ...
def command(
    method: Method | None = None,
    *,
    when: Callable[[Any], bool] | None = None,
    otherwise: str = "",
) -> Method | Callable[[Method], Method]:
    """Make a method a command of its entity: its parameters are the payload, its
    docstring the description. It is offered while ``when(record)`` holds; ``otherwise``
    says why not."""

    def declare(method: Method) -> Method:
        method.__persist_command__ = _Guard(when, otherwise)  # type: ignore[attr-defined]
        return method

    return declare if method is None else declare(method)


def is_entity(value: Any) -> bool:
    """Whether ``value`` is a class under ``@entity`` (not merely a subclass of one)."""
    return isinstance(value, type) and "__persist_entity__" in vars(value)


def from_model(model: type[SQLModel]) -> EntityType:
    """The entity type of a class under ``@entity``."""
    declared: _Entity = model.__persist_entity__  # type: ignore[attr-defined]
    codec = _Codec(model)
    schema = codec.schema
    schema.update(title=model.__name__, description=inspect.getdoc(model) or "")
    commands = {
        made.name: made
        for made in (_command(codec, *found) for found in _methods(model))
    }
    commands["set"] = set_command(schema)
    return EntityType(
        name=declared.name,
        kind=Kind.TYPED,
        schema_version=declared.schema_version,
        schema=schema,
        validate=codec.validate,
        commands=commands,
        unique=(*_flagged(model, "unique"), *declared.unique),
        indexes=(*_flagged(model, "index"), *declared.indexes),
        plan=declared.plan,
        description=inspect.getdoc(model) or "",
        example=example_of(schema),
        times=codec.times,
        model=model,
    )


class _Codec:
    """Data to objects of the class and back, by the class's own rules and no others:
    strict types and no unknown members, whatever the class's own configuration says."""

    def __init__(self, model: type[SQLModel]) -> None:
        self.model: type[SQLModel] = type(
            model.__name__,
            (model,),
            {
                "model_config": ConfigDict(extra="forbid"),
                "__module__": model.__module__,
                "__doc__": model.__doc__,
            },
        )
        self._serializer = self.model.__pydantic_serializer__
        core = self.model.__pydantic_core_schema__
        self._validator = SchemaValidator(_rebuilt(core))
        self._first_faults = SchemaValidator(_rebuilt(core, fail_fast=True))
        self.schema = _closed(self.model.model_json_schema())
        self.times = frozenset(
            name for name, part in self.schema["properties"].items() if _is_time(part)
        )
        # only doubles need a second look: 30.0 is stored as 30
        self._has_doubles = '"number"' in dumps(self.schema)

    def load(self, data: Data) -> SQLModel:
        text = to_json(data)
        try:
            loaded: SQLModel = self._validator.validate_json(text, strict=True)
        except ValidationError as error:
            raise self._refused(error, text, data) from None
        return loaded

    def _refused(self, error: ValidationError, text: bytes, data: Data) -> InvalidData:
        if (
            error.error_count() > FAULTS
        ):  # a list of a hundred thousand: telling of each takes seconds
            try:
                self._first_faults.validate_json(text, strict=True)
            except ValidationError as first:
                error = first
        found = violations(error, data)[:FAULTS]
        return InvalidData("the data does not fit the schema", errors=found)

    def dump(self, instance: SQLModel) -> Data:
        """The data of an instance that a command may have changed."""
        data: Data = checked(self._dumped(instance), InvalidData)
        return data

    def validate(self, data: Data) -> Data:
        """Strict JSON as it is stored."""
        dumped = self._dumped(self.load(data))
        return checked(dumped, InvalidData) if self._has_doubles else dumped

    def _dumped(self, instance: SQLModel) -> Data:
        try:
            dumped: Data = self._serializer.to_python(
                instance, mode="json", by_alias=True, warnings=False
            )
        except PydanticSerializationError as error:
            raise InvalidData(f"the data cannot be written as JSON: {error}") from None
        for name in self.times:
            dumped[name] = _moment(name, dumped[name])
        return dumped


FAULTS = 1000
"""Faults of one body that are told one by one."""

NO_SCHEMA = frozenset(("cls", "config", "default", "metadata", "serialization"))
"""Members of a core schema that hold no schemas."""


def _rebuilt(core: Any, *, fail_fast: bool = False) -> Any:
    """A core schema in which no model, nested ones included, drops a member it does not
    know. With ``fail_fast`` a list is refused at its first fault."""
    if isinstance(core, list):
        return [_rebuilt(part, fail_fast=fail_fast) for part in core]
    if not isinstance(core, dict):
        return core
    changed = {
        name: part if name in NO_SCHEMA else _rebuilt(part, fail_fast=fail_fast)
        for name, part in core.items()
    }
    match core.get("type"):
        case "model":
            changed["cls"] = _unfinished(core["cls"])
            # SQLModel's __init__ would only call the class's own validator again
            changed["custom_init"] = (
                core["custom_init"] and core["cls"].__init__ is not SQLModel.__init__
            )
        case "model-fields":
            changed["extra_behavior"] = "forbid"
        case "list":
            changed["fail_fast"] = fail_fast
    return changed


def _unfinished(model: type[BaseModel]) -> type[BaseModel]:
    """A subclass that pydantic takes for incomplete: it then builds a validator from
    the schema it is given, where it would else use the class's own."""
    unfinished: type[BaseModel] = type(
        model.__name__, (model,), {"__module__": model.__module__}
    )
    unfinished.__pydantic_complete__ = False
    return unfinished


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with every object that has named members closed: none is dropped in
    silence."""
    for part in (schema, *schema.get("$defs", {}).values()):
        if "properties" in part:
            part["additionalProperties"] = False
    return schema


def _is_time(part: Any) -> bool:
    branches = [part, *part.get("anyOf", ())]
    return any(branch.get("format") == "date-time" for branch in branches)


def _moment(name: str, text: str | None) -> str | None:
    """A time in the one form in which its order as text is the order in time."""
    try:
        return None if text is None else stored_time(text)
    except ValueError as error:
        raise InvalidData(
            f"{name} is {error}", errors=[Violation(f"/{name}", str(error))]
        ) from None


def _flagged(model: type[SQLModel], flag: str) -> tuple[Paths, ...]:
    return tuple(
        (info.alias or name,)
        for name, info in model.model_fields.items()
        if getattr(info, flag, None) is True
    )


def _methods(model: type[SQLModel]) -> list[tuple[str, Callable[..., Any], _Guard]]:
    found = inspect.getmembers(
        model, lambda member: hasattr(member, "__persist_command__")
    )
    return [(name, method, method.__persist_command__) for name, method in found]


def _command(
    codec: _Codec, name: str, method: Callable[..., Any], guard: _Guard
) -> Command:
    payload_model = _payload_model(name, method)
    validator = payload_model.__pydantic_validator__

    def parse(payload: Data) -> Data:
        try:
            parsed = validator.validate_json(to_json(payload), strict=True)
        except ValidationError as error:
            raise InvalidPayload(
                f"the payload does not fit the command {name}",
                errors=violations(error, payload),
            ) from None
        dumped: Data = parsed.model_dump(mode="json", by_alias=True)
        return dumped

    def refusal(data: Data) -> str | None:
        if guard.when is None or guard.when(codec.load(data)):
            return None
        return (
            guard.otherwise or f"{name} is not available in the record's present state"
        )

    def run(data: Data, payload: Data) -> tuple[Data, Any]:
        instance = codec.load(data)
        arguments = validator.validate_json(to_json(payload), strict=True)
        result = method(
            instance,
            **{
                field: getattr(arguments, field) for field in payload_model.model_fields
            },
        )
        return codec.dump(instance), _jsonable(result)

    description = inspect.getdoc(method) or ""
    return Command(
        name, description, payload_model.model_json_schema(), parse, refusal, run
    )


def _payload_model(name: str, method: Callable[..., Any]) -> type[BaseModel]:
    parameters = list(inspect.signature(method, eval_str=True).parameters.values())[1:]
    fields: dict[str, Any] = {
        p.name: (
            Any if p.annotation is p.empty else p.annotation,
            ... if p.default is p.empty else p.default,
        )
        for p in parameters
    }
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def _jsonable(result: Any) -> Any:
    try:
        return checked(to_jsonable_python(result), InvalidData)
    except PydanticSerializationError as error:
        raise InvalidData(
            f"the command's result cannot be written as JSON: {error}"
        ) from None
