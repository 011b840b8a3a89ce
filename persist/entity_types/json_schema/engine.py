r"""Engine: jsonschema-rs as it is used here, and what its regular expressions may cost.

It judges a small document in a third of a microsecond, but holds the interpreter's lock
the while and has no budget of its own: ``visits`` bounds what it is asked. Patterns are
matched in linear time; what needs backtracking is refused. Linear is not yet short:
``[a-m][a-z]{1000}\d`` takes 20 s over 1 MiB. So a pattern has a weight, the number of
states it unfolds to, and weight times length is limited as well.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from jsonschema_rs import Draft202012Validator, RegexOptions, Registry

SIZE = 1 << 20
STATE = 64
"""Bytes that a compiled pattern may take, and those that one of its states takes."""


class PatternRefused(Exception):
    """Why a pattern is not accepted, in a sentence for people."""


@lru_cache(10_000)
def weight(text: str) -> int:
    """About how many states ``text`` (ECMA-262) unfolds to, a power of two; raises
    ``PatternRefused``."""
    size = STATE
    while size <= SIZE:
        try:
            Draft202012Validator(
                {"pattern": text}, pattern_options=RegexOptions(size_limit=size)
            )
        except ValueError:
            size *= 2
        else:
            return size // STATE
    raise PatternRefused(
        "is no regular expression that can be matched in linear time: no look-around,"
        f" no back-references, and {SIZE // STATE} states at most"
    )


@lru_cache(10_000)
def matcher(text: str) -> Callable[[Any], bool]:
    """Whether a pattern occurs in a text."""
    return judge({"pattern": text})


def judge(schema: Any, registry: Registry | None = None) -> Callable[[Any], bool]:
    """Whether a value fits a schema: formats asserted, nothing fetched."""
    options = RegexOptions(size_limit=SIZE)
    return Draft202012Validator(
        schema,
        registry=registry,
        validate_formats=True,
        pattern_options=options,
        offline=True,
    ).is_valid
