"""Kill -9 in the middle of a restore, a snapshot, an upload, a migration in place:
afterwards the database is before it or after it, never between."""

import os
import random
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from persist.entity_types.registry import load_models
from persist.storage.dialect import dialect_of
from persist.storage.migrations.database_schema import drift, prepare
from tests.fixtures.database import Database, opened
from tests.fixtures.snapshots import (
    SHOP,
    Snapshots,
    content,
    empty_database,
    entry,
    record,
)
from tests.fixtures.storing import store
from tests.support import forked
from tests.support.program import clean_environment
from tests.support.server import Server, serving, start

LONG = httpx.Timeout(300)


@pytest.fixture
def url(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> str:
    return empty_database(request, database, tmp_path)


def killed(
    server: Server,
    act: Callable[[Snapshots], Any],
    reached: Callable[[], bool],
    after: float,
) -> bool:
    """Kill the service some seconds after something was reached: whether the act was
    answered."""
    answered = threading.Event()

    def acting() -> None:
        with server.client() as client:
            client.timeout = LONG
            try:
                act(Snapshots(client))
                answered.set()
            except httpx.TransportError:
                pass

    thread = threading.Thread(target=acting)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not (reached() or answered.is_set()):
            assert time.monotonic() < deadline
        answered.wait(after)
    finally:
        server.kill()
        thread.join()
    return answered.is_set()


def moments(count: int, longest: float) -> Iterator[float]:
    """Moments spread over a time, with some chance."""
    chance = random.Random(count)
    return (longest * (n + chance.random()) / count for n in range(count))


# --- restores
# --------------------------------------------------------------------------------------


def many_tickets(count: int) -> bytes:
    ids = sorted(str(uuid.uuid4()) for _ in range(count))
    data = {"title": "x" * 50, "severity": 3, "acknowledged": False}
    records = [record("ops-tickets", id, data, revision=4) for id in ids]
    return content([entry("ops-tickets")], records, id=str(uuid.uuid4()))


def restored_or_not(stored: Database, count: int) -> bool:
    """Whether the restore is there; it is there whole or not at all."""
    tickets = stored.rows(
        "SELECT count(*), min(severity), max(severity), min(revision) FROM ops_tickets"
    )
    changes = stored.value("SELECT count(*) FROM journal WHERE operation = 'restore'")
    runs = stored.value("SELECT count(*) FROM migrations")
    assert stored.value("SELECT seq FROM journal_head") == stored.value(
        "SELECT count(*) FROM journal"
    )
    if runs == 0:
        assert (tickets[0][0], changes) == (0, 0)
        return False
    assert (tickets, changes, runs) == ([(count, 30, 30, 5)], count, 1)
    return True


def undo(stored: Database) -> None:
    for table in ("ops_tickets", "journal", "migrations"):
        stored.run(f"DELETE FROM {table}")
    stored.run("UPDATE journal_head SET seq = 0")


def restoring(id: str) -> Callable[[Snapshots], Any]:
    return lambda snapshots: snapshots.restored(id)


def kill_restores(
    url: str, folder: Path, count: int, parts: Iterator[float]
) -> list[bool]:
    """Restore and kill after a part of the time it takes, look; again from the
    beginning. Whether the restore was there each time."""
    snapshot, found = many_tickets(count), []
    for part in parts:
        server = start(url, folder, settings=SHOP)
        with server.client() as client, opened(url) as stored:
            client.timeout = LONG
            undo(stored)
            snapshots = Snapshots(client)
            id = snapshots.upload(snapshot).json()["id"]
            before = time.monotonic()
            assert snapshots.restore(id, dry_run=True).status_code == 200
            took = time.monotonic() - before
            answered = killed(server, restoring(id), lambda: True, took * part)
            found.append(restored_or_not(stored, count))
            assert found[-1] or not answered
    return found


def test_a_restore_that_is_killed_is_there_whole_or_not_at_all(
    url: str, tmp_path: Path
) -> None:
    kill_restores(url, tmp_path, 1_500, iter([0.6]))


@pytest.mark.slow
def test_a_restore_of_100_000_records_killed_at_ten_moments(
    url: str, tmp_path: Path
) -> None:
    found = kill_restores(url, tmp_path, 100_000, moments(10, 1.2))
    assert False in found
    with serving(url, tmp_path, settings=SHOP) as server, server.client() as client:
        assert (
            client.post(
                "/api/ops-tickets", json={"title": "on", "severity": 10}
            ).status_code
            == 201
        )


# --- snapshots
# -------------------------------------------------------------------------------------


def counters(count: int) -> bytes:
    ids = (str(uuid.UUID(int=n)) for n in range(count))
    return content(
        [entry("counters")],
        [record("counters", id, {"name": "z" * 300, "value": 1}) for id in ids],
    )


def nothing_is_left(client: httpx.Client, stored: Database) -> None:
    assert client.get("/snapshots").json()["items"] == []
    assert stored.value("SELECT count(*) FROM snapshot_pieces") == 0


def test_a_snapshot_and_an_upload_that_are_killed_leave_nothing(
    url: str, tmp_path: Path
) -> None:
    snapshot = counters(16_000)
    with opened(url) as stored:

        def chunks_stored() -> bool:
            return bool(stored.value("SELECT count(*) FROM snapshot_pieces") >= 1)

        server = start(url, tmp_path, settings=SHOP)
        assert not killed(
            server, lambda there: there.upload(snapshot), chunks_stored, 0
        )
        server = start(url, tmp_path, settings=SHOP)
        with server.client() as client:
            nothing_is_left(client, stored)
            snapshots = Snapshots(client)
            id = snapshots.uploaded(snapshot)
            assert snapshots.restored(id)["created"] == 16_000
            client.delete(f"/snapshots/{id}")
        assert not killed(server, lambda there: there.of("counters"), chunks_stored, 0)
        with serving(url, tmp_path, settings=SHOP) as server, server.client() as client:
            nothing_is_left(client, stored)


# --- in place
# --------------------------------------------------------------------------------------


OLD = """
from sqlmodel import SQLModel
from persist import entity

@entity("things")
class Thing(SQLModel):
    n: int
"""
NEW = """
import pathlib
from sqlmodel import SQLModel
from persist import MigrationPlan, MigrationStep, entity

HERE = pathlib.Path(__file__).parent

def doubled(data):
    (HERE / "first").touch()
    return {"n": data["n"] * 2, "twice": data["n"]}

def plus_one(data):
    (HERE / "second").touch()
    return {**data, "n": data["n"] + 1}

PLAN = MigrationPlan([
    MigrationStep(1, 2, sql="ALTER TABLE {table} ADD COLUMN twice {integer}", data=doubled),
    MigrationStep(2, 3, sql="CREATE INDEX things_by_twice ON {table} (twice)", data=plus_one),
])

@entity("things", schema_version=3, plan=PLAN)
class Thing(SQLModel):
    n: int
    twice: int | None = None
"""


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the modules of two releases, which can be imported."""
    (tmp_path / "old_release.py").write_text(OLD)
    (tmp_path / "new_release.py").write_text(NEW)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for module in ("old_release", "new_release"):
        sys.modules.pop(module, None)


def version_of(stored: Database, count: int) -> int:
    """The schema version the table is at: every row is, with the data that version
    stores."""
    ((version,),) = stored.rows(
        "SELECT schema_version FROM definitions WHERE name = 'things' AND current"
    )
    rows = stored.rows("SELECT * FROM things ORDER BY id")
    assert len(rows) == count
    for number, row in enumerate(rows):
        expected = {1: (number,), 2: (number * 2, number), 3: (number * 2 + 1, number)}[
            version
        ]
        assert row[6:] == expected
        assert (row[2], row[3]) == (version, version)
    assert stored.value(
        "SELECT count(*) FROM journal WHERE operation = 'migrate'"
    ) == count * (version - 1)
    assert stored.value("SELECT count(*) FROM migrations") == version - 1
    assert stored.value("SELECT seq FROM journal_head") == stored.value(
        "SELECT max(seq) FROM journal"
    )
    return int(version)


def kill_a_migration(
    url: str, folder: Path, count: int, mark: str, after: float
) -> int:
    """Start on the new release until a mark is there, and some seconds more; kill: the
    version the table is at."""
    environment = clean_environment(
        PERSIST_DATABASE_URL=url, PERSIST_MODELS="new_release"
    )
    (folder / mark).unlink(missing_ok=True)
    with (folder / "log").open("w") as log:
        process = forked.start(
            ["serve", "--port", "0"],
            folder,
            environment,
            stdout=log.fileno(),
            stderr=log.fileno(),
        )
    deadline = time.monotonic() + 60
    while (
        not (folder / mark).exists()
        and process.poll() is None
        and time.monotonic() < deadline
    ):
        pass
    time.sleep(after)  # the moment of the kill is what is tried out
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with opened(url) as stored:
        return version_of(stored, count)


def finish(url: str, count: int) -> None:
    """The next start does what is left."""
    types = load_models("new_release")
    prepare(dialect_of(url), types)
    with opened(url) as stored:
        assert version_of(stored, count) == 3
    assert [
        difference
        for difference in drift(dialect_of(url), types)
        if "things_by_twice" not in difference
    ] == []


def test_a_migration_that_is_killed_is_before_or_after_a_step(
    url: str, releases: Path
) -> None:
    store(url, load_models("old_release")[0], *({"n": n} for n in range(2_000)))
    assert kill_a_migration(url, releases, 2_000, "first", 0.0) == 1
    assert kill_a_migration(url, releases, 2_000, "second", 0.0) == 2
    finish(url, 2_000)


@pytest.mark.slow
def test_a_migration_of_100_000_records_killed_at_ten_moments(
    url: str, releases: Path
) -> None:
    store(url, load_models("old_release")[0], *({"n": n} for n in range(100_000)))
    found = [
        kill_a_migration(url, releases, 100_000, "first", after)
        for after in moments(5, 4)
    ]
    found += [
        kill_a_migration(url, releases, 100_000, "second", after)
        for after in moments(5, 4)
    ]
    assert found == sorted(found)
    assert found[0] == 1
    finish(url, 100_000)
