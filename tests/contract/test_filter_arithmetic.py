"""Arithmetic in ``filter=``: integers and doubles give what CEL gives, on both databases
and both kinds of types; what has no number is compared as null is (contract 13)."""

import uuid

import pytest

from tests.support.collection import Collection
from tests.support.problems import Json

ROWS: list[Json] = [
    {
        "name": "a",
        "amount": 5,
        "spare_amount": 2,
        "ratio": 1.5,
        "spare_ratio": 2,
        "tags": ["x", "y"],
        "payload": {"x": 1.5, "y": "t"},
    },
    {"name": "b", "amount": -7, "ratio": 3, "payload": {"x": 3}},
    {
        "name": "c",
        "amount": 2**63 - 1,
        "spare_amount": 0,
        "ratio": 1e308,
        "spare_ratio": 1e308,
        "payload": {"x": True},
    },
    {
        "name": "d",
        "amount": -(2**63),
        "spare_amount": -1,
        "ratio": 1e-300,
        "spare_ratio": 1e-300,
    },
    {
        "name": "e",
        "amount": 2**53 + 1,
        "spare_amount": 1,
        "ratio": 0.1,
        "spare_ratio": 0.2,
    },
]
FOUND = {
    "data.amount + 1 == 6": "a",
    "data.amount + 1 > 0": "ae",
    "data.amount + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 == 13": "a",
    "1 + (1 + (1 + (1 + (1 + (1 + (1 + (1 + data.amount))))))) == 13": "a",
    "data.amount == -(0.5 - 5.5)": "a",
    "data.amount - 1 < 0": "b",
    "data.amount * 2 > 0": "ae",
    "-data.amount > 0": "b",
    "data.amount / 2 == -3": "b",
    "data.amount / 2.0 == 2.5": "a",
    "data.amount % 2 in [1, -1]": "abce",
    "data.amount / data.spare_amount == 2": "a",
    "data.amount / 0 == 1": "",
    "data.amount / 0 != 1": "abcde",
    "data.amount + 0 == 9007199254740993": "e",
    "data.amount + 0.0 == 9007199254740992": "e",
    "data.amount + data.spare_amount != 7": "bcde",
    "!(data.amount + data.spare_amount > 0)": "bd",
    "data.amount == 60 * 60 - 3595": "a",
    "data.amount + 1 in [6, 7.5, 9223372036854775807]": "a",
    "1 + data.ratio >= 2.5": "abc",
    "data.ratio + data.spare_ratio == 0.30000000000000004": "e",
    "data.ratio + data.spare_ratio > 0": "ade",
    "data.ratio * data.spare_ratio >= 0": "ae",
    "data.ratio / 0 == 1": "",
    "data.amount * data.ratio == 7.5": "a",
    "data.payload.x + 1 > 2": "ab",
    "!(data.payload.z + 1 == 4)": "abcde",
    "size(data.tags) * 2 == 4": "a",
    "size(data.tags) == data.spare_amount": "ac",
    "data.spare_amount + 4 > data.amount": "ad",
    "record.revision + 1 == 2 && data.amount + 1 == 6": "a",
}


@pytest.fixture(scope="module")
def marker(samples: Collection) -> str:
    """The text with which the names of these records begin."""
    text = uuid.uuid4().hex
    for row in ROWS:
        samples.created(**row | {"name": text + row["name"]})
    return text


@pytest.mark.parametrize("text", FOUND)
def test_arithmetic_finds_what_cel_would(
    samples: Collection, marker: str, text: str
) -> None:
    now = samples.client.get("/changes", params={"after": "now"}).json()["last_seq"]
    for moment in ({}, {"as_of": now}):
        found = samples.items(filter=text, name__startswith=marker, **moment)
        names = {record["data"]["name"][-1] for record in found}
        assert names == set(FOUND[text]), moment
