"""Values of entity classes, compiled without a service: what is kept exactly, and what
code of the class may do."""

import sys
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv6Address
from typing import Annotated, Any

import pytest
from annotated_types import Predicate
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, field_validator
from sqlmodel import SQLModel

from persist import command, entity
from persist.domain.entity_type import EntityType
from persist.domain.errors import InvalidData
from persist.entity_types.from_model import from_model
from persist.entity_types.json_schema.compiled_schema import compile_schema


class Grade(Enum):
    GOOD = 1
    FINE = 1  # noqa: PIE796
    BEST = 2


class Part(BaseModel):
    model_config = ConfigDict(validate_assignment=True)
    number: int = Field(default=0, ge=0)
    span: timedelta = timedelta(days=365)


class Seal(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)
    text: str = ""


class Counted(BaseModel):
    count: int = 0

    def model_post_init(self, _: object) -> None:
        self.count += 1


@entity("lots")
class Lot(SQLModel):
    model_config = {"defer_build": True}
    weight: float = 0.0
    weights: list[float] = []
    either: float | int | None = None
    price: Decimal = Decimal("1E-9")
    span: timedelta = timedelta(days=365)
    grade: Grade = Grade.GOOD
    pair: tuple[int, str] | None = None
    even: Annotated[int, Predicate(lambda number: number % 2 == 0)] = 0
    part: Part = Part()
    seal: Seal = Seal()

    @command
    def charge(self) -> None:
        self.price = 10  # type: ignore[assignment]

    @command
    def exchange(self) -> None:
        self.part = Part(span=timedelta(days=730))

    @command
    def lower(self) -> None:
        self.part.number -= 1

    @command
    def spoil(self) -> None:
        self.part = Part(number=-1)

    @command
    def break_seal(self) -> None:
        self.seal.text = "open"  # type: ignore[misc]


@entity("links")
class Link(SQLModel):
    address: IPv6Address | None = None
    addresses: list[IPv6Address] = []
    url: AnyUrl | None = None


@entity("leaving")
class Leaving(SQLModel):
    when: str

    @field_validator("when")
    @classmethod
    def leave(cls, when: str) -> str:
        if when == "now":
            raise SystemExit(3)
        return "\ud800"

    @command(when=lambda record: sys.exit(4))
    def wait(self) -> None:
        pass


@entity("counted")
class Counting(SQLModel):
    counted: Counted


@pytest.fixture(scope="module")
def lot() -> EntityType:
    return from_model(Lot)


def test_defaults_are_stored_and_published_in_one_form(lot: EntityType) -> None:
    data = lot.validate({})
    expected = {"price": "0.000000001", "span": "P365D"}
    assert expected.items() <= data.items()
    assert data["part"] == {"number": 0, "span": "P365D"}
    published = {name: lot.schema["properties"][name]["default"] for name in expected}
    assert published == expected
    assert lot.validate(data) == data
    assert lot.schema["$defs"]["Grade"]["enum"] == [1, 2]


def test_a_field_may_have_the_name_of_an_attribute_of_its_library() -> None:
    with pytest.warns(UserWarning, match="shadows an attribute"):

        @entity("labels")
        class Label(SQLModel):
            metadata: dict[str, str] = {}  # type: ignore[assignment, misc]

    assert from_model(Label).validate({}) == {"metadata": {}}


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**63 - 1])
def test_an_integer_that_a_double_would_round_is_refused(
    lot: EntityType, number: int
) -> None:
    for data, pointer in (
        ({"weight": number}, "/weight"),
        ({"weights": [0, number]}, "/weights/1"),
    ):
        with pytest.raises(InvalidData) as refused:
            lot.validate(data)
        assert refused.value.errors[0].pointer == pointer
        assert f"{number} would be rounded to" in refused.value.errors[0].detail
    assert lot.validate({"either": number})["either"] == number


@pytest.mark.parametrize("number", [2**53, 2**62, -(2**60), 1.5, 1e300])
def test_a_number_that_a_double_holds_is_kept(lot: EntityType, number: float) -> None:
    assert lot.validate({"weight": number})["weight"] == number


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"grade": 3}, "/grade", "Input should be 1 or 2"),
    ({"pair": [1]}, "/pair/1", "Field required"),
    ({"even": 3}, "/even", "Predicate"),
]


@pytest.mark.parametrize(("data", "pointer", "detail"), WRONG)
def test_a_fault_names_its_member(
    lot: EntityType, data: dict[str, Any], pointer: str, detail: str
) -> None:
    with pytest.raises(InvalidData) as refused:
        lot.validate(data)
    (fault,) = refused.value.errors
    assert fault.pointer == pointer
    assert detail in fault.detail


def test_what_a_command_leaves_is_written_as_data_is(lot: EntityType) -> None:
    data, _ = lot.commands["charge"].run({}, {})
    assert lot.validate(data)["price"] == "10"
    data, _ = lot.commands["exchange"].run({}, {})
    data = lot.validate(data)
    assert data["part"] == {"number": 0, "span": "P730D"}


def test_a_nested_assignment_is_validated_with_the_whole(lot: EntityType) -> None:
    data, _ = lot.commands["lower"].run(lot.validate({}), {})
    with pytest.raises(InvalidData) as refused:
        lot.validate(data)
    assert refused.value.errors[0].pointer == "/part/number"


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("spoil", "made a Part that is not valid: /number Input should be greater"),
        ("break_seal", "made a Seal that is not valid: /text Instance is frozen"),
    ],
)
def test_a_nested_value_that_a_command_cannot_make_is_invalid_data(
    lot: EntityType, name: str, detail: str
) -> None:
    with pytest.raises(InvalidData, match=detail):
        lot.commands[name].run({}, {})


def test_code_of_a_class_cannot_end_the_program() -> None:
    leaving = from_model(Leaving)
    with pytest.raises(RuntimeError, match="raised SystemExit"):
        leaving.validate({"when": "now"})
    with pytest.raises(InvalidData, match="cannot be stored"):
        leaving.validate({"when": "later"})


def test_a_nested_model_that_changes_itself_again_is_refused() -> None:
    with pytest.raises(InvalidData, match="changes the data again"):
        from_model(Counting).validate({"counted": {}})


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("address", "fe80::1%eth0"),
        ("addresses", ["::1", "fe80::1%1"]),
        ("url", "http://m\u00fcnchen.de/"),
        ("url", "http://example.org/\u00e4"),
    ],
)
def test_a_class_refuses_what_its_schema_refuses(member: str, value: Any) -> None:
    links = from_model(Link)
    for validate in (links.validate, compile_schema(links.schema)):
        with pytest.raises(InvalidData, match=r"format|does not fit"):
            validate({member: value})
    assert links.validate({"address": "FE80::1", "url": "HTTP://A.b"}) == {
        "address": "fe80::1",
        "addresses": [],
        "url": "http://a.b/",
    }
