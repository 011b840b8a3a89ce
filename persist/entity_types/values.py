"""What both compilers know of values: which JSON is storable, where pydantic's errors
point to."""

import math
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from persist.domain.errors import Invalid, Violation, pointer
from persist.domain.record import INT64, whole


def checked(value: Any, error: type[Invalid]) -> Any:
    """A JSON value as it may be stored: whole doubles as integers, and ``error`` for
    integers outside 64 bits, NaN, infinities, U+0000 and lone surrogates. Changes lists
    and dicts in place."""
    problems: list[Violation] = []
    result = _walk(value, (), problems)
    if problems:
        raise error("the data holds values that cannot be stored", errors=problems)
    return result


def _walk(value: Any, path: tuple[str | int, ...], problems: list[Violation]) -> Any:  # noqa: C901 - a table of types
    if isinstance(value, dict):
        for key, member in value.items():
            if type(member) is not bool and member is not None:
                value[key] = _walk(member, (*path, key), problems)
            if not _is_text(key):
                problems.append(
                    Violation(
                        pointer(path), "a member name holds U+0000 or a lone surrogate"
                    )
                )
    elif isinstance(value, list):
        for index, member in enumerate(value):
            value[index] = _walk(member, (*path, index), problems)
    elif isinstance(value, str) and not _is_text(value):
        problems.append(
            Violation(pointer(path), "text must not hold U+0000 or a lone surrogate")
        )
    elif isinstance(value, int) and value not in INT64:
        problems.append(Violation(pointer(path), "an integer must lie within 64 bits"))
    elif isinstance(value, float):
        if not math.isfinite(value):
            problems.append(Violation(pointer(path), "a number must be finite"))
        else:
            return whole(value)
    return value


def _is_text(text: str) -> bool:
    if "\0" in text:
        return False
    return text.isascii() or not any(
        "\ud800" <= character <= "\udfff" for character in text
    )


def violations(error: ValidationError, data: Any) -> tuple[Violation, ...]:
    """Pydantic's errors, one for each faulty member of ``data``, by the member's own
    pointer."""
    found: dict[str, list[str]] = {}
    for item in error.errors(
        include_url=False, include_input=False, include_context=False
    ):
        missing = item["type"] == "missing"
        found.setdefault(pointer(_steps(item["loc"], data, missing)), []).append(
            item["msg"]
        )
    return tuple(
        Violation(place, " or ".join(dict.fromkeys(details)))
        for place, details in found.items()
    )


def _steps(
    location: tuple[int | str, ...], data: Any, missing: bool
) -> Iterator[int | str]:
    """``location`` without what names no place in the data: the branches of unions,
    validators."""
    for depth, step in enumerate(location):
        last = depth == len(location) - 1
        if isinstance(data, dict) and (step in data or (missing and last)):
            data = data.get(step)
            yield step
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
            yield step
