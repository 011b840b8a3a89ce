"""Fast dataclasses: values that do not change, and that are quick to create."""

from dataclasses import (
    dataclass,
    field,
)
from typing import (
    TypeVar,
    dataclass_transform,
)

Value = TypeVar("Value")

with_slots = dataclass(
    slots=True,
    unsafe_hash=True,
)


@dataclass_transform(
    frozen_default=True,
    field_specifiers=(field,),
)
def fast_dataclass(cls: type[Value]) -> type[Value]:
    """Make a dataclass with slots that only type checkers treat as frozen.

    With ``frozen=True``, ``__init__`` calls ``object.__setattr__`` for each member, so
    that creating an object takes four times as long. Every write creates a dozen.
    """
    return with_slots(cls)
