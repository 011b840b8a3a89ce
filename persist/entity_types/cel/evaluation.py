"""Evaluation of a compiled CEL expression to a JSON value."""

import math
import re
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]

from persist.domain.record import INT64, normalize_number
from persist.entity_types.cel.parser import plain

_STATUS = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")


_NO_OVERLOAD = "No matching overloads found"


class EvaluationError(Exception):
    """Why an expression gave no value."""


class TypesDoNotFit(EvaluationError):
    """An operator or a function does not take values of these types."""


def evaluate(
    expression: Any,
    variables: dict[str, Any],
    *,
    nulls: bool,
) -> object:
    """Return the JSON value of a ``cel.Expression``.

    ``nulls`` says whether the expression or its variables hold null. Raises
    ``EvaluationError``.
    """
    try:
        value = expression.eval(data=variables)
        result = _python_value(value) if nulls else value.plain_value()
    except RuntimeError as error:
        raise _error(str(error)) from None
    if value.type() == cel.Type.ERROR:
        raise _error(result)
    return _json_value(result)


def _error(message: str) -> EvaluationError:
    kind = TypesDoNotFit if _NO_OVERLOAD in message else EvaluationError
    return kind(plain(_STATUS.sub("", message)))


def _python_value(value: Any) -> Any:
    """Return what ``plain_value()`` does, without asking it for null.

    cel-expr-python 0.1.3 returns a None that it holds no reference to. On Python 3.11
    some thousands of those end the process.
    """
    kind = value.type()
    if kind == cel.Type.NULL:
        return None
    if kind.name().startswith("LIST"):
        return [_python_value(item) for item in value.value()]
    if kind.name().startswith("MAP"):
        return {key: _python_value(item) for key, item in value.value().items()}
    return value.plain_value()


def _json_value(value: object) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return _text(value)
        case int() if value in INT64:
            return value
        case float() if math.isfinite(value):
            return normalize_number(value)
        case list():
            return [_json_value(item) for item in value]
        case dict():
            return {name: _json_value(value[name]) for name in _sorted(value)}
    raise EvaluationError(f"{value!r:.80} is not a JSON value that can be stored")


def _sorted(names: dict[object, object]) -> list[str]:
    """Return the names of members in one order: CEL's maps have none."""
    return sorted(_text(name) for name in names)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise EvaluationError(f"{value!r:.80} cannot name a member of a JSON object")
    if "\0" in value:
        raise EvaluationError("text must not contain U+0000")
    return value
