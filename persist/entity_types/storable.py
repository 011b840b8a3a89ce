"""Storable values: which JSON can be stored, and the members that pydantic's errors
point to."""

import math
import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from persist.domain.errors import Invalid, Violation, pointer
from persist.domain.record import INT64, normalize_number
from persist.domain.strict_json import is_storable

MISSING = "Field required"
"""What pydantic says about a missing member."""


def checked(value: object, error: type[Invalid]) -> Any:
    """Return a JSON value as it may be stored; lists and dicts are changed in place.

    A double without a fraction becomes an integer. Raises ``error`` for integers
    outside 64 bits, NaN, infinities, U+0000 and lone surrogates.
    """
    problems: list[Violation] = []
    result = _walk(value, (), problems)
    if problems:
        raise error("the data contains values that cannot be stored", errors=problems)
    return result


def _walk(
    value: object,
    path: tuple[str | int, ...],
    problems: list[Violation],
) -> object:
    """Return a value as it may be stored; add what cannot be stored to ``problems``."""
    if isinstance(value, dict):
        _walk_object(value, path, problems)
        return value
    if isinstance(value, list):
        for index, member in enumerate(value):
            value[index] = _walk(member, (*path, index), problems)
        return value
    fault = _fault(value)
    if fault is not None:
        problems.append(Violation(pointer(path), fault))
        return value
    if isinstance(value, float):
        return normalize_number(value)
    return value


def _walk_object(
    value: dict[str, object],
    path: tuple[str | int, ...],
    problems: list[Violation],
) -> None:
    for key, member in value.items():
        if type(member) is not bool and member is not None:
            below = (*path, key)
            value[key] = _walk(member, below, problems)
        if not is_storable(key):
            fault = "a member name contains U+0000 or a lone surrogate"
            problems.append(Violation(pointer(path), fault))


def _fault(value: object) -> str | None:
    """Return why a single value cannot be stored, or None."""
    if isinstance(value, str):
        if not is_storable(value):
            return "text must not contain U+0000 or a lone surrogate"
    elif isinstance(value, int):
        if value not in INT64:
            return "an integer must lie within 64 bits"
    elif isinstance(value, float) and not math.isfinite(value):
        return "a number must be finite"
    return None


def violations(error: ValidationError, data: object) -> tuple[Violation, ...]:
    """Return pydantic's errors, one for each faulty member of ``data``.

    The pointer names the member itself.
    """
    found: dict[str, list[str]] = {}
    for item in error.errors(include_url=False, include_input=False):
        location = item["loc"]
        detail = item["msg"]
        missing = item["type"] == "missing"
        discriminator = _missing_discriminator(item)
        if discriminator is not None:
            location = (*location, discriminator)
            detail = MISSING
            missing = True
        steps = _steps(location, data, missing)
        details = found.setdefault(pointer(steps), [])
        if detail not in details:
            details.append(detail)
    faults = []
    for member, details in found.items():
        detail = " or ".join(details)
        faults.append(Violation(member, detail))
    return tuple(faults)


def _missing_discriminator(item: ErrorDetails) -> str | None:
    """Return the member that selects the branch of a union, if the object lacks it and
    the class names it."""
    if item["type"] != "union_tag_not_found":
        return None
    quoted = re.fullmatch("'(.+)'", item["ctx"]["discriminator"])
    return None if quoted is None else quoted[1]


def _steps(
    location: tuple[int | str, ...],
    data: object,
    missing: bool,
) -> Iterator[int | str]:
    """Yield the steps of ``location`` that name a member of the data.

    Pydantic's locations also name branches of unions and validators.
    """
    last = len(location) - 1
    for depth, step in enumerate(location):
        if _has(data, step):
            data = data[step]  # type: ignore[index]
            yield step
        elif missing and depth == last and isinstance(data, dict | list):
            yield step


def _has(data: object, step: int | str) -> bool:
    """Return whether a step leads to a member of the data."""
    if isinstance(data, dict):
        return step in data
    if not isinstance(data, list):
        return False
    return isinstance(step, int) and step < len(data)
