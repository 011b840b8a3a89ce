"""ModelCodec: JSON data to objects of an entity class and back."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import (
    PydanticSerializationError,
    SchemaError,
    SchemaSerializer,
    SchemaValidator,
    to_json,
)
from sqlmodel import SQLModel

from persist.domain.canonical_json import same_json_text
from persist.domain.entity_type import Computed
from persist.domain.errors import InvalidData, InvalidPayload, Violation, pointer
from persist.domain.field_types import stored_time
from persist.domain.record import Data, Json, dumps
from persist.domain.schema_keywords import resolve
from persist.entity_types.json_schema.compiled_schema import (
    Validate,
    compile_schema,
)
from persist.entity_types.model_check import models_of
from persist.entity_types.pydantic_schema import (
    data_schema,
    datetime_fault,
    field_schemas,
    functions,
    own_members,
    strict,
)
from persist.entity_types.storable import checked, violations

logger = logging.getLogger(__name__)

REPORTED_FAULTS = 1000
"""Faults of one body that are listed one by one."""

UNKNOWN_MEMBER = "Extra inputs are not permitted"
"""What pydantic says of a member that a class does not declare."""

CONSTANT_FACTORIES = (list, dict, set, frozenset, tuple)
"""Default factories whose result always fits."""


class _Contained:
    """Raises ``RuntimeError`` if code of the class would end the program.

    It would end the thread that runs it, and with the writer's all writes. It is no
    generator, which would take several calls more for each validation.
    """

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(
        self, _: object, error: BaseException | None, traceback: object
    ) -> None:
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            raise RuntimeError(f"code of the class raised {error!r}") from error


CONTAINED = _Contained()


class ModelCodec:
    """Data to objects of the class and back, by this service's rules.

    Types are strict and unknown members are refused, whatever the configuration of the
    class says.
    """

    def __init__(self, model: type[SQLModel]) -> None:
        self.model = model
        core = self.model.__pydantic_core_schema__
        self._serializer = SchemaSerializer(strict(core))
        self._validator = SchemaValidator(strict(core))
        # A second one: the option belongs to the schema and not to the call.
        self._first_faults = SchemaValidator(strict(core, fail_fast=True))
        self.schema = json_schema(self.model)
        self.times = frozenset(
            name for name, part in self.schema["properties"].items() if _is_time(part)
        )
        # Only doubles need a second look: 30.0 is stored as 30.
        self._has_doubles = '"number"' in dumps(self.schema)
        self._is_repeated = _runs_code(self.model, core)
        self._data_validator = self._validator
        self._data_serializer = self._serializer
        if not self._is_repeated:
            members = data_schema(core)
            self._data_validator = SchemaValidator(members)
            self._data_serializer = SchemaSerializer(members)
        self._members: dict[str, SchemaValidator] | None = None

    def check_members(self, members: Data) -> Data:
        """Return one or more members, each valid by itself. Raises
        ``InvalidPayload``."""
        if not members:
            detail = "must have 1 or more members"
            raise InvalidPayload(detail, errors=[Violation("", detail)])
        found: list[Violation] = []
        for name, value in members.items():
            found.extend(self._member_faults(name, value))
        if found:
            detail = "the members do not fit the schema"
            raise InvalidPayload(detail, errors=found[:REPORTED_FAULTS])
        return members

    def _member_faults(self, name: str, value: object) -> Iterator[Violation]:
        if self._members is None:
            self._members = self._member_validators()
        if name not in self._members:
            yield Violation(pointer([name]), UNKNOWN_MEMBER)
            return
        try:
            self._members[name].validate_json(to_json(value), strict=True)
        except ValidationError as error:
            for below, detail in violations(error, value):
                yield Violation(pointer([name]) + below, detail)
        except Exception:  # code of the class that needs the other members, too
            logger.debug("%s is validated with the rest", name, exc_info=True)

    def _member_validators(self) -> dict[str, SchemaValidator]:
        fields = self.model.model_fields
        core = self.model.__pydantic_core_schema__
        return {
            fields[name].alias or name: SchemaValidator(strict(schema))
            for name, schema in field_schemas(core).items()
        }

    def load(self, data: Data) -> SQLModel:
        """Return data as an object of the class. Raises ``InvalidData``."""
        loaded: SQLModel = self._loaded(self._validator, data)
        return loaded

    def _loaded(self, validator: SchemaValidator, data: Data) -> Any:
        # As JSON, because pydantic is strict about JSON and about Python in different
        # ways: only JSON has text for times.
        text = to_json(data)
        try:
            with CONTAINED:
                return validator.validate_json(
                    text, strict=True, by_alias=True, by_name=False
                )
        except ValidationError as error:
            raise self._invalid(error, text, data) from None
        except Exception:
            # Code of the class may expect the types that the class declares.
            self._validate_by_schema(data)
            raise

    @cached_property
    def _validate_by_schema(self) -> Validate:
        return compile_schema(self.schema, InvalidData)

    def _invalid(self, error: ValidationError, text: bytes, data: Data) -> InvalidData:
        found: tuple[Violation, ...] = ()
        if error.error_count() > REPORTED_FAULTS:
            # To list each fault of a list of a hundred thousand takes seconds.
            try:
                self._first_faults.validate_json(text, strict=True)
            except ValidationError as first:
                # An assignment of it to a variable would keep this frame, and with it
                # the data, until the garbage collector looks at all objects.
                found = violations(first, data)
        found = found or violations(error, data)
        return InvalidData(
            "the data does not fit the schema", errors=found[:REPORTED_FAULTS]
        )

    def dump(self, instance: SQLModel) -> Data:
        """Return the data of an object that a command may have changed."""
        dumped = self._dumped(self._serializer, instance)
        data: Data = checked(dumped, InvalidData)
        return data

    def validate(self, data: Data) -> Data:
        """Return strict JSON data as it is stored. Raises ``InvalidData``."""
        loaded = self._loaded(self._data_validator, data)
        dumped = self._dumped(self._data_serializer, loaded)
        if self._has_doubles or self._is_repeated:
            dumped = checked(dumped, InvalidData)
        # Only if code of the class runs: it takes as long as all of the rest.
        if self._is_repeated:
            self._check_stable(dumped)
        return dumped

    def _check_stable(self, data: Data) -> None:
        """Raise ``InvalidData`` if the class does not accept what it made itself.

        Code of the class (a validator, a default factory) may give data that the class
        refuses, or changes once more; each write would then change the record.
        """
        again = self.dump(self.load(data))
        if same_json_text(dumps(data), dumps(again), again):
            return
        differing = [name for name in data if data[name] != again.get(name)]
        raise InvalidData(
            "a validator of the class changes the data again each time it runs; it must"
            " leave what it returned as it is",
            errors=[
                Violation(pointer([name]), "changes each time it is validated")
                for name in differing
            ],
        )

    def computed(self) -> Computed | None:
        """Return the computed fields of the class, None if it has none."""
        names = self.model.model_computed_fields
        if not names:
            return None
        properties = json_schema(self.model, "serialization")["properties"]
        computed = {
            # A definition of the schema of answers is not part of the class's schema.
            member: {"readOnly": True} if "$ref" in dumps(part) else part
            for member, part in properties.items()
            if member not in self.schema["properties"]
        }
        return Computed(computed, self._compute)

    def _compute(self, data: Data) -> Data:
        """Return the computed members of stored data; those whose code fails are
        left out."""
        instance = self.load(data)
        found: Data = {}
        for name in self.model.model_computed_fields:
            try:
                with CONTAINED:
                    member = self._serializer.to_python(
                        instance, mode="json", by_alias=True, include={name}
                    )
                # One by one, so that one that fails does not hide the others.
                found |= checked(member, InvalidData)
            except Exception:  # the code of the class must not hide the record
                logger.exception("the computed field %s failed", name)
        return found

    def _dumped(self, serializer: SchemaSerializer, loaded: object) -> Data:
        try:
            dumped: Data = serializer.to_python(
                loaded,
                mode="json",
                by_alias=True,
                warnings=False,
                exclude_computed_fields=True,
            )
        except PydanticSerializationError as error:
            raise InvalidData(f"the data cannot be written as JSON: {error}") from None
        for name in self.times:
            dumped[name] = _in_utc(name, dumped[name])
        return dumped


class _SchemaGenerator(GenerateJsonSchema):
    """Writes JSON Schema as this service means it."""

    def decimal_schema(self, schema: object) -> dict[str, object]:
        """Return the schema of ``Decimal``: text, in which no digit is lost."""
        return {"type": "string", "format": "decimal"}

    def dict_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a dict. A pattern of its keys is one of all of them,
        where pydantic writes ``patternProperties``, which admit other names."""
        written = super().dict_schema(schema)
        for pattern, values in written.pop("patternProperties", {}).items():
            names = written.get("propertyNames", {})
            written["propertyNames"] = {**names, "pattern": pattern}
            written["additionalProperties"] = values
        return written

    def enum_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of an enumeration, whose aliases are not values of their
        own."""
        return super().enum_schema(schema | {"members": own_members(schema)})

    def default_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a member with a default as it is stored: pydantic
        writes 365 days as a year."""
        written = super().default_schema(schema)
        if "default" in schema:
            # A definition, or a default that is refused later, is left as it is.
            with suppress(SchemaError, PydanticSerializationError, InvalidData):
                serializer = SchemaSerializer(strict(schema["schema"]))
                default = serializer.to_python(
                    schema["default"], mode="json", by_alias=True, warnings=False
                )
                written["default"] = checked(default, InvalidData)
        return written


def json_schema(
    model: type[BaseModel],
    mode: Literal["validation", "serialization"] = "validation",
) -> Json:
    """Return the JSON Schema of a class, in which every object with named members is
    closed."""
    written = model.model_json_schema(mode=mode, schema_generator=_SchemaGenerator)
    # UUID4 and its kin are compared as every UUID is.
    text = re.sub(r'"format":"uuid\d"', '"format":"uuid"', dumps(written))
    schema: Json = json.loads(text)
    definitions = schema.get("$defs", {})
    if "$ref" in schema:
        # A class that contains itself is a definition of its own schema.
        target = resolve(schema, schema.pop("$ref"))
        schema = {**target, **schema}
    for part in (schema, *definitions.values()):
        if "properties" in part:
            part["additionalProperties"] = False
    return schema


def _runs_code(model: type[SQLModel], core: object) -> bool:
    """Return whether code of the class decides what is stored."""
    own = any(
        not str(getattr(function, "__module__", "")).startswith("pydantic.")
        for function in functions(core)
    )
    return own or any(map(_makes_values, models_of(model)))


def _makes_values(model: type[BaseModel]) -> bool:
    factories = any(
        info.default_factory not in (None, *CONSTANT_FACTORIES)
        for info in model.model_fields.values()
    )
    own_init = model.__init__ not in (SQLModel.__init__, BaseModel.__init__)
    return factories or own_init or not _is_plain(model.model_post_init)


def _is_plain(post_init: object) -> bool:
    """Return whether a ``model_post_init`` is pydantic's own, also the one of a class
    with private attributes."""
    module = getattr(post_init, "__module__", "")
    return module.split(".")[0] in ("pydantic", "sqlmodel")


def _is_time(part: Any) -> bool:
    """Return whether a member is a time of RFC 3339, or null."""
    branches = [
        branch for branch in part.get("anyOf", [part]) if branch.get("type") != "null"
    ]
    return all(branch.get("format") == "date-time" for branch in branches)


def _in_utc(name: str, text: str | None) -> str | None:
    """Return a time in the one form whose order as text is the order in time."""
    if text is None:
        return None
    try:
        return stored_time(text)
    except ValueError as error:
        reason = datetime_fault(text) or str(error)
        raise InvalidData(
            f"{name} cannot be stored: {reason}",
            errors=[Violation(pointer([name]), reason)],
        ) from None
