"""Commands of an entity class: methods under ``@command``."""

import inspect
from functools import cached_property
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic.fields import FieldInfo
from pydantic_core import (
    PydanticSerializationError,
    SchemaValidator,
    to_json,
    to_jsonable_python,
)
from sqlmodel import SQLModel

from persist.domain.command import Command
from persist.domain.errors import InvalidData, InvalidPayload, pointer
from persist.domain.record import Data
from persist.entity_types.command_check import (
    Method,
    command_methods,
    parameters_of,
)
from persist.entity_types.declaration import Guard
from persist.entity_types.json_schema.compiled_schema import (
    Validate,
    compile_schema,
    write_decimals_of,
)
from persist.entity_types.model_check import refused_default
from persist.entity_types.model_codec import CONTAINED, ModelCodec, json_schema
from persist.entity_types.pydantic_schema import default_fault, strict
from persist.entity_types.storable import checked, violations
from persist.entity_types.supported_features import REFUSED_TYPES
from persist.entity_types.type_check import Refused

_ALIASES = ("alias", "validation_alias", "serialization_alias")


def commands_of(codec: ModelCodec, model: type[SQLModel]) -> dict[str, Command]:
    """Return the commands of a checked class by name."""
    return {
        name: _TypedCommand(codec, name, method).command()
        for name, method in command_methods(model)
    }


class _TypedCommand:
    """A method of the class that runs on data."""

    def __init__(self, codec: ModelCodec, name: str, method: Method) -> None:
        self._codec = codec
        self._name = name
        self._method = method
        self._guard: Guard = method.__persist_command__  # type: ignore[attr-defined]
        self._names = [parameter.name for parameter in parameters_of(method)]
        self._payload = _payload_model(name, method)
        core = self._payload.__pydantic_core_schema__
        self._validator = SchemaValidator(strict(core))
        self._check_defaults()
        self._payload_schema = json_schema(self._payload)

    def _check_defaults(self) -> None:
        """Raise ``Refused`` for the default of a parameter that does not fit it."""
        core = self._payload.__pydantic_core_schema__
        for position, name in enumerate(self._names):
            field = _field_name(position)
            info = self._payload.model_fields[field]
            if info.is_required() or info.default_factory is not None:
                continue
            reason = default_fault(core, field, info.default)
            if reason:
                refusal = refused_default(info.default, reason)
                raise Refused(f"command {self._name} parameter {name}", refusal)

    def command(self) -> Command:
        return Command(
            name=self._name,
            description=inspect.getdoc(self._method) or "",
            payload_schema=self._payload_schema,
            parse=self._parse,
            refusal=self._refusal,
            run=self._run,
            result_schema=self._result_schema(),
            write_decimals=write_decimals_of(self._payload_schema),
        )

    def _result_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of what the method is annotated to return; empty
        without an annotation, or if pydantic knows no schema."""
        signature = inspect.signature(self._method, eval_str=True)
        annotation = signature.return_annotation
        if annotation in (inspect.Signature.empty, Self):
            return {}
        try:
            return TypeAdapter(annotation).json_schema(mode="serialization")
        except PydanticUserError:
            return {}

    def _parse(self, payload: Data) -> Data:
        try:
            parsed = self._arguments(payload)
        except ValidationError as error:
            raise InvalidPayload(
                f"the payload does not fit the command {self._name}",
                errors=violations(error, payload),
            ) from None
        except Exception:
            # Code of the command may expect the types that its parameters declare.
            self._validate_by_schema(payload)
            raise
        dumped: Data = parsed.model_dump(mode="json", by_alias=True)
        return dumped

    @cached_property
    def _validate_by_schema(self) -> Validate:
        return compile_schema(self._payload_schema, InvalidPayload)

    def _arguments(self, payload: Data) -> Any:
        return self._validator.validate_json(to_json(payload), strict=True)

    def _refusal(self, data: Data) -> str | None:
        when = self._guard.when
        if when is None:
            return None
        record = self._codec.load(data)
        with CONTAINED:
            is_available = when(record)
        if is_available:
            return None
        return (
            self._guard.otherwise
            or f"{self._name} is not available in the record's present state"
        )

    def _run(self, data: Data, payload: Data) -> tuple[Data, object]:
        instance = self._codec.load(data)
        parsed = self._arguments(payload)
        arguments = {
            name: getattr(parsed, _field_name(position))
            for position, name in enumerate(self._names)
        }
        try:
            with CONTAINED:
                result = self._method(instance, **arguments)
        except ValidationError as error:
            raise _invalid(self._name, error) from error
        return self._codec.dump(instance), _json_result(result)


def _invalid(command: str, error: ValidationError) -> InvalidData:
    """Return the refusal of a value that a command made, such as a nested model."""
    first = error.errors(include_url=False, include_input=False)[0]
    member = pointer(first["loc"])
    return InvalidData(
        f"the command {command} made a {error.title} that is not valid:"
        f" {member} {first['msg']}"
    )


def _field_name(position: int) -> str:
    """Return the payload model's own name of a parameter.

    Pydantic refuses some names that Python allows, such as ``_reason``.
    """
    return f"parameter_{position}"


def _payload_model(name: str, method: Method) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for position, parameter in enumerate(parameters_of(method)):
        if parameter.annotation is parameter.empty:
            annotation: Any = Any
        else:
            annotation = parameter.annotation
        fields[_field_name(position)] = (annotation, _payload_field(parameter))
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def _payload_field(parameter: inspect.Parameter) -> FieldInfo:
    """Return the field of a parameter, whose default may be a value or a ``Field``."""
    name = parameter.name
    default = parameter.default
    if isinstance(default, FieldInfo):
        title = default.title or _title(name)
        # SQLModel's Field sets each of the aliases.
        aliases = dict.fromkeys(_ALIASES, name)
        return FieldInfo.merge_field_infos(default, title=title, **aliases)
    if default is parameter.empty:
        default = ...
    field: FieldInfo = Field(default, alias=name, title=_title(name))
    return field


def _title(name: str) -> str:
    return name.replace("_", " ").title()


def _json_result(result: object) -> object:
    _check_result(result)
    try:
        return checked(to_jsonable_python(result), InvalidData)
    except PydanticSerializationError as error:
        raise InvalidData(
            f"the command's result cannot be written as JSON: {error}"
        ) from None


def _check_result(value: object) -> None:
    """Raise ``InvalidData`` for a value that pydantic would write in another form."""
    refusal = REFUSED_TYPES.get(type(value))
    if refusal is not None:
        kind = type(value).__name__
        raise InvalidData(f"the command's result contains {kind}: {refusal.reason}")
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple | set | frozenset):
        return
    for each in value:
        _check_result(each)
