"""Filters by type (contract 13): what a registered type takes, finds and refuses."""

from typing import Any

import httpx
import pytest

from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem, pointers
from tests.support.registered import an_object, registered

SCHEMA: Json = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "n": {"type": "integer"},
        "total": {"type": "string", "format": "decimal"},
        "day": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "clock": {"type": "string", "format": "time"},
        "length": {"type": "string", "format": "duration"},
        "ref": {"type": "string", "format": "uuid"},
        "untyped": {"format": "date-time"},
        "color": {"enum": ["red", "green", None]},
        "either": {"type": ["integer", "boolean", "null"]},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "anyOf": [
        {"properties": {"kind": {"const": "point"}, "x": {"type": "number"}}},
        {"properties": {"kind": {"const": "line"}}},
    ],
    "patternProperties": {"^x-": {"type": "integer"}},
}
ROWS: list[Json] = [
    {
        "name": "Straße",
        "total": "10.50",
        "at": "2026-11-22T19:00:00+02:00",
        "clock": "12:00:00Z",
        "length": "PT36H",
        "ref": "0198C1D2-7C2F-7D6A-9F1E-2B3C4D5E6F70",
        "untyped": "2026-11-22T19:00:00+02:00",
        "color": "red",
        "either": 8,
        "tags": ["red", "green"],
        "kind": "point",
        "x": 1.5,
        "x-size": 3,
        "free": "u-42",
    },
    {
        "name": "STRASSE",
        "total": "9",
        "day": "2026-11-22",
        "at": "2026-11-22T16:00:00Z",
        "clock": "11:00:00+02:00",
        "length": "P1Y",
        "untyped": 8,
        "either": True,
        "tags": [],
        "kind": "line",
        "x": "not a number",
        "free": 8,
        "a.b": 1,
    },
    {"name": "x", "n": 1, "free": {"deep": [1, 2]}},
]
FOUND = [
    ("total=10.5", [0]),
    ("total__gt=9.0", [0]),
    ("total__in=9.00,1", [1]),
    ("at=2026-11-22T17:00:00Z", [0]),
    ("at__gt=2026-11-22T16:00:00Z", [0]),
    ("day__gte=2026-11-22", [1]),
    ("clock__lt=12:00:00Z", [1]),
    ("length=P1DT12H", [0]),
    ("length=P12M", [1]),
    ("length__gt=PT1H", [0]),
    ("ref=0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70", [0]),
    ("untyped=2026-11-22T17:00:00Z", [0]),
    ("untyped__gt=2026-11-22T17:00:00Z", []),
    ("untyped=8", [1]),
    ("color=red", [0]),
    ("color__ne=red", [1, 2]),
    ("either=8", [0]),
    ("either=true", [1]),
    ("tags__has=red", [0]),
    ("tags__has=red&tags__has=green", [0]),
    ("tags__has=red&tags__has=blue", []),
    ("tags__len=2", [0]),
    ("tags__len__lt=1", [1]),
    ("kind=line", [1]),
    ("x=1.5", [0]),
    ("x__lt=100", [0]),
    ("sort=-x", [0, 2, 1]),
    ("x-size__gte=3", [0]),
    ("data.free=u-42", [0]),
    ("data.free__gt=7", [1]),
    ("data.free.deep__has=2", [2]),
    ("data.free.deep__len=2", [2]),
    ("name__ieq=STRAßE", [0]),
    ("name__icontains=strass", [1]),
    ("name__istartswith=STR", [0, 1]),
    ("name__endswith=ße", [0]),
    ("name__iendswith=SSE", [1]),
    ("sort=total", [1, 0, 2]),
    ("sort=at", [1, 0, 2]),
    ("filter=data.total > 9.0", [0]),
    ('filter=data.at > "2026-11-22T16:00:00Z"', [0]),
    ('filter=data.at == timestamp("2026-11-22T17:00:00Z")', [0]),
    ('filter="red" in data.tags', [0]),
    ("filter=size(data.tags) >= 2", [0]),
    ('filter=!("red" in data.tags)', [1, 2]),
    ('filter=data.name.endsWith("E")', [1]),
    ("filter=data.free == 8", [1]),
    ('filter=data["a.b"] == 1', [1]),
]
REFUSED = [
    *("total=abc", "total=1" + "0" * 38, "total__contains=1"),
    *("at=yesterday", "at=2026-11-22", "at=2026-02-30T00:00:00Z"),
    *("day=2026-13-01", "clock=25:00:00Z", "length=1 hour", "length__gt=P1M"),
    *(
        "untyped=u-42",
        "ref=u-42",
        "color=blue",
        "color__in=red,blue",
        "either=abc",
        'either="8"',
    ),
    "either=8.5",
    *("tags=red", "tags__len=many", "x=abc", "free=8", "n=1.5", "_id=u-42"),
    *("filter=data.color == 'blue'", "filter=data.at == 'x'", "filter=data.tags == 1"),
]


@pytest.fixture(scope="module")
def things(client: httpx.Client) -> Collection:
    registered(client, "typed-things", SCHEMA)
    things = Collection(client, "typed-things")
    for row in ROWS:
        things.created(**row)
    return things


def pairs_of(query: str) -> list[tuple[str, str]]:
    if query.startswith("filter="):
        return [("filter", query.removeprefix("filter="))]
    return [tuple(pair.split("=", 1)) for pair in query.split("&")]  # type: ignore[misc]


@pytest.mark.parametrize(("query", "expected"), FOUND)
def test_a_filter_compares_as_the_type_of_its_field(
    things: Collection, query: str, expected: list[int]
) -> None:
    found = [record["data"] for record in things.items(pairs_of(query))]
    assert found == [ROWS[index] for index in expected]


@pytest.mark.parametrize("query", REFUSED)
def test_a_value_of_no_type_of_the_field_is_refused(
    things: Collection, query: str
) -> None:
    assert_problem(things.find(pairs_of(query)), 400, "invalid-query")


@pytest.mark.parametrize("field", ["total", "at", "length", "ref", "x", "clock"])
def test_pages_of_a_sort_pass_over_nothing(things: Collection, field: str) -> None:
    for order in (field, f"-{field}"):
        whole = things.items(sort=order)
        paged = [
            record for page in things.pages(sort=order, limit=1) for record in page
        ]
        assert paged == whole
        assert len(whole) == len(ROWS)


@pytest.mark.parametrize(
    ("schema", "first", "same", "other"),
    [
        ({"type": "string", "format": "decimal"}, "10.50", "10.5", "10.51"),
        (
            {"type": "string", "format": "date-time"},
            "2026-11-22T17:00:00Z",
            "2026-11-22T19:00:00+02:00",
            "2026-11-22T19:00:00Z",
        ),
        (
            {"type": "string", "format": "uuid"},
            "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70",
            "0198C1D2-7C2F-7D6A-9F1E-2B3C4D5E6F70",
            "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f71",
        ),
        (
            {"format": "uuid"},
            "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70",
            "0198C1D2-7C2F-7D6A-9F1E-2B3C4D5E6F70",
            8,
        ),
    ],
)
def test_values_that_mean_the_same_are_one_unique_value(
    client: httpx.Client, marker: str, schema: Json, first: Any, same: Any, other: Any
) -> None:
    name = f"u-{marker[:20]}"
    object_schema = {"type": "object", "properties": {"v": schema}}
    registered(client, name, object_schema, unique=["v"])
    own = Collection(client, name)
    own.created(v=first)
    assert_problem(own.create({"v": same}), 409, "unique-violation")
    own.created(v=other)


DECIMALS: Json = {
    "type": "object",
    "properties": {
        "d": {"type": "string", "format": "decimal", "default": "0.00"},
        "either": {"type": ["string", "number"], "format": "decimal"},
        "maybe": {"anyOf": [{"$ref": "#/$defs/money"}, {"type": "null"}]},
        "lines": {
            "type": "array",
            "items": {"type": "object", "properties": {"p": {"$ref": "#/$defs/money"}}},
        },
    },
    "$defs": {"money": {"type": "string", "format": "decimal"}},
}
WRITTEN = [
    ({"d": "10.50"}, {"d": "10.50"}),
    ({"d": 10.5}, {"d": "10.5"}),
    ({"d": 7}, {"d": "7"}),
    ({"either": 1.5}, {"d": "0.00", "either": 1.5}),
    ({"maybe": 2}, {"d": "0.00", "maybe": "2"}),
    ({"maybe": None}, {"d": "0.00", "maybe": None}),
    ({"lines": [{"p": 1.25}, {}]}, {"d": "0.00", "lines": [{"p": "1.25"}, {}]}),
]


@pytest.fixture(scope="module")
def decimals(client: httpx.Client) -> Collection:
    registered(client, "decimal-things", DECIMALS)
    return Collection(client, "decimal-things")


@pytest.mark.parametrize(("sent", "stored"), WRITTEN)
def test_a_number_for_a_decimal_is_stored_as_text(
    decimals: Collection, sent: Json, stored: Json
) -> None:
    record = decimals.created(**sent)
    assert record["data"] == stored
    changed = decimals.patch(record["id"], {"d": 3})
    assert changed.json()["data"]["d"] == "3"


@pytest.mark.parametrize("value", ["abc", "", "1" * 39, "1,5", True, "NaN", "0x1"])
def test_what_is_no_decimal_is_refused(decimals: Collection, value: Any) -> None:
    problem = assert_problem(decimals.create({"d": value}), 422, "invalid-data")
    assert pointers(problem) == {"/d"}


def test_a_list_may_contain_lists_without_end(client: httpx.Client) -> None:
    tree = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/list"}]}
    schema = an_object(tree={"$ref": "#/$defs/list"})
    schema["$defs"] = {"list": {"type": "array", "items": tree}}
    registered(client, "trees", schema)
    trees = Collection(client, "trees")
    trees.created(tree=["leaf", ["inner", []]])
    trees.created(tree=[[["leaf"]]])
    assert len(trees.items(tree__has="leaf")) == 1
    assert len(trees.items(tree__len=1)) == 1
    assert len(trees.items(filter='"leaf" in data.tree')) == 1
    assert client.get("/collections/trees/openapi.json").status_code == 200
