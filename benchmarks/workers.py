"""``python -m benchmarks.workers``: one, two and four workers on one SQLite file, as a
table.

The workers and the load generator share the cores of this machine. The rate is that of
a generator of one thread. A second run, with a thread for each client, shows how
requests are shared out.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.databases import Database, sqlite
from benchmarks.load import CLIENTS, Measurement, Request, hammer, median_of
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

WORKERS = (1, 2, 4)
COLUMNS = (
    "workers",
    "operation",
    "requests/s",
    "against one",
    "CPU µs of the generator",
    "longest, ms",
    "against one",
    "poorest client of the richest",
)


def main() -> None:
    """Print the table."""
    numbers = {
        "seconds": (5, "of load for each figure"),
        "rounds": (3, "of which the median counts"),
    }
    wanted = arguments("workers", __doc__, numbers)
    with table(*COLUMNS) as folder, sqlite(folder) as database:
        for row in _rows(database, folder, wanted.seconds, wanted.rounds):
            print_row(row)


def _rows(
    database: Database, folder: Path, seconds: int, rounds: int
) -> Iterator[list[str]]:
    baseline: dict[str, Measurement] = {}
    for workers in WORKERS:
        measured = _measured(database, folder, workers, seconds, rounds)
        for operation, found in measured.items():
            one = baseline.setdefault(operation, found)
            cells = [str(workers), operation, f"{found.rate:,.0f}"]
            cells += [f"{found.rate / one.rate:.2f}", f"{found.generator_cpu:.0f}"]
            cells += [f"{found.longest:.0f}", f"{found.longest / one.longest:.1f}"]
            yield [*cells, f"{found.poorest:.2f}"]


def _measured(
    database: Database, folder: Path, workers: int, seconds: int, rounds: int
) -> dict[str, Measurement]:
    """Measure each operation on a database of its own."""
    peer = replace(
        PERSIST,
        name=f"workers{workers}",
        environment={"PERSIST_WORKERS": str(workers)},
    )
    rows = tickets(RECORDS)
    with serving(peer, database.make(), folder, rows, cores=all_cores()) as server:
        return {
            operation: median_of(
                [_at_full_load(server, request, seconds) for _ in range(rounds)]
            )
            for operation, request in REQUESTS.items()
        }


def _at_full_load(server: Server, request: Request, seconds: int) -> Measurement:
    found = hammer(server, request, seconds)
    # A generator of many threads takes much of what the workers could have.
    of_each_client = hammer(server, request, seconds, threads=CLIENTS)
    return replace(found, poorest=of_each_client.poorest)


if __name__ == "__main__":
    main()
