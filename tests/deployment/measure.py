"""Measure: values that JSON writes as text."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

from sqlmodel import Field, SQLModel

from persist import command, entity


class Line(SQLModel):
    """A closed nested object."""

    price: Decimal


@entity("measures", schema_version=1)
class Measure(SQLModel):
    """One field of every type whose text is not what is compared."""

    marker: str = ""
    total: Decimal | None = Field(default=None, index=True)
    ref: UUID | None = Field(default=None, unique=True)
    day: date | None = None
    clock: time | None = None
    length: timedelta | None = None
    at: datetime | None = None
    prices: dict[str, Decimal] = Field(default_factory=dict)
    lines: list[Line] = Field(default_factory=list)

    @command
    def pay(self, amount: Decimal) -> Decimal:
        """Replace the total."""
        self.total = amount
        return amount
