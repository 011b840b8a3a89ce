"""`persist journal trim`: the head goes, what remains holds (contract 10)."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.support.collection import Collection
from tests.support.events import EVENTS, changes, listening
from tests.support.problems import assert_problem
from tests.support.raw_sql import run_sql
from tests.support.server import run, serving


@pytest.fixture(scope="session", params=["typed"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@dataclass(frozen=True)
class Journal:
    """A service of its own, and the commands on its database."""

    client: httpx.Client
    counters: Collection
    url: str
    folder: Path

    def trim(self, before: object) -> str:
        """What it says last."""
        outcome = run(
            ["journal", "trim", "--before", str(before)], self.url, self.folder
        )
        assert (outcome.returncode, outcome.stderr) == (0, ""), outcome
        return outcome.stdout.splitlines()[-1]

    @property
    def end(self) -> int:
        last: int = self.client.get("/changes", params={"after": "now"}).json()[
            "last_seq"
        ]
        return last


@pytest.fixture
def journal(new_database: NewDatabase, tmp_path: Path) -> Iterator[Journal]:
    url = new_database()
    with serving(url, tmp_path) as server, server.client() as client:
        yield Journal(client, Collection(client, "counters"), url, tmp_path)


def test_who_follows_from_before_the_beginning_learns_where_it_is(
    journal: Journal,
) -> None:
    for value in range(5):
        journal.counters.created(value=value)
    assert journal.trim(4) == "3 changes deleted; the journal begins at seq 4"
    for query, headers in (
        ("", {}),
        ("?after=2", {}),
        ("", EVENTS),
        ("?after=4", EVENTS | {"last-event-id": "2"}),
    ):
        problem = assert_problem(
            journal.client.get(f"/changes{query}", headers=headers), 410, "changes-gone"
        )
        assert problem["first_seq"] == 4
        assert "after=3" in problem["detail"]
    assert [
        change["seq"]
        for change in journal.client.get("/changes?after=3").json()["items"]
    ] == [4, 5]
    with listening(journal.client, 3) as events:
        assert [change["seq"] for change in islice(changes(events), 2)] == [4, 5]


def test_a_record_whose_changes_were_cut_is_as_it_was(journal: Journal) -> None:
    record_id = journal.counters.created(value=1)["id"]
    record = journal.counters.command(record_id, "increment").json()["record"]
    journal.trim(3)
    assert journal.counters.record(record_id) == record
    assert journal.counters.read(record_id, revision=2).json() == record
    assert_problem(
        journal.counters.read(record_id, revision=1), 404, "revision-not-found"
    )
    assert journal.counters.history(record_id) == []
    assert (
        journal.counters.command(record_id, "increment").json()["record"]["revision"]
        == 3
    )
    assert [change["revision"] for change in journal.counters.history(record_id)] == [3]


def test_no_revision_is_ever_given_twice(journal: Journal) -> None:
    counters = journal.counters
    deleted, returned, kept = (counters.created(value=1)["id"] for _ in range(3))
    for record_id in (deleted, returned):
        counters.command(record_id, "increment")
        counters.delete(record_id)
    assert counters.replace(returned, {"value": 5}).json()["revision"] == 4
    journal.trim(journal.end + 1)
    assert counters.delete(returned).status_code == 204
    assert counters.delete(kept).status_code == 204
    journal.trim(journal.end + 1)
    revisions = [
        counters.replace(record_id, {}).json()["revision"]
        for record_id in (deleted, returned, kept)
    ]
    assert revisions == [4, 6, 3]


def test_the_journal_is_cut_at_a_time(journal: Journal) -> None:
    for _ in range(3):
        journal.counters.created()
    at = journal.client.get("/changes?after=1").json()["items"][0]["at"]
    assert (
        journal.trim("2020-01-01") == "0 changes deleted; the journal begins at seq 1"
    )
    assert journal.trim(at) == "1 change deleted; the journal begins at seq 2"
    assert (
        journal.trim("2999-01-01") == "2 changes deleted; the journal begins at seq 4"
    )
    assert journal.client.get("/changes?after=3").json() == {"items": [], "last_seq": 3}
    journal.counters.created()
    assert [
        change["seq"]
        for change in journal.client.get("/changes?after=3").json()["items"]
    ] == [4]


def test_no_more_is_cut_than_there_is_and_nothing_twice(journal: Journal) -> None:
    journal.counters.created()
    assert journal.trim(10**15) == "1 change deleted; the journal begins at seq 2"
    assert journal.trim(1) == "0 changes deleted; the journal begins at seq 2"
    assert_problem(journal.client.get("/changes"), 410, "changes-gone")


def test_a_bad_moment_is_refused_saying_what_is_wanted(tmp_path: Path) -> None:
    for before in ("x", "", "-5", "1.5", "2026-13-01"):
        outcome = run(
            ["journal", "trim", f"--before={before}"], "sqlite:///none.db", tmp_path
        )
        assert outcome.returncode == 2
        assert "--before takes a seq" in outcome.stderr


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    outcome = run(["journal", "trim", "--before", "5"], "sqlite:///none.db", tmp_path)
    assert outcome.returncode == 1
    assert "there is no such file" in outcome.stderr
    assert list(tmp_path.iterdir()) == []


def test_writers_go_on_while_the_journal_is_cut(journal: Journal) -> None:
    journal.counters.import_lines("{}\n" * 4_000)
    stop, lasted = threading.Event(), []

    def write() -> list[int]:
        seqs = []
        with httpx.Client(base_url=journal.client.base_url, timeout=30) as client:
            counters = Collection(client, "counters")
            while not stop.is_set():
                begun = time.monotonic()
                record_id = counters.created()["id"]
                lasted.append(time.monotonic() - begun)
                seqs.append(counters.history(record_id)[0]["seq"])
        return seqs

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        said = journal.trim(4_001)
        stop.set()
        seqs = writing.result(60)
    assert said == "4,000 changes deleted; the journal begins at seq 4001"
    assert seqs == list(range(4_001, 4_001 + len(seqs)))
    assert max(lasted) < 4


def undo(journal: Journal, **body: Any) -> httpx.Response:
    return journal.client.post("/changes/undo", json=body)


def test_what_was_trimmed_cannot_be_undone_but_what_follows_can(
    journal: Journal,
) -> None:
    counters, early, late = journal.counters, {"x-request-id": "e"}, "late"
    kept = counters.create({"value": 1}, headers=early).json()
    removed = counters.create({"value": 2}, headers=early).json()
    first = journal.end
    counters.patch(kept["id"], {"value": 3}, headers={"x-request-id": late})
    counters.delete(removed["id"], headers={"x-request-id": late})
    journal.trim(first + 1)
    for from_seq in (1, first):
        refused = undo(journal, from_seq=from_seq, to_seq=first + 1)
        problem = assert_problem(refused, 410, "changes-gone")
        assert problem["first_seq"] == first + 1
    assert_problem(undo(journal, request_id="e"), 404, "not-found")
    report = undo(journal, request_id=late).json()
    outcomes = {record["id"]: record["outcome"] for record in report["records"]}
    assert outcomes == {kept["id"]: "reverted", removed["id"]: "recreated"}
    assert counters.record(kept["id"])["data"] == kept["data"]
    back = counters.record(removed["id"])
    assert (back["data"], back["created_at"]) == (
        removed["data"],
        removed["created_at"],
    )


def test_the_base_of_a_deleted_record_can_come_back(journal: Journal) -> None:
    counters = journal.counters
    record = counters.created(value=1)
    cut = journal.end + 1
    counters.delete(record["id"])
    journal.trim(cut)
    path = counters.at(record["id"])
    [in_trash] = counters.client.get(f"{counters.path}/trash").json()["items"]
    body = {"to_revision": in_trash["revision"]}
    back = counters.client.post(f"{path}/revert", json=body).json()
    assert (back["revision"], back["data"]) == (3, record["data"])


def test_what_an_earlier_release_trimmed_without_a_base_is_a_conflict(
    journal: Journal,
) -> None:
    counters = journal.counters
    record = counters.created(value=1)
    counters.created(value=2)
    cut = journal.end + 1
    name = {"x-request-id": "late"}
    counters.patch(record["id"], {"value": 3}, headers=name).raise_for_status()
    journal.trim(cut)
    run_sql(
        journal.url,
        f"DELETE FROM journal WHERE seq < {cut}",
        "DELETE FROM journal_bases",
    )
    refused = undo(journal, request_id="late")
    problem = assert_problem(refused, 409, "undo-conflict")
    assert problem["records"][0]["reason"]["conflict"] == "trimmed"
    report = undo(journal, request_id="late", on_conflict="skip").json()
    assert (report["undone"], report["skipped"]) == (0, 1)


def test_two_may_trim_at_once(journal: Journal) -> None:
    journal.counters.import_lines("{}\n" * 5_000)
    records = [journal.counters.created()["id"] for _ in range(20)]
    for record_id in records:
        journal.counters.command(record_id, "increment")
    cuts = journal.end - 5, journal.end
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(journal.trim, cuts))
    deleted = [int(line.split()[0].replace(",", "")) for line in said]
    assert sum(deleted) == cuts[1] - 1
    outcome = run(["journal", "verify"], journal.url, journal.folder)
    assert outcome.returncode == 0, outcome.stderr


def test_the_last_state_before_the_cut_stays_the_base_of_the_past(
    journal: Journal,
) -> None:
    counters = journal.counters
    kept, changed = counters.created(value=1), counters.created(value=2)
    counters.patch(kept["id"], {"value": 3})
    base = counters.record(kept["id"])
    deleted = counters.created(value=4)
    removed = counters.created(value=5)
    counters.delete(removed["id"])
    cut = journal.end + 1
    counters.patch(changed["id"], {"value": 6})
    counters.delete(deleted["id"])
    for _ in range(2):
        journal.trim(cut)
        assert_problem(counters.find(as_of=cut - 1), 410, "changes-gone")
        assert_problem(counters.find(as_of="2000-01-01T00:00:00Z"), 410, "changes-gone")
        assert counters.read(kept["id"], as_of=cut).json() == base
        values = [item["data"]["value"] for item in counters.items(as_of=cut)]
        assert sorted(values) == [3, 4, 6]
        by_value = counters.items(as_of=cut, sort="value")
        assert [item["data"]["value"] for item in by_value] == [3, 4, 6]
        trash = counters.client.get(f"{counters.path}/trash").json()["items"]
        assert [item["data"] for item in trash] == [deleted["data"]]
        assert counters.history(kept["id"]) == []
        refused = counters.read(kept["id"], revision=1)
        assert_problem(refused, 404, "revision-not-found")
        assert_problem(journal.client.get("/changes/3/proof"), 404, "not-found")
        outcome = run(["journal", "verify"], journal.url, journal.folder)
        assert outcome.returncode == 0, outcome.stderr
    counters.patch(kept["id"], {"value": 7})
    journal.trim(journal.end + 1)
    outcome = run(["journal", "verify"], journal.url, journal.folder)
    assert outcome.returncode == 0, outcome.stderr
    assert counters.record(kept["id"])["data"]["value"] == 7
