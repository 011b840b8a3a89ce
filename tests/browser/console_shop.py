"""The services that the pictures of the console show: one that is full of records, and
an empty one."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
from playwright.sync_api import Page

from tests.browser.console import TICKETS, KeyRing
from tests.support.server import Server, serving

HOST = {
    "type": "object",
    "required": ["host"],
    "properties": {
        "host": {"type": "string", "description": "Its name in the network."},
        "port": {"type": "integer"},
        "role": {"enum": ["primary", "replica"]},
        "since": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "owner": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "since": {"type": ["string", "null"], "format": "date"},
            },
        },
        "probe": {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {
                        "kind": {"const": "http"},
                        "path": {"type": "string"},
                    },
                },
                {
                    "type": "object",
                    "properties": {
                        "kind": {"const": "tcp"},
                        "port": {"type": "integer"},
                    },
                },
            ]
        },
    },
}

TITLES = [
    "Disk of node {} is full",
    "Certificate of node {} expires on Friday",
    "Node {} answers slowly",
    "Backup of node {} failed",
    "Queue of node {} grows",
]


@dataclass(frozen=True)
class Shop:
    """A service with records that have a history, and the way in."""

    server: Server
    key: str
    reader: str
    """A key that reads only."""
    record: str
    moment: str
    """A time before the last change of the record."""

    def enter(self, page: Page, key: str | None = None) -> None:
        """Begin a session."""
        headers = {"Authorization": f"Bearer {key or self.key}"}
        assert page.request.post("/sessions", headers=headers).status == 204

    def change(self, **data: object) -> None:
        """Change the record as somebody else."""
        with self.server.client() as client:
            client.headers["Authorization"] = f"Bearer {self.key}"
            client.patch(f"{TICKETS}/{self.record}", json=data).raise_for_status()


@contextmanager
def shop() -> Iterator[Shop]:
    """Give a service that is full of records."""
    with tempfile.TemporaryDirectory() as made:
        here = Path(made)
        keys = KeyRing(f"sqlite:///{here}/persist.db")
        ada, grace = (keys.make(name, "*:admin") for name in ("ada", "grace"))
        reader = keys.make("reader", "*:read")
        settings = {
            "MODELS": "app.models",
            "CONSOLE_NAME": "staging",
            "CONSOLE_COLOR": "darkorange",
        }
        with serving(keys.url, here, settings=settings) as server:
            with server.client() as service:
                service.headers["Authorization"] = f"Bearer {ada}"
                record, moment = fill(service, f"Bearer {grace}")
            yield Shop(server, ada, reader, record, moment)


def fill(service: httpx.Client, other: str) -> tuple[str, str]:
    """Make records that have a history, with a second caller; return the id of one and
    a time before its last change."""
    lines = "\n".join(
        f'{{"title": "{TITLES[number % 5].format(number % 7)}",'
        f' "severity": {number % 5 * 10 + 10}}}'
        for number in range(300)
    )
    kind = {"Content-Type": "application/x-ndjson", "X-Request-ID": "the-import"}
    service.post(f"{TICKETS}/import", content=lines, headers=kind).raise_for_status()
    grace = {"Authorization": other}
    ticket = {"title": "Database <b>degraded</b>", "severity": 30}
    record = str(service.post(TICKETS, json=ticket).json()["id"])
    path = f"{TICKETS}/{record}"
    command = f"{path}/commands/escalate"
    service.post(command, json={"steps": 1}, headers=grace).raise_for_status()
    body = {"title": "Database <b>down</b>"}
    service.patch(path, json=body).raise_for_status()
    moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    service.post(f"{path}/commands/ack", headers=grace).raise_for_status()
    shot = {"scope": "all", "note": "before the release"}
    service.post("/snapshots", json=shot).raise_for_status()
    types = {"schema": HOST}
    service.put("/entity-types/hosts", json=types).raise_for_status()
    host = {
        "host": "a",
        "port": 9007199254740993,
        "tags": ["db", "primary"],
        "owner": {"name": "Ada", "since": "2024-02-29"},
    }
    service.post("/api/hosts", json=host).raise_for_status()
    spare = service.post("/api/hosts", json={"host": "b"}).json()["id"]
    service.delete(f"/api/hosts/{spare}", headers=grace).raise_for_status()
    service.put("/workspaces/lab", json={"collections": ["ops-tickets"]})
    return record, moment


@contextmanager
def empty_service() -> Iterator[Server]:
    """Give a service without a collection, which asks for no key."""
    with tempfile.TemporaryDirectory() as made:
        url = f"sqlite:///{made}/persist.db"
        with serving(url, Path(made), settings={"MODELS": ""}) as server:
            yield server
