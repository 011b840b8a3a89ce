"""What a database is given from time to time while it is served: checkpoints, and the
deletion of stored answers; and how snapshots and temporary files are kept in bounds."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.conftest import NewDatabase
from tests.support.collection import Collection
from tests.support.disk import small_disk
from tests.support.faulty_disk import faulty_disk
from tests.support.problems import assert_problem
from tests.support.registered import an_object, put
from tests.support.server import serving
from tests.support.waiting import until

only_sqlite = pytest.mark.parametrize(
    "database", ["sqlite"], indirect=True, scope="session"
)

LONG_AGO = "2001-01-01T00:00:00.000000Z"
FUTURE_ID = "7fffffff-ffff-7fff-bfff-ffffffffffff"
WAL_LIMIT_BYTES = 67_108_864


def execute(url: str, statement: str, *parameters: str) -> list[Any]:
    """Run a statement on a database of either kind; its rows."""
    if url.startswith("sqlite"):
        file = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(file, isolation_level=None)) as database:
            return database.execute(statement, parameters).fetchall()
    with psycopg.connect(url, autocommit=True) as server:
        cursor = server.execute(statement.replace("?", "%s").encode(), parameters)
        return cursor.fetchall() if cursor.description else []


def answers(url: str) -> list[str]:
    return [row[0] for row in execute(url, "select key from answers order by key")]


def test_stored_answers_are_deleted_after_their_time(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    with serving(url, tmp_path) as server, server.client() as client:
        counters = Collection(client, "counters")
        for key in ("old", "young"):
            counters.create({"name": key}, headers={"Idempotency-Key": key})
    assert answers(url) == ["old", "young"]
    execute(url, "update answers set at = ? where key = ?", LONG_AGO, "old")
    with serving(url, tmp_path):
        until(lambda: answers(url) == ["young"])


def test_erasing_a_history_erases_the_stored_answers_that_show_the_record(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    with serving(url, tmp_path) as server, server.client() as client:
        counters = Collection(client, "counters")
        created = counters.create(
            {"name": "private"}, headers={"Idempotency-Key": "mine"}
        ).json()
        counters.create({"name": "other"}, headers={"Idempotency-Key": "other"})
        unchanged = {"name": "private"}
        counters.replace(
            created["id"], unchanged, headers={"Idempotency-Key": "unchanged"}
        )
        assert answers(url) == ["mine", "other", "unchanged"]
        erased = client.delete(f"{counters.at(created['id'])}/history")
        assert erased.status_code == 204
        assert answers(url) == ["other"]


@only_sqlite
def test_a_long_write_ahead_log_becomes_short_again(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    wal = Path(url.removeprefix("sqlite:///") + "-wal")
    with serving(url, tmp_path) as server, server.client() as client:
        counters = Collection(client, "counters")
        line = f'{{"name": "{"x" * 20_000}"}}\n'
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as reader:
            # A reader of an early moment keeps the log from being used again.
            reader.execute("begin")
            reader.execute("select count(*) from journal").fetchall()
            assert counters.import_lines(line * 2_000).status_code == 200
            assert wal.stat().st_size > WAL_LIMIT_BYTES
        until(lambda: wal.stat().st_size <= WAL_LIMIT_BYTES)


@only_sqlite
def test_a_checkpoint_that_fails_makes_the_service_not_ready_until_it_succeeds(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    disk = faulty_disk(tmp_path / "disk")
    with (
        serving(new_database(), tmp_path, environment=disk.environment) as server,
        server.client() as client,
    ):
        counters = Collection(client, "counters")
        disk.fail("checkpoint")
        assert counters.create({"name": "in the log"}).status_code == 201
        until(lambda: client.get("/health/ready").status_code == 503)
        detail = assert_problem(client.get("/health/ready"), 503, "unavailable")
        assert "checkpoint" in detail["detail"]
        assert "a checkpoint failed" in server.log.read_text()
        disk.mend("checkpoint")
        until(lambda: client.get("/health/ready").status_code == 200)


def test_the_newest_automatic_snapshots_are_those_of_the_last_changes(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """A clock that went back gives a later snapshot an earlier id."""
    url = new_database()
    settings = {"SNAPSHOT_EVERY": "1", "SNAPSHOT_KEEP": "1"}
    with serving(url, tmp_path, settings=settings) as server, server.client() as client:
        counters = Collection(client, "counters")

        def taken() -> list[tuple[str, int]]:
            listed = client.get("/snapshots").json()["items"]
            return [(manifest["id"], manifest["seq"]) for manifest in listed]

        counters.created(name="first")
        until(lambda: [seq for _, seq in taken()] == [1])
        ((old, head),) = execute(url, "select id, head from snapshots")
        manifest = json.loads(head)
        manifest["manifest"]["id"] = FUTURE_ID
        later = json.dumps(manifest) + "\n"
        execute(
            url,
            "update snapshots set id = ?, head = ? where id = ?",
            FUTURE_ID,
            later,
            old,
        )
        counters.created(name="second")
        until(lambda: [seq for _, seq in taken()] == [2])


def test_a_full_temporary_folder_is_503_and_loses_nothing(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    # Rows and changes of an import wait in the temporary folder, about 400 bytes each.
    with small_disk(24) as disk:
        environment = {"TMPDIR": str(disk.folder)}
        with (
            serving(url, tmp_path, environment=environment) as server,
            server.client() as client,
        ):
            schema = an_object("n", n={"type": "integer"})
            assert put(client, "notes", schema).status_code == 201
            notes = Collection(client, "notes")
            lines = '{"n": 1}\n' * 20_000
            assert notes.import_lines(lines).json() == {"created": 20_000}
            snapshot = client.post("/snapshots", json={"scope": "all"}).json()
            content = client.get(f"/snapshots/{snapshot['id']}/content").content
            disk.fill()
            refused = [notes.import_lines(lines), put_content(client, content)]
            if url.startswith("sqlite:"):  # PostgreSQL stages rows in its own folder
                restore = {"snapshot": snapshot["id"], "on_conflict": "overwrite"}
                wider = an_object("n", n={"type": "number"})
                refused.append(client.post("/migrations", json=restore))
                refused.append(put(client, "notes", wider))
            for response in refused:
                assert_problem(response, 503, "unavailable")
            assert notes.find(count="true", limit="1").json()["total"] == 20_000
            disk.free()
            assert notes.import_lines('{"n": 2}\n').json() == {"created": 1}


def put_content(client: httpx.Client, content: bytes) -> httpx.Response:
    """Upload a snapshot."""
    headers = {"Content-Type": "application/x-ndjson"}
    return client.post("/snapshots", content=content, headers=headers)
