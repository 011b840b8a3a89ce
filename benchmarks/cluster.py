"""``python -m benchmarks.cluster``: one, two and three replicas on one PostgreSQL, as a
table.

Replicas, PostgreSQL and a load generator for each replica share the cores of this
machine: with two cores the sum of rates shows what more replicas cost, not what more
machines would bring.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.databases import Database, postgresql
from benchmarks.load import Measurement, Request, hammer
from benchmarks.operations import tickets
from benchmarks.peers import PERSIST, Server, serving
from benchmarks.shared_cores import (
    RECORDS,
    REQUESTS,
    all_cores,
    arguments,
    print_row,
    table,
)

COLUMNS = (
    "replicas",
    "operation",
    "requests/s",
    "against one",
    "p50 ms",
    "p99 ms",
    "CPU µs of a replica",
)


def main() -> None:
    """Print the table."""
    numbers = {
        "seconds": (5, "of load for each figure"),
        "replicas": (3, "the most that run at once"),
    }
    wanted = arguments("cluster", __doc__, numbers)
    with table(*COLUMNS) as folder, postgresql(folder) as database:
        _compare(database, folder, wanted.replicas, wanted.seconds)


def _compare(database: Database, folder: Path, replicas: int, seconds: int) -> None:
    baseline: dict[str, float] = {}
    url, servers = database.make(), []
    with ExitStack() as stack:
        for number in range(1, replicas + 1):
            peer = replace(PERSIST, name=f"replica{number}")
            rows = tickets(RECORDS if number == 1 else 0)
            servers.append(
                stack.enter_context(serving(peer, url, folder, rows, cores=all_cores()))
            )
            if number > 1:
                servers[-1].ids.write_text(servers[0].ids.read_text())
            for operation, request in REQUESTS.items():
                found = _run_all(servers, request, seconds)
                one = baseline.setdefault(operation, found.rate)
                cells = [str(number), operation, f"{found.rate:,.0f}"]
                cells += [f"{found.rate / one:.2f}", f"{found.p50:.1f}"]
                cells += [f"{found.p99:.1f}", f"{found.cpu:.0f}"]
                print_row(cells)


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


if __name__ == "__main__":
    main()
