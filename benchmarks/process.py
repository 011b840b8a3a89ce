"""``python -m benchmarks.process``: how soon a process answers, and the memory it
takes."""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from benchmarks.databases import DATABASES
from benchmarks.load import hammer
from benchmarks.operations import CREATE, READ, tickets
from benchmarks.peers import PERSIST, Server, serving
from benchmarks.report import machine

RECORDS = 1_000
SECONDS = 5
"""Of load, between two looks at how many requests were answered."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.process", description=__doc__
    )
    parser.add_argument(
        "--requests",
        type=int,
        default=20_000,
        help="after which memory is looked at again",
    )
    wanted = parser.parse_args().requests
    with tempfile.TemporaryDirectory(
        prefix="persist-process-", ignore_cleanup_errors=True
    ) as name:
        print(machine(Path(name)), "\n")
        print("| database | first answer, s | idle, MiB | requests | after them, MiB |")
        print("| --- | ---: | ---: | ---: | ---: |")
        for kind, opened in DATABASES.items():
            with opened(Path(name)) as database:
                row = " | ".join(_results(database.make(), Path(name), wanted))
                print(f"| {kind} | {row} |", flush=True)


def _results(url: str, folder: Path, wanted: int) -> Iterator[str]:
    with serving(PERSIST, url, folder, tickets(RECORDS)) as server:
        ids = server.ids.read_text()
    began = time.perf_counter()
    with serving(PERSIST, url, folder) as server:
        httpx.get(f"{server.url}/health/live").raise_for_status()
        yield f"{time.perf_counter() - began:.2f}"
        yield f"{_resident_mib(server):.0f}"
        server.ids.write_text(ids)
        sent = 0.0
        while sent < wanted:
            sent += (
                SECONDS * hammer(server, READ, SECONDS).rate
                + hammer(server, CREATE, 1).rate
            )
        yield f"{sent:,.0f}"
        yield f"{_resident_mib(server):.0f}"


def _resident_mib(server: Server) -> float:
    pages = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
