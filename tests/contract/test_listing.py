"""Listing: every operator on every type, null, order, pages, and what is refused
(contract 3)."""

import base64
import itertools
import json
import operator
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from tests.conftest import Service
from tests.support import raw
from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem

ROWS: list[Json] = [
    {"amount": 1, "spare_amount": None, "ratio": 0.5, "name": "apple", "active": True},
    {
        "amount": 2,
        "spare_amount": 5,
        "ratio": -0.5,
        "spare_ratio": 1.5,
        "name": "Apple",
        "spare_name": "a",
    },
    {
        "amount": 10,
        "spare_amount": -3,
        "ratio": 1e22,
        "name": "banana",
        "active": False,
        "spare_name": "B",
    },
    {
        "amount": -7,
        "ratio": 2,
        "spare_ratio": 10,
        "name": "é",
        "spare_active": True,
        "spare_name": "b",
    },
    {
        "amount": 2**63 - 1,
        "spare_amount": 2**40,
        "name": "😀",
        "spare_active": False,
        "colour": "red",
    },
    {
        "amount": -(2**63),
        "spare_amount": 5,
        "name": "\uffee",
        "active": False,
        "colour": "green",
    },
    {"amount": 0, "ratio": 0.1, "name": "", "size": "large", "spare_name": ""},
    {
        "amount": 2,
        "spare_amount": 0,
        "ratio": 2.5,
        "name": "50% off_a,b\\c",
        "spare_name": "50x offxa",
    },
]

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
INTEGERS = [1, 2, 5, 0, -7, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]
NUMBERS = [0.5, -0.5, 1.5, 2, 2.5, 10, 1e22, 0, 0.1, -1e300]
TEXTS = [
    "apple",
    "Apple",
    "a",
    "B",
    "b",
    "é",
    "😀",
    "\uffee",
    "",
    "50% off_a,b\\c",
    "zzz",
    "' or 1=1 --",
]


@pytest.fixture(scope="module")
def marked() -> str:
    """The marker of the rows all filters of this module are tried on."""
    return uuid.uuid4().hex


@pytest.fixture(scope="module")
def rows(samples: Collection, marked: str) -> list[Json]:
    return [samples.created(marker=marked, **row) for row in ROWS]


def names(found: list[Json]) -> list[str]:
    return [record["data"]["name"] for record in found]


def compared(value: Any, comparison: str, wanted: Any) -> bool:
    """What the contract says of a comparison: null is a value to `eq` and `ne`,
    unordered otherwise."""
    if value is None:
        return comparison == "ne"
    return COMPARISONS[comparison](value, wanted)


def expected(rows: list[Json], field: str, comparison: str, wanted: Any) -> list[str]:
    return [
        row["id"] for row in rows if compared(row["data"][field], comparison, wanted)
    ]


def written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


CASES = [
    *itertools.product(["amount", "spare_amount"], COMPARISONS, INTEGERS),
    *itertools.product(["ratio", "spare_ratio"], COMPARISONS, NUMBERS),
    *itertools.product(["name", "spare_name"], COMPARISONS, TEXTS),
    *itertools.product(["active", "spare_active"], ["eq", "ne"], [True, False]),
    *itertools.product(["size"], COMPARISONS, ["small", "large"]),
    *itertools.product(["colour"], COMPARISONS, ["red", "green"]),
]


@pytest.mark.parametrize("field", sorted({field for field, _, _ in CASES}))
def test_every_comparison_gives_the_rows_it_should(
    samples: Collection, rows: list[Json], marked: str, field: str
) -> None:
    for name, comparison, wanted in CASES:
        if name == field:
            found = samples.items(
                marker=marked, **{f"{name}__{comparison}": written(wanted)}
            )
            assert [r["id"] for r in found] == expected(
                rows, name, comparison, wanted
            ), (comparison, wanted)


def test_a_field_without_operator_means_equal(
    samples: Collection, rows: list[Json], marked: str
) -> None:
    assert names(samples.items(marker=marked, amount="2")) == [
        "Apple",
        "50% off_a,b\\c",
    ]
    assert names(samples.items(marker=marked, spare_active="true")) == ["é"]
    assert names(samples.items(marker=marked, name="")) == [""]


@pytest.mark.parametrize(
    "field",
    [
        "amount",
        "spare_amount",
        "spare_ratio",
        "spare_active",
        "spare_name",
        "colour",
        "happened_at",
        "place",
    ],
)
def test_isnull_tells_null_from_the_rest(
    samples: Collection, rows: list[Json], marked: str, field: str
) -> None:
    for wanted in (True, False):
        found = samples.items(marker=marked, **{f"{field}__isnull": written(wanted)})
        assert [r["id"] for r in found] == [
            r["id"] for r in rows if (r["data"][field] is None) is wanted
        ]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("amount", "1,2,-7"),
        ("spare_amount", "5"),
        ("ratio", "0.5,2"),
        ("size", "large,small"),
        ("active", "false"),
    ],
)
def test_in_takes_values_between_commas(
    samples: Collection, rows: list[Json], marked: str, field: str, values: str
) -> None:
    wanted = values.split(",")
    found = samples.items(marker=marked, **{f"{field}__in": values})
    assert [r["id"] for r in found] == [
        r["id"] for r in rows if written(r["data"][field]) in wanted
    ]


def test_in_repeated_takes_values_that_hold_commas(
    samples: Collection, rows: list[Json], marked: str
) -> None:
    pairs = [("marker", marked), ("name__in", "50% off_a,b\\c"), ("name__in", "apple")]
    assert names(samples.items(pairs)) == ["apple", "50% off_a,b\\c"]
    assert names(samples.items(marker=marked, name__in="50% off_a,b\\c")) == []


@pytest.mark.parametrize("field", ["name", "spare_name"])
@pytest.mark.parametrize(
    "part",
    ["a", "A", "pp", "é", "😀", "%", "_", "\\", "b,", "", "50%", "*", "zzz", "["],
)
def test_text_operators_are_literal_and_case_sensitive(
    samples: Collection, rows: list[Json], marked: str, field: str, part: str
) -> None:
    texts = [
        (row["id"], row["data"][field])
        for row in rows
        if row["data"][field] is not None
    ]
    found = samples.items(marker=marked, **{f"{field}__contains": part})
    assert [r["id"] for r in found] == [
        record_id for record_id, text in texts if part in text
    ]
    found = samples.items(marker=marked, **{f"{field}__startswith": part})
    assert [r["id"] for r in found] == [
        record_id for record_id, text in texts if text.startswith(part)
    ]


def test_conditions_are_all_demanded_repeated_ones_too(
    samples: Collection, rows: list[Json], marked: str
) -> None:
    assert names(
        samples.items(marker=marked, amount__gte="0.0", amount__lt="3e0", active="true")
    ) == [
        "apple",
        "Apple",
        "",
        "50% off_a,b\\c",
    ]
    pairs = [("marker", marked), ("name__contains", "a"), ("name__contains", "n")]
    assert names(samples.items(pairs)) == ["banana"]
    pairs = [
        ("marker", marked),
        ("amount__gte", "0"),
        ("amount__gte", "5"),
        ("amount__lt", "11"),
    ]
    assert names(samples.items(pairs)) == ["banana"]
    assert samples.items([("marker", marked), ("amount", "1"), ("amount", "2")]) == []


@pytest.mark.parametrize(
    ("written_as", "matches"),
    [
        ("2026-03-01T12:00:00Z", True),
        ("2026-03-01T12:00:00.000000Z", True),
        ("2026-03-01T13:00:00+01:00", True),
        ("2026-03-01T12:00:01Z", False),
    ],
)
def test_a_time_in_the_data_is_found_by_its_instant(
    samples: Collection, marker: str, written_as: str, matches: bool
) -> None:
    record = samples.created(marker=marker, happened_at="2026-03-01T12:00:00Z")
    found = samples.items(marker=marker, happened_at=written_as)
    assert found == ([record] if matches else [])


def test_times_in_the_data_order_by_instant(samples: Collection, marker: str) -> None:
    moments = [
        "2026-03-01T12:00:00Z",
        "2026-03-01T14:30:00+02:00",
        "2026-03-01T12:00:00.5Z",
        "2026-03-01T11:00:00-02:00",
    ]
    for moment in moments:
        samples.created(marker=marker, name=moment, happened_at=moment)
    by_instant = sorted(moments, key=datetime.fromisoformat)
    assert names(samples.items(marker=marker, sort="happened_at")) == by_instant
    after = samples.items(
        marker=marker, sort="happened_at", happened_at__gt="2026-03-01T12:00:00Z"
    )
    assert names(after) == by_instant[1:]


def test_a_filter_for_a_time_takes_times_only(samples: Collection) -> None:
    assert_problem(samples.find(happened_at="yesterday"), 400, "invalid-query")


# --- nested members
# ------------------------------------------------------------------------------

PAYLOADS: list[Json] = [
    {"n": 8, "user_id": "u-42", "flag": True},
    {"n": "8", "user_id": "U-42", "flag": "true"},
    {"n": 8.5, "deep": {"er": 2**40}, "flag": False},
    {"n": None, "deep": {"er": "x"}},
    {"n": [8], "deep": 5},
    {},
    {"n": True, "user_id": "it's"},
    {"n": 2**53 + 1},
    {"n": 1e22},
    {"n": -3, "user_id": ""},
]

NESTED: list[tuple[str, str, list[int]]] = [
    ("payload.n", "8", [0]),
    ("payload.n", "8.0", [0]),
    ("payload.n", '"8"', [1]),
    ("payload.n", "8.5", [2]),
    ("payload.n", "true", [6]),
    ("payload.n", str(2**53 + 1), [7]),
    ("payload.n", str(2**53), []),
    ("payload.n", "1e22", [8]),
    ("payload.n__gt", "8", [2, 7, 8]),
    ("payload.n__gte", "8", [0, 2, 7, 8]),
    ("payload.n__lt", "8.5", [0, 9]),
    ("payload.n__lte", "-3", [9]),
    ("payload.n__ne", "8", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ("payload.n__in", "8,-3", [0, 9]),
    ("payload.n__isnull", "true", [3, 5]),
    ("payload.n__isnull", "false", [0, 1, 2, 4, 6, 7, 8, 9]),
    ("payload.user_id", "u-42", [0]),
    ("payload.user_id", "it's", [6]),
    ("payload.user_id__ne", "u-42", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ("payload.user_id__contains", "-4", [0, 1]),
    ("payload.user_id__startswith", "u", [0]),
    ("payload.user_id__in", "u-42,U-42", [0, 1]),
    ("payload.user_id__gt", "U-42", [0, 6]),
    ("payload.flag", "true", [0]),
    ("payload.flag", '"true"', [1]),
    ("payload.flag", "false", [2]),
    ("payload.deep.er", str(2**40), [2]),
    ("payload.deep.er", "x", [3]),
    ("payload.deep.er__gt", "0", [2]),
    ("payload.deep.er__isnull", "true", [0, 1, 4, 5, 6, 7, 8, 9]),
    ("payload.nothing.at.all", "x", []),
]


@pytest.fixture(scope="module")
def payloads(samples: Collection) -> str:
    """The marker of records with the payloads above."""
    marker = uuid.uuid4().hex
    for number, payload in enumerate(PAYLOADS):
        samples.created(marker=marker, amount=number, payload=payload)
    return marker


@pytest.mark.parametrize(("condition", "value", "found"), NESTED)
def test_a_nested_member_is_compared_by_the_values_own_type(
    samples: Collection, payloads: str, condition: str, value: str, found: list[int]
) -> None:
    items = samples.items([("marker", payloads), (condition, value)])
    assert [item["data"]["amount"] for item in items] == found


def test_a_declared_nested_member_has_its_type(
    samples: Collection, marker: str
) -> None:
    paris = samples.created(marker=marker, place={"city": "Paris", "altitude": 35})
    samples.created(marker=marker, place={"city": "8"})
    samples.created(marker=marker)
    assert samples.items([("marker", marker), ("place.altitude__gte", "35")]) == [paris]
    assert samples.items([("marker", marker), ("place.city__startswith", "Pa")]) == [
        paris
    ]
    assert len(samples.items([("marker", marker), ("place.city", "8")])) == 1
    assert (
        len(samples.items([("marker", marker), ("place.altitude__isnull", "true")]))
        == 2
    )
    assert len(samples.items([("marker", marker), ("place.city__ne", "8")])) == 2
    assert_problem(samples.find([("place.altitude", "high")]), 400, "invalid-query")
    problem = assert_problem(samples.find([("place.citty", "x")]), 400, "invalid-query")
    assert "city" in problem["detail"]


def test_a_list_can_be_sorted_by_a_nested_member(
    samples: Collection, marker: str
) -> None:
    for city in ("b", "a", None, "C"):
        samples.created(
            marker=marker,
            name=city or "-",
            **({"place": {"city": city}} if city else {}),
        )
    assert names(samples.items(marker=marker, sort="place.city")) == [
        "C",
        "a",
        "b",
        "-",
    ]
    assert names(samples.items(marker=marker, sort="-place.city")) == [
        "b",
        "a",
        "C",
        "-",
    ]


def test_a_list_is_not_sorted_by_a_member_that_may_hold_anything(
    samples: Collection,
) -> None:
    for sort in ("payload.n", "-payload.n", "amount,-payload.deep.er"):
        assert_problem(samples.find(sort=sort), 400, "invalid-query")


# --- the envelope, and names that are taken
# ------------------------------------------------------


def test_the_envelope_is_reached_by_an_underscore(
    counters: Collection, marker: str
) -> None:
    first = counters.created(name=marker)
    second = counters.created(name=marker)
    changed = counters.command(second["id"], "increment").json()["record"]
    assert counters.items(name=marker, _revision="1") == [first]
    assert counters.items(name=marker, _revision__gt="1") == [changed]
    assert counters.items(_id=first["id"]) == [first]
    assert counters.items(_id__in=f"{first['id']},{second['id']}") == [first, changed]
    assert counters.items(name=marker, _id__ne=first["id"]) == [changed]
    assert counters.items(name=marker, _schema_version="1") == [first, changed]
    assert counters.items(name=marker, _schema_version__gt="1") == []
    assert counters.items(name=marker, _collection=counters.name) == [first, changed]
    assert counters.items(name=marker, _collection__gt="z") == []
    own = {"_workspace": counters.workspace} if counters.workspace else {}
    found = own or {"_workspace__isnull": "true"}
    assert counters.items(name=marker, sort="_workspace", **found) == [first, changed]
    assert counters.items(name=marker, _workspace="elsewhere") == []
    assert counters.items(name=marker, _updated_at__gt=second["created_at"]) == [
        changed
    ]


def test_a_time_of_the_envelope_may_be_written_in_any_way_rfc_3339_allows(
    counters: Collection, marker: str
) -> None:
    record = counters.created(name=marker)
    created = datetime.fromisoformat(record["created_at"])
    elsewhere = created.astimezone(timezone(timedelta(hours=5, minutes=30)))
    whole = created.replace(microsecond=0)
    for same in (
        record["created_at"],
        elsewhere.isoformat(),
        record["created_at"].replace("Z", "+00:00"),
    ):
        assert counters.items(name=marker, _created_at=same) == [record], same
        assert counters.items(name=marker, _created_at__lt=same) == [], same
    assert counters.items(
        name=marker, _created_at__gte=whole.strftime("%Y-%m-%dT%H:%M:%SZ")
    ) == [record]
    later = (whole + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert counters.items(name=marker, _created_at__lt=later) == [record]


@pytest.mark.parametrize(
    "moment", ["yesterday", "2026-13-01T00:00:00Z", "", "12", "99999-01-01T00:00:00Z"]
)
def test_a_time_that_is_none_is_refused(counters: Collection, moment: str) -> None:
    assert_problem(counters.find(_created_at__gt=moment), 400, "invalid-query")


def test_data_reaches_a_field_whose_name_is_taken(
    oddities: Collection, marker: str
) -> None:
    found = oddities.created(
        marker=marker,
        limit=3,
        sort="up",
        count=True,
        filter="f",
        data=8,
        id=5,
        revision="r",
        created_at="c",
    )
    oddities.created(marker=marker, limit=4)
    wanted = [
        ("data.limit", "3"),
        ("data.limit__lt", "4"),
        ("data.sort", "up"),
        ("data.count", "true"),
        ("data.filter", "f"),
        ("data.data", "8"),
        ("data", "8"),
        ("data__gt", "7"),
        ("data.id", "5"),
        ("id", "5"),
        ("revision", "r"),
        ("created_at", "c"),
        ("data.marker__ne", "x"),
    ]
    for pair in wanted[:-1]:
        assert oddities.items([("marker", marker), pair]) == [found], pair
    assert len(oddities.items([("marker", marker), wanted[-1]])) == 2
    assert len(oddities.items(marker=marker, limit="1")) == 1
    ordered = oddities.items([("marker", marker), ("sort", "-limit")])
    assert [item["data"]["limit"] for item in ordered] == [4, 3]


# --- order ----------------------------------------------------------------------------
# -----------


def ordered(rows: list[Json], field: str, *, descending: bool) -> list[str]:
    """Ids in the order the contract demands: nulls last, ties by id in the direction of
    the field."""
    there = [row for row in rows if row["data"][field] is not None]
    there.sort(key=lambda row: (row["data"][field], row["id"]), reverse=descending)
    absent = sorted(
        (row["id"] for row in rows if row["data"][field] is None), reverse=descending
    )
    return [row["id"] for row in there] + absent


@pytest.mark.parametrize(
    "field",
    [
        "amount",
        "spare_amount",
        "ratio",
        "spare_ratio",
        "name",
        "spare_name",
        "active",
        "spare_active",
        "colour",
    ],
)
@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("limit", [500, 3, 1])
def test_a_list_is_sorted_nulls_last_and_ties_by_id(
    samples: Collection,
    rows: list[Json],
    marked: str,
    field: str,
    descending: bool,
    limit: int,
) -> None:
    sort = f"-{field}" if descending else field
    pages = samples.pages(marker=marked, sort=sort, limit=limit)
    assert [r["id"] for page in pages for r in page] == ordered(
        rows, field, descending=descending
    )


def test_text_is_sorted_by_code_point(
    samples: Collection, rows: list[Json], marked: str
) -> None:
    by_code_point = sorted(row["name"] for row in ROWS)
    assert names(samples.items(marker=marked, sort="name")) == by_code_point
    assert (
        by_code_point.index("Apple")
        < by_code_point.index("apple")
        < by_code_point.index("é")
    )
    assert by_code_point.index("\uffee") < by_code_point.index("😀")


def test_several_sort_fields_each_have_a_direction(
    samples: Collection, marker: str
) -> None:
    for amount, name in [(1, "a"), (2, "a"), (1, "b"), (2, "b")]:
        samples.created(marker=marker, amount=amount, name=name)
    found = samples.items(marker=marker, sort="-amount,name")
    assert [(r["data"]["amount"], r["data"]["name"]) for r in found] == [
        (2, "a"),
        (2, "b"),
        (1, "a"),
        (1, "b"),
    ]
    pages = samples.pages(marker=marker, sort="name,-amount", limit=1)
    data = [record["data"] for page in pages for record in page]
    assert [(d["amount"], d["name"]) for d in data] == [
        (2, "a"),
        (1, "a"),
        (2, "b"),
        (1, "b"),
    ]


def test_a_list_is_sorted_by_the_envelope(counters: Collection, marker: str) -> None:
    made = [counters.created(name=marker, value=n) for n in range(4)]
    counters.command(made[1]["id"], "increment")
    newest = counters.items(name=marker, sort="-_updated_at")
    assert newest[0]["id"] == made[1]["id"]
    assert [r["id"] for r in counters.items(name=marker, sort="-_id")] == [
        r["id"] for r in reversed(made)
    ]
    assert counters.items(name=marker, sort="-_revision,_id")[0]["id"] == made[1]["id"]


# --- pages ----------------------------------------------------------------------------
# -----------


@pytest.fixture(scope="module")
def many(samples: Collection) -> str:
    """The marker of 520 records."""
    marker = uuid.uuid4().hex
    lines = [
        json.dumps({"marker": marker, "amount": n % 7, "spare_amount": n % 3 or None})
        for n in range(520)
    ]
    assert samples.import_lines("\n".join(lines)).json() == {"created": 520}
    return marker


def test_a_page_holds_fifty_records_unless_asked_otherwise(
    samples: Collection, many: str
) -> None:
    assert len(samples.items(marker=many)) == 50
    assert len(samples.items(marker=many, limit="1")) == 1
    assert len(samples.items(marker=many, limit="500")) == 500
    assert len(samples.items(marker=many, limit="501")) == 500
    assert len(samples.items(marker=many, limit=str(10**30))) == 500


@pytest.mark.parametrize(
    "limit",
    ["0", "-1", "abc", "", "1.5", "1e2", "٥", " 5", "+5", "0x5", "-" + "9" * 5000],
)
def test_a_limit_that_makes_no_page_is_refused(samples: Collection, limit: str) -> None:
    assert_problem(samples.find(limit=limit), 400, "invalid-query")


@pytest.mark.parametrize(
    "sort", ["", "amount", "-spare_amount,amount", "-_created_at", "-_id"]
)
def test_pages_joined_are_the_whole_list(
    samples: Collection, many: str, sort: str
) -> None:
    query = {"marker": many, "sort": sort} if sort else {"marker": many}
    pages = list(samples.pages(limit="100", **query))
    assert [len(page) for page in pages] == [100, 100, 100, 100, 100, 20]
    assert len({record["id"] for page in pages for record in page}) == 520


def test_pages_go_on_behind_a_number_that_is_no_double(
    samples: Collection, kind: str, marker: str
) -> None:
    numbers = [2**53 + 2, 2**53, 2**63 - 2**10, 1e300, 0.1]
    if kind == "registered":  # a float of a class is a double
        numbers += [2**53 + 1, 2**63 - 1]
    for ratio in numbers:
        samples.created(marker=marker, ratio=ratio)
    sorted_by_ratio = samples.pages(marker=marker, sort="ratio", limit="1")
    pages = list(itertools.islice(sorted_by_ratio, len(numbers) + 1))
    assert [len(page) for page in pages] == [1] * len(numbers)
    ids = {record["id"] for page in pages for record in page}
    assert len(ids) == len(numbers)


def test_a_double_and_an_integer_are_compared_by_value(
    samples: Collection, marker: str
) -> None:
    numbers = [-1e19, -(2**63), 0.5, 2**53, 2**53 + 2, 1e300]
    for ratio in numbers:
        samples.created(marker=marker, ratio=ratio, amount=2**53 + 1)
    between = str(2**53 + 1)
    expected: dict[tuple[str, str], list[float]] = {
        ("ratio", between): [],
        ("ratio__in", f"{between},{2**53}"): [2**53],
        ("ratio__gt", str(2**53)): numbers[4:],
        ("ratio__gte", between): numbers[4:],
        ("ratio__lt", between): numbers[:4],
        ("ratio__lte", between): numbers[:4],
        ("ratio__ne", between): numbers,
        ("ratio__gte", str(-(2**63))): numbers[1:],
        ("ratio__lt", str(2**63 - 1)): numbers[:5],
        ("filter", "data.ratio == data.amount"): [],
        ("filter", "data.ratio < data.amount"): numbers[:4],
        ("filter", "data.amount <= data.ratio"): numbers[4:],
    }
    for pair, found in expected.items():
        items = samples.items([("marker", marker), ("sort", "ratio"), pair])
        assert [item["data"]["ratio"] for item in items] == found, pair


def test_the_last_page_has_no_cursor_even_when_it_is_full(
    samples: Collection, marker: str
) -> None:
    for _ in range(4):
        samples.created(marker=marker)
    assert [len(page) for page in samples.pages(marker=marker, limit="2")] == [2, 2]
    body = samples.find(marker=marker, limit="4").json()
    assert body["next_cursor"] is None
    assert samples.find(marker=uuid.uuid4().hex).json() == {
        "items": [],
        "next_cursor": None,
    }


def test_a_link_leads_to_the_next_page(samples: Collection, many: str) -> None:
    response = samples.find(marker=many, limit="300", sort="-amount")
    cursor = response.json()["next_cursor"]
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)
    assert response.links["next"]["url"]
    following = samples.client.get(
        str(response.request.url.join(response.links["next"]["url"]))
    )
    assert len(following.json()["items"]) == 220
    assert following.json()["next_cursor"] is None
    assert "next" not in following.links
    expected_page = samples.items(
        marker=many, limit="300", sort="-amount", cursor=cursor
    )
    assert following.json()["items"] == expected_page


def test_a_link_holds_whatever_the_query_was(
    service: Service, samples: Collection, many: str
) -> None:
    target = f"{samples.path}?marker={many}&limit=2&filter=data.amount>=0"
    answer = raw.answer_to(service.url, raw.head("GET", target, service.url))
    link = next(
        line
        for line in answer.decode().splitlines()
        if line.lower().startswith("link: ")
    )
    address, _, relation = link.partition(" ")[2].partition(">")
    assert relation == '; rel="next"'
    assert len(samples.client.get(address.removeprefix("<")).json()["items"]) == 2


def test_count_gives_the_total_of_all_pages(samples: Collection, many: str) -> None:
    body = samples.find(marker=many, count="true", limit="500").json()
    assert body["total"] == 520
    following = samples.find(
        marker=many, count="true", limit="500", cursor=body["next_cursor"]
    ).json()
    assert (following["total"], len(following["items"])) == (520, 20)
    assert (
        samples.find(marker=many, amount="0", count="true", limit="1").json()["total"]
        == 75
    )
    assert "total" not in samples.find(marker=many, count="false").json()
    assert "total" not in samples.find(marker=many).json()


def test_pages_stay_true_while_others_write(samples: Collection, marker: str) -> None:
    made = [samples.created(marker=marker, amount=n) for n in range(0, 40, 2)]
    doomed = {record["id"] for record in made[1::4]}
    seen: list[str] = []
    new = itertools.count(-1, 4)
    for page in samples.pages(marker=marker, sort="amount", limit="3"):
        seen += [record["id"] for record in page]
        for record_id in sorted(doomed)[: len(page)]:
            samples.delete(record_id)
            doomed.discard(record_id)
        samples.created(marker=marker, amount=next(new))
        samples.patch(page[0]["id"], {"name": "changed elsewhere"})
    stayed = {record["id"] for index, record in enumerate(made) if index % 4 != 1}
    assert len(seen) == len(set(seen))
    assert stayed <= set(seen)


def test_a_cursor_outlives_the_record_it_stands_at(
    samples: Collection, marker: str
) -> None:
    made = [samples.created(marker=marker, amount=n) for n in range(5)]
    body = samples.find(marker=marker, sort="amount", limit="2").json()
    samples.delete(body["items"][1]["id"])
    rest = samples.items(
        marker=marker, sort="amount", limit="5", cursor=body["next_cursor"]
    )
    assert [record["id"] for record in rest] == [record["id"] for record in made[2:]]


def test_a_page_that_ends_at_a_long_text_is_refused_where_that_orders_it(
    samples: Collection, marker: str
) -> None:
    for letter in "ab":
        samples.created(marker=marker, name=letter * 20_000)
    refused = samples.find(marker=marker, sort="name", limit="1")
    assert_problem(refused, 400, "invalid-query")
    names = [item["data"]["name"][0] for item in samples.items(marker=marker)]
    assert sorted(names) == ["a", "b"]
    found = samples.find(marker=marker, sort="name", limit="2").json()
    assert [item["data"]["name"][0] for item in found["items"]] == ["a", "b"]
    assert samples.find(marker=marker, limit="1").json()["next_cursor"]


@pytest.fixture
def cursor(samples: Collection, many: str) -> str:
    text: str = samples.find(marker=many, sort="amount", limit="5").json()[
        "next_cursor"
    ]
    return text


def test_a_cursor_is_bound_to_its_query(
    samples: Collection, tickets: Collection, many: str, cursor: str
) -> None:
    assert (
        samples.find(marker=many, sort="amount", limit="5", cursor=cursor).status_code
        == 200
    )
    others: list[dict[str, str]] = [
        {"marker": many},
        {"marker": many, "sort": "-amount"},
        {"marker": many, "sort": "amount,name"},
        {"marker": "other", "sort": "amount"},
        {"sort": "amount"},
        {"marker": many, "sort": "amount", "active": "true"},
        {"marker": many, "sort": "amount", "filter": "data.amount > 1"},
    ]
    for query in others:
        response = samples.find(limit="5", cursor=cursor, **query)
        assert_problem(response, 400, "invalid-query")
    assert_problem(tickets.find(limit="5", cursor=cursor), 400, "invalid-query")


def test_a_cursor_is_bound_to_its_collection(
    samples: Collection, counters: Collection, record_id: str
) -> None:
    for collection, data in ((samples, {"amount": 1}), (counters, {"value": 1})):
        for _ in range(2):
            collection.created(**data)
    foreign = samples.find(limit="1").json()["next_cursor"]
    assert_problem(counters.find(limit="1", cursor=foreign), 400, "invalid-query")


def tampered(cursor: str) -> Iterator[str]:
    yield from (
        cursor[:-1],
        cursor + "A",
        cursor[::-1],
        "A" + cursor[1:],
        cursor[: len(cursor) // 2],
    )
    for place in range(0, len(cursor), 3):
        yield (
            cursor[:place]
            + ("A" if cursor[place] != "A" else "B")
            + cursor[place + 1 :]
        )


def test_a_cursor_that_was_tampered_with_opens_nothing_else(
    samples: Collection, many: str, cursor: str
) -> None:
    """Where its seal still holds it may stand elsewhere in the same list, and nowhere
    else."""
    for text in tampered(cursor):
        response = samples.find(marker=many, sort="amount", limit="5", cursor=text)
        if response.status_code != 200:
            assert_problem(response, 400, "invalid-query")
        else:
            assert {
                record["data"]["marker"] for record in response.json()["items"]
            } <= {many}


POSITIONS: list[list[Any]] = [
    [],
    [None],
    [1],
    [None, None],
    [1, None],
    [1, 2],
    ["x", "y"],
    [{}, []],
    [2**70, "x"],
    [True, "x"],
    [1.5, "x"],
    [1e300, "x"],
    ["\0", "\0"],
    [1, "\ud800"],
    [1, "x", "y"],
    [1] * 50,
]


@pytest.mark.parametrize("position", POSITIONS, ids=json.dumps)
def test_a_cursor_with_another_position_inside_does_no_harm(
    samples: Collection, many: str, cursor: str, position: list[Any]
) -> None:
    """An attacker who read the code knows that a cursor is JSON in Base64."""
    parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    forged = (
        base64.urlsafe_b64encode(json.dumps([parts[0], *position]).encode())
        .decode()
        .rstrip("=")
    )
    response = samples.find(marker=many, sort="amount", limit="5", cursor=forged)
    if response.status_code != 200:
        assert_problem(response, 400, "invalid-query")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "null",
        "e30",
        "bnVsbA",
        "W10",
        "AAAA",
        "../..",
        "%00",
        "é",
        "=" * 20,
        "A" * 20_000,
    ],
)
def test_a_cursor_nobody_gave_is_refused(samples: Collection, text: str) -> None:
    assert_problem(samples.find(cursor=text), 400, "invalid-query")


# --- fields
# --------------------------------------------------------------------------------------


def test_fields_narrows_the_data(samples: Collection, marker: str) -> None:
    record = samples.created(marker=marker, amount=3, name="n", place={"city": "Paris"})
    (found,) = samples.items(marker=marker, fields="amount,place")
    assert found["data"] == {"amount": 3, "place": record["data"]["place"]}
    assert {**found, "data": None} == {**record, "data": None}


def test_a_name_is_not_offered_in_place_of_itself(samples: Collection) -> None:
    problem = assert_problem(samples.find(fields="_id"), 400, "invalid-query")
    assert "did you mean _id" not in problem["detail"]


def test_an_unknown_field_to_show_is_refused(samples: Collection) -> None:
    problem = assert_problem(samples.find(fields="amount,plaice"), 400, "invalid-query")
    assert "plaice" in problem["detail"]
    assert "place" in problem["detail"].replace("plaice", "")


# --- what is refused
# -----------------------------------------------------------------------------

MISSPELT = [
    ("ammount", "1", "amount"),
    ("amount__gtee", "1", "gte"),
    ("amount__begins", "1", ""),
    ("name__startwith", "a", "startswith"),
    ("limt", "5", "limit"),
    ("filtr", "true", "filter"),
    ("_revison", "1", "revision"),
    ("_created", "2026-01-01T00:00:00Z", "created_at"),
    ("place.sity", "x", "city"),
    ("data.ammount", "1", "amount"),
    ("sort", "ammount", "amount"),
    ("sort", "-_creatd_at", "created_at"),
    ("fields", "ammount", "amount"),
]


@pytest.mark.parametrize(("name", "value", "nearest"), MISSPELT)
def test_what_is_unknown_is_refused_naming_the_nearest(
    samples: Collection, name: str, value: str, nearest: str
) -> None:
    problem = assert_problem(samples.find([(name, value)]), 400, "invalid-query")
    assert nearest in problem["detail"]


@pytest.mark.parametrize(
    "name",
    [
        "amount__contains",
        "amount__startswith",
        "ratio__contains",
        "active__gt",
        "active__contains",
        "tags",
        "tags__contains",
        "tags__gt",
        "payload",
        "payload__eq",
        "place__lt",
        "_revision__contains",
        "__eq",
        "_",
        "",
        ".",
        "payload.",
        "payload..n",
        "data.",
        "payload.__eq",
        "payload.a__b__eq__gt",
        "amount__gte__lt",
        "amount.x",
        "name.x",
        "amount'; drop table x; --",
        "amount\x00",
    ],
)
def test_an_operator_the_type_does_not_have_is_refused(
    samples: Collection, name: str
) -> None:
    assert_problem(samples.find([(name, "1")]), 400, "invalid-query")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount", "abc"),
        ("amount__gte", "abc"),
        ("amount__gte", ""),
        ("amount__in", "1,x"),
        ("amount", "1_000"),
        ("amount__gt", str(-(2**63) - 1)),
        ("amount__lt", "-9223372036854775808.5"),
        ("tags__len", str(2**63)),
        ("tags__len__lt", "1.5"),
        ("amount", "٣"),
        ("amount", " 1"),
        ("amount", "0x10"),
        ("amount", "NaN"),
        ("amount", "1" * 5000),
        ("ratio", "nan"),
        ("ratio", "inf"),
        ("ratio__lt", "-Infinity"),
        ("ratio__lt", "1e400"),
        ("ratio", "1_0.5"),
        ("ratio", "x"),
        ("active", "maybe"),
        ("active", "1"),
        ("active", ""),
        ("amount__isnull", "maybe"),
        ("amount__isnull", ""),
        ("count", "maybe"),
        ("_revision", "one"),
        ("sort", ";drop table"),
        ("sort", "amount;drop table samples"),
        ("sort", "--amount"),
        ("sort", "-"),
        ("sort", "amount,,name"),
        ("sort", "tags"),
        ("sort", "payload"),
        ("sort", "(select 1)"),
        ("sort", "amount desc"),
        ("sort", "amount\x00"),
        ("fields", "*"),
        ("fields", "\x00"),
    ],
)
def test_a_value_that_means_nothing_is_refused(
    samples: Collection, name: str, value: str
) -> None:
    assert_problem(samples.find([(name, value)]), 400, "invalid-query")


@pytest.mark.parametrize(
    "query",
    [
        "amount",
        "amount=1&amount",
        "&&&",
        "=",
        "=1",
        "%",
        "%zz=1",
        "name=%zz",
        "name=%",
        "name=%ff",
        "name=%ed%a0%80",
        "%ff=1",
        "name=%00",
        "name__contains=a%00",
        "payload.a=%00",
        "limit=5&limit=6",
        "sort=amount&sort=name",
        "count=true&count=false",
        "fields=amount&fields=name",
        "filter=true&filter=false",
        "filter=data.name%20==%20%27%00%27",
        "filter=data.name%20==%20%22%5Cu0000%22",
        "filter=data.name%20==%20%22%5Cud800%22",
        "name=a+b",
        "name=a;b",
        "amount=9223372036854775808",
        "amount__lt=9223372036854775808",
        "amount__gt=-9223372036854775809",
        "amount=1.5",
        "amount__in=",
        "amount__in=,",
        "name__in=,",
        "name__in=",
        "payload.a=%22%5Cud800%22",
        "payload.a=%5B1",
        "payload.a=%7B%7D",
        "payload.a=null",
        "payload.a=1e999",
        "payload.a=" + "9" * 400,
        "payload.a=NaN",
        "payload.a.b.c.d.e.f.g.h.i.j=1",
        "payload.a'b=1",
        "payload.a%22b=1",
        "payload.a%5Bb%5D=1",
        "payload.%24=1",
        "payload.a%00=1",
        "payload.%ff=1",
        "payload.0=1",
        "sort=payload.a'b",
        "sort=" + ",".join(["amount"] * 500),
        "name__in=" + ",".join("x" * 3 for _ in range(5000)),
        "&".join(f"name__in=x{n}" for n in range(2500)),
        "&".join(f"amount__gt={n}" for n in range(1500)),
        "name=" + "x" * 30_000,
        "?" * 200,
        "payload" + ".a" * 200 + "=1",
        "_id=abc",
        "_id__in=a,b",
        "_id__contains=a",
        "_id=%00",
        "_workspace=x",
        "_collection=x",
        "_data=x",
    ],
    ids=lambda query: query[:40],
)
def test_no_query_string_breaks_the_service(samples: Collection, query: str) -> None:
    response = samples.client.get(f"{samples.path}?{query}")
    if response.status_code != 200:
        too_long = len(query) > 32_000
        assert_problem(
            response, 400, "malformed-request" if too_long else "invalid-query"
        )
    assert samples.items(limit="1", marker="nobody") == []


def test_a_target_past_32_kib_is_refused(
    client: httpx.Client, samples: Collection
) -> None:
    response = client.get(f"{samples.path}?name={'x' * 33_000}")
    assert response.status_code in (400, 414)


def test_spaces_may_be_written_as_plus(samples: Collection, marker: str) -> None:
    record = samples.created(marker=marker, name="a b+c")
    found = samples.client.get(f"{samples.path}?marker={marker}&name=a+b%2Bc")
    assert found.json()["items"] == [record]


# --- deleting by filter
# --------------------------------------------------------------------------


def test_delete_by_filter_deletes_what_matches(
    counters: Collection, marker: str
) -> None:
    made = [counters.created(name=marker, value=n) for n in range(6)]
    response = counters.delete_matching(name=marker, value__gte="2", max_affected="10")
    assert response.status_code == 200
    assert response.json() == {"deleted": 4}
    assert [r["id"] for r in counters.items(name=marker)] == [r["id"] for r in made[:2]]
    for record in made[2:]:
        changes = counters.history(record["id"])
        assert [(c["operation"], c["revision"]) for c in changes] == [
            ("delete", 2),
            ("create", 1),
        ]


def test_delete_by_cel_filter_deletes_what_matches(
    counters: Collection, marker: str
) -> None:
    for n in range(4):
        counters.created(name=marker, value=n)
    condition = f'data.name == "{marker}" && (data.value == 0 || data.value > 2)'
    assert counters.delete_matching(filter=condition, max_affected="2").json() == {
        "deleted": 2
    }
    assert [r["data"]["value"] for r in counters.items(name=marker)] == [1, 2]


def test_delete_by_filter_deletes_nothing_when_too_much_matches(
    counters: Collection, marker: str
) -> None:
    for n in range(3):
        counters.created(name=marker, value=n)
    response = counters.delete_matching(name=marker, max_affected="2")
    assert_problem(response, 409, "too-many-affected")
    assert len(counters.items(name=marker)) == 3
    assert counters.delete_matching(name=marker, max_affected="3").json() == {
        "deleted": 3
    }
    assert counters.delete_matching(name=marker, max_affected="3").json() == {
        "deleted": 0
    }


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"max_affected": "10"},
        {"name": "nobody-has-this"},
        {"filter": 'data.name == "nobody-has-this"'},
        {"name": "nobody-has-this", "max_affected": "-1"},
        {"name": "nobody-has-this", "max_affected": "many"},
        {"name": "nobody-has-this", "max_affected": ""},
        {"name": "nobody-has-this", "max_affected": "5", "limit": "1"},
        {"name": "nobody-has-this", "max_affected": "5", "sort": "value"},
        {"name": "nobody-has-this", "max_affected": "5", "cursor": "x"},
        {"nmae": "nobody-has-this", "max_affected": "5"},
        {"sort": "value", "max_affected": "5"},
        {"dry_run": "true", "max_affected": "5"},
        {"filter": "", "max_affected": "5"},
    ],
)
def test_delete_by_filter_demands_a_filter_and_a_bound(
    counters: Collection, query: dict[str, Any]
) -> None:
    kept = counters.created()
    assert_problem(counters.delete_matching(**query), 400, "invalid-query")
    assert counters.record(kept["id"]) == kept
