"""``python -m benchmarks.cluster``: one, two and three replicas on one PostgreSQL, as a
table.

Replicas, PostgreSQL and a load generator for each replica share the cores of this
machine: with two cores the sum of rates shows what more replicas cost, not what more
machines would bring.
"""

import argparse
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.databases import Database, postgresql
from benchmarks.load import Measurement, Request, hammer
from benchmarks.operations import tickets
from benchmarks.peers import PERSIST, Server, serving
from benchmarks.report import machine

RECORDS = 10_000
REQUESTS = {
    "read by id": Request("GET", "/api/{collection}/{id}"),
    "create": Request(
        "POST", "/api/{collection}", '{"title": "Fault %d", "severity": %d}'
    ),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cluster", description=__doc__
    )
    parser.add_argument(
        "--seconds", type=int, default=5, help="of load for each figure"
    )
    parser.add_argument(
        "--replicas", type=int, default=3, help="the most that run at once"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(
        prefix="persist-cluster-", ignore_cleanup_errors=True
    ) as name:
        print(machine(Path(name)), "\n")
        print(
            "| replicas | operation | requests/s | against one | p50 ms | p99 ms | CPU"
            " µs of a replica |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- |")
        with postgresql(Path(name)) as database:
            _compare(database, Path(name), arguments.replicas, arguments.seconds)


def _compare(database: Database, folder: Path, replicas: int, seconds: int) -> None:
    baseline: dict[str, float] = {}
    url, servers = database.make(), []
    with ExitStack() as stack:
        for number in range(1, replicas + 1):
            peer = replace(PERSIST, name=f"replica{number}")
            rows = tickets(RECORDS if number == 1 else 0)
            servers.append(
                stack.enter_context(
                    serving(peer, url, folder, rows, cores=_all_cores())
                )
            )
            if number > 1:
                servers[-1].ids.write_text(servers[0].ids.read_text())
            for operation, request in REQUESTS.items():
                measured = _run_all(servers, request, seconds)
                ratio = measured.rate / baseline.setdefault(operation, measured.rate)
                results = (
                    f"{measured.rate:,.0f} | {ratio:.2f} | {measured.p50:.1f} |"
                    f" {measured.p99:.1f}"
                )
                print(
                    f"| {number} | {operation} | {results} | {measured.cpu:.0f} |",
                    flush=True,
                )


def _run_all(servers: list[Server], request: Request, seconds: int) -> Measurement:
    """The rates added up, the worst of the other results."""
    with ThreadPoolExecutor(len(servers)) as pool:
        each = list(
            pool.map(partial(hammer, request=request, seconds=seconds), servers)
        )
    return Measurement(
        sum(one.rate for one in each),
        max(one.p50 for one in each),
        max(one.p99 for one in each),
        max(one.cpu for one in each),
    )


def _all_cores() -> str:
    return ",".join(map(str, sorted(os.sched_getaffinity(0))))


if __name__ == "__main__":
    main()
