"""Shares (F11, F12, F17): whatever one key has in progress, others and health are
answered, and it is 429 for that key only."""

import json
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.hostile.conftest import Target, created
from tests.support.problems import assert_problem
from tests.support.raw import connected, head, status_of

LENGTH = 900_000
RECORDS = 24
JSON = "application/json"
NDJSON = "application/x-ndjson"
SHARE = Counter({200: 8, 429: 16})
"""What 24 requests for long work under one key are answered at worst."""


@contextmanager
def flood(target: Target, key: str, count: int, request: bytes) -> Iterator[list[int]]:
    """Send a request on many connections and read the first bytes of each answer that
    there is; then keep the connections open."""
    with ExitStack() as stack:
        connections = [stack.enter_context(connected(target.url)) for _ in range(count)]
        for each in connections:
            each.sendall(request)
        answered: list[int] = []
        yield answered
        for each in connections:
            each.settimeout(0.05)
            answered += first_status(each)


def first_status(connection: socket.socket) -> list[int]:
    try:
        received = connection.recv(64)
    except TimeoutError:
        return []
    return [status_of(received)] if received else []


def authorization(target: Target, key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {target.keys[key]}"}


def assert_well(client: httpx.Client) -> None:
    """The service says that it is ready, shows its document, and stores."""
    assert client.get("/health/ready").status_code == 200
    assert client.get("/openapi.json").status_code == 200
    created(client, "plain", {"n": 2})


def test_slow_bodies_of_one_key_leave_room_for_others(target: Target) -> None:
    asked = head(
        "POST",
        "/api/plain",
        target.url,
        Content_Type=JSON,
        Content_Length="99",
        **authorization(target, "writer"),
    )
    with target.client() as admin, target.unharmed():
        with flood(target, "writer", 70, asked + b"{") as answered:
            assert_well(admin)
        assert Counter(answered)[429] >= 10


def test_exports_that_nobody_reads_leave_room_for_others(
    target: Target, large: None
) -> None:
    asked = head(
        "GET", "/api/large/export", target.url, **authorization(target, "reader")
    )
    with target.client() as admin, target.unharmed():
        with flood(target, "reader", 20, asked) as answered:
            assert_well(admin)
            with admin.stream("GET", "/api/large/export") as response:
                assert response.status_code == 200
        assert answered.count(200) <= 4


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/api/large?limit=500", JSON),
        ("/changes?after=0&collection=large", "text/event-stream"),
        ("/changes?after=0&limit=500&collection=large", JSON),
    ],
    ids=["pages", "events", "changes"],
)
def test_large_responses_that_nobody_reads_leave_memory_for_others(
    target: Target, large: None, path: str, accept: str
) -> None:
    asked = head(
        "GET", path, target.url, Accept=accept, **authorization(target, "reader")
    )
    with target.client() as admin, target.unharmed(kilobytes=200_000):
        with flood(target, "reader", 12, asked) as answered:
            assert_well(admin)
            page = admin.get("/api/large", params={"limit": "2"})
            assert len(page.json()["items"]) == 2
        assert set(answered) <= {200, 429}
        if path.startswith("/api"):  # events wait for room, changes share their text
            assert answered.count(200) <= 6


def test_verifications_of_one_key_stop_neither_health_nor_others(
    target: Target, large: None
) -> None:
    with target.client() as admin, ThreadPoolExecutor(24) as pool:
        snapshot = admin.post("/api/large/snapshots", json={}).json()["id"]

        def verify(_: int) -> int:
            with target.client() as client:
                return client.post(f"/snapshots/{snapshot}/verify").status_code

        with target.unharmed():
            running = [pool.submit(verify, number) for number in range(24)]
            with target.client("writer") as writer:
                assert writer.get("/health/ready").status_code == 200
                created(writer, "plain", {"n": 3})
            statuses = Counter(each.result() for each in running)
        admin.delete(f"/snapshots/{snapshot}")
    assert statuses.keys() <= SHARE.keys()
    assert statuses[200] >= SHARE[200]


def test_imports_that_do_not_end_leave_disk_for_others(target: Target) -> None:
    asked = head(
        "POST",
        "/api/plain/import",
        target.url,
        Content_Type=NDJSON,
        Content_Length="40000000",
        **authorization(target, "writer"),
    )
    body = b"\n" * 24_000_000
    with target.unharmed(), connected(target.url) as first:
        first.sendall(asked + body)
        with target.client("writer") as writer:
            headers = {"content-type": NDJSON}
            refused = writer.post("/api/plain/import", content=body, headers=headers)
            assert_problem(refused, 429, "too-many-requests")
        with target.client() as admin:
            line = json.dumps({"n": 4}).encode()
            answer = admin.post("/api/plain/import", content=line, headers=headers)
            assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def large(target: Target) -> Iterator[None]:
    """A collection of large records."""
    with target.client() as admin:
        for number in range(RECORDS):
            created(admin, "large", {"s": "e" * LENGTH, "n": number})
        yield
        query = {"n__gte": "0", "max_affected": "1000"}
        assert admin.delete("/api/large", params=query).status_code == 200
