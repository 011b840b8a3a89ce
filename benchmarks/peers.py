"""Peers: Persist, and what it is measured against, each a server process with a
database of its own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from benchmarks import pocketbase, tutorial
from benchmarks.databases import SERVER_CORE
from persist.domain.access import OPEN
from persist.storage.access.keys import Keys
from persist.storage.dialect import dialect_of

Tickets = Iterable[dict[str, Any]]
CHECKOUT = Path(__file__).parent.parent
READY_WITHIN = 60.0
TEN = "ten"
"""The workspace of ten types."""


@dataclass(frozen=True)
class Server:
    """A running peer; ``ids`` is a file with the ids of its records, one a line."""

    peer: "Peer"
    url: str
    database_url: str
    folder: Path
    pid: int

    @property
    def ids(self) -> Path:
        return self.folder / f"{self.peer.name}.ids"

    @property
    def some_id(self) -> str:
        with self.ids.open() as ids:
            return ids.readline().strip()

    @property
    def key(self) -> Path:
        """A file with the key that requests show, where the peer demands one."""
        return self.folder / f"{self.peer.name}.key"

    @property
    def headers(self) -> dict[str, str]:
        return (
            {"Authorization": f"Bearer {self.key.read_text()}"}
            if self.key.exists()
            else {}
        )

    def cpu_seconds(self) -> float:
        """What the process has used so far."""
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def log_tail(self) -> str:
        """The last of what the process wrote."""
        return _log(self.folder, self.peer).read_text()[-2000:]


@dataclass(frozen=True)
class Peer:
    """One way to do the job: how its process is started (``{port}`` and ``{folder}``,
    one of its own, filled in) and how the records get in; ``fill`` gives their ids.
    ``paths`` has its paths of requests where they are not Persist's; ``only`` is the
    database it has, where it has one."""

    name: str
    command: tuple[str, ...]
    fill: Callable[[Server, Tickets], Iterable[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    collection: str = "ops-tickets"
    paths: Mapping[str, str] = field(default_factory=dict)
    only: str | None = None

    @property
    def is_installed(self) -> bool:
        """Whether its program is there."""
        return shutil.which(self.command[0]) is not None


@contextmanager
def serving(
    peer: Peer,
    database_url: str,
    folder: Path,
    tickets: Tickets = (),
    *,
    cores: str = str(SERVER_CORE),
) -> Iterator[Server]:
    """Run ``peer`` on the server core or others, with ``tickets`` added to its
    database."""
    port = _free_port()
    command = [
        "taskset",
        "-c",
        cores,
        *(part.format(port=port, folder=folder / peer.name) for part in peer.command),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(CHECKOUT),
        "PERSIST_DATABASE_URL": database_url,
        **peer.environment,
    }
    with _log(folder, peer).open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    server = Server(peer, f"http://127.0.0.1:{port}", database_url, folder, process.pid)
    try:
        _wait_until_it_listens(process, port, server)
        server.ids.write_text("".join(f"{id}\n" for id in peer.fill(server, tickets)))
        yield server
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _log(folder: Path, peer: Peer) -> Path:
    return folder / f"{peer.name}.log"


def _wait_until_it_listens(
    process: subprocess.Popen[bytes], port: int, server: Server
) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"{server.peer.name} did not start:\n{server.log_tail()}"
                ) from None
            time.sleep(0.05)


def post_lines(
    server: Server, collection: str, lines: bytes, *, within: str = ""
) -> int:
    """Import NDJSON into a collection of Persist; gives how many records were created.
    ``within`` is the path of a workspace."""
    answer = httpx.post(
        f"{server.url}{within}/api/{collection}/import",
        content=lines,
        headers={"Content-Type": "application/x-ndjson"},
        timeout=600,
    )
    if answer.status_code != 200:
        raise RuntimeError(
            f"import: {answer.status_code} {answer.text}\n{server.log_tail()}"
        )
    created: int = answer.json()["created"]
    return created


def invoke(server: Server, records: int, title: str) -> int:
    """Set the title of the first records of a collection of Persist; gives how many
    were set."""
    with server.ids.open() as ids:
        last = list(islice(ids, records))[-1].strip()
    answer = httpx.post(
        f"{server.url}/api/{server.peer.collection}/commands/set",
        params={"_id__lte": last, "max_affected": str(records)},
        json={"title": title},
        timeout=600,
    )
    if answer.status_code != 200:
        raise RuntimeError(
            f"invoke: {answer.status_code} {answer.text}\n{server.log_tail()}"
        )
    invoked: int = answer.json()["invoked"]
    return invoked


def ndjson(rows: Iterable[dict[str, Any]]) -> bytes:
    """One JSON text a line."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _fill_persist(server: Server, tickets: Tickets) -> Iterator[str]:
    if lines := ndjson(tickets):
        post_lines(server, server.peer.collection, lines)
        yield from _ids(server)


def _fill_keyed(server: Server, tickets: Tickets) -> Iterator[str]:
    yield from _fill_persist(server, tickets)
    keys = Keys(dialect_of(server.database_url))
    server.key.write_text(keys.create("load", OPEN.scopes).secret)


def _fill_events(server: Server, tickets: Tickets) -> Iterator[str]:
    """Audit events in the place of tickets: each source has a fortieth of them."""
    events = (
        {
            "event_name": ticket["title"],
            "duration_ms": ticket["severity"],
            "payload": {"user_id": f"u-{ticket['severity']}"},
            "source": f"edge-{ticket['severity']}",
        }
        for ticket in tickets
    )
    return _fill_persist(server, events)


def _fill_events_among_many(server: Server, tickets: Tickets) -> Iterator[str]:
    definition = json.loads((CHECKOUT / "schemas" / "audit-event.json").read_text())
    with httpx.Client(base_url=server.url, timeout=600) as client:
        for number in range(2, 1_001):
            body = {**definition, "name": f"audit-events-{number}"}
            client.put(f"/entity-types/{body['name']}", json=body).raise_for_status()
    return _fill_events(server, tickets)


def _ids(server: Server) -> Iterator[str]:
    with httpx.stream(
        "GET", f"{server.url}/api/{server.peer.collection}/export", timeout=600
    ) as answer:
        for line in answer.iter_lines():
            yield json.loads(line)["id"]


def _fill_ten(server: Server, tickets: Tickets) -> list[str]:
    """Ten types in one workspace, their ids mixed."""
    names, home = [f"tickets-{number}" for number in range(1, 11)], f"/workspaces/{TEN}"
    httpx.put(server.url + home, json={"collections": names}).raise_for_status()
    rows = iter(tickets)
    while chunk := list(islice(rows, 100 * len(names))):
        for number, name in enumerate(names):
            post_lines(server, name, ndjson(chunk[number :: len(names)]), within=home)
    return _fill_nothing(server, ())


def _fill_tutorial(server: Server, tickets: Tickets) -> Iterator[str]:
    rows = [{**ticket, "id": str(uuid4())} for ticket in tickets]
    tutorial.fill(server.database_url, rows)
    return (row["id"] for row in rows)


def _fill_nothing(_: Server, __: Tickets) -> list[str]:
    return [str(uuid4())]


def _uvicorn(application: str) -> tuple[str, ...]:
    quiet = ("--no-access-log", "--log-level", "warning")
    return (
        sys.executable,
        "-m",
        "uvicorn",
        f"benchmarks.{application}",
        "--port",
        "{port}",
        *quiet,
    )


_PERSIST = (str(Path(sys.executable).with_name("persist")), "serve", "--port", "{port}")

PERSIST = Peer("persist", _PERSIST, _fill_persist)
PERSIST_200 = Peer(
    "persist_200",
    _PERSIST,
    _fill_persist,
    environment={"PERSIST_MODELS": "benchmarks.many_models"},
    collection="tickets-200",
)
PERSIST_KEYED = replace(PERSIST, name="persist_keyed", fill=_fill_keyed)
PERSIST_TEN = replace(
    PERSIST_200, name="persist_ten", fill=_fill_ten, collection="tickets-1"
)
PERSIST_UNOBSERVED = replace(
    PERSIST,
    name="persist_unobserved",
    command=(
        sys.executable,
        "-m",
        "benchmarks.unobserved",
        "serve",
        "--port",
        "{port}",
    ),
)
PERSIST_IMPORT = replace(PERSIST, name="persist_import")
_EVENTS = {
    "PERSIST_MODELS": "benchmarks.audit_events",
    "PERSIST_SCHEMAS": str(CHECKOUT / "schemas"),
}
TYPED = Peer("typed", _PERSIST, _fill_events, _EVENTS, "typed-events")
REGISTERED = Peer("registered", _PERSIST, _fill_events, _EVENTS, "audit-events")
REGISTERED_1000 = Peer(
    "registered_1000", _PERSIST, _fill_events_among_many, _EVENTS, "audit-events"
)
TUTORIAL = Peer("tutorial", _uvicorn("tutorial:app"), _fill_tutorial)
RAW = Peer("raw", (*_uvicorn("ceilings:raw"), "--lifespan", "off"), _fill_nothing)
STORES_NOTHING = Peer(
    "stores_nothing", _uvicorn("ceilings:stores_nothing"), _fill_nothing
)
POCKETBASE = Peer(
    "pocketbase",
    pocketbase.COMMAND,
    pocketbase.fill,
    pocketbase.ENVIRONMENT,
    paths=pocketbase.PATHS,
    only="sqlite",
)
