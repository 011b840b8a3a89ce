"""Values: dataclasses that do not change."""

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
def value(cls: type[Value]) -> type[Value]:
    """Make a dataclass with slots whose members type checkers let nobody assign.

    Python's own ``frozen`` checks at run time: to create an object takes four times as
    long, and every write creates a dozen.
    """
    return with_slots(cls)
