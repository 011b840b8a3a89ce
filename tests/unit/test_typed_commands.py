"""Commands of an entity class, compiled without a service."""

from datetime import time, timedelta
from typing import Any

import pytest
from pydantic import Field as PydanticField
from pydantic import SecretStr, ValidationInfo, field_validator
from sqlmodel import Field, SQLModel

from persist import command, entity
from persist.domain.command import Command
from persist.domain.errors import InvalidData, InvalidPayload
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


@entity("clocks", schema_version=1)
class Clock(SQLModel):
    at: time | None = None
    length: timedelta | None = None
    low: int = 0
    high: int = 9

    @field_validator("high")
    @classmethod
    def check_high(cls, high: int, info: ValidationInfo) -> int:
        """Needs another member."""
        if high < info.data["low"]:
            raise ValueError("below low")
        return high

    @command
    def read(self) -> Any:
        return {"raw": [b"x"]}

    @command
    def hide(self) -> Any:
        return SecretStr("x")


@pytest.mark.parametrize(
    "payload",
    [
        {"at": "17:00:00"},
        {"length": "-PT1S"},
        {"length": "PT1.5S"},
        {"at": None},
        {"high": 1},
    ],
)
def test_set_takes_what_a_put_takes(payload: dict[str, Any]) -> None:
    clock = from_model(Clock)
    assert clock.commands["set"].parse(payload) == payload
    assert clock.validate(payload).items() >= payload.items()


def test_set_names_every_member_that_does_not_fit() -> None:
    parse = from_model(Clock).commands["set"].parse
    with pytest.raises(InvalidPayload) as refused:
        parse({"at": "noon", "high": "9", "hight": 1})
    assert [pointer for pointer, _ in refused.value.errors] == [
        "/at",
        "/high",
        "/hight",
    ]
    with pytest.raises(InvalidPayload, match="must have 1 or more members"):
        parse({})


@pytest.mark.parametrize(("name", "kind"), [("read", "bytes"), ("hide", "SecretStr")])
def test_a_result_that_json_cannot_keep_is_an_error_of_the_command(
    name: str, kind: str
) -> None:
    with pytest.raises(InvalidData, match=f"result contains {kind}: "):
        from_model(Clock).commands[name].run({}, {})


@entity("jars", schema_version=1)
class Jar(SQLModel):
    model_config = {"validate_assignment": True}
    sweets: int = Field(default=0, ge=0)

    @command
    def eat(self) -> None:
        self.sweets -= 1


def test_the_result_of_a_command_is_validated_and_no_single_assignment() -> None:
    jar = from_model(Jar)
    data, _ = jar.commands["eat"].run({"sweets": 0}, {})
    assert data == {"sweets": -1}
    with pytest.raises(InvalidData):
        jar.validate(data)
