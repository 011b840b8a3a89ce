"""Sample: one field of every kind, for listing, patching and validation."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from sqlmodel import Field, SQLModel

from persist import entity


class Colour(StrEnum):
    """A closed choice."""

    RED = "red"
    GREEN = "green"


class Place(SQLModel):
    """A closed nested object."""

    city: str
    altitude: int | None = None


@entity("samples", schema_version=1)
class Sample(SQLModel):
    """One field of every kind."""

    marker: str = Field(default="", index=True)
    amount: int = Field(default=0, index=True)
    spare_amount: int | None = None
    ratio: float = 0.0
    spare_ratio: float | None = None
    active: bool = True
    spare_active: bool | None = None
    name: str = ""
    spare_name: str | None = None
    happened_at: datetime | None = None
    colour: Colour | None = None
    size: Literal["small", "large"] = "small"
    tags: list[str] = Field(default_factory=list)
    place: Place | None = None
    payload: dict[str, Any] = Field(default_factory=dict)
