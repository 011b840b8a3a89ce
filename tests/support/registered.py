"""What the tests of registered entity types share: two replicas on one database, a
client of each process, and definitions."""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.postgres import create_database
from tests.support.problems import Json
from tests.support.server import Server, start

Answer = TypeVar("Answer")

AUDIT_EVENT: Json = {
    "title": "AuditEvent",
    "type": "object",
    "additionalProperties": False,
    "required": ["event_name"],
    "properties": {
        "event_name": {"type": "string"},
        "duration_ms": {"type": "integer"},
        "payload": {"type": "object"},
        "source": {"type": "string"},
    },
}
REATTRIBUTE: Json = {
    "description": "Name the source of an event that came without one.",
    "payload": {
        "type": "object",
        "properties": {"source": {"type": "string"}},
        "required": ["source"],
    },
    "when": "!has(data.source)",
    "set": {"source": "payload.source"},
    "result": "data.event_name",
}


def an_object(*required: str, **properties: Any) -> Json:
    """The schema of an object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def an_empty_database(
    request: pytest.FixtureRequest, database: str, folder: Path
) -> str:
    """The URL of a fresh, empty database."""
    if database == "sqlite":
        return f"sqlite:///{folder}/persist.db"
    server: str = request.getfixturevalue("postgres")
    return create_database(server)


@dataclass(frozen=True)
class Replicas:
    """Two services on one database, the first of two processes; ``each`` holds a client
    of every process."""

    first: Server
    second: Server
    each: tuple[httpx.Client, ...]
    database: str

    @property
    def client(self) -> httpx.Client:
        """A client of the first service."""
        return self.each[0]

    @property
    def other(self) -> httpx.Client:
        """A client of the second service."""
        return self.each[-1]

    def at_once(
        self, clients: int, act: Callable[[httpx.Client, int], Answer]
    ) -> list[Answer]:
        """Let that many clients act at the same moment, spread over both services."""
        barrier = Barrier(clients)

        def one(number: int) -> Answer:
            with (self.first, self.second)[number % 2].checked_client() as client:
                assert client.get("/health/live").status_code == 200
                barrier.wait()
                return act(client, number)

        with ThreadPoolExecutor(clients) as pool:
            return list(pool.map(one, range(clients)))


@contextmanager
def two_replicas(url: str, folder: Path, **settings: str) -> Iterator[Replicas]:
    """Two services on the database at ``url``."""
    with ExitStack() as stack:
        first = start(url, folder, workers=2, settings=settings)
        stack.callback(first.stop)
        second = start(url, folder, settings=settings)
        stack.callback(second.stop)
        each = [*clients_of_each_process(first, 2), second.checked_client()]
        for client in each:
            stack.callback(client.close)
        yield Replicas(first, second, tuple(each), url)


def clients_of_each_process(server: Server, processes: int) -> list[httpx.Client]:
    """One client for every process of a service; each keeps the connection it has."""
    found: dict[int, httpx.Client] = {}
    spare: list[httpx.Client] = []
    while len(found) < processes and len(spare) < 300:
        client = server.checked_client()
        response = client.get("/health/live")
        port: int = response.extensions["network_stream"].get_extra_info("client_addr")[
            1
        ]
        if found.setdefault(_answering(server, port), client) is not client:
            spare.append(client)
    for client in spare:
        client.close()
    assert len(found) == processes
    return list(found.values())


def _processes(server: Server) -> list[int]:
    numbers = [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()
    ]
    return [number for number in numbers if _group(number) == server.process.pid]


def _group(number: int) -> int | None:
    try:
        return os.getpgid(number)
    except ProcessLookupError:
        return None


def _answering(server: Server, client_port: int) -> int:
    """The process that holds the other end of a connection."""
    ends = f":{urlsplit(server.url).port:04X}", f":{client_port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    inode = next(
        row[9] for row in rows if row[1].endswith(ends[0]) and row[2].endswith(ends[1])
    )
    return next(number for number in _processes(server) if inode in _sockets(number))


def _sockets(number: int) -> set[str]:
    links = [
        link.readlink()
        for link in Path(f"/proc/{number}/fd").iterdir()
        if link.is_symlink()
    ]
    return {
        match[1]
        for link in links
        if (match := re.fullmatch(r"socket:\[(\d+)\]", str(link)))
    }


def put(
    client: httpx.Client, name: str, schema: Json, /, **members: Any
) -> httpx.Response:
    """Register or evolve a type."""
    return client.put(f"/entity-types/{name}", json={"schema": schema, **members})


def registered(
    client: httpx.Client, name: str, schema: Json, /, **members: Any
) -> Json:
    """The definition that comes of it; fails unless it is taken."""
    response = put(client, name, schema, **members)
    assert response.status_code in (200, 201), response.text
    definition: Json = response.json()
    return definition


def imported(client: httpx.Client, name: str, lines: str) -> None:
    """Store a record of every line; fails unless all are taken."""
    response = client.post(
        f"/api/{name}/import",
        content=lines,
        headers={"content-type": "application/x-ndjson"},
    )
    assert response.status_code == 200, response.text
