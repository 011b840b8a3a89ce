r"""Engine: jsonschema-rs as it is configured here, and what its patterns may cost.

It validates a small document in a third of a microsecond. It holds the interpreter's
lock while it runs and has no budget, so ``cost`` bounds the validations that it runs.

A pattern is matched in linear time; one that needs backtracking is refused. Linear is
not always short: ``[a-m][a-z]{1000}\d`` takes 20 s over 1 MiB. So a pattern has a
weight, the number of states it unfolds to, and weight times length is limited as well.
"""

from collections.abc import Callable
from typing import Any

from jsonschema_rs import (
    Draft202012Validator,
    FancyRegexOptions,
    RegexOptions,
    Registry,
)

from persist.domain.bounded_cache import bounded_cache, weight_of_texts
from persist.domain.comparable import decimal_form
from persist.entity_types.json_schema.patterns import (
    split_look_ahead,
    to_assertions,
    to_engine_syntax,
    without_counts,
)

MAX_PATTERN_BYTES = 1 << 21
"""Bytes that one compiled pattern may take."""

BYTES_PER_STATE = 64
"""Bytes that a state of a compiled pattern takes."""

MAX_STATES = MAX_PATTERN_BYTES // BYTES_PER_STATE

ENGINE_BYTES = 16_777_216
"""What may be kept of compiled patterns, and of compiled assertions."""

_WEIGHTS_BYTES = 8_388_608
"""What may be kept of the weights of patterns."""


FORMATS: dict[str, Callable[[str], bool]] = {
    "decimal": lambda text: decimal_form(text) is not None,
}
"""The formats that are asserted in addition to those that the engine knows."""


class PatternRefused(Exception):
    """Why a pattern is not accepted, in a sentence for people."""


@bounded_cache(_WEIGHTS_BYTES, weight_of_texts)
def weight(pattern: str) -> int:
    """Return about how many states an ECMA-262 pattern unfolds to: a power of two for
    each of its parts.

    Raises ``PatternRefused``.
    """
    ahead, rest = split_look_ahead(pattern)
    parts = [rest, *(text for _, text in ahead)]
    return sum(_weight(part, pattern) for part in parts)


def _weight(part: str, pattern: str) -> int:
    schema = {"pattern": to_engine_syntax(part)}
    size = BYTES_PER_STATE
    while size <= MAX_PATTERN_BYTES:
        options = RegexOptions(size_limit=size)
        try:
            Draft202012Validator(schema, pattern_options=options)
        except ValueError:
            size *= 2
        else:
            return size // BYTES_PER_STATE
    if not _can_be_read(part):
        raise PatternRefused(
            f"{pattern[:100]!r} cannot be read as a regular expression (ECMA-262 with"
            " the u flag)"
        )
    raise PatternRefused(
        f"{pattern[:100]!r} is not a regular expression that can be matched in linear"
        " time: no look-around, no back-references, and"
        f" {MAX_STATES} states at most"
    )


def _can_be_read(pattern: str) -> bool:
    """Return whether an engine with look-around and back-references reads a pattern."""
    schema = {"pattern": to_engine_syntax(without_counts(pattern))}
    options = FancyRegexOptions(size_limit=MAX_PATTERN_BYTES)
    try:
        Draft202012Validator(schema, pattern_options=options)
    except ValueError:
        return False
    return True


def bytes_of(pattern: str) -> int:
    """Return about how many bytes a compiled pattern takes."""
    return weight_of_texts(pattern) + BYTES_PER_STATE * weight(pattern)


@bounded_cache(ENGINE_BYTES, bytes_of)
def matcher(pattern: str) -> Callable[[object], bool]:
    """Return a function that says whether an ECMA-262 pattern occurs in a text."""
    return validator(to_assertions(pattern))


def validator(
    schema: Any, registry: Registry | None = None
) -> Callable[[object], bool]:
    """Return a function that says whether a value is valid under a schema.

    Formats are asserted and nothing is fetched. The schema's patterns are in the
    engine's syntax. Raises ``ValueError`` for a schema that cannot be compiled.
    """
    options = RegexOptions(size_limit=MAX_PATTERN_BYTES)
    return Draft202012Validator(
        schema,
        registry=registry,
        validate_formats=True,
        formats=FORMATS,
        pattern_options=options,
        offline=True,
    ).is_valid
