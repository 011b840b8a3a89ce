"""Streams of rows: limited in number, ended when the client goes, and honest about a
database that is away (contract 3, export)."""

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import psycopg

from tests.conftest import NewDatabase
from tests.support.collection import Collection
from tests.support.databases import postgresql_only
from tests.support.postgres import create_database, postgres_node
from tests.support.problems import assert_problem
from tests.support.server import Server, serving
from tests.support.waiting import until

STREAMS = 2
REFUSED_SECONDS = 15.0
"""Within which a stream is refused that waits for 4 s: the machine may be busy."""

LINES = f'{{"name": "{"x" * 2_000}"}}\n' * 4_000
"""More than sockets and their buffers take."""


def unread_export(server: Server) -> socket.socket:
    """An export that is begun, and of which only the beginning is read."""
    url = httpx.URL(server.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.connect((url.host, url.port))
    connection.sendall(b"GET /api/counters/export HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert connection.recv(15) == b"HTTP/1.1 200 OK"
    return connection


def test_one_stream_too_many_waits_and_is_refused_until_one_ends(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    settings = {"MAX_STREAMS": str(2 * STREAMS)}
    with (
        serving(new_database(), tmp_path, settings=settings) as server,
        server.client() as client,
        ExitStack() as opened,
    ):
        counters = Collection(client, "counters")
        assert counters.import_lines(LINES).status_code == 200
        running = [opened.enter_context(unread_export(server)) for _ in range(STREAMS)]
        begun = time.monotonic()
        assert_problem(counters.export(), 429, "too-many-requests")
        assert time.monotonic() - begun < REFUSED_SECONDS
        assert counters.create({"name": "meanwhile"}).status_code == 201
        running[0].close()
        exported = counters.export()
        assert exported.status_code == 200
        assert len(exported.text.splitlines()) == 4_001


@postgresql_only
def test_a_stream_ends_at_once_when_its_reader_goes(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    with serving(url, tmp_path) as server, server.client() as client:
        counters = Collection(client, "counters")
        assert counters.import_lines(LINES).status_code == 200
        with psycopg.connect(url, autocommit=True) as observer:

            def open_streams() -> int:
                row = observer.execute(
                    "select count(*) from pg_stat_activity where datname ="
                    " current_database() and xact_start is not null and pid <>"
                    " pg_backend_pid()"
                ).fetchone()
                assert row is not None
                return int(row[0])

            with ExitStack() as opened:
                for _ in range(4):
                    opened.enter_context(unread_export(server))
                until(lambda: open_streams() == 4)
            until(lambda: open_streams() == 0)
        assert counters.export().status_code == 200


def test_an_export_while_the_server_is_away_is_503(tmp_path: Path) -> None:
    with (
        postgres_node() as node,
        serving(create_database(node.url), tmp_path) as server,
        server.client() as client,
    ):
        counters = Collection(client, "counters")
        counters.created(name="kept")
        node.kill()
        assert_problem(counters.export(), 503, "unavailable")
        node.start()
        until(lambda: counters.export().status_code == 200)
