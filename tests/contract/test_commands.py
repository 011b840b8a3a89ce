"""Commands: payloads, guards, refusals, results, and `set` (contract 4)."""

from typing import Any

import httpx
import pytest

from tests.support.collection import Collection
from tests.support.problems import assert_problem, pointers
from tests.support.twins import typed_only


def listed(collection: Collection) -> dict[str, Any]:
    response = collection.client.get(f"{collection.path}/commands")
    assert response.status_code == 200
    return {command["name"]: command for command in response.json()["items"]}


def test_the_commands_are_listed(tickets: Collection) -> None:
    commands = listed(tickets)
    assert set(commands) == {"escalate", "ack", "set"}
    escalate = commands["escalate"]
    assert {"name", "description", "payload_schema"} <= escalate.keys()
    assert escalate["description"].startswith("Raise the severity")
    assert escalate["payload_schema"]["properties"]["steps"]["type"] == "integer"
    assert "steps" not in escalate["payload_schema"].get("required", [])


def test_the_commands_of_a_collection_stand_in_its_description(
    tickets: Collection,
) -> None:
    described = tickets.client.get(f"/collections/{tickets.name}").json()
    assert set(described["commands"]) == {"escalate", "ack", "set"}


def test_the_commands_of_an_unknown_collection_are_not_found(
    client: httpx.Client,
) -> None:
    assert_problem(client.get("/api/nothing/commands"), 404, "collection-not-found")


def test_a_command_changes_the_record_and_gives_its_result(tickets: Collection) -> None:
    record = tickets.created(title="Slow", severity=30)
    response = tickets.command(record["id"], "escalate")
    assert response.status_code == 200
    assert response.headers["etag"] == '"2"'
    body = response.json()
    assert body.keys() == {"result", "record"}
    assert body["result"] == 40
    assert body["record"]["revision"] == 2
    assert body["record"]["data"] == record["data"] | {"severity": 40}
    assert tickets.record(record["id"]) == body["record"]


@pytest.mark.parametrize("payload", [None, {}, {"steps": 1}, {"steps": 1.0}])
def test_a_payload_may_be_left_out_where_it_has_defaults(
    tickets: Collection, payload: Any
) -> None:
    record = tickets.created(title="Slow", severity=30)
    assert tickets.command(record["id"], "escalate", payload).json()["result"] == 40


def test_a_command_without_payload_needs_no_media_type(tickets: Collection) -> None:
    record = tickets.created(title="Slow", severity=30)
    response = tickets.client.post(
        f"{tickets.at(record['id'])}/commands/ack", content=b""
    )
    assert (response.status_code, response.json()["result"]) == (200, True)


def test_a_commands_payload_reaches_it(tickets: Collection) -> None:
    record = tickets.created(title="Slow", severity=30)
    assert (
        tickets.command(record["id"], "escalate", {"steps": 9}).json()["result"] == 50
    )


def test_a_guard_refuses_with_its_reason(tickets: Collection, kind: str) -> None:
    record = tickets.created(title="Slow", severity=20)
    problem = assert_problem(
        tickets.command(record["id"], "escalate"), 409, "command-unavailable"
    )
    reason = {
        "typed": "only a major fault escalates",
        "registered": "data.severity >= 30",
    }[kind]
    assert reason in problem["detail"]
    assert tickets.record(record["id"]) == record


def test_a_guard_without_words_of_its_own_still_says_something(
    tickets: Collection,
) -> None:
    record = tickets.created(title="Slow", severity=30)
    assert tickets.command(record["id"], "ack").json()["result"] is True
    problem = assert_problem(
        tickets.command(record["id"], "ack"), 409, "command-unavailable"
    )
    assert "ack" in problem["detail"]
    assert tickets.record(record["id"])["revision"] == 2


@typed_only  # CEL computes; it cannot refuse
def test_a_command_may_refuse_from_inside_with_a_code_of_its_own(
    accounts: Collection, marker: str
) -> None:
    record = accounts.created(owner=marker, balance=10)
    response = accounts.command(record["id"], "withdraw", {"amount": 11})
    problem = assert_problem(response, 409, "insufficient-funds")
    assert "the balance is 10" in problem["detail"]
    assert accounts.record(record["id"]) == record
    assert (
        accounts.command(record["id"], "withdraw", {"amount": 10}).json()["result"] == 0
    )


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "Escalate",
        "__init__",
        "model_dump",
        "escalate2",
        "title",
        "é",
        "a" * 300,
    ],
)
def test_an_unknown_command_is_not_found(tickets: Collection, name: str) -> None:
    record = tickets.created(title="Slow", severity=30)
    assert_problem(tickets.command(record["id"], name), 404, "command-not-found")


def test_an_unknown_command_on_an_unknown_record_is_not_found(
    tickets: Collection, record_id: str
) -> None:
    response = tickets.command(record_id, "nothing")
    assert_problem(response, 404, response.json()["code"])


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({"steps": "two"}, "/steps"),
        ({"steps": None}, "/steps"),
        ({"steps": 1.5}, "/steps"),
        ({"steps": True}, "/steps"),
        ({"steps": 2**70}, "/steps"),
        ({"step": 1}, "/step"),
        ({"steps": 1, "self": 1}, "/self"),
    ],
)
def test_a_bad_payload_is_refused_at_its_pointer(
    tickets: Collection, payload: Any, pointer: str
) -> None:
    record = tickets.created(title="Slow", severity=30)
    problem = assert_problem(
        tickets.command(record["id"], "escalate", payload), 422, "invalid-payload"
    )
    assert pointers(problem) == {pointer}
    assert tickets.record(record["id"]) == record


@pytest.mark.parametrize("payload", [[], "steps", 5, True])
def test_a_payload_that_is_no_object_is_refused(
    tickets: Collection, payload: Any
) -> None:
    record = tickets.created(title="Slow", severity=30)
    assert_problem(
        tickets.command(record["id"], "escalate", payload), 422, "invalid-payload"
    )


def test_a_missing_payload_member_is_named(accounts: Collection, marker: str) -> None:
    record = accounts.created(owner=marker)
    for payload in (None, dict[str, int]()):
        problem = assert_problem(
            accounts.command(record["id"], "deposit", payload), 422, "invalid-payload"
        )
        assert pointers(problem) == {"/amount"}
    problem = assert_problem(
        accounts.command(record["id"], "deposit", {"amount": 0}), 422, "invalid-payload"
    )
    assert pointers(problem) == {"/amount"}


def test_a_result_that_is_no_valid_data_is_not_stored(
    accounts: Collection, marker: str
) -> None:
    record = accounts.created(owner=marker, balance=10)
    problem = assert_problem(
        accounts.command(record["id"], "overdraw"), 422, "invalid-data"
    )
    assert pointers(problem) == {"/balance"}
    assert accounts.record(record["id"]) == record
    assert len(accounts.history(record["id"])) == 1


def test_a_result_past_64_bits_is_refused(counters: Collection) -> None:
    record = counters.created(value=2**63 - 1)
    assert_problem(counters.command(record["id"], "increment"), 422, "invalid-data")
    assert counters.record(record["id"]) == record


@typed_only  # CEL cannot break in a way nobody foresaw
def test_a_command_that_breaks_says_nothing_of_the_inside(
    accounts: Collection, marker: str
) -> None:
    record = accounts.created(owner=marker)
    response = accounts.command(record["id"], "explode")
    assert_problem(response, 500, "internal-error")
    assert "the-inside-of-the-service" not in response.text
    assert "RuntimeError" not in response.text
    assert accounts.record(record["id"]) == record
    assert (
        accounts.command(record["id"], "deposit", {"amount": 5}).json()["result"] == 5
    )


def test_a_command_that_leaves_the_data_as_it_was_is_no_change(
    counters: Collection,
) -> None:
    record = counters.created(value=3)
    response = counters.command(record["id"], "increment", {"by": 0})
    assert response.json() == {"result": 3, "record": record}
    assert response.headers["etag"] == '"1"'
    assert len(counters.history(record["id"])) == 1


# --- set ------------------------------------------------------------------------------
# -----------


def test_set_changes_the_fields_it_names(samples: Collection) -> None:
    record = samples.created(amount=1, name="a", payload={"x": 1, "y": 2})
    response = samples.command(
        record["id"], "set", {"amount": 2, "payload": {"x": 3}, "spare_name": "s"}
    )
    assert response.status_code == 200
    assert response.json()["record"]["revision"] == 2
    expected = record["data"] | {"amount": 2, "payload": {"x": 3}, "spare_name": "s"}
    assert samples.record(record["id"])["data"] == expected


def test_set_may_set_null(samples: Collection) -> None:
    record = samples.created(spare_name="s")
    assert samples.command(record["id"], "set", {"spare_name": None}).status_code == 200
    assert samples.record(record["id"])["data"]["spare_name"] is None


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (None, None),
        ({}, None),
        ({"colour": "red"}, {"/colour"}),
        ({"severity": "high"}, {"/severity"}),
        ({"severity": 51}, {"/severity"}),
        (
            {"title": None, "severity": 51, "shape": 1},
            {"/title", "/severity", "/shape"},
        ),
    ],
)
def test_a_bad_set_is_refused(
    tickets: Collection, payload: Any, named: set[str] | None
) -> None:
    record = tickets.created(title="Slow", severity=30)
    problem = assert_problem(
        tickets.command(record["id"], "set", payload), 422, "invalid-payload"
    )
    assert named is None or pointers(problem) == named
    assert tickets.record(record["id"]) == record


def test_set_is_a_command_in_the_history(tickets: Collection) -> None:
    record = tickets.created(title="Slow", severity=30)
    tickets.command(record["id"], "set", {"severity": 40})
    change = tickets.history(record["id"])[0]
    assert (change["operation"], change["command"], change["payload"]) == (
        "command",
        "set",
        {"severity": 40},
    )


# --- how commands are called
# ---------------------------------------------------------------------


def test_a_command_is_called_by_post_only(tickets: Collection) -> None:
    record = tickets.created(title="Slow", severity=30)
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        response = tickets.client.request(
            method, f"{tickets.at(record['id'])}/commands/ack"
        )
        assert_problem(response, 405, "method-not-allowed")
        assert "POST" in response.headers["allow"]


def test_a_payload_of_another_media_type_is_refused(tickets: Collection) -> None:
    record = tickets.created(title="Slow", severity=30)
    response = tickets.client.post(
        f"{tickets.at(record['id'])}/commands/escalate",
        content=b"steps=2",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert_problem(response, 415, "unsupported-media-type")
    assert tickets.record(record["id"]) == record
