"""Strict core schemas: pydantic's compiled form of a class under this service's rules.

The members of a core schema are private to pydantic: ``pyproject.toml`` bounds its
version, and no other module reads them.
"""

import logging
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv6Address
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import (
    PydanticCustomError,
    SchemaSerializer,
    SchemaValidator,
    core_schema,
)
from sqlmodel import SQLModel

from persist.domain.comparable import MAX_DECIMAL_DIGITS
from persist.domain.record import canonical_text, dumps
from persist.entity_types.json_schema.engine import (
    PatternRefused,
    matcher,
    validator,
    weight,
)

logger = logging.getLogger(__name__)

CoreSchema = Any

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
    changed = {"cls": _incomplete(model), "custom_init": own_init}
    if "config" in core:
        # Faults name members as they were sent.
        changed["config"] = core["config"] | {"loc_by_alias": True}
    return core | changed


def _incomplete(model: type[BaseModel]) -> type[BaseModel]:
    """Return a subclass that pydantic considers incomplete.

    Pydantic then builds a validator from the schema it is given; for a complete class
    it would use the validator of the class. What a command leaves is validated as a
    whole, not each assignment.
    """
    config = ConfigDict(validate_assignment=False)
    attributes = {"__module__": model.__module__, "model_config": config}
    incomplete: type[BaseModel] = type(model.__name__, (model,), attributes)
    incomplete.__pydantic_complete__ = False
    return incomplete


def _model_fields(core: CoreSchema) -> CoreSchema:
    return core | {"extra_behavior": "forbid"}


def _parsed(parse: Callable[[Any], Any], core: CoreSchema) -> CoreSchema:
    """Return a schema that applies ``core`` to what ``parse`` returns for a value."""
    first = core_schema.no_info_plain_validator_function(parse)
    # A reference names the outermost schema only.
    inner = {name: part for name, part in core.items() if name != "ref"}
    return core_schema.chain_schema([first, inner], ref=core.get("ref"))


class _Form:
    """The form in which a value is accepted as text, and its Python type."""

    def __init__(self, kind: type, pattern: re.Pattern[str], expected: str) -> None:
        self._kind = kind
        self._pattern = pattern
        self._expected = expected
        self._parser = SchemaValidator({"type": kind.__name__.lower()})

    def __call__(self, core: CoreSchema) -> CoreSchema:
        return _parsed(self.parse, core)

    def parse(self, value: object) -> object:
        """Return the Python value of a text. Raises ``PydanticCustomError``."""
        # A default of the class, which is Python already.
        if isinstance(value, self._kind):
            return value
        found = self._pattern.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise PydanticCustomError("form", self._expected)
        if found.groupdict().get("zone", "") is None:
            raise PydanticCustomError(
                "time_zone",
                "the time has no zone: end it with Z or with an offset like +01:00 (in"
                " a default of the class: datetime.now(UTC))",
            )
        try:
            return self._parser.validate_python(value)
        except ValidationError as error:
            # "Input should be a valid date or datetime, month value is …"
            reason = error.errors()[0]["msg"].rpartition(", ")[2]
            raise PydanticCustomError("value", reason) from None


_DATETIME = _Form(
    datetime,
    re.compile(rf"\d{{4}}-\d\d-\d\d[Tt]{_TIME}(?P<zone>{_ZONE})?", re.ASCII),
    "Input should be a time of RFC 3339 with at most six digits of a second's fraction,"
    " like 2026-11-22T17:00:00Z",
)
_DATE = _Form(
    date,
    re.compile(r"\d{4}-\d\d-\d\d", re.ASCII),
    "Input should be a date, like 2026-11-22",
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
_UUID = _Form(
    UUID,
    re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "Input should be a UUID, like 0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70",
)


def datetime_fault(text: str) -> str:
    """Return why a text is not a time that can be stored, or ""."""
    try:
        _DATETIME.parse(text)
    except PydanticCustomError as error:
        return error.message()
    return ""


def _decimal(core: CoreSchema) -> CoreSchema:
    digits = min(core.get("max_digits") or MAX_DECIMAL_DIGITS, MAX_DECIMAL_DIGITS)
    return _written(
        _decimal_text, _parsed(_parsed_decimal, core | {"max_digits": digits})
    )


def _written(write: Callable[[Any], str], core: CoreSchema) -> CoreSchema:
    """Return a schema whose values ``write`` turns into text."""
    text = core_schema.plain_serializer_function_ser_schema(write, when_used="json")
    return core | {"serialization": text}


def _decimal_text(value: Decimal | float) -> str:
    """Return a decimal with all its digits: ``str`` writes 0.0000001 as 1E-7.

    A default or a command may have left an ordinary number.
    """
    return format(Decimal(str(value)), "f")


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
    """Return the hours, minutes and seconds of a duration, "" if there are none."""
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
    # repr has the digits that were sent, Decimal(float) has those of the double.
    text = repr(value) if is_number else value
    if not (isinstance(text, str) and _DECIMAL.fullmatch(text)):
        raise PydanticCustomError(
            "decimal_form", "Input should be a number, or the text of one, like 10.50"
        )
    return Decimal(text)


def _float(core: CoreSchema) -> CoreSchema:
    return _parsed(_exact_double, core)


def _exact_double(value: object) -> object:
    """Return a number unless a double would round it."""
    if isinstance(value, int) and value not in _EXACT and int(float(value)) != value:
        raise PydanticCustomError(
            "double",
            "Input should be a number that a double holds: {value} would be rounded to"
            " {rounded}",
            {"value": str(value), "rounded": str(int(float(value)))},
        )
    return value


_EXACT = range(-(2**53), 2**53 + 1)


def _str(core: CoreSchema) -> CoreSchema:
    """Return a schema whose pattern means what the published schema says by it.

    To pydantic's engine the digits and letters of all scripts are digits and letters.
    Pydantic checks a pattern before it changes the case of a text, so such a field
    keeps pydantic's check.
    """
    pattern = core.get("pattern")
    changes_case = core.get("to_lower") or core.get("to_upper")
    if pattern is None or changes_case:
        return core
    try:
        weight(pattern)
    except PatternRefused:  # not of ECMA-262, such as a named group
        return core
    matches = matcher(pattern)

    def check(text: str) -> str:
        if not matches(text):
            raise PydanticCustomError(
                "string_pattern_mismatch",
                "String should match pattern '{pattern}'",
                {"pattern": pattern},
            )
        return text

    inner = {
        name: part for name, part in core.items() if name not in ("pattern", "ref")
    }
    return core_schema.no_info_after_validator_function(
        check, inner, ref=core.get("ref")
    )


def _enum(core: CoreSchema) -> CoreSchema:
    return _closed_choice(core, own_members(core))


def own_members(core: CoreSchema) -> list[object]:
    """Return the members of an enumeration, each once: an alias is not a member."""
    return list(dict.fromkeys(core["members"]))


def _literal(core: CoreSchema) -> CoreSchema:
    return _closed_choice(core, core["expected"])


def _closed_choice(core: CoreSchema, members: list[object]) -> CoreSchema:
    """Return a schema that compares types as well: to Python ``True`` equals 1."""
    values = [_json_value(member) for member in members]
    # Text equals nothing but text: pydantic's own check will do.
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


def _tagged_union(core: CoreSchema) -> CoreSchema:
    """Return a schema that finds the discriminator by the name of its member only.

    pydantic accepts the name of the field as well as its alias.
    """
    discriminator = core["discriminator"]
    if isinstance(discriminator, list):
        discriminator = discriminator[-1]
    return core | {"discriminator": discriminator}


def _set(core: CoreSchema) -> CoreSchema:
    """Return a schema that writes the elements in one order, whatever the hash seed."""
    return core | {
        "serialization": core_schema.wrap_serializer_function_ser_schema(
            _sorted, schema=core
        )
    }


def _sorted(value: object, write: Callable[[Any], list[Any]]) -> list[object]:
    return sorted(write(value), key=canonical_text)


def _in_format(name: str, core: CoreSchema) -> CoreSchema:
    """Return a schema that accepts text in a format of JSON Schema only.

    Python reads a zone in an IPv6 address, and pydantic an IRI as a URL. The published
    schema says that there is neither.
    """
    is_valid = validator({"format": name})

    def check(value: object) -> object:
        if not is_valid(value):
            raise PydanticCustomError(
                "format", "Input should be text in the format {name}", {"name": name}
            )
        return value

    return _parsed(check, core)


def _url(core: CoreSchema) -> CoreSchema:
    return _in_format("uri", core)


def _lax_or_strict(core: CoreSchema) -> CoreSchema:
    """Return a schema whose IPv6 addresses are those of the published schema."""
    strictly = core["strict_schema"]
    from_json = strictly.get("json_schema", {})
    if from_json.get("function", {}).get("function") is not IPv6Address:
        return core
    checked = {**strictly, "json_schema": _in_format("ipv6", from_json)}
    return core | {"strict_schema": checked}


_RULES: dict[str, Callable[[CoreSchema], CoreSchema]] = {
    "date": _DATE,
    "datetime": _DATETIME,
    "decimal": _decimal,
    "enum": _enum,
    "float": _float,
    "frozenset": _set,
    "lax-or-strict": _lax_or_strict,
    "literal": _literal,
    "model": _model,
    "model-fields": _model_fields,
    "set": _set,
    "str": _str,
    "tagged-union": _tagged_union,
    "time": _TIME_OF_DAY,
    "timedelta": _duration,
    "url": _url,
    "uuid": _UUID,
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


def data_schema(core: CoreSchema) -> CoreSchema:
    """Return the strict schema of a class with a dict in place of its object.

    An object takes as long to make as its members take to validate. A class that is
    part of itself is a definition, and has its object all the same.
    """
    core = strict(core)
    if core["type"] != "model" or core["schema"]["type"] != "model-fields":
        return core
    fields = {
        name: {"type": "typed-dict-field", **_without(field, "type", "frozen")}
        for name, field in core["schema"]["fields"].items()
    }
    return {
        "type": "typed-dict",
        "fields": fields,
        "extra_behavior": core["schema"]["extra_behavior"],
        "config": core.get("config", {}),
    }


def _without(core: CoreSchema, *names: str) -> CoreSchema:
    return {name: part for name, part in core.items() if name not in names}


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
        return not name.endswith(".val_func")  # a Predicate, or a Not
    return bool(module == "pydantic._internal._validators" and _CONSTRAINTS.match(name))


_CONSTRAINTS = re.compile(
    "(greater|less)_than|multiple_of|(min|max)_length|max_digits|decimal_places"
)
