"""The change feed under writers: no gap and no change twice, whoever breaks off
(contract 10)."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.conftest import NewDatabase
from tests.support.collection import Collection
from tests.support.events import changes, listening
from tests.support.server import Server, serving

WRITERS = 16
TIMEOUT_SECONDS = 120
"""Seconds after which a change that does not come is missed."""


@pytest.fixture(scope="session", params=["typed"])
def kind(request: pytest.FixtureRequest) -> str:
    """The journal makes no difference between kinds."""
    name: str = request.param
    return name


@pytest.fixture(params=["one process", "two processes"])
def servers(
    request: pytest.FixtureRequest,
    database: str,
    new_database: NewDatabase,
    tmp_path: Path,
) -> Iterator[tuple[str, list[Server]]]:
    """A database and the services on it: one; one of two workers on SQLite; two on
    PostgreSQL."""
    url, two = new_database(), request.param == "two processes"
    with ExitStack() as stack:
        workers = 2 if two and database == "sqlite" else 1
        services = 2 if two and database == "postgresql" else 1
        folders = [tmp_path / str(number) for number in range(services)]
        for folder in folders:
            folder.mkdir()
        yield (
            url,
            [
                stack.enter_context(serving(url, folder, workers=workers))
                for folder in folders
            ],
        )


def write(server: Server, number: int, writes: int) -> list[str]:
    """Create, change and delete records; the ids of those that were created."""
    with server.client() as client:
        counters, ids = Collection(client, "counters"), []
        for turn in range(writes // 4):
            record_id = counters.created(value=number, name=str(turn))["id"]
            assert counters.command(record_id, "increment").status_code == 200
            assert counters.patch(record_id, {"value": -1}).status_code == 200
            if turn % 2:
                assert counters.delete(record_id).status_code == 204
            else:
                assert counters.import_lines('{"value": 1}\n').status_code == 200
            ids.append(record_id)
        return ids


class Reader:
    """Reads the stream, breaks off after a few changes, and goes on by the last id it
    saw."""

    def __init__(self, servers: list[Server]) -> None:
        self.seqs: list[int] = []
        self.created: set[str] = set()
        self.connections = 0
        self._servers = servers
        self._chance = random.Random(7)
        self._until = time.monotonic() + TIMEOUT_SECONDS

    def read(self, total: int) -> None:
        while len(self.seqs) < total:
            self.connections += 1
            server = self._servers[self.connections % len(self._servers)]
            with server.client() as client:
                self._read(
                    client, min(self._chance.randint(1, 30), total - len(self.seqs))
                )

    def _read(self, client: httpx.Client, count: int) -> None:
        last = self.seqs[-1] if self.seqs else 0
        with listening(
            client, last, limit=count if self._chance.random() < 0.5 else 500
        ) as events:
            for _, change in events:
                assert time.monotonic() < self._until, f"{len(self.seqs)} changes came"
                if change is None:
                    continue
                self.seqs.append(change["seq"])
                if change["operation"] == "create":
                    self.created.add(change["id"])
                count -= 1
                if not count:
                    return


def follow_writers(servers: list[Server], writes: int, breaks: int) -> None:
    total, reader = WRITERS * writes, Reader(servers)
    with ThreadPoolExecutor(WRITERS + 1) as pool:
        reading = pool.submit(reader.read, total)
        turns = [
            pool.submit(write, servers[number % len(servers)], number, writes)
            for number in range(WRITERS)
        ]
        ids = {record_id for turn in turns for record_id in turn.result()}
        reading.result()
    assert reader.seqs == list(range(1, total + 1))
    assert ids <= reader.created
    assert reader.connections >= breaks


def test_a_reader_that_breaks_off_again_and_again_misses_nothing(
    servers: tuple[str, list[Server]],
) -> None:
    follow_writers(servers[1], writes=24, breaks=12)


@pytest.mark.slow
def test_a_reader_that_breaks_off_a_hundred_times_misses_nothing(
    servers: tuple[str, list[Server]],
) -> None:
    follow_writers(servers[1], writes=240, breaks=100)


@contextmanager
def an_open_transaction(url: str, record_id: str) -> Iterator[None]:
    """One that has begun before the others, has its number, and holds a record."""
    with psycopg.connect(url) as connection:
        connection.execute("select pg_current_xact_id()")
        connection.execute(
            "select 1 from counters where id = %s for update", [record_id]
        )
        yield
        connection.rollback()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True, scope="session")
@pytest.mark.parametrize("servers", ["two processes"], indirect=True)
def test_a_transaction_that_stays_open_hides_nothing(
    servers: tuple[str, list[Server]],
) -> None:
    url, (one, other) = servers
    with one.client() as here, other.client() as there, ThreadPoolExecutor(1) as pool:
        counters, others = Collection(here, "counters"), Collection(there, "counters")
        locked = counters.created()["id"]
        with listening(there, after=1) as events:
            seen = changes(events)
            with an_open_transaction(url, locked):
                waiting = pool.submit(counters.patch, locked, {"value": 9})
                for number in range(10):
                    created = others.created(value=number)
                    assert next(seen)["id"] == created["id"]
                assert not waiting.done()
            assert waiting.result(60).status_code == 200
            later = others.created()["id"]
            last = [next(seen) for _ in range(2)]
    assert [change["seq"] for change in last] == [12, 13]
    assert [change["id"] for change in last] == [locked, later]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True, scope="session")
@pytest.mark.parametrize("servers", ["two processes"], indirect=True)
def test_a_listener_whose_connections_are_cut_hears_what_comes_next(
    servers: tuple[str, list[Server]], postgres: str
) -> None:
    url, (one, other) = servers
    with one.client() as here, other.client() as there:
        counters, name = (
            Collection(there, "counters"),
            url.split("/")[3].partition("?")[0],
        )
        counters.created()
        with listening(here, after=1) as events:
            seen = changes(events)
            for seq in range(2, 5):
                with psycopg.connect(postgres, autocommit=True) as connection:
                    cut = (
                        "select pg_terminate_backend(pid) from pg_stat_activity where"
                        " datname = %s"
                    )
                    connection.execute(cut, [name])
                created = until_created(counters)
                assert (change := next(seen))["seq"] == seq
                assert change["id"] == created


def until_created(counters: Collection) -> str:
    """Create a record; a service whose connection was cut says once that it cannot."""
    pause = threading.Event()
    for _ in range(100):
        response = counters.create({})
        if response.status_code == 201:
            record_id: str = response.json()["id"]
            return record_id
        assert response.status_code == 503, response.text
        pause.wait(0.05)
    raise AssertionError("the service does not come back")
