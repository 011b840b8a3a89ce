"""Shutdown: a signal lets what is in progress finish within a set time, another one
ends at once."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.support.raw import connected, head, status_of
from tests.support.server import Server, serving

BODY = b'{"name": "late"}'


@contextmanager
def half_a_request(url: str) -> Iterator[socket.socket]:
    """A request in progress, whose body has begun."""
    with connected(url) as connection:
        begin = (
            head("POST", "/api/counters", url, Content_Length=str(len(BODY))) + BODY[:5]
        )
        connection.sendall(begin.replace(b"Connection: close\r\n", b""))
        with httpx.Client(base_url=url) as client:
            for _ in range(20):  # by then whatever process has it has read it
                client.get("/health/live")
        yield connection


def end(server: Server, number: int) -> None:
    """Send the signal and return when no new connection is taken."""
    server.process.send_signal(number)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{server.url}/health/live")
        except httpx.ConnectError:
            return
        except httpx.TransportError:  # one of several has closed what it had taken
            continue
    raise AssertionError("it goes on taking connections")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_request_in_progress_is_finished_and_stored(
    new_database: NewDatabase, tmp_path: Path, workers: int
) -> None:
    url = new_database()
    with (
        serving(url, tmp_path, workers=workers) as server,
        half_a_request(server.url) as connection,
    ):
        end(server, signal.SIGTERM)
        connection.sendall(BODY[5:])
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        assert status_of(answer) == 201
        assert b"connection: close" in answer
        assert server.process.wait(20) == 0
    with serving(url, tmp_path) as again, again.client() as client:
        found = client.get("/api/counters", params={"name": "late"}).json()["items"]
        assert f'"id":"{found[0]["id"]}"'.encode() in answer


@pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="session")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_request_that_does_not_finish_in_time_is_503(
    new_database: NewDatabase, tmp_path: Path, workers: int
) -> None:
    settings = {"SHUTDOWN_SECONDS": "1", "BODY_TIMEOUT_SECONDS": "60"}
    with (
        serving(new_database(), tmp_path, workers=workers, settings=settings) as server,
        half_a_request(server.url) as connection,
    ):
        end(server, signal.SIGTERM)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        assert status_of(answer) == 503
        assert b"retry-after" in answer
        assert server.process.wait(20) == 0
        assert "timeout graceful shutdown exceeded" in server.log.read_text()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="session")
@pytest.mark.parametrize(
    ("workers", "number"), [(1, signal.SIGINT), (2, signal.SIGTERM)]
)
def test_a_second_signal_ends_it_at_once(
    new_database: NewDatabase, tmp_path: Path, workers: int, number: signal.Signals
) -> None:
    settings = {"SHUTDOWN_SECONDS": "600", "BODY_TIMEOUT_SECONDS": "600"}
    with (
        serving(new_database(), tmp_path, workers=workers, settings=settings) as server,
        half_a_request(server.url),
    ):
        end(server, signal.SIGTERM)
        server.process.send_signal(number)
        assert server.process.wait(20) == 128 + number


@pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="session")
def test_a_stream_that_nobody_reads_is_cut_off_in_time(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    with (
        serving(new_database(), tmp_path, settings={"SHUTDOWN_SECONDS": "1"}) as server,
        server.client() as client,
        connected(server.url) as connection,
    ):
        lines = f'{{"name": "{"x" * 5000}"}}\n' * 5000
        client.post(
            "/api/counters/import",
            content=lines,
            headers={"content-type": "application/x-ndjson"},
        )
        connection.sendall(head("GET", "/api/counters/export", server.url))
        assert status_of(connection.recv(100)) == 200
        end(server, signal.SIGTERM)
        assert server.process.wait(20) == 0
        assert "Traceback" not in server.log.read_text()
