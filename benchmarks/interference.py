"""``python -m benchmarks.interference``: how long other clients' requests take during
long operations, at the same process and at another one on the same database, and the
memory that the process takes."""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from benchmarks.databases import DATABASES
from benchmarks.operations import tickets
from benchmarks.peers import PERSIST, Server, ndjson, post_lines, serving
from benchmarks.report import machine

RECORDS = 1_000
"""Stored before the first operation begins."""

REGISTERED = "interference-notes"
"""The registered type that the operations use; its records are tickets."""

WAIT_SECONDS = 1_200
KIBIBYTES = 1024

ANOTHER = replace(PERSIST, name="persist_another")
"""Another process on the same database."""

MEMBERS = {
    "title": {"type": "string"},
    "severity": {"type": "integer"},
    "acknowledged": {"type": "boolean"},
    "migration_note": {"type": ["string", "null"]},
}


@dataclass
class Longest:
    """The longest request of each kind in seconds, how many writes were refused, and
    the most memory in MiB."""

    write: float = 0
    read: float = 0
    refused: int = 0
    memory: float = 0


@dataclass(frozen=True)
class Stage:
    """A running service, and how many records each operation is about."""

    server: Server
    records: int

    def send(self, method: str, path: str, **asked: Any) -> Any:
        """Send a request that may take long and return what it answers."""
        with httpx.Client(base_url=self.server.url, timeout=WAIT_SECONDS) as client:
            answer = client.request(method, path, **asked)
            assert answer.is_success, answer.text
            return answer.json()


def _import_typed(stage: Stage) -> None:
    lines = ndjson(tickets(stage.records))
    post_lines(stage.server, stage.server.peer.collection, lines)


def _import_registered(stage: Stage) -> None:
    post_lines(stage.server, REGISTERED, ndjson(tickets(stage.records)))


def _evolve(stage: Stage) -> None:
    stage.send("PUT", f"/entity-types/{REGISTERED}", json=_definition(urgent=True))


def _take(stage: Stage) -> None:
    stage.send("POST", f"/api/{REGISTERED}/snapshots", json={})


def _delete(stage: Stage) -> None:
    query = {"severity__gte": "0", "max_affected": str(stage.records)}
    stage.send("DELETE", f"/api/{REGISTERED}", params=query)


def _restore(stage: Stage) -> None:
    items = stage.send("GET", "/snapshots")["items"]
    stage.send("POST", "/migrations", json={"snapshot": items[0]["id"]})


OPERATIONS: dict[str, Callable[[Stage], None]] = {
    "import, typed": _import_typed,
    "import, registered": _import_registered,
    "snapshot": _take,
    "evolution": _evolve,
    "bulk delete": _delete,
    "restore": _restore,
}
"""In an order in which each has the records that it needs."""


def _definition(**added: bool) -> dict[str, Any]:
    members: dict[str, Any] = dict(MEMBERS)
    for name, default in added.items():
        members[name] = {"type": "boolean", "default": default}
    schema = {"type": "object", "properties": members, "required": ["title"]}
    return {"schema": schema, "indexes": [["severity"]]}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.interference", description=__doc__
    )
    parser.add_argument(
        "--records", type=int, default=100_000, help="of each operation"
    )
    parser.add_argument("--database", choices=DATABASES, help="only this one")
    parser.add_argument("--only", nargs="*", choices=OPERATIONS, help="of these")
    wanted = parser.parse_args()
    kinds = [wanted.database] if wanted.database else list(DATABASES)
    with tempfile.TemporaryDirectory(
        prefix="persist-interference-", ignore_cleanup_errors=True
    ) as name:
        folder = Path(name)
        print(machine(folder), "\n")
        print(f"{wanted.records:,} records in each operation\n")
        print(
            "| database | operation | records/s | longest write, s | refused"
            " | longest read, s | RssAnon, MiB | longest write of another process, s"
            " | refused |"
        )
        columns = " ---: |" * 7
        print(f"| --- | --- |{columns}", flush=True)
        for kind in kinds:
            with DATABASES[kind](folder) as database:
                for row in _rows(database.make(), folder, wanted):
                    print(f"| {kind} | {row} |", flush=True)


def _rows(url: str, folder: Path, wanted: argparse.Namespace) -> Iterator[str]:
    """Run each operation on a service that has just started."""
    with serving(PERSIST, url, folder, tickets(RECORDS)) as server:
        some_id = server.some_id
        Stage(server, wanted.records).send(
            "PUT", f"/entity-types/{REGISTERED}", json=_definition()
        )
    for name in wanted.only or OPERATIONS:
        with (
            serving(PERSIST, url, folder) as server,
            serving(ANOTHER, url, folder) as another,
        ):
            stage = Stage(server, wanted.records)
            measured = _measured(stage, another, some_id, OPERATIONS[name])
            yield f"{name} | {measured}"


def _measured(
    stage: Stage, another: Server, some_id: str, run: Callable[[Stage], None]
) -> str:
    with (
        watched(stage.server, some_id) as longest,
        watched(another, some_id) as elsewhere,
    ):
        began = time.perf_counter()
        run(stage)
        rate = stage.records / (time.perf_counter() - began)
    return (
        f"{rate:,.0f} | {longest.write:.2f} | {longest.refused} | {longest.read:.2f}"
        f" | {longest.memory:.0f} | {elsewhere.write:.2f} | {elsewhere.refused}"
    )


@contextmanager
def watched(server: Server, some_id: str) -> Iterator[Longest]:
    """Send writes, reads and looks at the memory, one after another of each kind, while
    the block runs."""
    longest, over = Longest(), threading.Event()
    path = f"{server.url}/api/{server.peer.collection}/{some_id}"

    def write(client: httpx.Client) -> None:
        body = json.dumps({"title": f"at {time.time_ns()}"})
        kind = {"Content-Type": "application/merge-patch+json"}
        answer = client.patch(path, content=body, headers=kind)
        longest.refused += answer.status_code != 200

    def read(client: httpx.Client) -> None:
        client.get(path).raise_for_status()

    def repeat(name: str, send: Callable[[httpx.Client], None]) -> None:
        with httpx.Client(timeout=WAIT_SECONDS) as client:
            while not over.is_set():
                began = time.perf_counter()
                send(client)
                taken = time.perf_counter() - began
                setattr(longest, name, max(taken, getattr(longest, name)))
                longest.memory = max(longest.memory, _rss_anon(server))

    threads = [
        threading.Thread(target=repeat, args=asked)
        for asked in (("write", write), ("read", read))
    ]
    for thread in threads:
        thread.start()
    try:
        yield longest
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _rss_anon(server: Server) -> float:
    status = Path(f"/proc/{server.pid}/status").read_text()
    _, _, rest = status.partition("RssAnon:")
    return int(rest.split()[0]) / KIBIBYTES


if __name__ == "__main__":
    main()
