"""Preconditions: If-Match and If-None-Match per RFC 9110, decided inside the write
(contract 5)."""

import itertools
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.support.collection import Collection
from tests.support.problems import assert_problem
from tests.support.server import serving

Write = Callable[[Collection, str, dict[str, str]], httpx.Response]

WRITES: dict[str, Write] = {
    "put": lambda c, id, headers: c.replace(id, {"value": 100}, headers=headers),
    "patch": lambda c, id, headers: c.patch(id, {"value": 100}, headers=headers),
    "command": lambda c, id, headers: c.command(id, "increment", headers=headers),
    "set": lambda c, id, headers: c.command(id, "set", {"value": 100}, headers=headers),
    "delete": lambda c, id, headers: c.delete(id, headers=headers),
}


@pytest.fixture
def record_at_2(counters: Collection) -> str:
    """The id of a record at revision 2."""
    record_id: str = counters.created(value=1)["id"]
    counters.command(record_id, "increment")
    return record_id


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("fulfilled", ['"2"', "*", '"1", "2"', '"2","7"', 'W/"2", "2"'])
def test_a_write_goes_through_where_if_match_holds(
    counters: Collection, record_at_2: str, write: str, fulfilled: str
) -> None:
    response = WRITES[write](counters, record_at_2, {"if-match": fulfilled})
    assert response.status_code in (200, 204)
    assert counters.history(record_at_2)[0]["revision"] == 3


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    "not_fulfilled", ['"1"', '"3"', 'W/"2"', '"02"', '"1", "3"', '"x"', '""', '"2\xe9"']
)
def test_a_write_is_refused_where_if_match_does_not_hold(
    counters: Collection, record_at_2: str, write: str, not_fulfilled: str
) -> None:
    before = counters.record(record_at_2)
    headers = {"if-match": not_fulfilled.encode("latin-1")}
    response = WRITES[write](counters, record_at_2, headers)  # type: ignore[arg-type]
    problem = assert_problem(response, 412, "precondition-failed")
    assert problem["revision"] == 2
    assert counters.record(record_at_2) == before


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    "malformed", ["2", '"2 "', "", '"2', "W/2", '"2" "3"', '"1", *', 'w/"2"', ","]
)
def test_an_if_match_that_means_nothing_lets_nothing_through(
    counters: Collection, record_at_2: str, write: str, malformed: str
) -> None:
    before = counters.record(record_at_2)
    response = WRITES[write](counters, record_at_2, {"if-match": malformed})
    assert response.status_code in (400, 412), response.text
    code = "malformed-request" if response.status_code == 400 else "precondition-failed"
    assert_problem(response, response.status_code, code)
    assert counters.record(record_at_2) == before


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    ("condition", "holds"),
    [('"2"', False), ("*", False), ('W/"2"', False), ('"1"', True)],
)
def test_if_none_match_guards_a_write_too(
    counters: Collection, record_at_2: str, write: str, condition: str, holds: bool
) -> None:
    response = WRITES[write](counters, record_at_2, {"if-none-match": condition})
    if holds:
        assert response.status_code in (200, 204)
    else:
        assert assert_problem(response, 412, "precondition-failed")["revision"] == 2


def test_both_conditions_must_hold(counters: Collection, record_at_2: str) -> None:
    both = {"if-match": '"2"', "if-none-match": '"2"'}
    assert_problem(
        counters.patch(record_at_2, {"value": 9}, headers=both),
        412,
        "precondition-failed",
    )
    both = {"if-match": '"2"', "if-none-match": '"1"'}
    assert counters.patch(record_at_2, {"value": 9}, headers=both).status_code == 200


@pytest.mark.parametrize("condition", ["*", '"1"'])
def test_put_with_if_match_does_not_create(
    counters: Collection, record_id: str, condition: str
) -> None:
    response = counters.replace(
        record_id, {"value": 1}, headers={"if-match": condition}
    )
    assert_problem(response, 412, "precondition-failed")
    assert_problem(counters.read(record_id), 404, "record-not-found")


def test_put_with_a_tag_nobody_has_in_if_none_match_writes(
    counters: Collection, record_id: str
) -> None:
    guard = {"if-none-match": '"1"'}
    assert counters.replace(record_id, {"value": 1}, headers=guard).status_code == 201
    assert_problem(
        counters.replace(record_id, {"value": 2}, headers=guard),
        412,
        "precondition-failed",
    )


def test_a_precondition_comes_before_the_data(
    counters: Collection, record_at_2: str
) -> None:
    response = counters.patch(record_at_2, {"value": "x"}, headers={"if-match": '"1"'})
    assert_problem(response, 412, "precondition-failed")


def test_a_precondition_is_decided_even_where_nothing_would_change(
    counters: Collection, record_at_2: str
) -> None:
    response = counters.patch(record_at_2, {"value": 2}, headers={"if-match": '"1"'})
    assert_problem(response, 412, "precondition-failed")
    response = counters.patch(record_at_2, {"value": 2}, headers={"if-match": '"2"'})
    assert (response.status_code, response.json()["revision"]) == (200, 2)


def test_two_header_lines_are_one_list(counters: Collection, record_at_2: str) -> None:
    lines = [
        ("if-match", '"7"'),
        ("if-match", '"2"'),
        ("content-type", "application/json"),
    ]
    response = counters.client.patch(
        counters.at(record_at_2), content=b'{"value": 9}', headers=lines
    )
    assert response.status_code == 200


@pytest.mark.parametrize("tags", ['"7",,"2"', ',"2"', '"2", ,'])
def test_an_empty_element_of_a_list_is_passed_over(
    counters: Collection, record_at_2: str, tags: str
) -> None:
    assert (
        counters.read(record_at_2, headers={"if-none-match": tags}).status_code == 304
    )
    assert (
        counters.patch(
            record_at_2, {"value": 9}, headers={"if-match": tags}
        ).status_code
        == 200
    )


def test_a_read_takes_if_match_too(counters: Collection, record_at_2: str) -> None:
    assert counters.read(record_at_2, headers={"if-match": '"2"'}).status_code == 200
    response = counters.read(record_at_2, headers={"if-match": '"1"'})
    assert_problem(response, 412, "precondition-failed")


# --- PERSIST_REQUIRE_IF_MATCH
# --------------------------------------------------------------------


@pytest.fixture(scope="module")
def strict_counters(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Collection]:
    """Counters of a service that demands If-Match."""
    folder = tmp_path_factory.mktemp("strict")
    settings = {"REQUIRE_IF_MATCH": "true"}
    with (
        serving(new_database(), folder, settings=settings) as server,
        server.client() as client,
    ):
        yield Collection(client, "counters")


@pytest.mark.parametrize("write", WRITES)
def test_a_change_without_if_match_can_be_forbidden(
    strict_counters: Collection, write: str
) -> None:
    record_id = strict_counters.created(value=1)["id"]
    assert_problem(
        WRITES[write](strict_counters, record_id, {}), 428, "precondition-required"
    )
    assert strict_counters.record(record_id)["revision"] == 1
    assert WRITES[write](
        strict_counters, record_id, {"if-match": '"1"'}
    ).status_code in (200, 204)


def test_creating_needs_no_if_match_even_then(
    strict_counters: Collection, record_id: str
) -> None:
    assert strict_counters.create({"value": 1}).status_code == 201
    assert strict_counters.replace(record_id, {"value": 1}).status_code == 201
    again = strict_counters.replace(
        record_id, {"value": 2}, headers={"if-none-match": "*"}
    )
    assert_problem(again, 412, "precondition-failed")


def test_a_wrong_if_match_is_412_even_then(strict_counters: Collection) -> None:
    record_id = strict_counters.created(value=1)["id"]
    for write, tag in itertools.product(WRITES.values(), ('"2"', 'W/"1"')):
        assert_problem(
            write(strict_counters, record_id, {"if-match": tag}),
            412,
            "precondition-failed",
        )
