"""Sentences: what a keyword that is not fulfilled says of a value."""

from collections.abc import Mapping
from typing import Any

from persist.domain.comparable import MAX_DECIMAL_DIGITS
from persist.domain.record import dumps

MAX_LISTED = 20
"""Members of an enumeration that one detail names."""

_TYPES = {
    **{name: f"an {name}" for name in ("object", "array", "integer")},
    **{name: f"a {name}" for name in ("string", "number")},
    "boolean": "true or false",
}
_FORMATS = {
    "date-time": "a date and time with its zone, such as 2026-11-22T17:00:00Z",
    "date": "a date, such as 2026-11-22",
    "time": "a time with its zone, such as 17:00:00Z",
    "decimal": f"a number of at most {MAX_DECIMAL_DIGITS} digits, such as 10.50",
    "duration": "a duration, such as P1DT12H",
    "email": "an e-mail address",
    "hostname": "a host name",
    "regex": "a regular expression",
}
SENTENCES: Mapping[str, str] = {
    "type": "must be {}",
    "enum": "must be one of {}",
    "const": "must be {}",
    "minimum": "must be {} or more",
    "maximum": "must be {} or less",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have {} or more characters",
    "maxLength": "must have {} or fewer characters",
    "pattern": "must match the pattern {}",
    "format": "must be {}",
    "minItems": "must have {} or more items",
    "maxItems": "must have {} or fewer items",
    "minProperties": "must have {} or more members",
    "maxProperties": "must have {} or fewer members",
}


def cut(text: str, limit: int) -> str:
    """Return the beginning of a text; an ellipsis says that more follows."""
    return text if len(text) <= limit else text[:limit] + " …"


def sentence(keyword: str, asserted: Any) -> str:
    """Return the description of a failed assertion."""
    match keyword:
        case "type":
            text = _type_names(asserted)
        case "format":
            text = _FORMATS.get(asserted, f"text in the format {asserted}")
        case "enum":
            text = _listed(asserted)
        case _:
            text = _listed([asserted])
    return SENTENCES[keyword].format(cut(text, 200))


def _type_names(declared: str | list[str]) -> str:
    names = [declared] if isinstance(declared, str) else declared
    return " or ".join(_TYPES.get(name, name) for name in names)


def _listed(values: list[object]) -> str:
    """Return the first values as JSON text."""
    text = ", ".join(cut(dumps(value), 200) for value in values[:MAX_LISTED])
    return text + " …" if len(values) > MAX_LISTED else text
