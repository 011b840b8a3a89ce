"""Strict core schemas: pydantic's compiled form of a class under this service's rules.

The members of a core schema are private to pydantic: ``pyproject.toml`` bounds its
version, and no other module reads them.
"""

import logging
import re
from collections.abc import Callable, Iterator
from datetime import datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import (
    PydanticCustomError,
    SchemaSerializer,
    SchemaValidator,
    core_schema,
)
from sqlmodel import SQLModel

from persist.domain.record import canonical_text, dumps

logger = logging.getLogger(__name__)

CoreSchema = Any

DECIMAL_DIGITS = 38
"""Digits of the longest ``Decimal`` that both databases compare exactly."""

NO_SCHEMA = frozenset(
    (
        "cls",
        "config",
        "default",
        "expected",
        "members",
        "metadata",
        "serialization",
        "strict",
    )
)
"""Members of a core schema that contain no core schemas. ``strict`` is left out: a
field's own ``strict=False`` would accept "5" for 5."""

_TIME = r"\d\d:\d\d:\d\d(\.\d{1,6}0*)?"
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_ZONE = r"([Zz]|[+-]\d\d:\d\d)"


def strict(core: CoreSchema, *, fail_fast: bool = False) -> CoreSchema:
    """Return a core schema with this service's rules on every level.

    No model drops an unknown member. Times are those of RFC 3339. ``true`` is not 1. A
    set is written in one order. With ``fail_fast`` a list is refused at its first
    fault.
    """
    if isinstance(core, list):
        return [strict(part, fail_fast=fail_fast) for part in core]
    if not isinstance(core, dict):
        return core
    changed = {
        name: strict(part, fail_fast=fail_fast)
        for name, part in core.items()
        if name not in NO_SCHEMA
    }
    kept = NO_SCHEMA & core.keys() - {"strict"}
    changed |= {name: core[name] for name in kept}
    kind = str(core.get("type"))
    if kind == "list":
        changed["fail_fast"] = fail_fast
    return _RULES[kind](changed) if kind in _RULES else changed


def _model(core: CoreSchema) -> CoreSchema:
    model = core["cls"]
    # SQLModel's own __init__ would only call the validator of the class again.
    own_init = core.get("custom_init") and model.__init__ is not SQLModel.__init__
    return core | {"cls": _incomplete(model), "custom_init": own_init}


def _incomplete(model: type[BaseModel]) -> type[BaseModel]:
    """Return a subclass that pydantic considers incomplete.

    Pydantic then builds a validator from the schema it is given; for a complete class
    it would use the validator of the class.
    """
    incomplete: type[BaseModel] = type(
        model.__name__, (model,), {"__module__": model.__module__}
    )
    incomplete.__pydantic_complete__ = False
    return incomplete


def _model_fields(core: CoreSchema) -> CoreSchema:
    return core | {"extra_behavior": "forbid"}


def _parsed(parse: Callable[[Any], Any], core: CoreSchema) -> CoreSchema:
    """Return a schema that applies ``core`` to what ``parse`` returns for a value."""
    first = core_schema.no_info_plain_validator_function(parse)
    inner = {name: part for name, part in core.items() if name != "ref"}
    return core_schema.chain_schema([first, inner], ref=core.get("ref"))


class _Form:
    """The form in which a time is accepted, and its Python type."""

    def __init__(self, kind: type, pattern: re.Pattern[str], expected: str) -> None:
        self._kind = kind
        self._pattern = pattern
        self._expected = expected
        self._parser = SchemaValidator({"type": kind.__name__})

    def __call__(self, core: CoreSchema) -> CoreSchema:
        return _parsed(self.parse, core)

    def parse(self, value: object) -> object:
        """Return the Python value of a text. Raises ``PydanticCustomError``."""
        if isinstance(value, self._kind):
            return value
        found = self._pattern.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise PydanticCustomError("time_form", self._expected)
        if found.groupdict().get("zone", "") is None:
            raise PydanticCustomError(
                "time_zone",
                "the time has no zone: end it with Z or with an offset like +01:00 (in"
                " a default of the class: datetime.now(UTC))",
            )
        try:
            return self._parser.validate_python(value)
        except ValidationError as error:
            raise PydanticCustomError("time", error.errors()[0]["msg"]) from None


_DATETIME = _Form(
    datetime,
    re.compile(rf"\d{{4}}-\d\d-\d\d[Tt]{_TIME}(?P<zone>{_ZONE})?", re.ASCII),
    "Input should be a time of RFC 3339 with at most six digits of a second's fraction,"
    " like 2026-11-22T17:00:00Z",
)
_TIME_OF_DAY = _Form(
    time,
    re.compile(rf"{_TIME}{_ZONE}?", re.ASCII),
    "Input should be a time of day with at most six digits of a second's fraction, like"
    " 17:00:00",
)
_DURATION = _Form(
    timedelta,
    re.compile(
        r"[+-]?P(?!$)(\d+W|(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d{1,6}0*)?S)?)?)",
        re.ASCII,
    ),
    "Input should be a duration of ISO 8601 without years and months, which have no"
    " fixed length, and with at most six digits of a second's fraction, like PT1H30M",
)


def datetime_fault(text: str) -> str:
    """Return why a text is no time that can be stored, or ""."""
    try:
        _DATETIME.parse(text)
    except PydanticCustomError as error:
        return error.message()
    return ""


def _decimal(core: CoreSchema) -> CoreSchema:
    digits = min(core.get("max_digits") or DECIMAL_DIGITS, DECIMAL_DIGITS)
    return _written(
        _decimal_text, _parsed(_parsed_decimal, core | {"max_digits": digits})
    )


def _written(write: Callable[[Any], str], core: CoreSchema) -> CoreSchema:
    """Return a schema whose values ``write`` turns into text."""
    text = core_schema.plain_serializer_function_ser_schema(write, when_used="json")
    return core | {"serialization": text}


def _decimal_text(value: Decimal) -> str:
    """Return a decimal with all its digits: ``str`` writes 0.0000001 as 1E-7."""
    return format(value, "f")


def _duration(core: CoreSchema) -> CoreSchema:
    return _written(_duration_text, _DURATION(core))


def _duration_text(value: timedelta) -> str:
    """Return a duration in days, hours, minutes and seconds.

    Pydantic writes 365 days as P1Y, and a year has no length. RFC 3339, appendix A,
    knows no hours and seconds without the minutes between them.
    """
    if value < timedelta(0):
        return f"-{_duration_text(-value)}"
    days = f"{value.days}D" if value.days else ""
    time_of_day = _time_text(value.seconds, value.microseconds)
    if not days and not time_of_day:
        return "PT0S"
    return f"P{days}T{time_of_day}" if time_of_day else f"P{days}"


def _time_text(seconds: int, microseconds: int) -> str:
    """Return the hours, minutes and seconds of a duration, "" where there are none."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{microseconds:06}".rstrip("0") if microseconds else ""
    before = f"{hours}H" if hours else ""
    after = f"{seconds}{fraction}S" if seconds or microseconds else ""
    is_between = before and after
    middle = f"{minutes}M" if minutes or is_between else ""
    return before + middle + after


def _parsed_decimal(value: object) -> object:
    if isinstance(value, Decimal):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    text = repr(value) if is_number else value
    if not (isinstance(text, str) and _DECIMAL.fullmatch(text)):
        raise PydanticCustomError(
            "decimal_form", "Input should be a number, or the text of one, like 10.50"
        )
    return Decimal(text)


def _enum(core: CoreSchema) -> CoreSchema:
    return _closed_choice(core, core["members"])


def _literal(core: CoreSchema) -> CoreSchema:
    return _closed_choice(core, core["expected"])


def _closed_choice(core: CoreSchema, members: list[object]) -> CoreSchema:
    """Return a schema that compares types as well: to Python ``True`` equals 1."""
    values = [_json_value(member) for member in members]
    if all(isinstance(value, str) for value in values):
        return core

    def check(value: object) -> object:
        given = _json_value(value)
        for member, expected in zip(members, values, strict=True):
            same_type = isinstance(given, bool) is isinstance(expected, bool)
            if same_type and given == expected:
                return member
        raise PydanticCustomError(
            "closed_choice",
            "Input should be {expected}",
            {"expected": " or ".join(map(dumps, values))},
        )

    return _parsed(check, core)


def _json_value(member: object) -> Any:
    return member.value if isinstance(member, Enum) else member


def _set(core: CoreSchema) -> CoreSchema:
    """Return a schema that writes the elements in one order, whatever the hash seed."""
    return core | {
        "serialization": core_schema.wrap_serializer_function_ser_schema(
            _sorted, schema=core
        )
    }


def _sorted(value: object, write: Callable[[Any], list[Any]]) -> list[object]:
    return sorted(write(value), key=canonical_text)


_RULES: dict[str, Callable[[CoreSchema], CoreSchema]] = {
    "datetime": _DATETIME,
    "decimal": _decimal,
    "enum": _enum,
    "frozenset": _set,
    "literal": _literal,
    "model": _model,
    "model-fields": _model_fields,
    "set": _set,
    "time": _TIME_OF_DAY,
    "timedelta": _duration,
}
"""What ``strict`` changes, by the type of a core schema."""


def field_schemas(core: CoreSchema) -> dict[str, CoreSchema]:
    """Return the core schema of each field of a model, each complete in itself."""
    definitions = core.get("definitions", [])
    while core["type"] != "model-fields":
        if core["type"] == "definition-ref":
            core = _definition(definitions, core["schema_ref"])
        else:
            core = core["schema"]
    return {
        name: core_schema.definitions_schema(field["schema"], definitions)
        for name, field in core["fields"].items()
    }


def default_fault(core: CoreSchema, name: str, default: object) -> str:
    """Return why the field of a model refuses its own default, or ""."""
    field = strict(field_schemas(core)[name])
    try:
        text = SchemaSerializer(field).to_json(default, warnings=False)
        SchemaValidator(field).validate_json(text, strict=True)
    except ValidationError as error:
        return str(error.errors()[0]["msg"])
    except Exception:  # code of the class that needs other members, too
        logger.debug("the default of %s is not checked", name, exc_info=True)
    return ""


def _definition(definitions: list[CoreSchema], reference: str) -> CoreSchema:
    return next(each for each in definitions if each.get("ref") == reference)


def functions(core: CoreSchema) -> Iterator[Callable[..., Any]]:
    """Yield every Python function that validates a part of the data."""
    parts = core.values() if isinstance(core, dict) else core
    for part in parts if isinstance(core, dict | list) else ():
        yield from functions(part)
    if isinstance(core, dict) and str(core.get("type")).startswith("function-"):
        function = core["function"]
        yield function["function"] if isinstance(function, dict) else function


def is_incompatible(function: object) -> bool:
    """Return whether a function checks a constraint that its type does not know.

    Pydantic compiles such a constraint to a function that raises ``TypeError`` for a
    value without an order, a length or digits.
    """
    function = getattr(function, "func", function)  # a partial
    module = getattr(function, "__module__", "")
    name = getattr(function, "__qualname__", "")
    if name.startswith("apply_known_metadata"):
        return True
    return bool(module == "pydantic._internal._validators" and _CONSTRAINTS.match(name))


_CONSTRAINTS = re.compile(
    "(greater|less)_than|multiple_of|(min|max)_length|max_digits|decimal_places"
)
