"""The migration endpoint: a snapshot comes back through the plans, whole or not at all
(contract 7)."""

import json
import threading
import uuid
from typing import Any

import httpx
import pytest

from tests.fixtures import TICKETS_1
from tests.fixtures.database import Database
from tests.fixtures.snapshots import (
    AT,
    Snapshots,
    content,
    entry,
    record,
    registered,
)
from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem, pointers
from tests.support.server import Server

REPORT = {
    "id",
    "kind",
    "at",
    "snapshot",
    "created",
    "skipped",
    "overwritten",
    "migrated",
    "collections",
    "failures",
}
POLICIES = ("fail", "skip", "overwrite")
TEXT: Json = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
}


@pytest.fixture
def notes(client: httpx.Client, marker: str) -> Collection:
    """An empty registered collection that no other test uses."""
    return registered(client, f"notes-{marker}", TEXT)


@pytest.fixture
def accounts(client: httpx.Client) -> Collection:
    return Collection(client, "accounts")


def forget(client: httpx.Client, name: str) -> None:
    """Delete a registered type with all its records."""
    assert (
        client.delete(f"/api/{name}?_revision__gte=1&max_affected=9999").status_code
        == 200
    )
    assert client.delete(f"/entity-types/{name}").status_code == 204


def new_id() -> str:
    return str(uuid.uuid4())


def definition(schema: Any = TEXT, number: Any = 1, **more: Any) -> Json:
    """A definition as a manifest brings it."""
    given: Json = {"unique": [], "indexes": [], "commands": {}, "steps": []}
    return {"schema_version": number, "schema": schema, **given, **more}


def brought(name: str, *definitions: Json, **more: Any) -> Json:
    """A registered collection as a manifest tells of it."""
    versions = definitions or (definition(),)
    number = versions[-1]["schema_version"]
    return entry(
        name,
        kind="registered",
        definitions=list(versions),
        **{"schema_version": number, **more},
    )


def snapshot(
    entries: list[Json], records: list[Json] | None = None
) -> tuple[str, bytes]:
    """The id and the content of a snapshot from elsewhere."""
    id = new_id()
    ordered = sorted(
        records or [], key=lambda r: (r["workspace"] or "", r["collection"], r["id"])
    )
    return id, content(entries, ordered, id=id)


def at_hand(
    snapshots: Snapshots, entries: list[Json], records: list[Json] | None = None
) -> str:
    """The id of a snapshot from elsewhere that was uploaded."""
    return snapshots.uploaded(snapshot(entries, records)[1])


# --- the road
# --------------------------------------------------------------------------------------


def test_records_come_back_under_their_ids_with_their_times(
    snapshots: Snapshots, notes: Collection
) -> None:
    records = [notes.created(text=text) for text in "abc"]
    records[0] = notes.patch(records[0]["id"], {"text": "A"}).json()
    id = snapshots.of(notes.name)["id"]
    for stored_record in records:
        notes.delete(stored_record["id"])
    report = snapshots.restored(id)
    assert report.keys() == REPORT
    assert (report["snapshot"], report["failures"]) == (id, [])
    assert (
        report["created"],
        report["skipped"],
        report["overwritten"],
        report["migrated"],
    ) == (3, 0, 0, 0)
    assert report["collections"] == [
        {"name": notes.name, "from_versions": {"1": 3}, "to_version": 1}
    ]
    for stored_record in records:
        assert notes.record(stored_record["id"]) == stored_record | {
            "revision": stored_record["revision"] + 2
        }


def test_the_showcase_of_version_1(snapshots: Snapshots, client: httpx.Client) -> None:
    tickets = Collection(client, "ops-tickets")
    id = snapshots.uploaded(TICKETS_1.snapshot.read_bytes())
    report = snapshots.restored(id)
    assert (report["created"], report["migrated"]) == (2, 2)
    assert report["collections"] == [
        {"name": "ops-tickets", "from_versions": {"1": 2}, "to_version": 2}
    ]
    by_title = {item["data"]["title"]: item for item in tickets.items()}
    assert by_title["Database degraded"]["data"]["severity"] == 40
    assert by_title["API latency spike"]["data"]["severity"] == 20
    for item in by_title.values():
        assert item["schema_version"] == 2
        assert item["data"]["migration_note"] is None
    refused = assert_problem(snapshots.restore(id), 409, "restore-conflict")
    assert len(refused["failures"]) == 2
    skipped = snapshots.restored(id, on_conflict="skip")
    assert (skipped["created"], skipped["skipped"], skipped["overwritten"]) == (0, 2, 0)
    overwritten = snapshots.restored(id, on_conflict="overwrite")
    assert (
        overwritten["created"],
        overwritten["skipped"],
        overwritten["overwritten"],
    ) == (0, 0, 2)
    assert {item["id"]: item["revision"] for item in tickets.items()} == {
        item["id"]: item["revision"] for item in by_title.values()
    }


@pytest.mark.parametrize(
    ("here", "kept", "comes", "becomes"),
    [
        (0, 0, 7, 7),
        (1, 0, 7, 8),
        (4, 0, 3, 6),
        (3, 3, 1, 4),
        (2, 2, 9, 10),
    ],
    ids=[
        "never known",
        "deleted at 2",
        "deleted at 5",
        "overwritten at 3",
        "overwritten at 2",
    ],
)
def test_no_revision_is_ever_used_twice(
    snapshots: Snapshots,
    notes: Collection,
    here: int,
    kept: int,
    comes: int,
    becomes: int,
) -> None:
    id = new_id()
    for revision in range(here):
        notes.replace(id, {"text": f"{revision}"})
    if here and not kept:
        notes.delete(id)
    from_there = [record(notes.name, id, {"text": "from there"}, revision=comes)]
    snapshots.restored(
        at_hand(snapshots, [brought(notes.name)], from_there), on_conflict="overwrite"
    )
    restored = notes.record(id)
    assert (restored["revision"], restored["data"]) == (becomes, {"text": "from there"})
    assert (restored["created_at"], restored["updated_at"]) == (AT, AT)
    revisions = [change["revision"] for change in notes.history(id)]
    assert revisions == sorted(set(revisions), reverse=True)


@pytest.mark.parametrize(
    ("name", "becomes"), [("plan-mutating", 4), ("plan-neutral", 3)]
)
def test_a_record_takes_a_revision_where_a_step_changed_it(
    snapshots: Snapshots, client: httpx.Client, name: str, becomes: int
) -> None:
    id = new_id()
    old = at_hand(snapshots, [entry(name)], [record(name, id, {"n": 7}, revision=3)])
    assert snapshots.restored(old)["migrated"] == 1
    restored = client.get(f"/api/{name}/{id}").json()
    assert (restored["revision"], restored["schema_version"]) == (becomes, 2)
    assert restored["data"] == {"n": 8 if name == "plan-mutating" else 7}


def test_the_journal_tells_of_each_restored_record_and_of_the_snapshot(
    snapshots: Snapshots, notes: Collection, stored: Database
) -> None:
    stored_record = notes.created(text="x")
    id = snapshots.of(notes.name)["id"]
    notes.delete(stored_record["id"])
    report = snapshots.restored(id)
    change, *_ = notes.history(stored_record["id"])
    assert (change["operation"], change["revision"], change["data"]) == (
        "restore",
        3,
        {"text": "x"},
    )
    assert change["at"] == report["at"] > stored_record["updated_at"]
    changes = stored.rows(
        f"SELECT snapshot, operation FROM journal WHERE id = '{stored_record['id']}' ORDER"
        " BY seq"
    )
    assert changes == [(None, "create"), (None, "delete"), (id, "restore")]
    assert notes.read(stored_record["id"], revision=3).json() == notes.record(
        stored_record["id"]
    )


def test_everything_is_restored_at_once(
    snapshots: Snapshots, client: httpx.Client, marker: str
) -> None:
    names = [f"a-{marker}", f"b-{marker}"]
    for name in names:
        registered(client, name, TEXT).created(text=name)
    id = snapshots.take()["id"]
    for name in names:
        client.delete(f"/api/{name}?text={name}&max_affected=1")
    report = snapshots.restored(id, on_conflict="skip")
    assert report["created"] == 2
    reports = {part["name"]: part for part in report["collections"]}
    assert {name: reports[name]["from_versions"] for name in names} == {
        name: {"1": 1} for name in names
    }
    assert list(reports) == sorted(reports)


# --- records that are here already
# -----------------------------------------------------------------


@pytest.mark.parametrize("body", [{}, {"on_conflict": "fail"}])
def test_an_id_that_is_here_refuses_everything(
    snapshots: Snapshots, notes: Collection, stored: Database, body: Json
) -> None:
    records = [notes.created(text=text) for text in "abc"]
    id = snapshots.of(notes.name)["id"]
    notes.delete(records[0]["id"])
    before = stored.contents()
    problem = assert_problem(snapshots.restore(id, **body), 409, "restore-conflict")
    assert {failure["id"] for failure in problem["failures"]} == {
        stored_record["id"] for stored_record in records[1:]
    }
    assert all(failure["collection"] == notes.name for failure in problem["failures"])
    assert "on_conflict skip or overwrite" in problem["detail"]
    assert stored.contents() == before


def test_skip_leaves_what_is_here(snapshots: Snapshots, notes: Collection) -> None:
    kept, deleted = notes.created(text="kept"), notes.created(text="deleted")
    id = snapshots.of(notes.name)["id"]
    kept = notes.patch(kept["id"], {"text": "changed since"}).json()
    notes.delete(deleted["id"])
    report = snapshots.restored(id, on_conflict="skip")
    assert (report["created"], report["skipped"], report["overwritten"]) == (1, 1, 0)
    assert notes.record(kept["id"]) == kept
    assert notes.record(deleted["id"])["data"] == {"text": "deleted"}


def test_overwrite_replaces_what_is_here(
    snapshots: Snapshots, notes: Collection
) -> None:
    changed, same, later = (
        notes.created(text=text) for text in ("old", "same", "later")
    )
    id = snapshots.of(notes.name)["id"]
    notes.patch(changed["id"], {"text": "new"})
    later = notes.patch(later["id"], {"text": "and later"}).json()
    report = snapshots.restored(id, on_conflict="overwrite")
    assert (report["created"], report["skipped"], report["overwritten"]) == (0, 0, 3)
    assert notes.record(changed["id"]) == changed | {"revision": 3}
    assert notes.record(same["id"]) == same
    assert [change["operation"] for change in notes.history(same["id"])] == ["create"]
    assert notes.record(later["id"])["data"] == {"text": "later"}


def test_records_that_came_since_stay(snapshots: Snapshots, notes: Collection) -> None:
    id = snapshots.of(notes.name)["id"]
    since = notes.created(text="since")
    snapshots.restored(id, on_conflict="overwrite")
    assert notes.record(since["id"]) == since


# --- unique values
# ---------------------------------------------------------------------------------


def owner_of(accounts: Collection, owner: str) -> Json:
    return accounts.created(owner=owner)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_unique_value_of_another_record_refuses_everything(
    snapshots: Snapshots,
    accounts: Collection,
    stored: Database,
    marker: str,
    policy: str,
) -> None:
    first, second = owner_of(accounts, f"{marker}-1"), owner_of(accounts, f"{marker}-2")
    records = [
        record("accounts", stored_record["id"], stored_record["data"])
        for stored_record in (first, second)
    ]
    for stored_record in (first, second):
        accounts.delete(stored_record["id"])
    owner_of(accounts, f"{marker}-2")
    before = stored.contents()
    id = at_hand(snapshots, [entry("accounts")], records)
    problem = assert_problem(
        snapshots.restore(id, on_conflict=policy), 409, "unique-violation"
    )
    (failure,) = problem["failures"]
    assert (failure["collection"], failure["id"], failure["pointer"]) == (
        "accounts",
        second["id"],
        "/owner",
    )
    assert "owner" in failure["detail"]
    after = stored.contents()
    assert {
        name: rows for name, rows in after.items() if not name.startswith("snapshot")
    } == {
        name: rows for name, rows in before.items() if not name.startswith("snapshot")
    }


@pytest.mark.parametrize("policy", POLICIES)
def test_a_skipped_or_overwritten_record_is_no_obstacle_to_itself(
    snapshots: Snapshots, accounts: Collection, marker: str, policy: str
) -> None:
    stored_record = owner_of(accounts, marker)
    id = at_hand(
        snapshots,
        [entry("accounts")],
        [record("accounts", stored_record["id"], stored_record["data"])],
    )
    if policy == "fail":
        accounts.delete(stored_record["id"])
    report = snapshots.restored(id, on_conflict=policy)
    assert (
        report[
            {"fail": "created", "skip": "skipped", "overwrite": "overwritten"}[policy]
        ]
        == 1
    )


def test_unique_values_may_have_been_swapped(
    snapshots: Snapshots, accounts: Collection, marker: str
) -> None:
    first, second = owner_of(accounts, f"{marker}-1"), owner_of(accounts, f"{marker}-2")
    records = [
        record("accounts", stored_record["id"], stored_record["data"])
        for stored_record in (first, second)
    ]
    id = at_hand(snapshots, [entry("accounts")], records)
    for stored_record, owner in ((first, "between"), (second, "1"), (first, "2")):
        accounts.patch(stored_record["id"], {"owner": f"{marker}-{owner}"})
    assert snapshots.restored(id, on_conflict="overwrite")["overwritten"] == 2
    assert accounts.record(first["id"])["data"] == first["data"]
    assert accounts.record(second["id"])["data"] == second["data"]


def test_a_unique_value_twice_in_the_snapshot_is_refused(
    snapshots: Snapshots, accounts: Collection, marker: str
) -> None:
    records = [
        record("accounts", new_id(), {"owner": marker, "balance": n}) for n in range(3)
    ]
    id = at_hand(snapshots, [entry("accounts")], records)
    problem = assert_problem(snapshots.restore(id), 409, "unique-violation")
    assert len(problem["failures"]) == 2
    assert accounts.items(owner=marker) == []


def test_the_first_hundred_records_with_unique_values_of_others_are_named(
    snapshots: Snapshots, client: httpx.Client, marker: str
) -> None:
    schema = {
        "type": "object",
        "properties": {"row": {"type": "integer"}, "seat": {"type": "integer"}},
    }
    places = registered(client, f"places-{marker}", schema, unique=[["row", "seat"]])
    lines = "".join(json.dumps({"row": n % 7, "seat": n}) + "\n" for n in range(620))
    assert places.import_lines(lines).status_code == 200
    manifest = snapshots.of(places.name)
    taken = [
        json.loads(line)
        for line in snapshots.content(manifest["id"]).splitlines()[1:-1]
    ]
    moved = [line | {"id": str(uuid.UUID(int=n))} for n, line in enumerate(taken)]
    id = at_hand(snapshots, manifest["collections"], moved)
    problem = assert_problem(
        snapshots.restore(id, on_conflict="skip"), 409, "unique-violation"
    )
    assert [failure["id"] for failure in problem["failures"]] == [
        stored_record["id"] for stored_record in moved[:100]
    ]
    assert {failure["pointer"] for failure in problem["failures"]} == {"/row"}
    assert "row and seat" in problem["failures"][0]["detail"]


# --- data that does not come along
# -----------------------------------------------------------------


def test_invalid_data_names_the_first_hundred_records_and_where_they_are_wrong(
    snapshots: Snapshots, notes: Collection, stored: Database
) -> None:
    records = [
        record(notes.name, str(uuid.UUID(int=n)), {"text": n, "x": 1})
        for n in range(1100)
    ]
    records += [record(notes.name, new_id(), {"text": "fine"})]
    id = at_hand(snapshots, [brought(notes.name)], records)
    before = stored.contents()
    problem = assert_problem(snapshots.restore(id), 422, "migration-failed")
    assert [failure["id"] for failure in problem["failures"]] == [
        r["id"] for r in records[:100]
    ]
    assert {failure["pointer"] for failure in problem["failures"]} == {"/text"}
    assert {failure["collection"] for failure in problem["failures"]} == {notes.name}
    assert stored.contents() == before


def fail_at_the_last(
    snapshots: Snapshots, stored: Database, name: str, count: int
) -> None:
    """Restore many records of which the last one is invalid: every table stays as it
    was."""
    ids = sorted(new_id() for _ in range(count))
    records = [record(name, id, {"text": f"{n}"}) for n, id in enumerate(ids)]
    records[-1]["data"]["text"] = None
    id = at_hand(snapshots, [brought(name)], records)
    before = stored.contents()
    problem = assert_problem(snapshots.restore(id), 422, "migration-failed")
    (failure,) = problem["failures"]
    assert (failure["id"], failure["pointer"]) == (ids[-1], "/text")
    assert stored.contents() == before


def test_a_failure_at_the_last_record_leaves_every_table_as_it_was(
    snapshots: Snapshots, notes: Collection, stored: Database
) -> None:
    fail_at_the_last(snapshots, stored, notes.name, 1_600)


@pytest.mark.slow
def test_a_failure_at_the_last_of_100_000_records_leaves_every_table_as_it_was(
    snapshots: Snapshots, notes: Collection, stored: Database
) -> None:
    fail_at_the_last(snapshots, stored, notes.name, 100_000)


def test_a_unique_value_taken_by_the_last_record_leaves_every_table_as_it_was(
    snapshots: Snapshots, accounts: Collection, stored: Database, marker: str
) -> None:
    ids = sorted(new_id() for _ in range(1_600))
    owner_of(accounts, f"{marker}-{len(ids) - 1}")
    records = [
        record("accounts", id, {"owner": f"{marker}-{n}"}) for n, id in enumerate(ids)
    ]
    id = at_hand(snapshots, [entry("accounts")], records)
    before = stored.contents()
    problem = assert_problem(snapshots.restore(id), 409, "unique-violation")
    assert [failure["id"] for failure in problem["failures"]] == ids[-1:]
    assert stored.contents() == before


@pytest.mark.parametrize(
    ("name", "good", "bad", "pointer", "named"),
    [
        ("plan-raising", [2, 4], 3, "", "the step 1 to 2 raised LookupError: 3 is odd"),
        ("plan-listing", [], 3, "", "the step 1 to 2 returned list, not an object"),
        ("plan-invalid", [3], 11, "/n", "less than or equal to 20"),
        ("plan-gapped", [], 3, "", "no step from schema version 1"),
    ],
)
def test_a_plan_that_fails_is_named_and_nothing_is_stored(
    snapshots: Snapshots,
    stored: Database,
    name: str,
    good: list[int],
    bad: int,
    pointer: str,
    named: str,
) -> None:
    fine = [record(name, new_id(), {"n": n}) for n in good]
    failing = record(name, new_id(), {"n": bad})
    assert snapshots.restore(
        at_hand(snapshots, [entry(name)], fine), dry_run=True
    ).is_success
    id = at_hand(snapshots, [entry(name)], [*fine, failing])
    before = stored.contents()
    problem = assert_problem(snapshots.restore(id), 422, "migration-failed")
    assert failing["id"] in problem["detail"]
    assert "correct the plan" in problem["detail"]
    assert {failure["id"] for failure in problem["failures"]} == {failing["id"]}
    assert pointer in {failure["pointer"] for failure in problem["failures"]}
    assert any(named in failure["detail"] for failure in problem["failures"])
    assert stored.contents() == before


def test_typed_data_of_the_future_names_what_to_do(
    snapshots: Snapshots, stored: Database
) -> None:
    future = record(
        "ops-tickets",
        new_id(),
        {"title": "x", "severity": 30, "acknowledged": False},
        schema_version=9,
    )
    id = at_hand(snapshots, [entry("ops-tickets", schema_version=9)], [future])
    before = stored.contents()
    problem = assert_problem(snapshots.restore(id), 422, "migration-failed")
    (failure,) = problem["failures"]
    assert failure["id"] == future["id"]
    assert (
        "schema version 9, the current one is 2: bring the service up to date"
        in failure["detail"]
    )
    assert stored.contents() == before


def test_registered_data_of_the_future_names_what_to_do(
    snapshots: Snapshots, notes: Collection, stored: Database
) -> None:
    later = {
        "type": "object",
        "properties": {"text": {"type": "string"}, "n": {"type": "integer"}},
    }
    described = brought(
        notes.name, definition(), definition(later, 2, steps=[{"from": 1, "to": 2}])
    )
    future = record(notes.name, new_id(), {"text": "x", "n": 1}, schema_version=2)
    id = at_hand(snapshots, [described], [future])
    before = stored.contents()
    problem = assert_problem(snapshots.restore(id), 422, "migration-failed")
    (failure,) = problem["failures"]
    assert failure["id"] == future["id"]
    assert f"PUT /entity-types/{notes.name}" in failure["detail"]
    assert stored.contents() == before
    response = notes.client.put(
        f"/entity-types/{notes.name}",
        json={"schema": later, "migration": [{"from": 1, "to": 2}]},
    )
    assert response.json()["schema_version"] == 2
    assert snapshots.restored(id)["created"] == 1


def test_a_typed_collection_that_is_not_here_is_refused(
    snapshots: Snapshots, stored: Database
) -> None:
    id = at_hand(
        snapshots, [entry("spaceships")], [record("spaceships", new_id(), {"n": 1})]
    )
    before = stored.contents()
    problem = assert_problem(snapshots.restore(id), 422, "migration-failed")
    assert "spaceships" in problem["detail"]
    assert "deploy its class first" in problem["detail"]
    assert stored.contents() == before


def test_a_collection_of_the_other_kind_is_refused(
    snapshots: Snapshots, notes: Collection
) -> None:
    for described, kind in (
        (brought("accounts"), "typed here"),
        (entry(notes.name), "registered here"),
    ):
        problem = assert_problem(
            snapshots.restore(at_hand(snapshots, [described])), 422, "migration-failed"
        )
        assert kind in problem["detail"]


def test_one_failing_collection_holds_back_all(
    snapshots: Snapshots, client: httpx.Client, notes: Collection, stored: Database
) -> None:
    good = record(notes.name, new_id(), {"text": "good"})
    bad = record("plan-listing", new_id(), {"n": 1})
    id = at_hand(snapshots, [brought(notes.name), entry("plan-listing")], [good, bad])
    before = stored.contents()
    assert_problem(snapshots.restore(id), 422, "migration-failed")
    assert stored.contents() == before
    assert notes.read(good["id"]).status_code == 404


# --- registered types
# ------------------------------------------------------------------------------


def test_a_missing_registered_type_is_registered_with_the_same_numbers(
    snapshots: Snapshots, client: httpx.Client, marker: str
) -> None:
    name = f"parcels-{marker}"
    grams = {
        "type": "object",
        "properties": {"grams": {"type": "integer"}},
        "required": ["grams"],
    }
    kilos = {
        "type": "object",
        "properties": {"kilos": {"type": "integer"}, "code": {"type": "string"}},
    }
    steps = [
        {
            "from": 1,
            "to": 3,
            "rename": {"grams": "kilos"},
            "set": {"kilos": "data.kilos / 1000"},
        }
    ]
    more: Json = {
        "unique": [["code"]],
        "commands": {"empty": {"set": {"kilos": "0"}}},
        "steps": steps,
    }
    described = brought(name, definition(grams), definition(kilos, 3, **more))
    old = record(name, new_id(), {"grams": 7000})
    new = record(
        name, new_id(), {"kilos": 2, "code": "A"}, schema_version=3, revision=5
    )
    report = snapshots.restored(at_hand(snapshots, [described], [old, new]))
    assert report["collections"] == [
        {"name": name, "from_versions": {"1": 1, "3": 1}, "to_version": 3}
    ]
    assert report["migrated"] == 1
    parcels = Collection(client, name)
    assert parcels.record(old["id"])["data"] == {"kilos": 7}
    assert parcels.record(new["id"]) == new
    versions = client.get(f"/entity-types/{name}/versions").json()["items"]
    assert [version["schema_version"] for version in versions] == [1, 3]
    assert [version["schema"] for version in versions] == [grams, kilos]
    assert [version["current"] for version in versions] == [False, True]
    assert_problem(parcels.create({"code": "A"}), 409, "unique-violation")
    assert parcels.command(new["id"], "empty").json()["record"]["data"]["kilos"] == 0
    assert parcels.created(kilos=1)["schema_version"] == 3
    assert client.get(f"/migration-plans/{name}").json()["steps"][0]["to"] == 3


def test_a_schema_only_snapshot_registers_types(
    snapshots: Snapshots, client: httpx.Client, marker: str
) -> None:
    notes = registered(client, f"notes-{marker}", TEXT)
    id = snapshots.of(notes.name, mode="schema_only")["id"]
    forget(client, notes.name)
    report = snapshots.restored(id)
    assert (report["created"], report["collections"][0]["from_versions"]) == (0, {})
    assert notes.created(text="again")["schema_version"] == 1


def test_a_dry_run_registers_nothing(
    snapshots: Snapshots, client: httpx.Client, stored: Database, marker: str
) -> None:
    name = f"notes-{marker}"
    id = at_hand(snapshots, [brought(name)], [record(name, new_id(), {"text": "x"})])
    before, tables = stored.contents(), stored.tables()
    response = snapshots.restore(id, dry_run=True)
    assert (response.status_code, response.json()["created"]) == (200, 1)
    assert (stored.contents(), stored.tables()) == (before, tables)
    assert_problem(client.get(f"/api/{name}"), 404, "collection-not-found")


def test_a_deleted_type_comes_back_under_its_own_numbers(
    snapshots: Snapshots, client: httpx.Client, notes: Collection
) -> None:
    stored_record = notes.created(text="x")
    id = snapshots.of(notes.name)["id"]
    forget(client, notes.name)
    report = snapshots.restored(id)
    assert report["collections"] == [
        {"name": notes.name, "from_versions": {"1": 1}, "to_version": 1}
    ]
    assert notes.record(stored_record["id"]) == stored_record | {"revision": 3}
    response = client.put(
        f"/entity-types/{notes.name}", json={"schema": {"type": "object"}}
    )
    assert response.json()["schema_version"] == 2


def test_a_deleted_type_that_went_on_since_comes_back_where_it_was(
    snapshots: Snapshots, client: httpx.Client, notes: Collection
) -> None:
    stored_record = notes.created(text="x")
    id = snapshots.of(notes.name)["id"]
    titled = {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
    }
    registered(client, notes.name, titled, migration={"rename": {"text": "title"}})
    forget(client, notes.name)
    report = snapshots.restored(id)
    assert report["collections"] == [
        {"name": notes.name, "from_versions": {"1": 1}, "to_version": 2}
    ]
    assert notes.record(stored_record["id"])["data"] == {"title": "x"}
    assert client.get(f"/entity-types/{notes.name}").json()["schema"] == titled


OTHER: Json = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "n": {"type": "integer"}},
}


def test_definitions_that_disagree_at_the_current_version_are_refused(
    snapshots: Snapshots, notes: Collection, stored: Database
) -> None:
    id = at_hand(
        snapshots,
        [brought(notes.name, definition(OTHER))],
        [record(notes.name, new_id(), {"text": "x"})],
    )
    before = stored.contents()
    problem = assert_problem(snapshots.restore(id), 422, "migration-failed")
    assert (
        f"schema version 1 of {notes.name} has another schema here" in problem["detail"]
    )
    assert "send a plan" in problem["detail"]
    assert stored.contents() == before


def test_definitions_that_disagree_at_an_older_version_are_refused_unless_a_plan_is_sent(
    snapshots: Snapshots, client: httpx.Client, notes: Collection
) -> None:
    registered(client, notes.name, {**TEXT, "additionalProperties": False})
    there = record(notes.name, new_id(), {"text": "x", "n": 1})
    id = at_hand(snapshots, [brought(notes.name, definition(OTHER))], [there])
    problem = assert_problem(snapshots.restore(id), 422, "migration-failed")
    assert (
        f"schema version 1 of {notes.name} has another schema here" in problem["detail"]
    )
    plan = {notes.name: [{"from": 1, "to": 2, "drop": ["n"]}]}
    assert snapshots.restored(id, plan=plan)["migrated"] == 1
    assert notes.record(there["id"])["data"] == {"text": "x"}


def test_a_deleted_type_whose_definitions_disagree_is_refused(
    snapshots: Snapshots, client: httpx.Client, notes: Collection
) -> None:
    forget(client, notes.name)
    id = at_hand(snapshots, [brought(notes.name, definition(OTHER))])
    assert_problem(snapshots.restore(id), 422, "migration-failed")
    assert_problem(client.get(f"/api/{notes.name}"), 404, "collection-not-found")


@pytest.mark.parametrize(
    "definitions",
    [
        [],
        [definition(number=2)],
        [definition(), definition(number=1)],
        [definition(number=2), definition()],
        [definition(), definition(number=2)],
        [definition(number=True)],
        [definition(number="1")],
        [definition(number=-1), definition()],
        [definition(number=2**40)],
        [{"schema": TEXT}],
        [{"schema_version": 1}],
        ["x"],
        [7],
        [definition({"type": "nonsense"})],
        [definition({"$ref": "http://example.com/schema.json"})],
        [definition({"type": "object", "properties": {"a": {"pattern": "(a+)+$("}}})],
        [definition(5)],
        [definition(commands={"no name!": {}})],
        [definition(commands={"run": {"set": {"text": "nonsense("}}})],
        [definition(steps=[{"from": 2, "to": 1}])],
        [definition(steps="x")],
        [definition(unique=[["absent"]])],
        [definition(indexes=[["text'); DROP TABLE journal; --"]])],
        [definition(more=1)],
    ],
    ids=range(24),
)
def test_definitions_that_cannot_be_are_refused_and_nothing_is_stored(
    snapshots: Snapshots, stored: Database, marker: str, definitions: list[Any]
) -> None:
    described = entry(f"notes-{marker}", kind="registered", definitions=definitions)
    id = at_hand(snapshots, [described])
    before = stored.contents()
    response = snapshots.restore(id)
    assert response.status_code == 422, response.text
    assert response.json()["code"] in ("migration-failed", "invalid-schema")
    assert stored.contents() == before


# --- a plan for one run
# ----------------------------------------------------------------------------


def test_a_plan_may_be_sent_for_a_typed_collection(
    snapshots: Snapshots, client: httpx.Client
) -> None:
    old = record("plan-raising", new_id(), {"n": 3, "more": 1})
    id = at_hand(snapshots, [entry("plan-raising")], [old])
    assert_problem(snapshots.restore(id), 422, "migration-failed")
    plan = {
        "plan-raising": [
            {"from": 1, "to": 2, "drop": ["more"], "set": {"n": "data.n * 100"}}
        ]
    }
    assert snapshots.restored(id, plan=plan)["migrated"] == 1
    assert client.get(f"/api/plan-raising/{old['id']}").json()["data"] == {"n": 300}


def test_a_plan_of_several_steps_closes_a_gap(
    snapshots: Snapshots, client: httpx.Client
) -> None:
    records = [
        record("plan-gapped", new_id(), {"n": n}, schema_version=n) for n in (1, 2, 3)
    ]
    id = at_hand(snapshots, [entry("plan-gapped", schema_version=2)], records)
    steps = [{"from": n, "to": n + 1, "set": {"n": "data.n + 10"}} for n in (1, 2)]
    report = snapshots.restored(id, plan={"plan-gapped": steps})
    assert report["collections"][0]["from_versions"] == {"1": 1, "2": 1, "3": 1}
    numbers = [
        client.get(f"/api/plan-gapped/{stored_record['id']}").json()["data"]["n"]
        for stored_record in records
    ]
    assert (numbers, report["migrated"]) == ([21, 12, 3], 2)


@pytest.mark.parametrize(
    ("steps", "where"),
    [
        ("DROP TABLE journal", "/plan/ops-tickets"),
        ([7], "/plan/ops-tickets/0"),
        ([{"to": 2, "set": {}}], "/plan/ops-tickets/0/from"),
        ([{"from": 1, "to": 1}], "/plan/ops-tickets/0/to"),
        ([{"from": 1, "to": 3}], "/plan/ops-tickets/0/to"),
        (
            [{"from": 1, "to": 2, "sql": "DROP TABLE journal"}],
            "/plan/ops-tickets/0/sql",
        ),
        (
            [{"from": 1, "to": 2, "set": {"severity": "nonsense("}}],
            "/plan/ops-tickets/0/set/severity",
        ),
        ([{"from": 1, "to": 2}, {"from": 1, "to": 2}], "/plan/ops-tickets"),
    ],
)
def test_a_faulty_plan_is_refused_by_its_pointer(
    snapshots: Snapshots, steps: Any, where: str
) -> None:
    id = at_hand(snapshots, [entry("ops-tickets")])
    problem = assert_problem(
        snapshots.restore(id, plan={"ops-tickets": steps}), 422, "invalid-schema"
    )
    assert pointers(problem) == {where}


def test_a_plan_for_what_the_snapshot_does_not_hold_is_refused(
    snapshots: Snapshots,
) -> None:
    id = at_hand(snapshots, [entry("ops-tickets")])
    problem = assert_problem(
        snapshots.restore(id, plan={"tickets": []}), 422, "migration-failed"
    )
    assert "tickets" in problem["detail"]


# --- workspaces
# ------------------------------------------------------------------------------------


def test_a_workspace_must_be_declared(
    snapshots: Snapshots, notes: Collection, stored: Database
) -> None:
    there = record(notes.name, new_id(), {"text": "x"}, workspace="elsewhere")
    id = at_hand(snapshots, [brought(notes.name, workspace="elsewhere")], [there])
    before = stored.contents()
    assert_problem(
        snapshots.restore(id, workspace="nowhere"), 404, "workspace-not-found"
    )
    assert_problem(snapshots.restore(id, workspace=""), 404, "workspace-not-found")
    assert stored.contents() == before
    assert snapshots.restored(id, workspace=None)["created"] == 1
    assert notes.record(there["id"]) == there | {"workspace": None}


def test_one_id_from_two_workspaces_does_not_fit_into_one(
    snapshots: Snapshots, notes: Collection, stored: Database
) -> None:
    id = new_id()
    records = [record(notes.name, id, {"text": w}, workspace=w) for w in ("one", "two")]
    records.append(record(notes.name, new_id(), {"text": "fine"}, workspace="two"))
    both = at_hand(
        snapshots, [brought(notes.name, workspace=w) for w in ("one", "two")], records
    )
    before = stored.contents()
    problem = assert_problem(
        snapshots.restore(both, workspace=None), 409, "restore-conflict"
    )
    assert [failure["id"] for failure in problem["failures"]] == [id]
    assert "twice" in problem["detail"]
    assert stored.contents() == before


# --- asking ---------------------------------------------------------------------------
# -------------


def test_completed_runs_are_listed_newest_first(
    snapshots: Snapshots, client: httpx.Client, notes: Collection
) -> None:
    notes.created(text="x")
    id = snapshots.of(notes.name)["id"]
    reports = [
        snapshots.restored(id, on_conflict=policy) for policy in ("skip", "overwrite")
    ]
    page = client.get("/migrations", params={"limit": 1})
    following = client.get(page.links["next"]["url"]).json()["items"]
    assert [*page.json()["items"], *following] == reports[::-1]
    for report in reports:
        assert client.get(f"/migrations/{report['id']}").json() == report


@pytest.mark.parametrize(
    "id", ["0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70", "x", "%00", "' OR 1=1 --"]
)
def test_what_is_no_migration_is_not_found(client: httpx.Client, id: str) -> None:
    assert_problem(client.get(f"/migrations/{id}"), 404, "migration-not-found")


def test_a_run_that_failed_is_not_recorded(
    snapshots: Snapshots, client: httpx.Client, notes: Collection
) -> None:
    notes.created(text="x")
    id = snapshots.of(notes.name)["id"]
    before = client.get("/migrations").json()
    assert_problem(snapshots.restore(id), 409, "restore-conflict")
    assert client.get("/migrations").json() == before


@pytest.mark.parametrize("policy", POLICIES)
def test_a_dry_run_tells_everything_and_changes_nothing(
    snapshots: Snapshots,
    client: httpx.Client,
    notes: Collection,
    stored: Database,
    policy: str,
) -> None:
    kept, deleted = notes.created(text="kept"), notes.created(text="deleted")
    id = snapshots.of(notes.name)["id"]
    notes.delete(deleted["id"])
    if policy == "fail":
        notes.delete(kept["id"])
    before = stored.contents()
    asked = {"snapshot": id, "on_conflict": policy}
    in_body = client.post("/migrations", json={**asked, "dry_run": True})
    in_query = client.post("/migrations", json=asked, params={"dry_run": "true"})
    assert (in_body.status_code, in_query.status_code) == (200, 200)
    assert "location" not in in_body.headers
    assert stored.contents() == before
    compared = (
        "created",
        "skipped",
        "overwritten",
        "migrated",
        "collections",
        "failures",
    )
    report = snapshots.restored(id, on_conflict=policy)
    for rehearsed in (in_body.json(), in_query.json()):
        assert {name: rehearsed[name] for name in compared} == {
            name: report[name] for name in compared
        }


def test_a_dry_run_is_refused_as_the_run_would_be(
    snapshots: Snapshots, accounts: Collection, notes: Collection, marker: str
) -> None:
    stored_record = owner_of(accounts, marker)
    taken = at_hand(
        snapshots,
        [entry("accounts")],
        [record("accounts", new_id(), {"owner": marker})],
    )
    here = at_hand(
        snapshots,
        [entry("accounts")],
        [record("accounts", stored_record["id"], stored_record["data"])],
    )
    invalid = at_hand(
        snapshots, [brought(notes.name)], [record(notes.name, new_id(), {"text": 1})]
    )
    assert_problem(snapshots.restore(taken, dry_run=True), 409, "unique-violation")
    assert_problem(snapshots.restore(here, dry_run=True), 409, "restore-conflict")
    assert_problem(snapshots.restore(invalid, dry_run=True), 422, "migration-failed")


def test_a_snapshot_that_is_not_here_is_not_found(snapshots: Snapshots) -> None:
    for id in (new_id(), "x", ""):
        assert_problem(snapshots.restore(id), 404, "snapshot-not-found")


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"/snapshot"}),
        ({"snapshot": 7}, {"/snapshot"}),
        ({"snapshot": "x", "on_conflict": "replace"}, {"/on_conflict"}),
        ({"snapshot": "x", "on_conflict": ["skip"]}, {"/on_conflict"}),
        ({"snapshot": "x", "dry_run": "yes"}, {"/dry_run"}),
        ({"snapshot": "x", "plan": []}, {"/plan"}),
        ({"snapshot": "x", "workspace": 1, "sql": "DROP"}, {"/workspace", "/sql"}),
    ],
)
def test_a_body_that_does_not_tell_what_to_restore_is_refused(
    client: httpx.Client, body: Json, wrong: set[str]
) -> None:
    problem = assert_problem(
        client.post("/migrations", json=body), 422, "invalid-payload"
    )
    assert pointers(problem) == wrong


def test_a_key_replays_the_report(
    snapshots: Snapshots, client: httpx.Client, notes: Collection, marker: str
) -> None:
    stored_record = notes.created(text="x")
    id = snapshots.of(notes.name)["id"]
    notes.delete(stored_record["id"])
    asked: Json = {"json": {"snapshot": id}, "headers": {"idempotency-key": marker}}
    first = client.post("/migrations", **asked)
    assert first.status_code == 201
    client.delete(f"/snapshots/{id}")
    again = client.post("/migrations", **asked)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert len(notes.history(stored_record["id"])) == 3


# --- writers meanwhile
# -----------------------------------------------------------------------------


def create_until(
    server: Server, name: str, over: threading.Event, made: list[str], faults: list[str]
) -> None:
    with server.client() as client:
        while not over.is_set():
            response = client.post(f"/api/{name}", json={"text": "meanwhile"})
            if response.status_code == 201:
                made.append(response.json()["id"])
            elif response.status_code != 503 or "retry-after" not in response.headers:
                faults.append(response.text)


def test_writers_at_full_speed_lose_nothing_to_a_restore(
    server: Server, snapshots: Snapshots, notes: Collection
) -> None:
    notes.import_lines('{"text": "old"}\n' * 3_000)
    id = snapshots.of(notes.name)["id"]
    notes.delete_matching([("text", "old"), ("max_affected", "9999")])
    over, made, faults = threading.Event(), list[str](), list[str]()
    threads = [
        threading.Thread(
            target=create_until, args=(server, notes.name, over, made, faults)
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    try:
        first = snapshots.restored(id)
        second = snapshots.restored(id, on_conflict="overwrite")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert (first["created"], second["overwritten"], faults) == (3_000, 3_000, [])
    assert made
    assert notes.find(text="old", count="true", limit=1).json()["total"] == 3_000
    found = {
        item["id"] for page in notes.pages(text="meanwhile", limit=500) for item in page
    }
    assert found == set(made)
