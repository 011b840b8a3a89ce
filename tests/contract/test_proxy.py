"""What the deployment's proxy does with a request whose replica breaks off."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.proxy import proxy
from tests.support.server import serving

NDJSON = {"content-type": "application/x-ndjson"}


class Broken(BaseHTTPRequestHandler):
    """A replica that says that it is ready, and ends the connection once it has any
    other request."""

    received: list[str]

    def do_GET(self) -> None:
        if self.path == "/health/ready":
            self.send_response(200)
            self.end_headers()
            return
        self.do_POST()

    def do_POST(self) -> None:
        self.received.append(self.command)

    do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - the names it is called by

    def log_message(self, *_: Any) -> None:
        """It says nothing."""


@pytest.fixture
def received() -> list[str]:
    """The methods of all requests that came to either replica."""
    return []


@pytest.fixture
def client(tmp_path: Path, received: list[str]) -> Iterator[httpx.Client]:
    """A client of a proxy in front of two broken replicas."""
    handler = type("Handler", (Broken,), {"received": received})
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(2))
        replicas = [
            stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
            for _ in range(2)
        ]
        for replica in replicas:
            pool.submit(replica.serve_forever)
            stack.callback(replica.shutdown)
        places = [f"127.0.0.1:{replica.server_port}" for replica in replicas]
        running = stack.enter_context(proxy(places, tmp_path))
        yield stack.enter_context(running.client())


def assert_retry_later(response: httpx.Response, code: str = "unavailable") -> None:
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_write_that_was_sent_is_not_sent_again(
    client: httpx.Client, received: list[str], method: str
) -> None:
    response = client.request(method, "/api/counters", json={"name": "once"})
    assert_retry_later(response, "outcome-unknown")
    assert received == [method]


def test_a_read_that_broke_off_is_sent_to_the_next_one(
    client: httpx.Client, received: list[str]
) -> None:
    assert_retry_later(client.get("/api/counters"))
    assert received.count("GET") >= 2


def test_a_header_that_is_too_large_reaches_no_replica(
    client: httpx.Client, received: list[str]
) -> None:
    response = client.post("/api/counters", headers={"x-large": "x" * 80_000})
    assert response.status_code == 431
    assert received == []


def test_a_body_that_is_too_large_is_not_sent_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROXY_MAX_BODY", "10KB")
    url = f"sqlite:///{tmp_path}/persist.db"
    with serving(url, tmp_path) as server, ExitStack() as stack:
        running = stack.enter_context(proxy([server.url[7:]], tmp_path))
        client = stack.enter_context(running.client())
        small = client.post("/api/counters/import", content=b"{}\n", headers=NDJSON)
        assert small.status_code == 200
        large = client.post(
            "/api/counters/import", content=b"{}\n" * 10_000, headers=NDJSON
        )
        # An older Caddy counts the limit among the failures of the replica.
        assert large.status_code in (413, 503)
        assert client.get("/api/counters?count=true").json()["total"] == 1
