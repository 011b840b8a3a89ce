"""The table of field types: how a value of each is parsed and compared.

Query parameters, CEL filters, sorting, indexes, unique values and OpenAPI all read it.
``storage/condition_sql`` has the SQL of each type.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from persist.domain.comparable import (
    MAX_DECIMAL_DIGITS,
    date_time_form,
    decimal_form,
    duration_form,
    time_form,
)
from persist.domain.record import INT64, normalize_number
from persist.domain.strict_json import MAX_NUMBER_CHARACTERS


class FieldType(StrEnum):
    """What a member holds; ``ANY`` if the schema allows several types or all."""

    INTEGER = "integer"
    NUMBER = "number"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    STRING = "string"
    DATE = "date"
    TIME = "time"
    DATE_TIME = "date-time"
    DURATION = "duration"
    UUID = "uuid"
    OBJECT = "object"
    ARRAY = "array"
    ANY = "any"


NUMBERS = (FieldType.INTEGER, FieldType.NUMBER)
"""The types whose values are JSON numbers."""

TEXT_TYPES = (
    FieldType.STRING,
    FieldType.DECIMAL,
    FieldType.DATE,
    FieldType.TIME,
    FieldType.DATE_TIME,
    FieldType.DURATION,
    FieldType.UUID,
)
"""The types whose values are JSON strings."""

FORM_TYPES = (
    FieldType.DECIMAL,
    FieldType.TIME,
    FieldType.DATE_TIME,
    FieldType.DURATION,
    FieldType.UUID,
)
"""The types that are compared by a form of their stored text."""

SCALARS = (*NUMBERS, FieldType.BOOLEAN, *TEXT_TYPES)
"""The types by which records can be sorted."""

FORMATS: Mapping[str, FieldType] = {
    name: FieldType(name)
    for name in ("decimal", "date", "time", "date-time", "duration", "uuid")
}
"""The type of a string by the ``format`` of its schema."""

NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
INTEGER = re.compile(r"-?\d+", re.ASCII)

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_STORED_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6}0*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class ValueType:
    """How the values of a type are compared.

    ``form`` returns the form in which a JSON value is compared, or None if the value is
    of another type. ``check`` raises ``ValueError`` for text that has a form but is not
    a value of the type, such as 2026-02-30. ``description`` follows "takes" in
    messages.
    """

    form: Callable[[Any], Any]
    description: str
    check: Callable[[str], object] = str

    def value(self, json_value: object) -> Any:
        """Return the form in which a value of a query is compared. Raises
        ``ValueError``."""
        form = self.form(json_value)
        if form is None:
            raise ValueError(f"takes {self.description}")
        if isinstance(json_value, str):
            try:
                self.check(json_value)
            except ValueError:
                raise ValueError(f"takes {self.description}") from None
        return form


def _integer_form(value: object) -> int | None:
    number = _number_form(value)
    return number if isinstance(number, int) else None


def _number_form(value: object) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return value if value in INT64 else None
    return normalize_number(value) if math.isfinite(value) else None


def _boolean_form(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _text_form(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _date_form(value: Any) -> str | None:
    is_date = isinstance(value, str) and _DATE.fullmatch(value)
    return value if is_date else None


def _uuid_form(value: object) -> str | None:
    lower = value.lower() if isinstance(value, str) else ""
    return lower if _UUID.fullmatch(lower) else None


def _decimal_of_number(value: object) -> str | None:
    """Return the form of decimal text, or of a JSON number."""
    number = _number_form(value)
    return decimal_form(value if number is None else repr(number))


def _check_date(text: str) -> None:
    # Python's calendar begins with year 1, RFC 3339's with the leap year 0.
    year = text[:4] if text[:4] != "0000" else "2000"
    date.fromisoformat(year + text[4:10])


def _check_time(text: str) -> None:
    hour = text[:2]
    minute = text[3:5]
    second = text[6:8] or "00"
    valid = hour < "24" and minute < "60"
    offset = text[-5:] if text[-6:-5] in ("+", "-") else "00:00"
    if not valid or second > "60" or offset[:2] > "23" or offset[3:] > "59":
        raise ValueError("not a time of day")


def _check_date_time(text: str) -> None:
    _check_date(text)
    _check_time(text[11:])


VALUE_TYPES: Mapping[FieldType, ValueType] = {
    FieldType.INTEGER: ValueType(_integer_form, "a whole number within 64 bits"),
    FieldType.NUMBER: ValueType(_number_form, "a finite number"),
    FieldType.DECIMAL: ValueType(
        _decimal_of_number, f"a number of at most {MAX_DECIMAL_DIGITS} digits"
    ),
    FieldType.BOOLEAN: ValueType(_boolean_form, "true or false"),
    FieldType.STRING: ValueType(_text_form, "text"),
    FieldType.DATE: ValueType(_date_form, "a date such as 2026-11-22", _check_date),
    FieldType.TIME: ValueType(
        time_form, "a time of day such as 17:00:00Z", _check_time
    ),
    FieldType.DATE_TIME: ValueType(
        date_time_form, "a time such as 2026-11-22T17:00:00Z", _check_date_time
    ),
    FieldType.DURATION: ValueType(duration_form, "a duration such as P1DT2H30M"),
    FieldType.UUID: ValueType(
        _uuid_form, "a UUID such as 0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70"
    ),
}
"""The types whose values are compared. The form of text types is text that compares by
code point."""


def schema_of(field_type: FieldType) -> dict[str, str]:
    """Return the JSON Schema of a type; the empty one of ``ANY``."""
    if field_type in FORMATS.values():
        return {"type": "string", "format": field_type.value}
    return {} if field_type is FieldType.ANY else {"type": field_type.value}


def json_type_of(field_type: FieldType) -> str:
    """Return the JSON type of a field type's values."""
    if field_type in NUMBERS:
        return "number"
    return "string" if field_type in TEXT_TYPES else field_type.value


def parse_scalar(field_type: FieldType, text: str) -> object:
    """Return the JSON value that the text of a query parameter is as a type.

    Raises ``ValueError``.
    """
    if field_type in TEXT_TYPES:
        return text
    if field_type is FieldType.BOOLEAN and text in ("true", "false"):
        return text == "true"
    if field_type in NUMBERS and _is_number(text):
        number = _parsed_number(text)
        # A fraction, or an integer of more than 64 bits, may round to one of 64 bits.
        is_integer = Decimal(text) == number and _integer_form(number) is not None
        if field_type is FieldType.NUMBER or is_integer:
            return number
    raise ValueError(f"takes {VALUE_TYPES[field_type].description}")


def _is_number(text: str) -> bool:
    is_short = len(text) <= MAX_NUMBER_CHARACTERS
    return is_short and NUMBER.fullmatch(text) is not None


def _parsed_number(text: str) -> int | float:
    if INTEGER.fullmatch(text) is None or int(text) not in INT64:
        return float(text)
    return int(text)


def stored_time(text: str) -> str:
    """Return a time of RFC 3339 as the envelope stores it: UTC, microseconds, ``Z``.

    Raises ``ValueError``.
    """
    if _STORED_TIME.fullmatch(text) is None:
        raise ValueError(
            "not a time of RFC 3339 with at most six digits of a second's fraction"
        )
    try:
        moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("outside the years 1 to 9999") from error
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
