"""Honest outcomes: what a client learns of a write when the database fails it.

``unavailable`` means that nothing was stored, and comes within 5 s; ``outcome-unknown``
means that it may be (contract 17).
"""

import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.conftest import NewDatabase
from tests.support.collection import Collection
from tests.support.databases import postgresql_only, sqlite_only
from tests.support.faulty_disk import faulty_disk
from tests.support.postgres import PostgresNode, create_database, postgres_node
from tests.support.problems import assert_problem
from tests.support.relay import Relay, relay
from tests.support.server import Server, serving
from tests.support.waiting import until

WAITING = 256
ANSWERED_SECONDS = 5.0
SLACK_SECONDS = 3.0
"""For 256 connections of one client on a machine that has other work, too."""


@pytest.fixture(scope="module")
def node() -> Iterator[PostgresNode]:
    with postgres_node() as running:
        yield running


@contextmanager
def relayed(node: PostgresNode, folder: Path) -> Iterator[tuple[Relay, Server]]:
    """A service that reaches its PostgreSQL through a relay."""
    url = create_database(node.url)
    with relay(node.port) as between:
        through = url.replace(f":{node.port}/", f":{between.port}/")
        with serving(through, folder) as server:
            yield between, server


def test_a_commit_whose_answer_is_lost_is_answered_as_stored(
    node: PostgresNode, tmp_path: Path
) -> None:
    with relayed(node, tmp_path) as (between, server), server.client() as client:
        counters = Collection(client, "counters")
        between.lose_answer = True
        response = counters.create({"name": "kept"})
        assert not between.lose_answer
        assert response.status_code == 201
        assert counters.record(response.json()["id"])["data"]["name"] == "kept"


def test_a_commit_that_did_not_arrive_is_unavailable_and_stores_nothing(
    node: PostgresNode, tmp_path: Path
) -> None:
    with relayed(node, tmp_path) as (between, server), server.client() as client:
        counters = Collection(client, "counters")
        between.lose_commit = True
        response = counters.create({"name": "lost"})
        assert not between.lose_commit
        assert_problem(response, 503, "unavailable")
        assert counters.items(name="lost") == []
        assert counters.create({"name": "after"}).status_code == 201


def test_an_outcome_that_nobody_can_be_asked_about_is_unknown(
    node: PostgresNode, tmp_path: Path
) -> None:
    with relayed(node, tmp_path) as (between, server), server.client() as client:
        counters = Collection(client, "counters")
        key = {"Idempotency-Key": "once"}
        between.lose_answer_and_close()
        begun = time.monotonic()
        response = counters.create({"name": "perhaps"}, headers=key)
        problem = assert_problem(response, 503, "outcome-unknown")
        assert time.monotonic() - begun < ANSWERED_SECONDS + SLACK_SECONDS
        assert "Idempotency-Key" in problem["detail"]
        between.closed = False
        until(lambda: client.get("/health/ready").status_code == 200)
        again = counters.create({"name": "perhaps"}, headers=key)
        assert again.status_code == 201
        assert again.headers["idempotency-replayed"] == "true"
        assert len(counters.items(name="perhaps")) == 1


@sqlite_only
def test_a_commit_whose_sync_fails_is_not_stored_or_its_outcome_is_unknown(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    disk = faulty_disk(tmp_path / "disk")
    url = new_database()
    file = Path(url.removeprefix("sqlite:///"))
    with (
        serving(url, tmp_path, environment=disk.environment) as server,
        server.client() as client,
    ):
        counters = Collection(client, "counters")
        counters.created(name="before")
        disk.fail("sync")
        first = counters.create({"name": "first"})
        assert_problem(first, 503, "outcome-unknown")
        # Until the log can be synced again nothing more is written.
        assert_problem(counters.create({"name": "second"}), 503, "unavailable")
        disk.mend("sync")
        until(lambda: counters.create({"name": "after"}).status_code == 201)
        assert counters.items(name="second") == []
        stored = [item["data"]["name"] for item in counters.items()]
        server.kill()
    # What was answered while it ran is what a crash leaves behind.
    with closing(sqlite3.connect(file)) as left:
        names = left.execute("select name from counters order by id").fetchall()
    assert sorted(stored) == sorted(name for (name,) in names)


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Another process writes to the database, and goes on for the block."""
    if url.startswith("sqlite"):
        file = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("begin immediate")
            yield
            other.execute("rollback")
        return
    with psycopg.connect(url) as other_session:
        other_session.execute("lock table journal_head in exclusive mode")
        yield
        other_session.rollback()


def answered_while_waiting(server: Server, name: str) -> list[httpx.Response]:
    """The answers to as many creates as may wait at once, each within its time."""
    url = httpx.URL(server.url)
    body = json.dumps({"name": name})
    request = (
        "POST /api/counters HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )

    def create(connection: socket.socket) -> httpx.Response:
        begun = time.monotonic()
        connection.sendall(request.encode())
        head, _, content = b"".join(
            iter(lambda: connection.recv(65_536), b"")
        ).partition(b"\r\n\r\n")
        assert time.monotonic() - begun < ANSWERED_SECONDS + SLACK_SECONDS
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return httpx.Response(
            int(status.split()[1]),
            headers=headers,
            content=content,
            request=httpx.Request("POST", f"{server.url}/api/counters"),
        )

    with ExitStack() as opened, ThreadPoolExecutor(WAITING) as threads:
        connections = [
            opened.enter_context(socket.create_connection((url.host, url.port)))
            for _ in range(WAITING)
        ]
        return list(threads.map(create, connections))


def test_all_that_wait_for_a_locked_database_are_refused_within_five_seconds(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    with serving(url, tmp_path) as server, server.client() as client:
        counters = Collection(client, "counters")
        counters.created(name="before")
        with locked(url):
            for response in answered_while_waiting(server, "waiting"):
                assert_problem(response, 503, "unavailable")
        until(lambda: counters.create({"name": "after"}).status_code == 201)
        assert counters.items(name="waiting", limit="500") == []


def test_all_that_wait_for_a_silent_server_are_refused_within_five_seconds(
    node: PostgresNode, tmp_path: Path
) -> None:
    with (
        serving(create_database(node.url), tmp_path) as server,
        server.client() as client,
    ):
        counters = Collection(client, "counters")
        counters.created(name="before")
        with node.frozen():
            for response in answered_while_waiting(server, "waiting"):
                assert_problem(response, 503, "unavailable")
        until(lambda: counters.create({"name": "after"}).status_code == 201)
        assert counters.items(name="waiting", limit="500") == []


@postgresql_only
def test_a_session_that_freezes_in_a_transaction_delays_others_by_five_seconds(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """The session is the one that a service writes by: a test cannot stop a process
    exactly between two statements."""
    from persist.storage.dialect import dialect_of

    url = new_database()
    with serving(url, tmp_path) as server, server.client() as client:
        counters = Collection(client, "counters")
        counters.created(name="before")
        with closing(dialect_of(url).connect_writer()) as frozen:
            frozen.execute(dialect_of(url).begin_group)
            frozen.execute("update journal_head set seq = seq")
            begun = time.monotonic()
            response = counters.create({"name": "after"})
            assert time.monotonic() - begun < ANSWERED_SECONDS + SLACK_SECONDS
            assert response.status_code == 201


@pytest.mark.slow
def test_writes_wait_for_a_long_operation_of_another_process_and_are_not_refused(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """The transaction is the one in which another process would store its rows."""
    from persist.storage.dialect import dialect_of

    url = new_database()
    dialect = dialect_of(url)
    with (
        serving(url, tmp_path) as server,
        server.client() as client,
        ThreadPoolExecutor(1) as pool,
        closing(dialect.connect_staging()) as another,
    ):
        with dialect.turn(is_long=True):
            another.execute(dialect.begin_exclusive)
            another.execute(dialect.prepare_long)
            create = pool.submit(Collection(client, "counters").create, {"name": "x"})
            for _ in range(int(2 * ANSWERED_SECONDS)):
                time.sleep(1)
                another.execute("SELECT 1")  # it does not freeze
            assert not create.done()
            another.execute("ROLLBACK")
        assert create.result().status_code == 201
