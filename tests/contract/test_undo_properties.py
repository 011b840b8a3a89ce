"""Undo of random changes, also while others write: all or nothing, and back again."""

import random
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.support.collection import Collection
from tests.support.problems import Json

SEEDS = range(2)
STEPS = 20


@dataclass
class History:
    """Random changes of some records, and what they left."""

    accounts: Collection
    marker: str
    chance: random.Random
    ids: list[str] = field(default_factory=list)
    changes: list[tuple[str, bool]] = field(default_factory=list)
    last_seq: int = 0

    def go_on(self, headers: dict[str, str], *, is_selected: bool) -> None:
        """Make one change; it may be refused for a unique value that is taken."""
        owner = f"{self.marker}-{self.chance.randint(0, 9)}"
        record_id = self._some_id()
        match self.chance.choice(("create", "patch", "patch", "delete")):
            case "create":
                data = {"owner": owner}
                answer = self.accounts.replace(record_id, data, headers=headers)
            case "patch":
                patch = {"owner": owner, "balance": self.chance.randint(0, 3)}
                answer = self.accounts.patch(record_id, patch, headers=headers)
            case _:
                answer = self.accounts.delete(record_id, headers=headers)
        if answer.is_success and self._is_new(answer):
            self.changes.append((record_id, is_selected))

    def _some_id(self) -> str:
        if len(self.ids) < 6:
            self.ids.append(str(uuid.uuid4()))
        return self.chance.choice(self.ids)

    def _is_new(self, answer: httpx.Response) -> bool:
        """Whether a write made a change: equal data makes none."""
        found = self.accounts.client.get("/changes?before=now&limit=1").json()
        last = found["items"][0]["seq"]
        is_new: bool = last != self.last_seq
        self.last_seq = last
        return is_new

    def states(self) -> dict[str, Any]:
        """The data of every record, None where there is none."""
        read = {record_id: self.accounts.read(record_id) for record_id in self.ids}
        return {name: answer.json().get("data") for name, answer in read.items()}

    def conflicting(self) -> set[str]:
        """The records of which a change that is not selected follows a selected one."""
        selected: set[str] = set()
        found: set[str] = set()
        for record_id, is_selected in self.changes:
            if is_selected:
                selected.add(record_id)
            elif record_id in selected:
                found.add(record_id)
        return found


def undone(client: httpx.Client, name: str, **body: Any) -> tuple[Json, str]:
    """The report of an undo, and the request id of it."""
    own = str(uuid.uuid4())
    answer = client.post(
        "/changes/undo",
        json={"request_id": name, **body},
        headers={"x-request-id": own},
    )
    assert answer.status_code == 200, answer.text
    return answer.json(), own


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_before_comes_back_and_goes_again(
    accounts: Collection, marker: str, seed: int
) -> None:
    history = History(accounts, marker, random.Random(seed))
    for _ in range(STEPS):
        history.go_on({}, is_selected=False)
    before, name = history.states(), str(uuid.uuid4())
    for _ in range(STEPS):
        history.go_on({"x-request-id": name}, is_selected=True)
    after = history.states()
    _, own = undone(accounts.client, name)
    assert history.states() == {each: before.get(each) for each in history.ids}
    undone(accounts.client, own)
    assert history.states() == after


@pytest.mark.parametrize("seed", SEEDS)
def test_the_conflicts_that_are_named_are_the_true_ones(
    accounts: Collection, marker: str, seed: int
) -> None:
    history = History(accounts, marker, random.Random(seed))
    name = str(uuid.uuid4())
    for _ in range(STEPS):
        is_selected = history.chance.random() < 0.3
        headers = {"x-request-id": name} if is_selected else {}
        history.go_on(headers, is_selected=is_selected)
    dry_run = accounts.client.post(
        "/changes/undo?dry_run=true", json={"request_id": name}
    )
    true = history.conflicting()
    assert (dry_run.status_code == 409) == bool(true), dry_run.text
    if true:
        records = dry_run.json()["records"]
        assert {record["id"] for record in records} == true


def test_an_undo_among_writers_takes_back_all_or_nothing(counters: Collection) -> None:
    """Writers change the same records meanwhile; what the undo says is what is
    there."""
    client = counters.client
    name = str(uuid.uuid4())
    records = [counters.created(value=0) for _ in range(20)]
    for record in records:
        patch = {"value": 1}
        counters.patch(
            record["id"], patch, headers={"x-request-id": name}
        ).raise_for_status()
    stopping = threading.Event()

    def write() -> None:
        chance = random.Random(1)
        while not stopping.is_set():
            counters.patch(chance.choice(records)["id"], {"value": 100})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        report, own = undone(client, name, on_conflict="skip")
    finally:
        stopping.set()
        writer.join()
    assert report["undone"] + report["skipped"] == len(records)
    changes = client.get("/changes", params={"request_id": own}).json()["items"]
    reverted = {
        entry["id"] for entry in report["records"] if entry["outcome"] == "reverted"
    }
    assert {change["id"] for change in changes} == reverted
    for entry in report["records"]:
        page = counters.history(entry["id"])
        past = [change for change in page if change["request_id"] in (name, own)]
        if entry["outcome"] == "reverted":
            assert past[0]["revision"] == past[1]["revision"] + 1
        else:
            following = [change["revision"] for change in page]
            assert past[0]["revision"] + 1 in following
