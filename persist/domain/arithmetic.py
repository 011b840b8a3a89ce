"""Arithmetic of JSON numbers within queries.

SQLite calls ``calculate``; on PostgreSQL functions in the database do the same
(``storage/dialect``).
"""

import math
import operator
from collections.abc import Callable, Mapping

from persist.domain.record import INT64

Number = int | float


def calculate(
    operation: str,
    left: Number | None,
    right: Number | None,
) -> Number | None:
    """Return the result of an operation on two integers or two doubles.

    None if an operand is null, the divisor is zero, or the result is outside 64 bits or
    overflows or underflows a double.
    """
    if left is None or right is None:
        return None
    compute = OPERATIONS[operation]
    try:
        result = compute(left, right)
    except (ZeroDivisionError, OverflowError):
        return None
    if isinstance(result, int):
        return result if result in INT64 else None
    if not math.isfinite(result):
        return None
    if result == 0 and _underflows(operation, left, right):
        return None
    return result


def _underflows(
    operation: str,
    left: Number,
    right: Number,
) -> bool:
    """Return whether a result of zero is a number too close to zero."""
    if operation == "multiply":
        return left != 0 and right != 0
    return operation == "divide" and left != 0


def _quotient(
    left: Number,
    right: Number,
) -> Number:
    if isinstance(left, float) or isinstance(right, float):
        return left / right
    # Towards zero, as CEL and both databases divide integers.
    quotient = abs(left) // abs(right)
    is_positive = (left < 0) is (right < 0)
    return quotient if is_positive else -quotient


def _remainder(
    left: Number,
    right: Number,
) -> Number:
    return left - right * _quotient(left, right)


OPERATIONS: Mapping[str, Callable[[Number, Number], Number]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": _quotient,
    "remainder": _remainder,
}
