"""Crashes and full disks: what was acknowledged is there, nothing is there by half."""

import random
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

import httpx
import psycopg
import pytest

from persist.storage.dialect import dialect_of
from tests.conftest import NewDatabase
from tests.support.collection import Collection
from tests.support.disk import SmallDisk, small_disk
from tests.support.load import Ledger, Load, assert_all_is_there
from tests.support.postgres import create_database
from tests.support.problems import assert_problem
from tests.support.server import Server, run, serving, start


class Launch(Protocol):
    """Start a service on a database; what the test leaves running is killed after
    it."""

    def __call__(self, url: str, *, workers: int = 1) -> Server: ...


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    started: list[Server] = []

    def begin(url: str, *, workers: int = 1) -> Server:
        started.append(start(url, tmp_path, workers=workers))
        return started[-1]

    yield begin
    for server in started:
        if server.process.poll() is None:
            server.kill()


def shared_counter(server: Server) -> str:
    with server.client() as client:
        record_id: str = Collection(client, "counters").created(name="shared")["id"]
        return record_id


def crash_and_look(
    url: str, folder: Path, launch: Launch, *, crashes: int, workers: int
) -> None:
    """Kill the service in the middle of a load again and again; each time all must be
    there."""
    ledger, chance = Ledger(), random.Random(crashes)
    server = launch(url, workers=workers)
    shared_id = shared_counter(server)
    for _ in range(crashes):
        enough = ledger.acknowledged + chance.randint(20, 150)
        with Load(server, ledger, shared_id):
            ledger.wait_for(enough)
            server.kill()
        before = time.monotonic()
        server = launch(url, workers=workers)
        assert time.monotonic() - before < 30
        assert_all_is_there(server, ledger, shared_id)
    server.stop()
    assert ledger.refused == []
    checked = run(["check"], url, folder)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert_file_is_sound(url)


def assert_file_is_sound(url: str) -> None:
    if url.startswith("sqlite:"):
        # Indexes of decimals have a function of the service's.
        with closing(dialect_of(url).connect()) as connection:
            assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]


def test_a_kill_in_the_middle_of_writes_loses_nothing_acknowledged(
    new_database: NewDatabase, tmp_path: Path, launch: Launch
) -> None:
    crash_and_look(new_database(), tmp_path, launch, crashes=2, workers=1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_twenty_kills_lose_nothing_acknowledged(
    new_database: NewDatabase, tmp_path: Path, launch: Launch, workers: int
) -> None:
    crash_and_look(new_database(), tmp_path, launch, crashes=20, workers=workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_that_is_asked_to_stop_finishes_what_it_began(
    new_database: NewDatabase, tmp_path: Path, launch: Launch, workers: int
) -> None:
    url, ledger = new_database(), Ledger()
    server = launch(url, workers=workers)
    shared_id = shared_counter(server)
    with Load(server, ledger, shared_id):
        ledger.wait_for(100)
        server.stop()
    assert server.process.poll() == 0
    for response in ledger.refused:
        assert_problem(response, 503, "unavailable")
    with serving(url, tmp_path) as again:
        assert_all_is_there(again, ledger, shared_id)


# --- a database that is away for a while
# ----------------------------------------------------------


@pytest.mark.parametrize("database", ["postgresql"], indirect=True, scope="session")
def test_a_service_whose_connections_are_cut_connects_again(
    postgres: str, new_database: NewDatabase, tmp_path: Path, launch: Launch
) -> None:
    url, ledger = new_database(), Ledger()
    name = url.split("/")[3].partition("?")[0]
    server = launch(url)
    shared_id = shared_counter(server)
    with Load(server, ledger, shared_id):
        for _ in range(5):
            ledger.wait_for(ledger.acknowledged + 30)
            with psycopg.connect(postgres, autocommit=True) as connection:
                cut = (
                    "select pg_terminate_backend(pid) from pg_stat_activity where"
                    " datname = %s"
                )
                connection.execute(cut, [name])
        ledger.wait_for(ledger.acknowledged + 50)
        server.stop()
    for response in ledger.refused:
        assert_problem(response, 503, "unavailable")
        assert int(response.headers["retry-after"]) >= 1
    with serving(url, tmp_path) as again:
        assert_all_is_there(again, ledger, shared_id)


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="session")
def test_a_file_another_process_keeps_locked_is_503_and_can_be_read(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    with serving(url, tmp_path) as server, server.client() as client:
        counters = Collection(client, "counters")
        record = counters.created(value=1)
        with closing(
            sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        ) as other:
            other.execute("begin immediate")
            response = counters.patch(record["id"], {"value": 2})
            assert_problem(response, 503, "unavailable")
            assert int(response.headers["retry-after"]) >= 1
            assert counters.record(record["id"]) == record
            other.execute("rollback")
        assert counters.patch(record["id"], {"value": 2}).json()["revision"] == 2


# --- full disks
# ----------------------------------------------------------------------------------


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk(48) as disk:
        yield disk


@pytest.fixture
def url_on_disk(
    database: str, disk: SmallDisk, request: pytest.FixtureRequest
) -> Iterator[str]:
    """A database whose records lie on the small disk."""
    if database == "sqlite":
        yield f"sqlite:///{disk.folder}/persist.db"
        return
    server: str = request.getfixturevalue("postgres")
    folder = disk.folder / "tablespace"
    folder.mkdir()
    with psycopg.connect(server, autocommit=True) as connection:
        _give_to_postgres(folder, connection)
        connection.execute(f"create tablespace small location '{folder}'")
    url = create_database(server, tablespace="small")
    yield url
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            f"drop database {url.split('/')[3].partition('?')[0]} with (force)"
        )
        connection.execute("drop tablespace small")


def _give_to_postgres(folder: Path, connection: psycopg.Connection) -> None:
    row = connection.execute("show data_directory").fetchone()
    assert row is not None
    owner = Path(row[0]).stat()
    shutil.chown(folder, owner.st_uid, owner.st_gid)


def put_until(
    counters: Collection, bulk: str, done: Callable[[int], bool]
) -> dict[str, bool]:
    """Create records under ids of ours until a status is right: whether each was
    acknowledged."""
    fate: dict[str, bool] = {}
    for _ in range(5000):
        record_id = str(uuid.uuid4())
        response = counters.replace(record_id, {"name": bulk})
        fate[record_id] = response.status_code == 201
        if response.status_code != 201:
            assert_problem(response, 503, "unavailable")
            assert int(response.headers["retry-after"]) >= 1
        if done(response.status_code):
            return fate
    raise AssertionError("the disk did not fill up")


def assert_fate(counters: Collection, fate: dict[str, bool]) -> None:
    for record_id, acknowledged in fate.items():
        status = counters.read(record_id).status_code
        assert status == (200 if acknowledged else 404)


def test_a_disk_that_fills_up_and_is_freed_again_loses_nothing(
    disk: SmallDisk, url_on_disk: str, tmp_path: Path
) -> None:
    with serving(url_on_disk, tmp_path) as server, server.client() as client:
        counters = Collection(client, "counters")
        first = counters.created(name="first")
        assert (
            counters.record(first["id"]) == first
        )  # on a full disk PostgreSQL takes no new connection
        disk.fill()
        fate = put_until(counters, "x" * 20_000, lambda status: status == 503)
        fate |= put_until(counters, "x" * 20_000, lambda status: status == 503)
        ready = assert_problem(client.get("/health/ready"), 503, "unavailable")
        assert str(disk.folder) not in ready["detail"]
        assert counters.record(first["id"]) == first
        assert_fate(counters, fate)
        assert client.get("/health/live").status_code == 200
        assert_problem(
            counters.import_lines(f'{{"name": "{"x" * 20_000}"}}\n' * 50),
            503,
            "unavailable",
        )
        disk.free()
        fate |= put_until(counters, "x" * 20_000, lambda status: status == 201)
        for _ in range(20):
            assert counters.create({"name": "again"}).status_code == 201
        assert client.get("/health/ready").status_code == 200
        assert len(counters.items(name="again")) == 20
        assert_fate(counters, fate)
    assert_file_is_sound(url_on_disk)


def test_a_full_disk_under_load_loses_nothing(
    disk: SmallDisk, url_on_disk: str, tmp_path: Path, launch: Launch
) -> None:
    ledger = Ledger()
    server = launch(url_on_disk)
    shared_id = shared_counter(server)
    with Load(server, ledger, shared_id):
        ledger.wait_for(50)
        disk.fill()
        wait_for_refusals(ledger)
        disk.free()
        ledger.wait_for(ledger.acknowledged + 100)
        server.stop()
    for response in ledger.refused:
        assert_problem(response, 503, "unavailable")
    with serving(url_on_disk, tmp_path) as again:
        assert_all_is_there(again, ledger, shared_id)
    assert_file_is_sound(url_on_disk)


def wait_for_refusals(ledger: Ledger) -> None:
    deadline = time.monotonic() + 60
    while len(ledger.refused) < 10:
        assert time.monotonic() < deadline, "the disk did not fill up"
        time.sleep(0.01)


@pytest.mark.slow
def test_a_kill_in_the_middle_of_an_undo_leaves_all_or_nothing(
    new_database: NewDatabase, tmp_path: Path, launch: Launch
) -> None:
    """Many records are taken back, and the service is killed meanwhile."""
    url, chance = new_database(), random.Random(3)
    records, request = 20_000, {"x-request-id": "bad-import"}
    server = launch(url)
    with server.client() as client:
        client.post(
            "/api/counters/import",
            content='{"value": 1}\n' * records,
            headers={"content-type": "application/x-ndjson", **request},
        ).raise_for_status()
    for _ in range(4):
        body = {"request_id": "bad-import"}
        undoing = threading.Thread(target=undo_until_killed, args=(server.url, body))
        undoing.start()
        undoing.join(chance.uniform(0.1, 2))
        server.kill()
        undoing.join()
        server = launch(url)
        with server.client() as client:
            page = client.get("/api/counters?limit=1&count=true").json()
            last = client.get("/changes?after=now").json()["last_seq"]
            assert (page["total"], last) in ((records, records), (0, 2 * records))
            if not page["total"]:
                return


def undo_until_killed(url: str, body: dict[str, str]) -> None:
    """Send an undo whose answer may be lost."""
    with suppress(httpx.TransportError):
        httpx.post(f"{url}/changes/undo", json=body, timeout=60)
