"""Overload: past its limits the service says 503 at once, and 429 to a caller that has
its share; it stays well and keeps its memory (contract 12 and 17)."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from persist.server import allow_files
from tests.conftest import NewDatabase
from tests.support.collection import Collection
from tests.support.problems import assert_problem
from tests.support.raw import connected, head, status_of
from tests.support.server import Server, serving

LIMITS = {
    "MAX_REQUESTS": "8",
    "MAX_WAITING": "4",
    "MAX_CONNECTIONS": "60",
    "MAX_BODIES_BYTES": "1000000",
    "BODY_TIMEOUT_SECONDS": "30",
}


@pytest.fixture(scope="module")
def small(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A service that takes on little."""
    with serving(
        new_database(), tmp_path_factory.mktemp("small"), settings=LIMITS
    ) as server:
        yield server


def test_the_limits_can_be_read(small: Server) -> None:
    limits = httpx.get(small.url).json()["limits"]
    assert (limits["requests"], limits["waiting"], limits["connections"]) == (8, 4, 60)
    assert limits["bodies_bytes"] == 1_000_000
    assert (limits["page"], limits["affected"], limits["transaction_operations"]) == (
        500,
        10_000,
        1_000,
    )
    assert (limits["target_bytes"], limits["body_bytes"]) == (32_768, 1_048_576)


def test_one_request_too_many_is_429_at_once_while_others_and_health_are_answered(
    small: Server,
) -> None:
    unfinished = head("POST", "/api/counters", small.url, Content_Length="5")
    with small.client() as client, other_client(small) as other, ExitStack() as stack:
        waiting = [stack.enter_context(connected(small.url)) for _ in range(4)]
        for each in waiting:
            each.sendall(unfinished)
        refused = until_refused(client)
        assert_problem(refused, 429, "too-many-requests")
        assert int(refused.headers["retry-after"]) >= 1
        assert other.get("/collections").status_code == 200
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").status_code == 200
        waiting[0].sendall(b'{"a":')
        assert status_of(waiting[0].recv(65_536)) == 400
        assert client.get("/collections").status_code == 200


def test_where_many_callers_have_their_share_another_is_503(small: Server) -> None:
    unfinished = head("POST", "/api/counters", small.url, Content_Length="5")
    shares = {"127.0.0.3": 4, "127.0.0.4": 2, "127.0.0.5": 1, "127.0.0.6": 1}
    with small.client() as client, ExitStack() as stack:
        for source, count in shares.items():
            for _ in range(count):
                each = stack.enter_context(connected(small.url, source))
                each.sendall(unfinished)
        refused = until_refused(client)
        assert_problem(refused, 503, "unavailable")
        assert client.get("/health/ready").status_code == 200


def other_client(server: Server) -> httpx.Client:
    """A client at another address."""
    transport = httpx.HTTPTransport(local_address="127.0.0.2")
    return httpx.Client(base_url=server.url, transport=transport, timeout=20)


def until_refused(client: httpx.Client) -> httpx.Response:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        response = client.get("/collections")
        if response.status_code != 200:
            return response
    raise AssertionError("nothing was refused")


def test_one_connection_too_many_gets_429_and_is_closed_but_not_that_of_health(
    small: Server,
) -> None:
    with ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(connected(small.url))
        with connected(small.url) as late:
            late.sendall(
                "GET /collections HTTP/1.1\r\nHost:"
                f" {urlsplit(small.url).netloc}\r\n\r\n".encode()
            )
            answer = b"".join(iter(lambda: late.recv(65_536), b""))
        assert status_of(answer) == 429
        assert b"retry-after" in answer
        with other_client(small) as other:
            assert other.get("/collections").status_code == 200
        assert httpx.get(f"{small.url}/health/ready").status_code == 200


def test_large_bodies_beyond_the_memory_for_them_are_429_and_give_it_back(
    small: Server,
) -> None:
    part = b'{"name": "' + b"x" * 300_000
    half_way = head("POST", "/api/counters", small.url, Content_Length="1000000") + part
    whole = {"name": "x" * 300_000}
    with small.client() as client, connected(small.url) as one:
        one.sendall(half_way)
        deadline = time.monotonic() + 20
        while (response := client.post("/api/counters", json=whole)).status_code == 201:
            assert time.monotonic() < deadline, "the first body was not counted"
        assert_problem(response, 429, "too-many-requests")
        one.close()
        deadline = time.monotonic() + 20
        while client.post("/api/counters", json=whole).status_code != 201:
            assert time.monotonic() < deadline, "the memory was not given back"


async def hammer(
    url: str, connections: int, seconds: float
) -> tuple[Counter[int], float]:
    """Create counters from that many connections for a while: how often each status
    came, and the longest that ``/health/live`` took meanwhile."""
    address = urlsplit(url)
    body = json.dumps({"name": "x" * 2000}).encode()
    lines = (
        f"POST /api/counters HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length:"
        f" {len(body)}\r\n\r\n"
    )
    request, until, statuses = (
        lines.encode() + body,
        time.monotonic() + seconds,
        Counter[int](),
    )

    async def one() -> None:
        while time.monotonic() < until:
            reader, writer = await asyncio.open_connection(
                address.hostname, address.port
            )
            try:
                while time.monotonic() < until:
                    writer.write(request)
                    answer = await reader.readuntil(b"\r\n\r\n")
                    length = (
                        answer.lower()
                        .partition(b"content-length: ")[2]
                        .partition(b"\r\n")[0]
                    )
                    await reader.readexactly(int(length))
                    statuses[status_of(answer)] += 1
                    if b"connection: close" in answer.lower():
                        break
            except (ConnectionError, asyncio.IncompleteReadError):
                statuses[0] += 1
            finally:
                writer.close()

    async def health() -> float:
        longest = 0.0
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            while time.monotonic() < until:
                begun = time.monotonic()
                assert (await client.get("/health/live")).status_code == 200
                longest = max(longest, time.monotonic() - begun)
                await asyncio.sleep(0.05)
        return longest

    results = await asyncio.gather(health(), *(one() for _ in range(connections)))
    return statuses, results[0] or 0.0


MOST_ROUNDS = 3
LEAK_KILOBYTES = 40_000


def overload(server: Server, connections: int, seconds: float) -> None:
    """The service says 201, 429 or 503 and nothing else, and its memory stays where it
    was."""
    asyncio.run(hammer(server.url, connections, seconds / 3))
    most = server.resident_kilobytes()
    for _ in range(MOST_ROUNDS):
        statuses, longest = asyncio.run(hammer(server.url, connections, seconds))
        # 503 where so many arrive at once that it does not know yet whose they are.
        assert set(statuses) <= {201, 429, 503}, statuses
        assert statuses[201] > 0
        assert statuses[429] > 0
        assert longest < 5
        grown = server.resident_kilobytes() - most
        # The allocator gives memory back now and then, so one round says little.
        if grown < LEAK_KILOBYTES:
            break
        most += grown
    assert grown < LEAK_KILOBYTES, f"{grown} KiB more in each round"
    with server.client() as client:
        assert Collection(client, "counters").created(name="after")


def test_ten_times_the_load_is_refused_and_takes_no_memory(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    settings = {"MAX_REQUESTS": "30", "MAX_CONNECTIONS": "500"}
    with serving(new_database(), tmp_path, settings=settings) as server:
        overload(server, connections=300, seconds=4)


@pytest.mark.slow
def test_ten_times_the_load_for_a_minute_takes_no_memory(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    assert allow_files(2000)
    with serving(new_database(), tmp_path, settings={"MAX_REQUESTS": "200"}) as server:
        overload(server, connections=2000, seconds=60)
