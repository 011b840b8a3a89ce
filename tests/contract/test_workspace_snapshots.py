"""Snapshots of workspaces, and restores into them."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.contract.snapshots.test_restores import at_hand, new_id
from tests.fixtures.snapshots import Snapshots, entry, record
from tests.support.collection import Collection
from tests.support.problems import Json, assert_problem
from tests.support.registered import an_object, registered
from tests.support.server import serving

COLLECTIONS = ["counters", "tickets"]
NOTE = an_object(text={"type": "string"})

Declare = Callable[..., str]


@pytest.fixture
def declare(client: httpx.Client, marker: str) -> Declare:
    def declared(name: str = "w", *, holding: list[str] = COLLECTIONS) -> str:
        workspace = f"{name}-{marker}"
        client.put(
            f"/workspaces/{workspace}", json={"collections": holding}
        ).raise_for_status()
        return workspace

    return declared


@pytest.fixture
def snapshots(client: httpx.Client) -> Snapshots:
    return Snapshots(client)


def stored(client: httpx.Client, workspace: str) -> list[Json]:
    found: list[Json] = client.get(f"/workspaces/{workspace}/records?limit=500").json()[
        "items"
    ]
    return found


def filled(client: httpx.Client, workspace: str) -> list[Json]:
    """The records of a workspace that gets two counters and a ticket."""
    for value in (1, 2):
        Collection(client, "counters", workspace).created(value=value)
    Collection(client, "tickets", workspace).created(
        title="Node pool overloaded", severity=40
    )
    return stored(client, workspace)


def delete_workspace(client: httpx.Client, workspace: str) -> None:
    assert client.delete(f"/workspaces/{workspace}?force=true").status_code == 204


def inside(records: list[Json], workspace: str) -> list[Json]:
    return [record | {"workspace": workspace} for record in records]


def test_a_snapshot_of_a_workspace_holds_what_the_workspace_holds(
    client: httpx.Client, declare: Declare, snapshots: Snapshots
) -> None:
    one, other = declare("a"), declare("b")
    records = filled(client, one)
    filled(client, other)
    manifest = snapshots.take(f"/workspaces/{one}/snapshots", note="of one")
    assert (manifest["records"], manifest["note"]) == (3, "of one")
    listed = [
        (entry["workspace"], entry["name"], entry["count"])
        for entry in manifest["collections"]
    ]
    assert listed == [(one, "counters", 2), (one, "tickets", 1)]
    assert client.get(f"/workspaces/{one}/snapshots").json()["items"] == [manifest]
    assert client.get(f"/workspaces/{other}/snapshots").json()["items"] == []
    lines = snapshots.content(manifest["id"]).decode().splitlines()
    assert len(lines) == len(records) + 2


def test_one_collection_of_a_workspace_is_taken_below_it(
    client: httpx.Client, declare: Declare, snapshots: Snapshots
) -> None:
    workspace = declare()
    filled(client, workspace)
    manifest = snapshots.take(f"/workspaces/{workspace}/api/counters/snapshots")
    assert [
        (entry["workspace"], entry["count"]) for entry in manifest["collections"]
    ] == [(workspace, 2)]
    assert client.get(f"/workspaces/{workspace}/api/counters/snapshots").json()[
        "items"
    ] == [manifest]
    assert manifest["id"] not in str(client.get("/api/counters/snapshots").json())


def test_a_snapshot_of_everything_holds_every_workspace(
    client: httpx.Client, declare: Declare, snapshots: Snapshots
) -> None:
    workspaces = [declare("a"), declare("b")]
    for workspace in workspaces:
        filled(client, workspace)
    entries = snapshots.take()["collections"]
    places = [(each["workspace"] or "", each["name"]) for each in entries]
    assert places == sorted(places)
    assert {
        (workspace, name) for workspace in (*workspaces, "") for name in COLLECTIONS
    } <= set(places)


def test_nobody_takes_a_snapshot_of_a_workspace_nobody_declared(
    client: httpx.Client, marker: str
) -> None:
    path = f"/workspaces/{marker}/snapshots"
    for answer in (client.post(path), client.get(path)):
        assert_problem(answer, 404, "workspace-not-found")


# restoring


def test_a_workspace_is_cloned_into_another(
    client: httpx.Client, declare: Declare, snapshots: Snapshots
) -> None:
    source, clone = declare("source"), declare("clone")
    records = filled(client, source)
    id = snapshots.take(f"/workspaces/{source}/snapshots")["id"]
    assert snapshots.restored(id, workspace=clone)["created"] == 3
    assert stored(client, clone) == inside(records, clone)
    assert stored(client, source) == records
    assert_problem(snapshots.restore(id, workspace=clone), 409, "restore-conflict")
    assert snapshots.restored(id, workspace=clone, on_conflict="skip")["skipped"] == 3
    assert (
        snapshots.restored(id, workspace=clone, on_conflict="overwrite")["overwritten"]
        == 3
    )
    assert stored(client, clone) == inside(records, clone)


def test_a_workspace_comes_back_where_it_was_taken(
    client: httpx.Client, declare: Declare, snapshots: Snapshots
) -> None:
    workspace = declare()
    records = filled(client, workspace)
    id = snapshots.take(f"/workspaces/{workspace}/snapshots")["id"]
    for item in records:
        collection = Collection(client, item["collection"], workspace)
        assert collection.delete(item["id"]).status_code == 204
    assert snapshots.restored(id)["created"] == 3
    assert [(item["id"], item["data"]) for item in stored(client, workspace)] == [
        (item["id"], item["data"]) for item in records
    ]


def test_into_the_default_workspace_is_null(
    client: httpx.Client, declare: Declare, snapshots: Snapshots
) -> None:
    workspace = declare()
    records = filled(client, workspace)
    id = snapshots.take(f"/workspaces/{workspace}/snapshots")["id"]
    assert snapshots.restored(id, workspace=None)["created"] == 3
    for item in records:
        assert Collection(client, item["collection"]).record(item["id"]) == item | {
            "workspace": None
        }


def test_a_workspace_that_is_missing_is_declared_with_what_comes_back_to_it(
    client: httpx.Client, declare: Declare, snapshots: Snapshots
) -> None:
    workspace = declare(holding=[*COLLECTIONS, "samples"])
    records = filled(client, workspace)
    id = snapshots.take(f"/workspaces/{workspace}/snapshots")["id"]
    delete_workspace(client, workspace)
    report = snapshots.restore(id, dry_run=True)
    assert (report.status_code, report.json()["created"]) == (200, 3)
    assert_problem(client.get(f"/workspaces/{workspace}"), 404, "workspace-not-found")
    assert snapshots.restored(id)["created"] == 3
    names = client.get(f"/workspaces/{workspace}").json()["collections"]
    assert names == ["counters", "samples", "tickets"]
    assert [(each["id"], each["data"]) for each in stored(client, workspace)] == [
        (each["id"], each["data"]) for each in records
    ]


def test_a_workspace_that_holds_less_is_not_given_more_behind_its_back(
    client: httpx.Client, declare: Declare, snapshots: Snapshots
) -> None:
    source, other = declare("source"), declare("other", holding=["counters"])
    filled(client, source)
    id = snapshots.take(f"/workspaces/{source}/snapshots")["id"]
    problem = assert_problem(
        snapshots.restore(id, workspace=other), 404, "collection-not-in-workspace"
    )
    assert "tickets" in problem["detail"]
    assert f"PUT /workspaces/{other}" in problem["detail"]
    delete_workspace(client, source)
    declare("source", holding=["counters"])
    assert_problem(snapshots.restore(id), 404, "collection-not-in-workspace")
    assert stored(client, source) == stored(client, other) == []


def test_a_restore_that_fails_declares_nothing(
    client: httpx.Client, marker: str, snapshots: Snapshots
) -> None:
    workspace = f"w-{marker}"
    bad = record("counters", new_id(), {"value": "x"}, workspace=workspace)
    id = at_hand(snapshots, [entry("counters", workspace=workspace)], [bad])
    assert_problem(snapshots.restore(id), 422, "migration-failed")
    assert_problem(client.get(f"/workspaces/{workspace}"), 404, "workspace-not-found")


def test_everything_moves_into_an_empty_database_with_its_workspaces(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    with serving(new_database(), tmp_path) as server, server.client() as source:
        registered(source, "notes", NOTE)
        for name, names in (("red", ["counters", "notes"]), ("blue", ["notes"])):
            source.put(
                f"/workspaces/{name}", json={"collections": names}
            ).raise_for_status()
            Collection(source, "notes", name).created(text=name)
        Collection(source, "counters", "red").created(value=1)
        before = {name: stored(source, name) for name in ("red", "blue")}
        content = Snapshots(source).content(Snapshots(source).take()["id"])
    with serving(new_database(), tmp_path) as server, server.client() as client:
        target = Snapshots(client)
        target.restored(target.uploaded(content))
        assert {name: stored(client, name) for name in ("red", "blue")} == before
        assert client.get("/workspaces/red").json()["collections"] == [
            "counters",
            "notes",
        ]
