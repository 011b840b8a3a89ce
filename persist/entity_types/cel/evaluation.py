"""Evaluation: a compiled CEL expression and its variables become a JSON value, or a
``Failure``."""

import math
import re
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]

from persist.domain.record import INT64, whole
from persist.entity_types.cel.parser import plain

_STATUS = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")


class Failure(Exception):
    """Why CEL gave no value."""


def evaluate(expression: Any, variables: dict[str, Any], *, nulls: bool) -> Any:
    """The value of a ``cel.Expression``, as it can be stored; raises ``Failure``.

    ``nulls``: whether the expression or its variables hold one, so that the value may.
    """
    try:
        value = expression.eval(data=variables)
        plain_value = _walked(value) if nulls else value.plain_value()
    except RuntimeError as error:
        raise Failure(_reason(str(error))) from None
    if value.type() == cel.Type.ERROR:
        raise Failure(_reason(plain_value))
    return _storable(plain_value)


def _reason(message: str) -> str:
    return plain(_STATUS.sub("", message))


def _walked(value: Any) -> Any:
    """What ``plain_value()`` gives, without asking it for null: cel-expr-python 0.1.3
    then hands out a None it holds no reference to, and on Python 3.11 some thousands of
    those end the process."""
    kind = value.type()
    if kind == cel.Type.NULL:
        return None
    if kind.name().startswith("LIST"):
        return [_walked(item) for item in value.value()]
    if kind.name().startswith("MAP"):
        return {key: _walked(item) for key, item in value.value().items()}
    return value.plain_value()


def _storable(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int) and value in INT64:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return whole(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        members = {_text(key): item for key, item in value.items()}
        return {key: _storable(members[key]) for key in sorted(members)}
    raise Failure(f"{value!r:.80} is no JSON value that can be stored")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Failure(f"{value!r:.80} cannot name a member of a JSON object")
    if "\0" in value:
        raise Failure("text cannot hold U+0000")
    return value
