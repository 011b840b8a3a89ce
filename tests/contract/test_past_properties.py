"""Every moment of a random history: ``as_of`` is the replay of the journal until
then."""

import json
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.support.collection import Collection
from tests.support.problems import Json
from tests.support.registered import an_object, registered

IDS = 7
SLOW_ROUNDS = 3
"""How often a slow form takes every step at least, in an order of chance."""


OPERATIONS = {"create", "replace", "patch", "command", "delete", "restore", "revert"}
INTEGER: Json = {"type": "integer"}
TEXT: Json = {"type": "string"}
SPARE: Json = {"type": ["integer", "null"]}

Test = Callable[[Any], bool]
States = dict[str, Json]
"""Records by id."""


@dataclass
class History:
    """A collection in a workspace of its own, and all that happens to it.

    ``seen`` is what a list showed after some of the changes. ``amounts`` is the type
    that the schema declares for ``amount``.
    """

    collection: Collection
    chance: random.Random
    ids: list[str] = field(default_factory=list)
    seen: dict[int, States] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    snapshot: str = ""
    amounts: type = int

    @property
    def client(self) -> httpx.Client:
        return self.collection.client

    def head(self) -> int:
        last: int = self.client.get("/changes?after=now").json()["last_seq"]
        return last

    def some_id(self) -> str:
        if len(self.ids) < IDS:
            self.ids.append(str(uuid.uuid4()))
        return self.chance.choice(self.ids)

    def data(self) -> Json:
        amount: Any = self.chance.randint(-2, 4)
        if self.amounts is str:
            amount = str(amount)
        spare = self.chance.choice([None, 1, 2])
        name = self.chance.choice("abc")
        return {"name": name, "amount": amount, "spare_amount": spare}

    def go_on(self, step: "Step") -> None:
        """Take a step. It may be refused, and then changes nothing."""
        name = str(uuid.uuid4())
        step(self, {"x-request-id": name})
        self.requests.append(name)
        self.look()

    def look(self) -> None:
        records = self.collection.items(limit=500)
        self.seen[self.head()] = {record["id"]: record for record in records}

    def replace(self, headers: dict[str, str]) -> None:
        self.collection.replace(self.some_id(), self.data(), headers=headers)

    def take_snapshot(self) -> None:
        path = f"/workspaces/{self.collection.workspace}/snapshots"
        self.snapshot = self.client.post(path, json={}).json()["id"]

    def patch(self, headers: dict[str, str]) -> None:
        self.collection.patch(self.some_id(), self.data(), headers=headers)

    def command(self, headers: dict[str, str]) -> None:
        data = {"amount": self.data()["amount"]}
        self.collection.command(self.some_id(), "set", data, headers=headers)

    def delete(self, headers: dict[str, str]) -> None:
        self.collection.delete(self.some_id(), headers=headers)

    def transaction(self, headers: dict[str, str]) -> None:
        operations: list[Json] = []
        for _ in range(3):
            record_id = self.some_id()
            there = {"workspace": self.collection.workspace, "id": record_id}
            there["collection"] = self.collection.name
            operations += [
                {"op": "replace", "data": self.data(), **there},
                self.chance.choice(
                    [
                        {"op": "delete", **there},
                        {"op": "patch", "patch": self.data(), **there},
                    ]
                ),
            ]
        body = {"operations": operations}
        self.client.post("/transactions", json=body, headers=headers).raise_for_status()

    def restore(self, headers: dict[str, str]) -> None:
        body = {"snapshot": self.snapshot, "on_conflict": "overwrite"}
        self.client.post("/migrations", json=body, headers=headers).raise_for_status()

    def import_some(self, headers: dict[str, str]) -> None:
        lines = "".join(f"{json.dumps(self.data())}\n" for _ in range(2))
        imported = self.collection.import_lines(lines, headers=headers)
        imported.raise_for_status()

    def revert(self, headers: dict[str, str]) -> None:
        path = f"{self.collection.at(self.some_id())}/revert"
        for revision in (1, 2, 1):
            body = {"to_revision": revision}
            self.client.post(path, json=body, headers=headers)

    def undo(self, headers: dict[str, str]) -> None:
        if self.requests:
            body = {"request_id": self.chance.choice(self.requests[-5:])}
            self.client.post("/changes/undo", json=body, headers=headers)

    def evolve(self) -> None:
        """Amounts are integers, then text, then integers again."""
        declared, to = (TEXT, "data.name") if self.amounts is int else (INTEGER, "7")
        registered(
            self.client,
            self.collection.name,
            schema(declared),
            migration={"drop": ["amount"], "set": {"amount": to}},
        )
        self.amounts = str if self.amounts is int else int
        self.look()

    def replayed(self) -> Iterator[tuple[int, States]]:
        """Yield every ``seq`` with the records that the journal's changes left."""
        states: States = {}
        for change in self.changes():
            is_of_this = change["workspace"] == self.collection.workspace
            if is_of_this and change["operation"] == "delete":
                states.pop(change["id"])
            elif is_of_this:
                states[change["id"]] = change
            yield change["seq"], dict(states)

    def changes(self) -> list[Json]:
        query = {"after": min(self.seen), "limit": 500}
        changes: list[Json] = self.client.get("/changes", params=query).json()["items"]
        return changes


Step = Callable[[History, dict[str, str]], None]
STEPS: list[Step] = [
    *[History.replace] * 4,
    *[History.patch] * 3,
    *[History.command] * 2,
    *[History.delete] * 2,
    *[History.transaction] * 2,
    *[History.restore] * 2,
    History.import_some,
    History.revert,
    *[History.undo] * 2,
]


def schema(amount: Json) -> Json:
    return an_object("name", name=TEXT, amount=amount, spare_amount=SPARE)


SLOW = [pytest.param(SLOW_ROUNDS + seed, marks=pytest.mark.slow) for seed in range(3)]


@pytest.fixture(params=[1, *SLOW])
def history(
    client: httpx.Client, kind: str, request: pytest.FixtureRequest
) -> Iterator[History]:
    """A random history, each of whose moments can be looked at."""
    workspace = f"past-{uuid.uuid4().hex[:12]}"
    can_evolve = kind == "registered"
    name = workspace if can_evolve else "samples"
    if can_evolve:
        registered(client, name, schema(INTEGER))
    body = {"collections": [name]}
    client.put(f"/workspaces/{workspace}", json=body).raise_for_status()
    collection = Collection(client, name, workspace)
    made = History(collection, random.Random(request.param))
    made.look()
    for _ in range(4):
        made.go_on(History.replace)
    made.take_snapshot()
    for _ in range(request.param):
        if can_evolve:
            made.evolve()
        for step in made.chance.sample(STEPS, len(STEPS)):
            made.go_on(step)
    yield made
    client.delete(f"/workspaces/{workspace}?force=true").raise_for_status()
    if can_evolve:
        client.delete(f"/entity-types/{name}").raise_for_status()


def test_every_moment_is_the_replay_of_the_journal(history: History) -> None:
    for seq, states in history.replayed():
        assert_moment(history, seq, states)
    done = {change["operation"] for change in history.changes()}
    assert done >= OPERATIONS


def assert_moment(history: History, seq: int, states: States) -> None:
    listed = records(history, seq)
    assert [briefly(record) for record in listed] == [
        briefly(states[record_id]) for record_id in sorted(states)
    ]
    if seq in history.seen:
        assert {record["id"]: record for record in listed} == history.seen[seq]
    exported = history.collection.export(as_of=seq).text.splitlines()
    assert [json.loads(line) for line in exported] == listed
    by_id = {record["id"]: record for record in listed}
    for record_id in history.chance.sample(history.ids, 2):
        answer = history.collection.read(record_id, as_of=seq)
        expected = by_id.get(record_id)
        assert (answer.json() if answer.is_success else None) == expected
    for query, matches in filters(history.amounts):
        found = records(history, seq, **query)
        assert found == [record for record in listed if matches(record)], query
    for sort, value in orders(history.amounts):
        expected_order = in_order(listed, sort, value)
        limit = history.chance.randint(1, 4)
        assert records(history, seq, sort=sort, limit=limit) == expected_order, sort


def records(history: History, seq: int, **query: Any) -> list[Json]:
    """All records of a moment, from all pages. Their number is that of ``count``."""
    found: list[Json] = []
    cursor: dict[str, str] = {}
    while True:
        asked = query | cursor
        answer = history.collection.find(as_of=seq, count="true", **asked)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        found += body["items"]
        if body["next_cursor"] is None:
            assert (body["total"], body["erased"]) == (len(found), 0)
            return found
        cursor = {"cursor": body["next_cursor"]}


def briefly(record: Json) -> Json:
    """The members that a record and its change have in common."""
    members = ("id", "collection", "workspace", "revision", "schema_version", "data")
    return {name: record[name] for name in members}


def amount(record: Json, declared: type) -> Any:
    """The amount; None where it is of another type than the schema declares."""
    found = record["data"].get("amount")
    return found if type(found) is declared else None


def filters(declared: type) -> list[tuple[Json, Test]]:
    """Conditions, and what they mean, where amounts are declared as a type."""
    bound = declared(1)

    def is_at_least(record: Json) -> bool:
        found = amount(record, declared)
        return found is not None and found >= bound

    def is_b_or_at_least(record: Json) -> bool:
        return record["data"].get("name") == "b" or is_at_least(record)

    literal = json.dumps(bound)
    return [
        ({"amount__gte": bound, "limit": 2}, is_at_least),
        ({"filter": f'data.name == "b" || data.amount >= {literal}'}, is_b_or_at_least),
        ({"spare_amount__isnull": "true"}, lambda each: spare(each) is None),
        ({"_revision__gt": 2, "limit": 3}, lambda each: each["revision"] > 2),
    ]


def spare(record: Json) -> Any:
    return record["data"].get("spare_amount")


def orders(declared: type) -> list[tuple[str, Callable[[Json], Any]]]:
    return [
        ("amount", lambda record: amount(record, declared)),
        ("-spare_amount", spare),
        ("-_revision", lambda record: record["revision"]),
    ]


def in_order(listed: list[Json], sort: str, value: Callable[[Json], Any]) -> list[Json]:
    """Sorted, with what has no value at the end."""
    descending = sort.startswith("-")
    by_id = listed[::-1] if descending else listed
    known = [record for record in by_id if value(record) is not None]
    unknown = [record for record in by_id if value(record) is None]
    # Of equal ones the id decides, in the same direction.
    known.sort(key=value, reverse=descending)
    return known + unknown
