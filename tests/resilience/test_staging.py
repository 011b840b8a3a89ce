"""Long operations stage their rows: others read and write meanwhile, and what is
interrupted leaves nothing."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.conftest import NewDatabase
from tests.support.collection import Collection
from tests.support.problems import assert_problem
from tests.support.program import persist
from tests.support.registered import an_object, put
from tests.support.server import Server, serving, start
from tests.support.waiting import until

RECORDS = 10_000
MOMENTS = 10
TEXT = {"type": "string"}
LINES = json.dumps({"n": 1, "text": "x" * 200}) + "\n"
LINES *= RECORDS  # so many that SQLite has no room for them in memory
NUMBERS = an_object("n", n={"type": "integer"}, text=TEXT)
EVOLVED = an_object("n", n={"type": "number"}, text=TEXT, added=TEXT | {"default": ""})

Long = Callable[[httpx.Client], object]


def import_lines(client: httpx.Client) -> object:
    return Collection(client, "notes").import_lines(LINES)


def evolve(client: httpx.Client) -> object:
    return put(client, "notes", EVOLVED)


def evolve_again(client: httpx.Client) -> object:
    """Give every record another member."""
    found = client.get("/entity-types/notes").json()
    schema = found["schema"]
    number = found["schema_version"]
    schema["properties"][f"added{number}"] = {"type": "string", "default": ""}
    return put(client, "notes", schema)


def restore(client: httpx.Client) -> object:
    """Overwrite everything with what the last snapshot has."""
    snapshot = client.get("/snapshots").json()["items"][0]["id"]
    body = {"snapshot": snapshot, "on_conflict": "overwrite"}
    return client.post("/migrations", json=body)


def delete(client: httpx.Client) -> object:
    notes = Collection(client, "notes")
    return notes.delete_matching(n__gte="1", max_affected="1000000")


def invoke(client: httpx.Client) -> object:
    notes = Collection(client, "notes")
    return notes.invoke("bump", n__gte="1", max_affected=str(RECORDS))


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
    names = "select relname from pg_class"
    if url.startswith("sqlite"):
        names = "select name from sqlite_master"
    with closing(connected(url)) as database:
        rows = database.execute(names).fetchall()
    return sorted(name for (name,) in rows)


def connected(url: str) -> Any:
    """A connection of the driver."""
    if url.startswith("sqlite"):
        return sqlite3.connect(url.removeprefix("sqlite:///"))
    return psycopg.connect(url)


@pytest.mark.slow
@pytest.mark.parametrize("long", [import_lines, evolve_again, restore, delete])
def test_a_kill_while_rows_are_staged_leaves_nothing(
    new_database: NewDatabase, tmp_path: Path, long: Long
) -> None:
    """Ten times, from the beginning of the operation to its end: all of it is stored,
    or nothing."""
    url, temporary = new_database(), tmp_path / "temporary"
    temporary.mkdir()
    environment = {"TMPDIR": str(temporary)}
    server = start(url, tmp_path, environment=environment)
    with server.client() as client:
        assert put(client, "notes", NUMBERS).status_code == 201
        begun = time.monotonic()
        assert import_lines(client)
        seconds = time.monotonic() - begun
        assert client.post("/api/notes/snapshots", json={}).is_success
        before = len(tables(url))
    for moment in range(MOMENTS):
        stored = filled(server)
        with killed_after(server, long, seconds * moment / MOMENTS) as thread:
            until_staged(server, url, thread)
        assert list(temporary.iterdir()) == []
        server = start(url, tmp_path, environment=environment)
        # Temporary tables went with the process, others go at the next start.
        until(lambda: len(tables(url)) == before)
        assert total(server) in {stored, stored + added_by(long, stored)}
    server.stop()
    verify_journal(url, tmp_path)


@pytest.mark.slow
def test_a_kill_during_a_selective_invoke_leaves_all_of_it_or_nothing(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    server = start(url, tmp_path)
    with server.client() as client:
        bump = {"set": {"n": "data.n + 1"}}
        assert put(client, "notes", NUMBERS, commands={"bump": bump}).is_success
        assert import_lines(client)
        begun = time.monotonic()
        assert invoke(client)
        seconds = time.monotonic() - begun
    for moment in range(MOMENTS):
        with killed_after(server, invoke, seconds * moment / MOMENTS):
            pass
        server = start(url, tmp_path)
        with server.client() as client:
            notes = Collection(client, "notes")
            n = notes.find(limit="1").json()["items"][0]["data"]["n"]
            same = notes.find(n=str(n), count="true", limit="1").json()
        assert same["total"] == RECORDS
    server.stop()
    verify_journal(url, tmp_path)


@contextmanager
def killed_after(
    server: Server, long: Long, seconds: float
) -> Iterator[threading.Thread]:
    """Kill the service some seconds after the operation began in a thread, and at the
    end of the block at the earliest."""
    thread = threading.Thread(target=broken_off, args=(server, long))
    thread.start()
    time.sleep(seconds)
    yield thread
    server.kill()
    thread.join()


def until_staged(server: Server, url: str, thread: threading.Thread) -> None:
    """Wait until rows are staged, or the operation is over."""
    until(lambda: stages(server, url) or not thread.is_alive())


def filled(server: Server) -> int:
    """The number of records; some are imported if there are none."""
    stored = total(server)
    if stored:
        return stored
    with server.client() as client:
        import_lines(client)
    return RECORDS


def added_by(long: Long, stored: int) -> int:
    if long is import_lines:
        return RECORDS
    return -stored if long is delete else 0


def total(server: Server) -> int:
    with server.client() as client:
        page = Collection(client, "notes").find(count="true", limit="1").json()
    count: int = page["total"]
    return count


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
        before = len(tables(url))
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
        until(lambda: len(tables(url)) == before)
    verify_journal(url, tmp_path)


def test_a_table_that_an_evolution_filled_in_vain_is_dropped(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """At once if it is refused, at the next start if the process was killed."""
    url = new_database()
    with serving(url, tmp_path) as server, server.client() as client:
        assert put(client, "notes", NUMBERS, unique=["n"]).status_code == 201
        for number in (1, 2):
            Collection(client, "notes").created(n=number)
        before = len(tables(url))
        same = {"set": {"n": "1"}}
        refused = put(client, "notes", EVOLVED, unique=["n"], migration=same)
        assert_problem(refused, 409, "unique-violation")
        until(lambda: len(tables(url)) == before)
    with closing(connected(url)) as database:
        database.execute("create table document_2 as select 1 as one")
        database.execute("create table _retired_3 as select 1 as one")
        database.commit()
    with serving(url, tmp_path) as server, server.client() as client:
        assert Collection(client, "notes").find(limit="1").json()["items"]
        until(lambda: len(tables(url)) == before)


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


@pytest.mark.parametrize("database", ["postgresql"], indirect=True, scope="session")
def test_a_bulk_delete_that_waits_for_a_writer_keeps_other_collections_writable(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    with serving(url, tmp_path) as server, server.client() as client:
        for name in ("notes", "others"):
            assert put(client, name, an_object(n={"type": "integer"})).is_success
        Collection(client, "notes").created(n=1)
        thread = threading.Thread(target=broken_off, args=(server, delete))
        with psycopg.connect(url) as writer:
            writer.execute("select * from document_1 for update")
            thread.start()
            until(lambda: waits_for_a_table(url))
            Collection(client, "others").created(n=1)
            assert Collection(client, "notes").find().json()["items"]
        thread.join()
        assert Collection(client, "notes").find().json()["items"] == []


def waits_for_a_table(url: str) -> bool:
    """Whether a transaction waits until nobody writes a table."""
    query = "select count(*) from pg_locks where locktype = 'relation' and not granted"
    with psycopg.connect(url, autocommit=True) as session:
        found = session.execute(query).fetchone()
    return found is not None and found[0] > 0


def assert_whole_histories(notes: Collection, ids: tuple[str, ...]) -> None:
    """Every revision is there once."""
    for record_id in ids:
        revisions = [change["revision"] for change in notes.history(record_id)]
        assert revisions == list(range(revisions[0], 0, -1))


def verify_journal(url: str, folder: Path) -> None:
    verified = persist(folder, "journal", "verify", PERSIST_DATABASE_URL=url)
    assert verified.returncode == 0, verified.stdout + verified.stderr
