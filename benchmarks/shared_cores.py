"""Shared cores: measurements in which services and load generators share all cores of
this machine."""

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load import Request
from benchmarks.report import machine

RECORDS = 10_000
"""Stored before the first request."""

READ = "read by id"
CREATE = "create"
REQUESTS = {
    READ: Request("GET", "/api/{collection}/{id}"),
    CREATE: Request(
        "POST", "/api/{collection}", '{"title": "Fault %d", "severity": %d}'
    ),
}


def all_cores() -> str:
    """Return the cores that this process may use."""
    return ",".join(map(str, sorted(os.sched_getaffinity(0))))


def arguments(
    module: str, description: str | None, numbers: dict[str, tuple[int, str]]
) -> argparse.Namespace:
    """Return the arguments of ``python -m benchmarks.<module>``: whole numbers, each
    with its default and what it is."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{module}", description=description
    )
    for name, (default, meaning) in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=meaning)
    return parser.parse_args()


@contextmanager
def table(*columns: str) -> Iterator[Path]:
    """Print the machine and the head of a table; give a temporary folder."""
    with tempfile.TemporaryDirectory(
        prefix="persist-benchmark-", ignore_cleanup_errors=True
    ) as name:
        folder = Path(name)
        print(machine(folder), "\n")
        print_row(columns)
        print_row(["---"] * len(columns))
        yield folder


def print_row(cells: Sequence[str]) -> None:
    """Print a row of the table at once."""
    print(f"| {' | '.join(cells)} |", flush=True)
