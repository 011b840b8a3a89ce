"""Undo: what the changes of a request, or of a range, touched goes back."""

import uuid
from typing import Any

import httpx
import pytest

from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem


def head(client: httpx.Client) -> int:
    last: int = client.get("/changes", params={"after": "now"}).json()["last_seq"]
    return last


def undo(client: httpx.Client, *, dry_run: bool = False, **body: Any) -> httpx.Response:
    query = {"dry_run": "true"} if dry_run else {}
    return client.post("/changes/undo", json=body, params=query)


def undone(client: httpx.Client, **body: Any) -> Json:
    response = undo(client, **body)
    assert response.status_code == 200, response.text
    report: Json = response.json()
    return report


def outcomes(report: Json) -> dict[str, str]:
    return {record["id"]: record["outcome"] for record in report["records"]}


def named() -> tuple[str, dict[str, str]]:
    """A request id, and the headers of a request under it."""
    name = str(uuid.uuid4())
    return name, {"x-request-id": name}


def states(counters: Collection, *records: Json) -> list[Any]:
    """The data of some records, None of those that are not there."""
    found = [counters.read(record["id"]).json() for record in records]
    return [record.get("data") for record in found]


def test_all_changes_of_a_request_are_taken_back(counters: Collection) -> None:
    client = counters.client
    changed, removed = counters.created(value=1), counters.created(value=2)
    name, headers = named()
    made = counters.create({"value": 3}, headers=headers).json()
    counters.patch(changed["id"], {"value": 10}, headers=headers).raise_for_status()
    counters.delete(removed["id"], headers=headers).raise_for_status()
    after = states(counters, made, changed, removed)
    report = undone(client, request_id=name)
    assert (report["undone"], report["skipped"]) == (3, 0)
    assert outcomes(report) == {
        made["id"]: "deleted",
        changed["id"]: "reverted",
        removed["id"]: "recreated",
    }
    assert states(counters, made, changed, removed) == [
        None,
        changed["data"],
        removed["data"],
    ]
    entry = next(each for each in report["records"] if each["id"] == removed["id"])
    assert entry == {
        "collection": counters.name,
        "workspace": counters.workspace,
        "id": removed["id"],
        "from_revision": 2,
        "to_revision": 3,
        "data_revision": 1,
        "outcome": "recreated",
        "reason": None,
    }
    record = counters.record(removed["id"])
    assert record["created_at"] == removed["created_at"]
    change = counters.history(removed["id"])[0]
    assert (change["operation"], change["payload"]) == (
        "revert",
        {"undo": {"request_id": name}},
    )
    # An undo has its own request id, by which it can be undone.
    redone = undone(client, request_id=change["request_id"])
    assert redone["undone"] == 3
    assert states(counters, made, changed, removed) == after


def test_a_range_of_changes_is_taken_back(counters: Collection) -> None:
    client = counters.client
    record = counters.created(value=1)
    start = head(client)
    for value in (2, 3):
        counters.patch(record["id"], {"value": value}).raise_for_status()
    end = head(client)
    report = undone(client, from_seq=start + 1, to_seq=end)
    assert report["records"][0]["data_revision"] == 1
    assert counters.record(record["id"])["data"]["value"] == 1
    change = counters.history(record["id"])[0]
    assert change["payload"] == {"undo": {"from_seq": start + 1, "to_seq": end}}


def test_what_came_back_already_is_left_as_it_is(counters: Collection) -> None:
    record = counters.created(value=1)
    start = head(counters.client)
    counters.patch(record["id"], {"value": 2}).raise_for_status()
    counters.patch(record["id"], {"value": 1}).raise_for_status()
    made = counters.created(value=5)
    counters.delete(made["id"]).raise_for_status()
    report = undone(counters.client, from_seq=start + 1, to_seq=head(counters.client))
    assert (report["undone"], report["skipped"]) == (0, 0)
    assert outcomes(report) == {record["id"]: "unchanged", made["id"]: "unchanged"}
    assert head(counters.client) == start + 4
    by_id = {entry["id"]: entry for entry in report["records"]}
    assert by_id[record["id"]]["to_revision"] == 3
    assert by_id[made["id"]]["to_revision"] is None


def test_a_record_that_was_changed_since_is_a_conflict(counters: Collection) -> None:
    client = counters.client
    kept, other = counters.created(value=1), counters.created(value=1)
    name, headers = named()
    for record in (kept, other):
        counters.patch(record["id"], {"value": 2}, headers=headers).raise_for_status()
    counters.patch(kept["id"], {"value": 3}).raise_for_status()
    later = counters.history(kept["id"])[0]
    end = head(client)
    for dry_run in (True, False):
        refused = undo(client, request_id=name, dry_run=dry_run)
        problem = assert_problem(refused, 409, "undo-conflict")
        assert problem["records"] == [
            {
                "collection": counters.name,
                "workspace": counters.workspace,
                "id": kept["id"],
                "from_revision": 3,
                "to_revision": None,
                "data_revision": None,
                "outcome": "conflict",
                "reason": {
                    "conflict": "changed",
                    "at": later["at"],
                    "actor": later["actor"],
                },
            }
        ]
    assert head(client) == end
    report = undone(client, request_id=name, on_conflict="skip")
    assert (report["undone"], report["skipped"]) == (1, 1)
    assert [entry["outcome"] for entry in report["records"]] == ["skipped", "reverted"]
    assert counters.record(kept["id"])["data"]["value"] == 3
    assert counters.record(other["id"])["data"]["value"] == 1


def test_what_was_erased_cannot_come_back(counters: Collection) -> None:
    record = counters.created(value=1)
    name, headers = named()
    counters.patch(record["id"], {"value": 2}, headers=headers).raise_for_status()
    path = counters.at(record["id"])
    counters.client.delete(f"{path}/history").raise_for_status()
    refused = undo(counters.client, request_id=name)
    problem = assert_problem(refused, 409, "undo-conflict")
    assert problem["records"][0]["reason"] == {
        "conflict": "erased",
        "at": None,
        "actor": None,
    }


def test_a_dry_run_says_what_would_happen(counters: Collection) -> None:
    name, headers = named()
    made = counters.create({"value": 3}, headers=headers).json()
    end = head(counters.client)
    report = undo(counters.client, request_id=name, dry_run=True).json()
    assert outcomes(report) == {made["id"]: "deleted"}
    assert head(counters.client) == end
    assert counters.record(made["id"]) == made


def test_one_collection_is_taken_back(counters: Collection) -> None:
    name, headers = named()
    counters.create({"value": 3}, headers=headers).raise_for_status()
    elsewhere = undo(counters.client, request_id=name, collection="elsewhere")
    assert_problem(elsewhere, 404, "not-found")
    workspace = undo(counters.client, request_id=name, workspace="elsewhere")
    assert_problem(workspace, 404, "not-found")
    report = undone(
        counters.client,
        request_id=name,
        collection=counters.name,
        workspace=counters.workspace,
    )
    assert report["undone"] == 1


def test_an_undo_never_shares_the_request_id_that_it_takes_back(
    counters: Collection,
) -> None:
    client = counters.client
    record = counters.created(value=1)
    name, headers = named()
    counters.patch(record["id"], {"value": 2}, headers=headers).raise_for_status()
    answer = client.post("/changes/undo", json={"request_id": name}, headers=headers)
    own = answer.headers["x-request-id"]
    assert own != name
    assert counters.history(record["id"])[0]["request_id"] == own
    assert undone(client, request_id=own)["undone"] == 1
    assert counters.record(record["id"])["data"]["value"] == 2


def test_a_retry_under_its_key_undoes_once(counters: Collection) -> None:
    name, headers = named()
    counters.create({"value": 3}, headers=headers).raise_for_status()
    key = {"Idempotency-Key": str(uuid.uuid4())}
    answers = [
        counters.client.post("/changes/undo", json={"request_id": name}, headers=key)
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"from_seq": 1},
        {"to_seq": 1},
        {"from_seq": 2, "to_seq": 1},
        {"from_seq": 0, "to_seq": 1},
        {"request_id": "a", "from_seq": 1, "to_seq": 1},
        {"request_id": "a b"},
        {"request_id": "a", "on_conflict": "overwrite"},
        {"request_id": "a", "collection": "A"},
        {"request_id": "a", "since": 1},
        [],
    ],
)
def test_an_undo_names_what_it_takes_back(client: httpx.Client, body: Any) -> None:
    refused = client.post("/changes/undo", json=body)
    assert_problem(refused, 422, "invalid-payload")


def test_there_must_be_something_to_undo(counters: Collection) -> None:
    counters.created(value=1)
    client = counters.client
    assert_problem(undo(client, request_id="nobody"), 404, "not-found")
    beyond = undo(client, from_seq=1, to_seq=head(client) + 1)
    assert assert_problem(beyond, 400, "invalid-query")["last_seq"] == head(client)
    assert_problem(undo(client, from_seq=1, to_seq=2**63 - 1), 400, "invalid-query")


def test_unique_values_are_judged_at_the_end(accounts: Collection, marker: str) -> None:
    """Every record takes the value of the next one, and one of them is deleted."""
    made = [accounts.created(owner=f"{marker}-{each}") for each in range(3)]
    name, headers = named()
    accounts.delete(made[2]["id"], headers=headers).raise_for_status()
    for number in (1, 0):
        patch = {"owner": f"{marker}-{number + 1}"}
        changed = accounts.patch(made[number]["id"], patch, headers=headers)
        changed.raise_for_status()
    fourth = accounts.create({"owner": f"{marker}-0"}, headers=headers).json()
    report = undone(accounts.client, request_id=name)
    assert report["undone"] == 4
    assert states(accounts, *made) == [record["data"] for record in made]
    assert accounts.record(made[0]["id"])["revision"] == 3
    redone = accounts.history(made[0]["id"])[0]["request_id"]
    undone(accounts.client, request_id=redone)
    owners = [data and data["owner"] for data in states(accounts, *made, fourth)]
    assert owners == [f"{marker}-1", f"{marker}-2", None, f"{marker}-0"]


def test_a_unique_value_that_is_taken_keeps_everything_as_it_is(
    accounts: Collection, marker: str
) -> None:
    record = accounts.created(owner=marker)
    name, headers = named()
    accounts.delete(record["id"], headers=headers).raise_for_status()
    accounts.created(owner=marker)
    refused = undo(accounts.client, request_id=name)
    assert_problem(refused, 409, "unique-violation")


def test_a_large_import_is_taken_back(counters: Collection) -> None:
    client = counters.client
    kept = counters.created(value=1)
    name, headers = named()
    counters.patch(kept["id"], {"value": 2}, headers=headers).raise_for_status()
    lines = '{"value": 7}\n' * 1_200
    imported = client.post(
        f"{counters.path}/import",
        content=lines,
        headers={"content-type": "application/x-ndjson", **headers},
    )
    assert imported.status_code == 200, imported.text
    report = undone(client, request_id=name)
    assert (report["undone"], len(report["records"])) == (1_201, 1_000)
    changed = counters.history(kept["id"])[0]["request_id"]
    page = client.get("/changes", params={"request_id": changed, "limit": 500}).json()
    assert {change["operation"] for change in page["items"]} <= {"delete", "revert"}
    assert states(counters, kept) == [kept["data"]]
    assert undone(client, request_id=changed)["undone"] == 1_201


@pytest.fixture
def notes(client: httpx.Client) -> Collection:
    """A registered collection of its own."""
    name = f"notes-{uuid.uuid4().hex[:12]}"
    schema = {
        "type": "object",
        "required": ["text"],
        "properties": {"text": {"type": "string"}},
        "additionalProperties": False,
    }
    definition = {"schema": schema}
    client.put(f"/entity-types/{name}", json=definition).raise_for_status()
    return Collection(client, name)


def evolve(notes: Collection) -> None:
    """Have notes call their text something else."""
    schema = {
        "type": "object",
        "required": ["title"],
        "properties": {"title": {"type": "string"}},
        "additionalProperties": False,
    }
    definition = {
        "schema": schema,
        "migration": {"rename": {"text": "title"}},
    }
    evolved = notes.client.put(f"/entity-types/{notes.name}", json=definition)
    assert evolved.status_code == 200, evolved.text


def test_what_was_before_an_evolution_is_brought_forward(notes: Collection) -> None:
    changed, removed = notes.created(text="one"), notes.created(text="two")
    name, headers = named()
    notes.patch(changed["id"], {"text": "new"}, headers=headers).raise_for_status()
    notes.delete(removed["id"], headers=headers).raise_for_status()
    evolve(notes)
    report = undone(notes.client, request_id=name)
    assert report["undone"] == 2
    assert states(notes, changed, removed) == [{"title": "one"}, {"title": "two"}]


def test_changes_around_an_evolution_are_brought_forward(notes: Collection) -> None:
    record, start = notes.created(text="one"), head(notes.client)
    notes.patch(record["id"], {"text": "two"}).raise_for_status()
    evolve(notes)
    notes.patch(record["id"], {"title": "three"}).raise_for_status()
    end = head(notes.client)
    undone(notes.client, from_seq=start + 1, to_seq=end)
    assert states(notes, record) == [{"title": "one"}]
    again = head(notes.client)
    undone(notes.client, from_seq=again, to_seq=again)
    assert states(notes, record) == [{"title": "three"}]


def test_an_undo_before_an_evolution_is_undone(notes: Collection) -> None:
    record = notes.created(text="one")
    name, headers = named()
    notes.patch(record["id"], {"text": "two"}, headers=headers).raise_for_status()
    undone(notes.client, request_id=name)
    own = notes.history(record["id"])[0]["request_id"]
    evolve(notes)
    undone(notes.client, request_id=own)
    assert states(notes, record) == [{"title": "two"}]


@pytest.mark.parametrize("evolved", [False, True])
def test_a_restore_is_taken_back(notes: Collection, evolved: bool) -> None:
    """One record was changed since the snapshot, one deleted, one is as it was."""
    records = [notes.created(text=text) for text in ("one", "two", "three")]
    client = notes.client
    snapshot = client.post(f"{notes.path}/snapshots", json={}).json()["id"]
    if evolved:
        evolve(notes)
    member = "title" if evolved else "text"
    notes.patch(records[0]["id"], {member: "new"}).raise_for_status()
    notes.delete(records[1]["id"]).raise_for_status()
    before = states(notes, *records)
    name, headers = named()
    body = {"snapshot": snapshot, "on_conflict": "overwrite"}
    client.post("/migrations", json=body, headers=headers).raise_for_status()
    assert states(notes, *records) == [
        {member: text} for text in ("one", "two", "three")
    ]
    report = undone(client, request_id=name)
    assert report["undone"] == 2
    assert states(notes, *records) == before


def test_a_restore_into_an_empty_collection_is_taken_back(notes: Collection) -> None:
    records = [notes.created(text=text) for text in ("one", "two")]
    client = notes.client
    snapshot = client.post(f"{notes.path}/snapshots", json={}).json()["id"]
    for record in records:
        notes.delete(record["id"])
    name, headers = named()
    client.post("/migrations", json={"snapshot": snapshot}, headers=headers)
    report = undone(client, request_id=name)
    assert set(outcomes(report).values()) == {"deleted"}
    assert states(notes, *records) == [None, None]


def test_a_transaction_over_collections_is_taken_back(
    counters: Collection, notes: Collection
) -> None:
    counter, note = counters.created(value=1), notes.created(text="one")
    name, headers = named()
    there = {"collection": counters.name, "workspace": counters.workspace}
    operations = [
        {"op": "command", "id": counter["id"], "command": "increment"} | there,
        {"op": "create", "data": {"value": 7}} | there,
        {"op": "delete", "collection": notes.name, "id": note["id"]},
    ]
    stored = counters.client.post(
        "/transactions", json={"operations": operations}, headers=headers
    )
    made = stored.json()["results"][1]["record"]
    report = undone(counters.client, request_id=name)
    assert outcomes(report) == {
        counter["id"]: "reverted",
        made["id"]: "deleted",
        note["id"]: "recreated",
    }
    assert states(counters, counter, made) == [counter["data"], None]
    assert states(notes, note) == [note["data"]]


def test_a_selective_invoke_is_taken_back(counters: Collection, marker: str) -> None:
    records = [counters.created(value=each, name=marker) for each in range(3)]
    name, headers = named()
    invoked = counters.invoke("increment", {"by": 5}, headers=headers, name=marker)
    assert invoked.json()["invoked"] == 3
    assert undone(counters.client, request_id=name)["undone"] == 3
    assert states(counters, *records) == [record["data"] for record in records]


def test_an_evolution_itself_cannot_be_taken_back(notes: Collection) -> None:
    record = notes.created(text="one")
    start = head(notes.client)
    evolve(notes)
    refused = undo(notes.client, from_seq=start + 1, to_seq=start + 1)
    problem = assert_problem(refused, 409, "undo-conflict")
    assert problem["records"][0]["reason"]["conflict"] == "migrated"
    assert states(notes, record) == [{"title": "one"}]


def test_what_a_deleted_type_had_stays_as_it_is(
    notes: Collection, counters: Collection
) -> None:
    name, headers = named()
    counter = counters.created(value=1)
    client = notes.client
    created = client.post(notes.path, json={"text": "one"}, headers=headers)
    note = created.raise_for_status().json()
    counters.client.patch(
        counters.at(counter["id"]), json={"value": 2}, headers=headers
    ).raise_for_status()
    deletion, headers = named()
    client.delete(notes.at(note["id"]), headers=headers).raise_for_status()
    client.delete(f"/entity-types/{notes.name}").raise_for_status()
    for request_id in (name, deletion):
        refused = undo(client, request_id=request_id)
        problem = assert_problem(refused, 409, "undo-conflict")
        assert problem["records"][0]["reason"]["conflict"] == "changed"
    report = undone(client, request_id=name, on_conflict="skip")
    assert (report["undone"], report["skipped"]) == (1, 1)
    assert outcomes(report) == {note["id"]: "skipped", counter["id"]: "reverted"}
    assert states(counters, counter) == [counter["data"]]
