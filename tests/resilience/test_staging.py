"""Long operations stage their rows: others read and write meanwhile, and what is
interrupted leaves nothing."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.conftest import NewDatabase
from tests.support.collection import Collection
from tests.support.program import persist
from tests.support.registered import an_object, put
from tests.support.server import Server, serving, start
from tests.support.waiting import until

RECORDS = 10_000
LINES = '{"n": 1}\n' * RECORDS
NUMBERS = an_object("n", n={"type": "integer"})
EVOLVED = an_object("n", n={"type": "number"}, added={"type": "string", "default": ""})

Long = Callable[[httpx.Client], object]


def import_lines(client: httpx.Client) -> object:
    return Collection(client, "notes").import_lines(LINES)


def evolve(client: httpx.Client) -> object:
    return put(client, "notes", EVOLVED)


def restore(client: httpx.Client) -> object:
    """Overwrite everything with what the last snapshot has."""
    snapshot = client.get("/snapshots").json()["items"][0]["id"]
    body = {"snapshot": snapshot, "on_conflict": "overwrite"}
    return client.post("/migrations", json=body)


def delete(client: httpx.Client) -> object:
    notes = Collection(client, "notes")
    return notes.delete_matching(n__gte="1", max_affected="1000000")


def stages(server: Server, url: str) -> bool:
    """Whether the service has staged rows: on SQLite in a deleted file of its own."""
    if not url.startswith("sqlite"):
        with psycopg.connect(url, autocommit=True) as session:
            query = "select count(*) from pg_class where relname like '\\_staged%'"
            found = session.execute(query).fetchone()
        return found is not None and found[0] > 0
    for file in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            if "etilqs" in str(file.readlink()):
                return True
    return False


def tables(url: str) -> list[str]:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
            rows = database.execute("select name from sqlite_master").fetchall()
    else:
        with psycopg.connect(url) as session:
            rows = session.execute("select relname from pg_class").fetchall()
    return sorted(name for (name,) in rows)


@pytest.mark.slow
@pytest.mark.parametrize("long", [import_lines, evolve, restore, delete])
def test_a_kill_while_rows_are_staged_leaves_nothing(
    new_database: NewDatabase, tmp_path: Path, long: Long
) -> None:
    url, temporary = new_database(), tmp_path / "temporary"
    temporary.mkdir()
    environment = {"TMPDIR": str(temporary)}
    server = start(url, tmp_path, environment=environment)
    try:
        with server.client() as client:
            assert put(client, "notes", NUMBERS).status_code == 201
            assert Collection(client, "notes").import_lines(LINES).is_success
            assert client.post("/api/notes/snapshots", json={}).is_success
        before = tables(url)
        thread = threading.Thread(target=broken_off, args=(server, long))
        thread.start()
        until(lambda: stages(server, url))
    finally:
        server.kill()
    thread.join()
    assert list(temporary.iterdir()) == []
    until(lambda: tables(url) == before)
    with serving(url, tmp_path) as again, again.client() as client:
        page = Collection(client, "notes").find(count="true", limit="1").json()
        assert page["total"] == RECORDS
        assert page["items"][0]["revision"] == 1
    verify_journal(url, tmp_path)


def broken_off(server: Server, long: Long) -> None:
    with suppress(httpx.TransportError), server.client() as client:
        long(client)


def test_records_that_change_while_a_type_evolves_evolve_as_they_are_then(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Records are created, changed and deleted; each ends with one ``migrate``."""
    url = new_database()
    with serving(url, tmp_path) as server, server.client() as client:
        assert put(client, "notes", NUMBERS).status_code == 201
        notes = Collection(client, "notes")
        assert notes.import_lines(LINES).is_success
        ids = [record["id"] for record in notes.find(limit="200").json()["items"]]
        thread = threading.Thread(target=broken_off, args=(server, evolve))
        thread.start()
        until(lambda: stages(server, url))
        changed, deleted = ids[:100], ids[100:]
        created = []
        for first, second in zip(changed, deleted, strict=True):
            assert notes.patch(first, {"n": 2}).is_success
            assert notes.delete(second).is_success
            created.append(notes.created(n=3)["id"])
        thread.join()
        assert notes.find(count="true", limit="1").json()["total"] == RECORDS
        for record_id in (*changed, *created):
            record = notes.record(record_id)
            assert record["data"]["n"] in {2, 3}
            history = notes.history(record_id)
            assert [change["revision"] for change in history] == sorted(
                {change["revision"] for change in history}, reverse=True
            )
            operations = [change["operation"] for change in history]
            assert operations.count("migrate") <= 1
            assert record["revision"] == len(operations)
        assert notes.find(added="").json()["items"]
        assert all(notes.read(record_id).status_code == 404 for record_id in deleted)
    verify_journal(url, tmp_path)


@pytest.mark.slow
def test_records_that_change_while_others_are_restored_and_deleted_are_decided_again(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Records that the client changed are overwritten, and those it deleted come back;
    then all that match are deleted, and no others."""
    url = new_database()
    with serving(url, tmp_path) as server, server.client() as client:
        assert put(client, "notes", NUMBERS).status_code == 201
        notes = Collection(client, "notes")
        assert notes.import_lines(LINES).is_success
        assert client.post("/api/notes/snapshots", json={}).is_success
        ids = [record["id"] for record in notes.find(limit="150").json()["items"]]
        changed, deleted, kept = ids[:50], ids[50:100], ids[100:]
        thread = threading.Thread(target=broken_off, args=(server, restore))
        thread.start()
        until(lambda: stages(server, url))
        for first, second in zip(changed, deleted, strict=True):
            assert notes.patch(first, {"n": 2}).is_success
            assert notes.delete(second).is_success
        thread.join()
        (report,) = client.get("/migrations").json()["items"]
        assert report["created"] + report["overwritten"] == RECORDS
        assert_whole_histories(notes, (*changed, *deleted))
        thread = threading.Thread(target=broken_off, args=(server, delete))
        thread.start()
        until(lambda: stages(server, url))
        for record_id in kept:
            notes.patch(record_id, {"n": -1})
        thread.join()
        left = notes.items(limit="200")
        assert {record["data"]["n"] for record in left} <= {-1}
    verify_journal(url, tmp_path)


def assert_whole_histories(notes: Collection, ids: tuple[str, ...]) -> None:
    """Every revision is there once."""
    for record_id in ids:
        revisions = [change["revision"] for change in notes.history(record_id)]
        assert revisions == list(range(revisions[0], 0, -1))


def verify_journal(url: str, folder: Path) -> None:
    verified = persist(folder, "journal", "verify", PERSIST_DATABASE_URL=url)
    assert verified.returncode == 0, verified.stdout + verified.stderr
