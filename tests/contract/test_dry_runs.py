"""Dry runs: the full answer of every write, and nothing changed (contract 5)."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.collection import JSON_PATCH, Collection
from tests.support.problems import assert_problem
from tests.support.twins import typed_only

Write = Callable[[Collection, str, dict[str, Any]], httpx.Response]

WRITES: dict[str, Write] = {
    "put": lambda c, id, query: c.replace(id, {"value": 5}, **query),
    "merge patch": lambda c, id, query: c.patch(id, {"value": 5}, **query),
    "json patch": lambda c, id, query: c.patch(
        id, [{"op": "replace", "path": "/value", "value": 5}], type=JSON_PATCH, **query
    ),
    "set": lambda c, id, query: c.command(id, "set", {"value": 5}, **query),
    "increment": lambda c, id, query: c.command(id, "increment", {"by": 4}, **query),
}
DRY = {"dry_run": "true"}


@pytest.mark.parametrize("write", WRITES)
def test_a_dry_run_answers_what_the_write_would_and_changes_nothing(
    counters: Collection, write: str
) -> None:
    record = counters.created(value=1)
    tried = WRITES[write](counters, record["id"], DRY)
    assert tried.status_code == 200
    assert counters.record(record["id"]) == record
    assert len(counters.history(record["id"])) == 1
    done = WRITES[write](counters, record["id"], {})
    would, did = tried.json(), done.json()
    assert would.get("result") == did.get("result")
    would, did = would.get("record", would), did.get("record", did)
    assert would | {"updated_at": None} == did | {"updated_at": None}
    assert (would["revision"], would["data"]["value"]) == (2, 5)


def test_a_dry_create_answers_the_record_and_creates_none(
    counters: Collection, marker: str
) -> None:
    response = counters.create({"name": marker}, dry_run="true")
    assert response.status_code == 200
    record = response.json()
    assert (record["revision"], record["data"]) == (1, {"name": marker, "value": 0})
    assert counters.items(name=marker) == []
    assert_problem(counters.read(record["id"]), 404, "record-not-found")


def test_a_dry_put_of_a_new_id_creates_nothing(
    counters: Collection, record_id: str
) -> None:
    response = counters.replace(record_id, {"value": 1}, dry_run="true")
    assert response.status_code == 200
    assert (response.json()["id"], response.json()["revision"]) == (record_id, 1)
    assert_problem(counters.read(record_id), 404, "record-not-found")
    response = counters.client.get(f"{counters.at(record_id)}/history")
    assert_problem(response, 404, "record-not-found")


def test_a_dry_put_after_deletion_tells_the_revision_to_come(
    counters: Collection,
) -> None:
    record_id = counters.created()["id"]
    counters.delete(record_id)
    response = counters.replace(record_id, {"value": 1}, dry_run="true")
    assert (response.status_code, response.json()["revision"]) == (200, 3)
    assert_problem(counters.read(record_id), 404, "record-not-found")


def test_a_dry_delete_deletes_nothing(counters: Collection) -> None:
    record = counters.created()
    assert counters.delete(record["id"], dry_run="true").status_code == 200
    assert counters.record(record["id"]) == record


def test_a_dry_delete_by_filter_counts_and_deletes_nothing(
    counters: Collection, marker: str
) -> None:
    for _ in range(3):
        counters.created(name=marker)
    response = counters.delete_matching(name=marker, max_affected="5", dry_run="true")
    assert (response.status_code, response.json()) == (200, {"deleted": 3})
    assert len(counters.items(name=marker)) == 3
    response = counters.delete_matching(name=marker, max_affected="2", dry_run="true")
    assert_problem(response, 409, "too-many-affected")


def test_a_dry_import_checks_all_and_imports_nothing(
    counters: Collection, marker: str
) -> None:
    lines = f'{{"name": "{marker}"}}\n' * 3
    response = counters.import_lines(lines, dry_run="true")
    assert (response.status_code, response.json()) == (200, {"created": 3})
    assert_problem(
        counters.import_lines(lines + '{"value": "x"}', dry_run="true"),
        422,
        "invalid-data",
    )
    assert counters.items(name=marker) == []


def test_a_dry_import_sees_what_is_unique(accounts: Collection, marker: str) -> None:
    accounts.created(owner=marker)
    response = accounts.import_lines(f'{{"owner": "{marker}"}}', dry_run="true")
    assert_problem(response, 409, "unique-violation")


def test_a_dry_run_refuses_what_the_write_would(
    tickets: Collection, accounts: Collection, record_id: str, marker: str
) -> None:
    minor = tickets.created(title="Slow", severity=20)["id"]
    accounts.created(owner=marker)
    poor = accounts.created(owner=f"{marker}-2")["id"]
    bad = {"title": "", "severity": 30}
    assert_problem(tickets.create(bad, dry_run="true"), 422, "invalid-data")
    assert_problem(
        tickets.patch(minor, {"severity": 99}, dry_run="true"), 422, "invalid-data"
    )
    assert_problem(
        tickets.command(minor, "escalate", dry_run="true"), 409, "command-unavailable"
    )
    assert_problem(
        tickets.command(minor, "nothing", dry_run="true"), 404, "command-not-found"
    )
    assert_problem(
        tickets.patch(record_id, {}, dry_run="true"), 404, "record-not-found"
    )
    assert_problem(tickets.delete(record_id, dry_run="true"), 404, "record-not-found")
    assert_problem(
        accounts.create({"owner": marker}, dry_run="true"), 409, "unique-violation"
    )
    assert_problem(
        accounts.patch(poor, {"owner": marker}, dry_run="true"), 409, "unique-violation"
    )
    response = accounts.command(poor, "overdraw", dry_run="true")
    assert_problem(response, 422, "invalid-data")
    response = tickets.patch(
        minor, {"severity": 30}, headers={"if-match": '"9"'}, dry_run="true"
    )
    assert_problem(response, 412, "precondition-failed")
    response = tickets.patch(
        minor,
        [{"op": "test", "path": "/severity", "value": 1}],
        type=JSON_PATCH,
        dry_run="true",
    )
    assert_problem(response, 409, "patch-test-failed")


@typed_only  # CEL computes; it cannot refuse
def test_a_dry_run_refuses_as_the_command_would(
    accounts: Collection, marker: str
) -> None:
    poor = accounts.created(owner=marker)["id"]
    response = accounts.command(poor, "withdraw", {"amount": 1}, dry_run="true")
    assert_problem(response, 409, "insufficient-funds")


def test_a_dry_run_of_false_is_none(counters: Collection) -> None:
    record_id = counters.created(value=1)["id"]
    assert counters.patch(record_id, {"value": 2}, dry_run="false").status_code == 200
    assert counters.record(record_id)["data"]["value"] == 2


@pytest.mark.parametrize("value", ["maybe", "", "2"])
def test_a_dry_run_that_is_neither_true_nor_false_changes_nothing(
    counters: Collection, value: str
) -> None:
    record = counters.created(value=1)
    for write in WRITES.values():
        assert_problem(
            write(counters, record["id"], {"dry_run": value}), 400, "invalid-query"
        )
    assert_problem(counters.delete(record["id"], dry_run=value), 400, "invalid-query")
    assert counters.record(record["id"]) == record


def test_dry_runs_take_nothing_from_the_journal(counters: Collection) -> None:
    first = counters.created(value=1)
    for _ in range(5):
        counters.patch(first["id"], {"value": 7}, dry_run="true")
        counters.create({"value": 7}, dry_run="true")
    second = counters.created(value=1)
    seqs = [counters.history(record["id"])[0]["seq"] for record in (first, second)]
    assert seqs[1] == seqs[0] + 1
