"""Faults: what the service says of a database that fails it, and of itself in its log
(contract 12).

Full disks and connections that are cut are in ``test_crash``.
"""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.support.collection import Collection
from tests.support.postgres import create_database, postgres_node
from tests.support.problems import assert_problem
from tests.support.server import Server, serving
from tests.support.waiting import until

only_sqlite = pytest.mark.parametrize(
    "database", ["sqlite"], indirect=True, scope="session"
)


def assert_not_ready(client: httpx.Client, word: str) -> None:
    """It says what is wrong, and does not say where the database is."""
    response = client.get("/health/ready")
    detail = assert_problem(response, 503, "unavailable")["detail"]
    assert int(response.headers["retry-after"]) >= 1
    assert word in detail
    assert not {"/", "127.0.0.1"} & set(detail.split())
    assert client.get("/health/live").status_code == 200


def is_ready(client: httpx.Client) -> bool:
    return client.get("/health/ready").status_code == 200


def log_of(server: Server) -> list[dict[str, Any]]:
    """What the service logged; all but its announcement is JSON."""
    return [
        json.loads(line)
        for line in server.log.read_text().splitlines()
        if line.startswith("{")
    ]


def test_a_server_that_has_ended_is_503_until_it_is_back(tmp_path: Path) -> None:
    with (
        postgres_node() as node,
        serving(create_database(node.url), tmp_path) as server,
    ):
        with server.client() as client:
            counters = Collection(client, "counters")
            record = counters.created(name="before")
            node.kill()
            for response in (
                counters.create({"name": "lost"}),
                counters.read(record["id"]),
            ):
                assert_problem(response, 503, "unavailable")
                assert int(response.headers["retry-after"]) >= 1
            assert_not_ready(client, "does not answer")
            assert client.get("/metrics").text.count("persist_database_up 0.0") == 1
            node.start()
            until(lambda: is_ready(client))
            assert counters.record(record["id"]) == record
            assert counters.items(name="lost") == []
            assert counters.create({"name": "after"}).status_code == 201
        assert any(
            each["event"].startswith("the database refused a write")
            for each in log_of(server)
        )


def _log_is_empty(connection: sqlite3.Connection) -> bool:
    """Copy the write-ahead log into the file; return whether all of it could be."""
    copied = connection.execute("pragma wal_checkpoint(truncate)").fetchone()
    return tuple(copied) == (0, 0, 0)


@only_sqlite
def test_a_damaged_file_is_503_until_it_is_whole_again(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    path = Path(url.removeprefix("sqlite:///"))
    with serving(url, tmp_path) as server, server.client() as client:
        counters = Collection(client, "counters")
        counters.import_lines(f'{{"name": "{"x" * 500}"}}\n' * 2000)
        with closing(sqlite3.connect(path)) as other:
            # Nothing is left that the service would copy into the damaged file.
            until(lambda: _log_is_empty(other))
        whole = path.read_bytes()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (len(whole) - 4096))
        assert_problem(counters.create({"name": "lost"}), 503, "unavailable")
        assert_not_ready(client, "malformed")
        with path.open("r+b") as file:
            file.write(whole)
        # A connection may have a damaged page in its cache, which it drops when it fails.
        until(lambda: counters.create({"name": "after"}).status_code == 201)
        until(lambda: is_ready(client))
        assert counters.find(count="true", limit="1").json()["total"] == 2001


@only_sqlite
def test_a_file_that_is_missing_makes_the_service_not_ready(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    path = Path(url.removeprefix("sqlite:///"))
    with serving(url, tmp_path) as server, server.client() as client:
        assert is_ready(client)
        shutil.move(path, path.with_name("away"))
        assert_not_ready(client, "exist")
        shutil.move(path.with_name("away"), path)
        until(lambda: is_ready(client))


@only_sqlite
def test_another_writer_makes_the_service_wait_and_not_unready(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    with (
        serving(url, tmp_path) as server,
        server.client() as client,
        closing(
            sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        ) as other,
    ):
        other.execute("begin immediate")
        assert is_ready(client)
        other.execute("rollback")


def test_the_log_names_the_request_and_holds_neither_bodies_nor_keys(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    with serving(new_database(), tmp_path) as server, server.client() as client:
        accounts = Collection(client, "accounts")
        record = accounts.created(owner="private-owner")
        headers = {"x-request-id": "look-for-me", "authorization": "Bearer private-key"}
        exploded = accounts.command(record["id"], "explode", headers=headers)
        assert_problem(exploded, 500, "internal-error")
        (event,) = [
            each for each in log_of(server) if each.get("request_id") == "look-for-me"
        ]
        assert event["level"] == "error"
        assert event["actor"] is None
        assert "the-inside-of-the-service" in event["exception"]
        assert "private" not in server.log.read_text()
