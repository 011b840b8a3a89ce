"""Values that JSON writes as text (contract 13): exact through every write and read."""

import json
from contextlib import closing
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from persist.storage.dialect import dialect_of
from tests.support.collection import Collection
from tests.support.postgres import create_database
from tests.support.problems import Json, assert_problem, pointers

JSON = {"content-type": "application/json"}
REF = "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70"
EXACT = "12345678901234567890.120"
"""Twenty-three digits; a double has seventeen."""

ROWS: list[Json] = [
    {
        "total": EXACT,
        "day": "2026-11-22",
        "clock": "17:00:00Z",
        "length": "PT1H30M",
        "at": "2026-11-22T17:00:00.123456Z",
    },
    {
        "total": "0.00000001",
        "day": "2026-11-23",
        "clock": "10:30:00.500000+01:00",
        "length": "P400D",
        "at": "2026-11-22T17:00:00.000000Z",
    },
    {
        "total": "-7.50",
        "day": "1999-12-31",
        "clock": "23:59:59Z",
        "length": "PT1S",
        "at": "2026-11-22T16:59:59.999999Z",
    },
    {},
]
FOUND: list[tuple[list[tuple[str, str]], list[int]]] = [
    ([("total", EXACT)], [0]),
    ([("total", "12345678901234567890.12")], [0]),
    ([("total", "12345678901234567890.13")], []),
    ([("total__lt", "0.000000011")], [1, 2]),
    ([("total__in", "1e-8,-7.5")], [1, 2]),
    ([("total__isnull", "true")], [3]),
    ([("day__gte", "2026-11-22")], [0, 1]),
    ([("clock__lt", "17:00:00Z")], [1]),
    ([("length__gt", "PT90M")], [1]),
    ([("length", "PT5400S")], [0]),
    ([("length__lt", "PT2S")], [2]),
    ([("at", "2026-11-22T18:00:00.123456+01:00")], [0]),
    ([("at__lt", "2026-11-22T17:00:00Z")], [2]),
    ([("filter", f"data.total == {EXACT}")], [0]),
    ([("filter", "data.total == -7.5")], [2]),
    ([("filter", "data.total in [0.00000001, -7.50]")], [1, 2]),
    ([("filter", "data.total > 12345678901234567890.1199")], [0]),
    ([("filter", 'data.day < "2026-11-23"')], [0, 2]),
    ([("filter", 'data.clock >= "17:00:00Z"')], [0, 2]),
    ([("filter", 'data.length == "PT1H30M"')], [0]),
    ([("filter", 'data.length > "PT2H"')], [1]),
    ([("filter", 'data.at == timestamp("2026-11-22T16:00:00-01:00")')], [1]),
    ([("sort", "total")], [2, 1, 0, 3]),
    ([("sort", "-length")], [1, 0, 2, 3]),
    ([("sort", "clock")], [1, 0, 2, 3]),
    ([("sort", "-day")], [1, 0, 2, 3]),
    ([("sort", "at")], [2, 1, 0, 3]),
]


@pytest.fixture(scope="module")
def stored(measures: Collection) -> Collection:
    for row in ROWS:
        measures.created(marker="rows", **row)
    return measures


def shared(stored: Json, expected: Json) -> Json:
    """The members of stored data that are expected; a class adds null."""
    return {name: stored.get(name) for name in expected}


def send(own: Collection, method: str, path: str, text: str) -> httpx.Response:
    """Send a body whose numbers are written as they are here."""
    address = f"{own.path}{path}"
    response = own.client.request(method, address, content=text, headers=JSON)
    assert response.status_code in (200, 201), response.text
    return response


@pytest.mark.parametrize(("pairs", "expected"), FOUND)
def test_a_value_is_found_and_ordered_by_what_it_means(
    stored: Collection, pairs: list[tuple[str, str]], expected: list[int]
) -> None:
    found = stored.items(pairs, marker="rows")
    wanted = [ROWS[index] for index in expected]
    assert [
        shared(record["data"], row) for record, row in zip(found, wanted, strict=True)
    ] == wanted


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("10.50", "10.50"),
        ("30.0", "30.0"),
        (EXACT, EXACT),
        ("-0.1000000000000000055511151231", "-0.1000000000000000055511151231"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("-18446744073709551616", "-18446744073709551616"),
        ("7", "7"),
    ],
)
def test_a_number_for_a_decimal_keeps_its_digits_on_every_write(
    measures: Collection, number: str, text: str
) -> None:
    def total(record: Json) -> Any:
        return record["data"]["total"]

    record = send(measures, "POST", "", f'{{"total": {number}}}').json()
    path = f"/{record['id']}"
    assert total(record) == text
    replaced = send(
        measures,
        "PUT",
        path,
        f'{{"prices": {{"2026": {number}}}, "lines": [{{"price": {number}}}]}}',
    ).json()["data"]
    assert replaced["prices"] == {"2026": text}
    assert replaced["lines"] == [{"price": text}]
    assert total(send(measures, "PATCH", path, f'{{"total": {number}}}').json()) == text
    operations = [
        f'{{"op": "add", "path": "{pointer}", "value": {number}}}'
        for pointer in ("/total", "/prices/2027", "/lines/0/price")
    ]
    patched = measures.client.patch(
        measures.at(record["id"]),
        content=f"[{', '.join(operations)}]",
        headers={"content-type": "application/json-patch+json"},
    ).json()["data"]
    assert patched["total"] == patched["prices"]["2027"] == text
    assert patched["lines"] == [{"price": text}]
    path += "/commands"
    paid = send(measures, "POST", f"{path}/pay", f'{{"amount": {number}}}').json()
    assert paid["result"] == total(paid["record"]) == text
    set_ = send(measures, "POST", f"{path}/set", f'{{"total": {number}}}').json()
    assert total(set_["record"]) == text
    assert set_["record"]["revision"] == paid["record"]["revision"]


def test_numbers_of_transactions_and_imports_keep_their_digits(
    measures: Collection, marker: str
) -> None:
    operations = {
        "create": f'"data": {{"marker": "{marker}", "total": {EXACT}}}, "as": "t"',
        "patch": f'"id": {{"$ref": "t.id"}}, "patch": {{"prices": {{"a": {EXACT}}}}}',
        "command": f'"id": {{"$ref": "t.id"}}, "command": "pay",'
        f' "payload": {{"amount": {EXACT}}}',
    }
    name = measures.name
    common = f'"collection": "{name}", "workspace": {json.dumps(measures.workspace)}'
    text = ", ".join(
        f'{{"op": "{op}", {common}, {rest}}}' for op, rest in operations.items()
    )
    response = measures.client.post(
        "/transactions", content=f'{{"operations": [{text}]}}', headers=JSON
    )
    assert response.status_code == 200, response.text
    last = response.json()["results"][-1]
    assert last["result"] == EXACT
    assert last["record"]["data"]["prices"] == {"a": EXACT}
    line = f'{{"marker": "{marker}", "total": {EXACT}}}\n'
    assert measures.import_lines(line.encode()).json() == {"created": 1}
    found = measures.items(marker=marker)
    assert [record["data"]["total"] for record in found] == [EXACT, EXACT]


@pytest.mark.parametrize(
    ("number", "pointer"),
    [("1" + "0" * 38, "/total"), ("1e400", "/total"), ("1e400", "/lines/0/price")],
)
def test_a_number_of_too_many_digits_is_refused_with_its_pointer(
    measures: Collection, number: str, pointer: str
) -> None:
    text = f'{{"total": {number}}}'
    if pointer != "/total":
        text = f'{{"lines": [{{"price": {number}}}]}}'
    response = measures.client.post(measures.path, content=text, headers=JSON)
    problem = assert_problem(response, 422, "invalid-data")
    assert pointers(problem) == {pointer}


def test_equal_values_in_other_forms_change_nothing_or_collide(
    measures: Collection,
) -> None:
    record = measures.created(ref=REF, total="10.50", length="PT90M")
    upper = assert_problem(
        measures.create({"ref": REF.upper()}), 409, "unique-violation"
    )
    assert pointers(upper) == {"/ref"}
    again = measures.replace(record["id"], record["data"])
    assert again.json()["revision"] == 1


def test_a_snapshot_brings_every_value_back(
    measures: Collection, client: httpx.Client, marker: str
) -> None:
    record = measures.created(marker=marker, prices={"a": EXACT}, **ROWS[1])
    taken = client.post(f"{measures.path}/snapshots", json={}).json()
    measures.replace(record["id"], {"marker": marker})
    restore = {"snapshot": taken["id"], "on_conflict": "overwrite"}
    report = client.post("/migrations", json=restore)
    assert report.status_code == 201, report.text
    assert measures.record(record["id"])["data"] == record["data"]


def test_settings_of_a_database_change_no_value(postgres: str) -> None:
    url = create_database(postgres)
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in (
            "standard_conforming_strings = off",
            "extra_float_digits = -3",
            "quote_all_identifiers = on",
        ):
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET " + setting).format(
                    sql.Identifier(connection.info.dbname)
                )
            )
    with closing(dialect_of(url).connect()) as session:
        found = session.execute(
            r"SELECT 'a\b', 0.1234567890123456::float8, quote_ident('plain')"
        )
        assert found.fetchall() == [("a\\b", 0.1234567890123456, "plain")]
