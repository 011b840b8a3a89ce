"""Commands of an entity class, compiled without a service."""

from typing import Any

import pytest
from pydantic import Field as PydanticField
from sqlmodel import Field, SQLModel

from persist import command, entity
from persist.domain.command import Command
from persist.domain.errors import InvalidPayload
from persist.entity_types.from_model import from_model


@entity("purses", schema_version=1)
class Purse(SQLModel):
    cents: int = 0

    @command
    def pay(
        self,
        cents: int = Field(gt=0),
        times: int = Field(default=1, le=9, description="How often"),
        note: str = PydanticField(min_length=2, title="Why"),
    ) -> int:
        return cents * times


@pytest.fixture
def pay() -> Command:
    return from_model(Purse).commands["pay"]


def test_the_bounds_of_a_field_hold_for_a_parameter(pay: Command) -> None:
    assert pay.parse({"cents": 5, "note": "ab"}) == {
        "cents": 5,
        "times": 1,
        "note": "ab",
    }


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"cents": 5},
        {"cents": 0, "note": "ab"},
        {"cents": 5, "note": "a"},
        {"cents": 5, "note": "ab", "times": 10},
    ],
)
def test_a_payload_beyond_the_bounds_of_a_field_is_refused(
    pay: Command, payload: dict[str, Any]
) -> None:
    with pytest.raises(InvalidPayload):
        pay.parse(payload)


def test_the_schema_of_a_payload_has_the_bounds_of_its_fields(pay: Command) -> None:
    assert pay.payload_schema["required"] == ["cents", "note"]
    assert pay.payload_schema["properties"] == {
        "cents": {"exclusiveMinimum": 0, "title": "Cents", "type": "integer"},
        "times": {
            "default": 1,
            "description": "How often",
            "maximum": 9,
            "title": "Times",
            "type": "integer",
        },
        "note": {"minLength": 2, "title": "Why", "type": "string"},
    }
