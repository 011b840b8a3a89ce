"""Values of a query: the form in which a JSON value is compared with a field."""

from collections.abc import Iterable
from typing import Any

from persist.domain.case_folding import fold
from persist.domain.comparable import MONTHS_PREFIX
from persist.domain.field import Field
from persist.domain.field_types import (
    NUMBERS,
    TEXT_TYPES,
    VALUE_TYPES,
    FieldType,
    stored_time,
)
from persist.domain.query import EQUALITY, FOLDED, ORDERING, TEXT_FUNCTIONS, Function
from persist.domain.record import dumps
from persist.domain.suggestions import did_you_mean

MAX_SEARCHED_CHARACTERS = 1_000
"""Characters that text to search for within other text may have."""


def type_compared(
    field: Field,
    value: object,
) -> FieldType | None:
    """Return the type as which a field is compared with a JSON value.

    None if it is of none of the field's types.
    """
    match value:
        case bool():
            return FieldType.BOOLEAN if field.allows(FieldType.BOOLEAN) else None
        case int() | float():
            return _number_type(field, value)
        case str():
            return _text_type(field, value)
    return None


def _text_type(
    field: Field,
    value: str,
) -> FieldType | None:
    if field.type is not FieldType.ANY:
        return field.type if field.type in TEXT_TYPES else None
    if field.allows(FieldType.STRING):
        return FieldType.STRING
    for kind in TEXT_TYPES:
        if field.allows(kind) and VALUE_TYPES[kind].form(value) is not None:
            return kind
    return None


def _number_type(
    field: Field,
    value: float,
) -> FieldType | None:
    """Return the type of a number: an integer or not, whichever the field holds."""
    if any(map(field.allows, NUMBERS)):
        number = VALUE_TYPES[FieldType.NUMBER].form(value)
        return FieldType.INTEGER if isinstance(number, int) else FieldType.NUMBER
    return FieldType.DECIMAL if field.allows(FieldType.DECIMAL) else None


def compared_value(
    field: Field,
    kind: FieldType,
    function: Function,
    value: Any,
) -> object:
    """Return the form of a JSON value that a function compares with a field.

    ``kind`` is the type as which it is compared. Raises ``ValueError``, whose message
    follows the name of the field.
    """
    if function in TEXT_FUNCTIONS:
        check_is_short(function, value)
        return fold(value) if function in FOLDED else value
    if kind is FieldType.DATE_TIME and field.normalized:
        VALUE_TYPES[kind].value(value)
        compared: Any = stored_time(value)
    else:
        compared = VALUE_TYPES[kind].value(value)
    if kind is FieldType.DURATION and function in ORDERING:
        _check_has_length(compared)
    if function in EQUALITY and field.choices:
        _check_is_choice(
            field,
            kind,
            value,
        )
    return compared


def check_is_short(function: Function, text: str) -> None:
    """Raise ``ValueError`` for text that takes long to search for: databases compare
    the whole text at every position."""
    is_searched = function in (Function.CONTAINS, Function.ICONTAINS)
    if is_searched and len(text) > MAX_SEARCHED_CHARACTERS:
        raise ValueError(f"searches for at most {MAX_SEARCHED_CHARACTERS:,} characters")


def _check_has_length(form: str) -> None:
    if form.startswith(MONTHS_PREFIX):
        raise ValueError(
            "compares durations with months or years only by eq, ne and in: they have"
            " no fixed length"
        )


def is_choice(
    field: Field,
    kind: FieldType,
    value: object,
) -> bool:
    """Return whether a value is a member of a field's enumeration."""
    form = VALUE_TYPES[kind].form
    return any(form(choice) == form(value) for choice in field.choices)


def _check_is_choice(
    field: Field,
    kind: FieldType,
    value: object,
) -> None:
    if is_choice(
        field,
        kind,
        value,
    ):
        return
    names = [_written(choice) for choice in field.choices]
    hint = did_you_mean(_written(value), names)
    raise ValueError(f"must be one of {', '.join(names[:20])}{hint}")


def _written(value: object) -> str:
    return value if isinstance(value, str) else dumps(value)


def described(types: Iterable[FieldType]) -> str:
    """Return a description of the values that a field of these types takes."""
    kinds = [kind for kind in types if kind in VALUE_TYPES]
    return " or ".join(VALUE_TYPES[kind].description for kind in kinds)
