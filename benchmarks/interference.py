"""``python -m benchmarks.interference``: how long other clients' requests take during
long operations, at the same process and at another one on the same database, and the
memory that the process takes.

Both processes and the clients share all cores of this machine. At each process one
client writes at full speed, another reads with short pauses.
"""

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx

from benchmarks.databases import DATABASES
from benchmarks.operations import tickets
from benchmarks.peers import PERSIST, Server, ndjson, post_lines, serving
from benchmarks.report import machine
from benchmarks.shared_cores import all_cores

RECORDS = 1_000
"""Stored before the first operation begins."""

REGISTERED = "interference-notes"
"""The registered type that the operations use; its records are tickets."""

WAIT_SECONDS = 1_200
KIBIBYTES = 1024

READ_PAUSE_SECONDS = 0.005
"""Seconds between two reads: without them, clients and processes that read would have
both cores to themselves."""

MEMORY_PAUSE_SECONDS = 0.02
"""Seconds between two looks at the memory."""

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
            serving(PERSIST, url, folder, cores=all_cores()) as server,
            serving(ANOTHER, url, folder, cores=all_cores()) as another,
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
    """Have clients write and read, and look at the memory, while the block runs.

    Each client is a process: one that imports would keep others from measuring.
    """
    longest = Longest()
    processes = multiprocessing.get_context("spawn")
    over = processes.Event()
    began = processes.Semaphore(0)
    writes, reads = processes.SimpleQueue(), processes.SimpleQueue()
    path = f"/api/{server.peer.collection}/{some_id}"
    clients = [
        processes.Process(target=send, args=(server.url, path, began, over, results))
        for send, results in ((_write, writes), (_read, reads))
    ]
    for client in clients:
        client.start()
    for _ in clients:
        began.acquire()
    memory = threading.Thread(target=_watch_memory, args=(server, over, longest))
    memory.start()
    try:
        yield longest
    finally:
        over.set()
        memory.join()
        longest.write, longest.refused = writes.get()
        longest.read, _ = reads.get()
        for client in clients:
            client.join()


def _write(url: str, path: str, began: Any, over: Any, results: Any) -> None:
    """Change a record again and again."""

    def write(connection: HTTPConnection) -> bool:
        body = json.dumps({"title": f"at {time.time_ns()}"})
        kind = {"Content-Type": "application/merge-patch+json"}
        connection.request("PATCH", path, body, kind)
        response = connection.getresponse()
        response.read()
        return response.status == 200

    _repeat(url, write, 0, began, over, results)


def _read(url: str, path: str, began: Any, over: Any, results: Any) -> None:
    """Read the record again and again."""

    def read(connection: HTTPConnection) -> bool:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status
        return True

    _repeat(url, read, READ_PAUSE_SECONDS, began, over, results)


def _repeat(
    url: str,
    send: Callable[[HTTPConnection], bool],
    pause: float,
    began: Any,
    over: Any,
    results: Any,
) -> None:
    """Send requests until it is over; give the longest and how many were refused."""
    longest = 0.0
    refused = 0
    connection = HTTPConnection(url.removeprefix("http://"), timeout=WAIT_SECONDS)
    send(connection)
    began.release()
    while not over.is_set():
        start = time.perf_counter()
        refused += not send(connection)
        longest = max(longest, time.perf_counter() - start)
        time.sleep(pause)
    results.put((longest, refused))


def _watch_memory(server: Server, over: Any, longest: Longest) -> None:
    while not over.wait(MEMORY_PAUSE_SECONDS):
        longest.memory = max(longest.memory, _rss_anon(server))


def _rss_anon(server: Server) -> float:
    status = Path(f"/proc/{server.pid}/status").read_text()
    _, _, rest = status.partition("RssAnon:")
    return int(rest.split()[0]) / KIBIBYTES


if __name__ == "__main__":
    main()
