"""``python -m benchmarks.interference``: how long another client's requests take while
records are imported, and the memory that the process takes."""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.databases import DATABASES
from benchmarks.operations import tickets
from benchmarks.peers import PERSIST, Server, ndjson, post_lines, serving
from benchmarks.report import machine

RECORDS = 1_000
"""Stored before the import begins."""

WAIT_SECONDS = 600
MIB = 1024


@dataclass
class Longest:
    """The longest request of each kind in seconds, how many writes were refused, and
    the most memory in MiB."""

    write: float = 0
    read: float = 0
    refused: int = 0
    memory: float = 0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.interference", description=__doc__
    )
    parser.add_argument("--records", type=int, default=100_000, help="to import")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(
        prefix="persist-interference-", ignore_cleanup_errors=True
    ) as name:
        folder = Path(name)
        print(machine(folder), "\n")
        print(
            "| database | records/s | longest write, s | refused | longest read, s | RssAnon, MiB |"
        )
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for kind, opened in DATABASES.items():
            with opened(folder) as database:
                print(f"| {kind} | {_row(database.make(), folder, wanted.records)} |")


def _row(url: str, folder: Path, records: int) -> str:
    lines = ndjson(tickets(records))
    with serving(PERSIST, url, folder, tickets(RECORDS)) as server:
        with watched(server) as longest:
            began = time.perf_counter()
            post_lines(server, server.peer.collection, lines)
            rate = records / (time.perf_counter() - began)
        return (
            f"{rate:,.0f} | {longest.write:.2f} | {longest.refused} | {longest.read:.2f}"
            f" | {longest.memory:.0f}"
        )


@contextmanager
def watched(server: Server) -> Iterator[Longest]:
    """Send writes, reads and looks at the memory, one after another of each kind, while
    the block runs."""
    longest, over = Longest(), threading.Event()
    path = f"{server.url}/api/{server.peer.collection}/{server.some_id}"

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
    return int(rest.split()[0]) / MIB


if __name__ == "__main__":
    main()
