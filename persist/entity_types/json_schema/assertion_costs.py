"""Assertion costs: what the assertions of one schema cost, in visits (``budget``).

An assertion is one visit, unless the engine goes through characters, digits or names
for it.
"""

from collections.abc import Mapping
from math import frexp
from typing import Any

from persist.domain.record import dumps
from persist.entity_types.json_schema.budget import (
    MAX_VISITS,
    BudgetExceeded,
    CostBudget,
)
from persist.entity_types.json_schema.dialects import MEANINGFUL
from persist.entity_types.json_schema.engine import FORMATS, weight

VISITS_PER_REGEX_CHARACTER = 4
"""Visits for each character of a text that is read as a regular expression."""

VISITS_PER_OWN_FORMAT = 16
"""Visits of a format that Python looks at."""

VISITS_PER_DOUBLE = 8
"""Visits of comparing a double with another number, digit by digit; more for a tiny
one: 1e-310 takes the engine 16 µs."""

VISITS_PER_DOUBLE_CHARACTER = 2
VISITS_PER_TINY_CHARACTER = 10
"""The same for each character of a double's text, and of one as tiny as ``1e-310``."""

STATES_PER_VISIT = 16
"""Steps of a pattern, one state for one character, that make up a visit."""

_BOUNDS = ("maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum")
OF_VARYING_COST = frozenset(("pattern", "format", "multipleOf", "uniqueItems"))
"""Assertions whose cost depends on the value."""


def spend_on_scalar(
    schema: Mapping[str, object],
    value: object,
    budget: CostBudget,
) -> None:
    """Pay for what assertions cost over a number or a text."""
    if isinstance(value, float) and "multipleOf" in schema:
        _, exponent = frexp(value)
        budget.spend(abs(exponent) // 4)
    elif isinstance(value, str):
        _spend_on_text(schema, value, budget)


def _spend_on_text(
    schema: Mapping[str, Any],
    value: str,
    budget: CostBudget,
) -> None:
    if schema.get("format") == "regex":
        budget.spend(VISITS_PER_REGEX_CHARACTER * len(value))
    elif "format" in schema:
        budget.spend(len(value) >> 4)
    pattern = schema.get("pattern")
    if pattern is None:
        return
    visits = weight(pattern) * len(value) // STATES_PER_VISIT
    if visits > MAX_VISITS:
        raise BudgetExceeded(
            f"{len(value)} characters are too many to be matched against"
            f" {pattern[:100]}"
        )
    budget.spend(visits)


def cost_of_assertions(schema: Mapping[str, Any]) -> int:
    """Return the visits of validating a small value against assertions."""
    required = len(schema.get("required", ()))
    cost = 1 + len(schema.keys() & MEANINGFUL) + (required >> 4)
    dependent = schema.get("dependentRequired", {})
    dependent_names = sum(map(len, dependent.values()))
    cost += dependent_names >> 2
    cost += _cost_of_constants(schema)
    if schema.get("format") == "regex":
        cost += VISITS_PER_REGEX_CHARACTER
    if schema.get("format") in FORMATS:
        cost += VISITS_PER_OWN_FORMAT
    divisor = schema.get("multipleOf")
    if isinstance(divisor, float):
        _, exponent = frexp(divisor)
        cost += 32 + abs(exponent)
    return cost


def cost_of_double(number: float) -> int:
    """Return the visits of comparing a double with another number, which the engine
    does with all digits of both."""
    _, exponent = frexp(number)
    digits = max(-exponent, exponent >> 3)
    return VISITS_PER_DOUBLE + (digits >> 4)


def count_numbers(schema: Mapping[str, Any]) -> int:
    """Return how many numbers a double is compared with digit by digit. Bounds that are
    integers are not among them."""
    count = 0
    for option in (*schema.get("enum", ()), schema.get("const")):
        if isinstance(option, int | float):
            count += 1
    for bound in _BOUNDS:
        if isinstance(schema.get(bound), float):
            count += 1
    return count


def _cost_of_constants(schema: Mapping[str, Any]) -> int:
    """Return the visits of comparing a value with ``enum`` and ``const``."""
    doubles = 0
    deep: list[Any] = []
    for option in (*schema.get("enum", ()), schema.get("const")):
        if isinstance(option, float):
            doubles += cost_of_double(option)
        elif isinstance(option, dict | list):
            deep.append(option)
    if not deep:
        return doubles
    characters = len(dumps(deep))
    return doubles + (characters >> 2)
