"""ModelCodec: JSON data to objects of an entity class and back."""

import json
import logging
import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import (
    PydanticSerializationError,
    SchemaSerializer,
    SchemaValidator,
    to_json,
)
from sqlmodel import SQLModel

from persist.domain.entity_type import Computed
from persist.domain.errors import InvalidData, InvalidPayload, Violation, pointer
from persist.domain.field_types import stored_time
from persist.domain.record import Data, dumps, json_equal
from persist.domain.schema_keywords import resolve
from persist.entity_types.pydantic_schema import (
    datetime_fault,
    field_schemas,
    functions,
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


class ModelCodec:
    """Data to objects of the class and back, by this service's rules.

    Types are strict and unknown members are refused, whatever the configuration of the
    class says.
    """

    def __init__(self, model: type[SQLModel]) -> None:
        self.model: type[SQLModel] = type(
            model.__name__,
            (model,),
            {
                # A command's result is validated as a whole, not each assignment.
                "model_config": ConfigDict(extra="forbid", validate_assignment=False),
                "__module__": model.__module__,
                "__doc__": model.__doc__,
            },
        )
        core = self.model.__pydantic_core_schema__
        self._serializer = SchemaSerializer(strict(core))
        self._validator = SchemaValidator(strict(core))
        self._first_faults = SchemaValidator(strict(core, fail_fast=True))
        self.schema = json_schema(self.model)
        self.times = frozenset(
            name for name, part in self.schema["properties"].items() if _is_time(part)
        )
        # Only doubles need a second look: 30.0 is stored as 30.
        self._has_doubles = '"number"' in dumps(self.schema)
        self._is_repeated = _runs_code(self.model, core)
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
        text = to_json(data)
        try:
            loaded: SQLModel = self._validator.validate_json(
                text, strict=True, by_alias=True, by_name=False
            )
        except ValidationError as error:
            raise self._invalid(error, text, data) from None
        return loaded

    def _invalid(self, error: ValidationError, text: bytes, data: Data) -> InvalidData:
        if error.error_count() > REPORTED_FAULTS:
            # To list each fault of a list of a hundred thousand takes seconds.
            try:
                self._first_faults.validate_json(text, strict=True)
            except ValidationError as first:
                error = first
        found = violations(error, data)[:REPORTED_FAULTS]
        return InvalidData("the data does not fit the schema", errors=found)

    def dump(self, instance: SQLModel) -> Data:
        """Return the data of an object that a command may have changed."""
        data: Data = checked(self._dumped(instance), InvalidData)
        return data

    def validate(self, data: Data) -> Data:
        """Return strict JSON data as it is stored. Raises ``InvalidData``."""
        dumped = self._dumped(self.load(data))
        if self._has_doubles:
            dumped = checked(dumped, InvalidData)
        if self._is_repeated:
            self._check_stable(dumped)
        return dumped

    def _check_stable(self, data: Data) -> None:
        """Raise ``InvalidData`` where the class does not accept what it made itself.

        Code of the class (a validator, a default factory) may give data that the class
        refuses, or changes once more; each write would then change the record.
        """
        again = self.dump(self.load(data))
        if json_equal(dumps(data), dumps(again), again):
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
        """Return the computed fields of the class, None where it has none."""
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
                member = self._serializer.to_python(
                    instance, mode="json", by_alias=True, include={name}
                )
                found |= checked(member, InvalidData)
            except Exception:  # the code of the class must not hide the record
                logger.exception("the computed field %s failed", name)
        return found

    def _dumped(self, instance: SQLModel) -> Data:
        try:
            dumped: Data = self._serializer.to_python(
                instance,
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


def json_schema(
    model: type[BaseModel],
    mode: Literal["validation", "serialization"] = "validation",
) -> dict[str, Any]:
    """Return the JSON Schema of a class, in which every object with named members is
    closed."""
    written = model.model_json_schema(mode=mode, schema_generator=_SchemaGenerator)
    # UUID4 and its kin are compared as every UUID is.
    text = re.sub(r'"format":"uuid\d"', '"format":"uuid"', dumps(written))
    schema: dict[str, Any] = json.loads(text)
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
    factories = any(
        info.default_factory not in (None, *CONSTANT_FACTORIES)
        for info in model.model_fields.values()
    )
    post_init = model.model_post_init is not BaseModel.model_post_init
    return own or factories or post_init or model.__init__ is not SQLModel.__init__


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
