"""PocketBase as a peer: one program of Go with SQLite, which keeps no journal.

It runs on one core with its own defaults: WAL, ``synchronous=NORMAL``, no limits on
rates. Only its log of requests is switched off, and its batches are switched on to get
the records in.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from benchmarks.peers import Server, Tickets

COLLECTION = "ops_tickets"
RECORDS = f"/api/collections/{COLLECTION}/records"
ADMIN = {"identity": "admin@example.com", "password": "benchmark-password"}
BATCH_RECORDS = 1_000

PATHS = {
    "/api/{collection}": RECORDS,
    "/api/{collection}/{id}": f"{RECORDS}/{{id}}",
    "/api/{collection}?severity__gte=40&sort=-severity&limit=50": (
        f"{RECORDS}?filter=(severity%3E=40)&sort=-severity&perPage=50&skipTotal=1"
    ),
}
"""Its paths of the same requests; ``skipTotal``: Persist does not count either."""

COMMAND = (
    str(Path(sys.executable).with_name("pocketbase")),
    "serve",
    "--http",
    "127.0.0.1:{port}",
    "--dir",
    "{folder}",
)
ENVIRONMENT = {"GOMAXPROCS": "1"}

DEFINITION = {
    "name": COLLECTION,
    "type": "base",
    "listRule": "",
    "viewRule": "",
    "createRule": "",
    "updateRule": "",
    "fields": [
        {"name": "title", "type": "text", "required": True, "max": 200},
        {"name": "severity", "type": "number", "onlyInt": True, "min": 10, "max": 50},
        {"name": "acknowledged", "type": "bool"},
        {"name": "migration_note", "type": "text"},
    ],
    "indexes": [f"CREATE INDEX by_severity ON {COLLECTION} (severity)"],
}


def fill(server: "Server", tickets: "Tickets") -> Iterator[str]:
    """Define the collection, and give the ids of the records it then has."""
    _create_admin(server)
    with httpx.Client(base_url=server.url, timeout=600) as client:
        path = "/api/collections/_superusers/auth-with-password"
        signed_in = client.post(path, json=ADMIN).raise_for_status()
        client.headers["Authorization"] = signed_in.json()["token"]
        settings = {
            "logs": {"maxDays": 0},
            "batch": {"enabled": True, "maxRequests": BATCH_RECORDS, "timeout": 60},
        }
        client.patch("/api/settings", json=settings).raise_for_status()
        client.post("/api/collections", json=DEFINITION).raise_for_status()
        rows = iter(tickets)
        while batch := list(islice(rows, BATCH_RECORDS)):
            yield from _create(client, batch)


def _create_admin(server: "Server") -> None:
    folder = str(server.folder / server.peer.name)
    upsert = (server.peer.command[0], "superuser", "upsert", *ADMIN.values())
    subprocess.run([*upsert, "--dir", folder], check=True, capture_output=True)


def _create(client: httpx.Client, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    requests = [{"method": "POST", "url": RECORDS, "body": row} for row in rows]
    answer = client.post("/api/batch", json={"requests": requests}).raise_for_status()
    for each in answer.json():
        yield each["body"]["id"]
