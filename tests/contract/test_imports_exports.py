"""Import and export: NDJSON in, all or nothing; NDJSON out, from one consistent read
(contract 3)."""

import json
import re
import threading
import uuid
from pathlib import Path

import psycopg
import pytest

from tests.conftest import NewDatabase, Service
from tests.support.collection import Collection
from tests.support.databases import postgresql_only
from tests.support.problems import Json, assert_problem, pointers
from tests.support.server import serving
from tests.support.waiting import until


def lines_of(*objects: Json) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


def exported(text: str) -> list[Json]:
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def names_line(problem: Json, number: int) -> bool:
    """Whether a problem says on which line of the import it lies."""
    return problem.get("line") == number or bool(
        re.search(rf"\bline {number}\b", problem["detail"])
    )


# --- import
# --------------------------------------------------------------------------------------


def test_an_import_creates_a_record_a_line(counters: Collection, marker: str) -> None:
    response = counters.import_lines(
        lines_of(*({"name": marker, "value": n} for n in range(5)))
    )
    assert response.status_code == 200
    assert response.json() == {"created": 5}
    found = counters.items(name=marker, sort="value")
    assert [record["data"]["value"] for record in found] == [0, 1, 2, 3, 4]
    for record in found:
        (change,) = counters.history(record["id"])
        assert (change["operation"], change["revision"], change["data"]) == (
            "create",
            1,
            record["data"],
        )


def test_defaults_are_filled_into_what_is_imported(
    samples: Collection, marker: str
) -> None:
    samples.import_lines(lines_of({"marker": marker, "amount": 30.0}))
    (record,) = samples.items(marker=marker)
    assert record["data"] == samples.created(marker=marker, amount=30)["data"]


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_last_line_may_or_may_not_end(
    counters: Collection, marker: str, ending: str
) -> None:
    content = lines_of({"name": marker}, {"name": marker}).rstrip("\n") + ending
    assert counters.import_lines(content).json() == {"created": 2}


def test_an_import_of_nothing_creates_nothing(counters: Collection) -> None:
    assert counters.import_lines("").json() == {"created": 0}


def test_a_blank_line_is_passed_over_and_counted(
    counters: Collection, marker: str
) -> None:
    content = lines_of({"name": marker}) + "\n  \n" + lines_of({"name": marker})
    assert counters.import_lines(content).json() == {"created": 2}
    problem = assert_problem(
        counters.import_lines(content + '{"value": "x"}\n'), 422, "invalid-data"
    )
    assert names_line(problem, 5)


BAD_LINES: list[tuple[str, int, str]] = [
    ('{"value": "x"}', 422, "invalid-data"),
    ('{"colour": "red"}', 422, "invalid-data"),
    ('{"value": 1180591620717411303424}', 422, "invalid-data"),
    ("[]", 422, "invalid-data"),
    ("null", 422, "invalid-data"),
    ('{"value": 1', 400, "invalid-json"),
    ('{"value": 1} {"value": 2}', 400, "invalid-json"),
    ('{"value": 1, "value": 2}', 400, "invalid-json"),
    ('{"value": NaN}', 400, "invalid-json"),
    ("not json", 400, "invalid-json"),
    ("\x00", 400, "invalid-json"),
]


@pytest.mark.parametrize(("line", "status", "code"), BAD_LINES)
def test_a_bad_line_is_named_and_nothing_is_imported(
    counters: Collection, marker: str, line: str, status: int, code: str
) -> None:
    content = (
        lines_of({"name": marker}, {"name": marker})
        + line
        + "\n"
        + lines_of({"name": marker})
    )
    problem = assert_problem(counters.import_lines(content), status, code)
    assert names_line(problem, 3), problem
    assert counters.items(name=marker) == []


def test_a_bad_line_tells_what_is_wrong_with_it(tickets: Collection) -> None:
    content = lines_of(
        {"title": "ok", "severity": 30}, {"severity": 99, "colour": "red"}
    )
    problem = assert_problem(tickets.import_lines(content), 422, "invalid-data")
    assert names_line(problem, 2)
    assert {pointer.removeprefix("/2") for pointer in pointers(problem)} == {
        "/title",
        "/severity",
        "/colour",
    }


@pytest.mark.parametrize(
    "content", [b'{"name": "\xff\xfe"}\n', '{"name": "é"}\n'.encode("utf-16"), b"\xff"]
)
def test_what_is_no_utf_8_is_refused(counters: Collection, content: bytes) -> None:
    assert_problem(counters.import_lines(content), 400, "invalid-json")


def test_an_import_does_not_break_what_is_unique(
    accounts: Collection, marker: str
) -> None:
    existing = accounts.created(owner=marker)
    content = lines_of({"owner": f"{marker}-1"}, {"owner": marker})
    problem = assert_problem(accounts.import_lines(content), 409, "unique-violation")
    assert names_line(problem, 2)
    twice = lines_of(
        {"owner": f"{marker}-1"}, {"owner": f"{marker}-2"}, {"owner": f"{marker}-1"}
    )
    problem = assert_problem(accounts.import_lines(twice), 409, "unique-violation")
    assert names_line(problem, 3)
    assert accounts.items(owner__startswith=marker) == [existing]


def test_many_lines_are_imported_at_once(counters: Collection, marker: str) -> None:
    content = lines_of(*({"name": marker, "value": n} for n in range(3000)))
    assert counters.import_lines(content).json() == {"created": 3000}
    body = counters.find(name=marker, count="true", limit="1").json()
    assert body["total"] == 3000


def test_a_bad_last_line_undoes_many_good_ones(
    counters: Collection, marker: str
) -> None:
    content = (
        lines_of(*({"name": marker, "value": n} for n in range(3000)))
        + '{"value": true}'
    )
    problem = assert_problem(counters.import_lines(content), 422, "invalid-data")
    assert names_line(problem, 3001)
    assert counters.items(name=marker) == []


def test_an_import_may_be_larger_than_a_body(samples: Collection, marker: str) -> None:
    content = lines_of(
        *({"marker": marker, "payload": {"x": "y" * 500_000}} for _ in range(5))
    )
    assert samples.import_lines(content).json() == {"created": 5}


def test_a_line_may_not_be_larger_than_a_body(samples: Collection, marker: str) -> None:
    content = lines_of(
        {"marker": marker}, {"marker": marker, "payload": {"x": "y" * 2_000_000}}
    )
    response = samples.import_lines(content)
    problem = assert_problem(response, 413, "too-large")
    assert names_line(problem, 2)
    assert samples.items(marker=marker) == []


def test_an_endless_line_is_refused(samples: Collection) -> None:
    problem = assert_problem(samples.import_lines(b"[" * 5_000_000), 413, "too-large")
    assert names_line(problem, 1)


@pytest.mark.parametrize(
    "media_type", ["application/json", "text/plain", "application/xml"]
)
def test_an_import_says_that_it_is_ndjson(
    counters: Collection, marker: str, media_type: str
) -> None:
    response = counters.import_lines(
        lines_of({"name": marker}), headers={"content-type": media_type}
    )
    assert_problem(response, 415, "unsupported-media-type")
    assert counters.items(name=marker) == []


def test_an_import_into_an_unknown_collection_is_refused(counters: Collection) -> None:
    nowhere = Collection(counters.client, "nothing")
    assert_problem(
        nowhere.import_lines(lines_of({"value": 1})), 404, "collection-not-found"
    )
    assert_problem(nowhere.export(), 404, "collection-not-found")


# --- export
# --------------------------------------------------------------------------------------


def test_an_export_holds_each_record_as_it_reads(
    samples: Collection, marker: str
) -> None:
    made = [
        samples.created(marker=marker, amount=n, name="é\u2028😀\n", ratio=0.1)
        for n in range(5)
    ]
    response = samples.export(marker=marker)
    assert response.status_code == 200
    assert response.headers["content-type"].split(";")[0] == "application/x-ndjson"
    assert exported(response.content.decode().replace("\u2028", "\\u2028")) == made


def test_an_export_of_nothing_is_empty(samples: Collection) -> None:
    response = samples.export(marker=uuid.uuid4().hex)
    assert (response.status_code, response.content) == (200, b"")


def test_an_export_takes_the_lists_filters(samples: Collection, marker: str) -> None:
    made = [
        samples.created(marker=marker, amount=n, payload={"n": n}) for n in range(6)
    ]
    cases: list[tuple[list[tuple[str, str]], list[Json]]] = [
        ([("amount__gte", "4")], made[4:]),
        ([("amount__in", "0,5")], [made[0], made[5]]),
        ([("payload.n__lt", "2")], made[:2]),
        ([("filter", "data.amount == 1 || data.amount == 3")], [made[1], made[3]]),
        ([("_id", made[2]["id"])], [made[2]]),
    ]
    for pairs, wanted in cases:
        assert exported(samples.export([("marker", marker), *pairs]).text) == wanted


@pytest.mark.parametrize(
    "pair",
    [("ammount", "1"), ("amount__gte", "x"), ("filter", "data."), ("cursor", "x")],
)
def test_an_export_refuses_what_a_list_refuses(
    samples: Collection, pair: tuple[str, str]
) -> None:
    assert_problem(samples.export([pair]), 400, "invalid-query")


def test_what_was_exported_can_be_imported(samples: Collection, marker: str) -> None:
    other = uuid.uuid4().hex
    for n in range(20):
        samples.created(
            marker=marker,
            amount=n,
            ratio=n / 3,
            payload={"n": [n, None]},
            spare_name="é",
        )
    records = exported(samples.export(marker=marker).text)
    lines = lines_of(*(record["data"] | {"marker": other} for record in records))
    assert samples.import_lines(lines).json() == {"created": 20}
    copies = exported(samples.export(marker=other).text)
    ours = sorted(
        (record["data"] for record in records), key=lambda data: data["amount"]
    )
    theirs = sorted((copy["data"] for copy in copies), key=lambda data: data["amount"])
    assert [data | {"marker": other} for data in ours] == theirs


def test_a_long_export_is_complete(counters: Collection, marker: str) -> None:
    counters.import_lines(
        lines_of(*({"name": marker, "value": n} for n in range(3000)))
    )
    records = exported(counters.export(name=marker).text)
    assert sorted(record["data"]["value"] for record in records) == list(range(3000))
    assert len({record["id"] for record in records}) == 3000


def test_an_export_shows_one_moment(
    service: Service, counters: Collection, marker: str
) -> None:
    """Imports are all or nothing, so no export may hold a part of one."""
    done = threading.Event()
    answers: list[int] = []

    def imports() -> None:
        with service.server.client() as client:
            own = counters.by(client)
            for batch in range(12):
                content = lines_of(
                    *({"name": marker, "value": batch} for _ in range(200))
                )
                answers.append(own.import_lines(content).status_code)
        done.set()

    writer = threading.Thread(target=imports)
    writer.start()
    seen: set[int] = set()
    while not done.is_set():
        values = [
            record["data"]["value"]
            for record in exported(counters.export(name=marker).text)
        ]
        assert all(values.count(batch) == 200 for batch in set(values)), values
        seen |= set(values)
    writer.join()
    assert answers == [200] * 12
    assert len(exported(counters.export(name=marker).text)) == 2400


def test_an_export_left_half_way_does_no_harm(
    service: Service, counters: Collection, marker: str
) -> None:
    counters.import_lines(
        lines_of(*({"name": marker, "value": n} for n in range(2000)))
    )
    for _ in range(12):
        address = f"{counters.path}/export?name={marker}"
        with (
            service.server.client() as client,
            client.stream("GET", address) as response,
        ):
            assert next(response.iter_lines())
    assert len(exported(counters.export(name=marker).text)) == 2000
    assert counters.create({"name": marker}).status_code == 201


@postgresql_only
def test_the_planner_has_statistics_of_a_large_import(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    analyzed = (
        "SELECT analyze_count > 0 FROM pg_stat_user_tables WHERE relname = 'counters'"
    )
    with serving(url, tmp_path) as server, server.client() as client:
        lines = b'{"name": "many", "value": 1}\n' * 10_000
        headers = {"content-type": "application/x-ndjson"}
        answer = client.post("/api/counters/import", content=lines, headers=headers)
        assert answer.json() == {"created": 10_000}
        with psycopg.connect(url, autocommit=True) as connection:
            until(lambda: connection.execute(analyzed).fetchone() == (True,))
