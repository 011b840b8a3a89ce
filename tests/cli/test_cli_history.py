"""`persist history`, on a running service and on its database."""

import json
from pathlib import Path

import httpx

from tests.conftest import Service
from tests.support.program import persist

NAME = "counters"


def test_changes_are_listed_and_taken_back(
    service: Service, tmp_path: Path, marker: str
) -> None:
    client = service.client
    record = client.post(f"/api/{NAME}", json={"name": marker, "value": 1}).json()
    path = f"/api/{NAME}/{record['id']}"
    request = {"X-Request-ID": marker}
    client.patch(path, json={"value": 2}, headers=request).raise_for_status()

    def run(*arguments: str) -> str:
        outcome = persist(tmp_path, "history", *arguments, "--url", service.url)
        assert (outcome.returncode, outcome.stderr) == (0, "")
        return outcome.stdout

    lines = run("show", NAME, record["id"]).splitlines()
    assert [line.split()[0] for line in lines] == ["2", "1"]
    assert lines[0].endswith(f"patch, request {marker}")
    patch = run("diff", NAME, record["id"], "--from", "1", "--to", "2")
    assert json.loads(patch) == {"op": "replace", "path": "/value", "value": 2}
    reverted = run("revert", NAME, record["id"], "--to", "1", "--dry-run", "--json")
    assert json.loads(reverted)["data"]["value"] == 1
    planned = run("undo", "--request-id", marker, "--dry-run")
    assert planned.splitlines() == [
        f"{NAME} {record['id']} reverted",
        "1 record would go back, 0 skipped",
    ]
    assert client.get(path).json()["data"]["value"] == 2
    command = ("undo", "--request-id", marker, "--workspace", "")
    assert "1 record went back" in run(*command)
    assert client.get(path).json()["data"]["value"] == 1


def test_a_conflict_is_named(service: Service, tmp_path: Path, marker: str) -> None:
    client = service.client
    request = {"X-Request-ID": marker}
    record = client.post(f"/api/{NAME}", json={"value": 1}, headers=request).json()
    httpx.patch(f"{service.url}/api/{NAME}/{record['id']}", json={"value": 2})
    command = ("history", "undo", "--request-id", marker, "--url", service.url)
    refused = persist(tmp_path, *command)
    assert refused.returncode == 1
    assert f"{NAME} {record['id']} changed" in refused.stderr
    elsewhere = persist(tmp_path, *command, "--workspace", "den")
    assert "no change is selected" in elsewhere.stderr
    skipped = persist(tmp_path, *command, "--on-conflict", "skip")
    assert f"{record['id']} skipped: changed at " in skipped.stdout


def test_an_undo_names_what_it_takes_back(tmp_path: Path) -> None:
    refused = persist(tmp_path, "history", "undo", "--from-seq", "1")
    assert refused.returncode == 2
    assert "name either --request-id, or --from-seq and --to-seq" in refused.stderr


def test_a_deleted_record_comes_back(
    service: Service, tmp_path: Path, marker: str
) -> None:
    client = service.client
    record = client.post(f"/api/{NAME}", json={"name": marker, "value": 1}).json()
    path = f"/api/{NAME}/{record['id']}"
    command = ("trash", "restore", NAME, record["id"], "--url", service.url)
    refused = persist(tmp_path, *command)
    assert (refused.returncode, "is not deleted" in refused.stderr) == (1, True)
    client.delete(path).raise_for_status()
    listed = persist(tmp_path, "trash", "list", NAME, "--url", service.url)
    assert marker in listed.stdout.splitlines()[0]
    outcome = persist(tmp_path, *command)
    assert outcome.stdout == f"{NAME} {record['id']} came back at revision 3\n"
    assert client.get(path).json()["data"] == record["data"]
