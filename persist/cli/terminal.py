"""Terminal output of commands: lines, refusals and progress."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from persist.storage.long_operations.progress import OnProgress

FAILED = 1
"""Exit status: the command was understood and did not succeed."""

REFUSED = 2
"""Exit status: the command or a setting cannot be used. Shells use it for misuse."""

LINE_INTERVAL_SECONDS = 5.0
"""Time between two progress lines if stderr is not a terminal."""


def reason_of(error: object) -> str:
    """Return the text of an error; of one of the operating system without its
    number."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def refuse(error: object, status: int = REFUSED) -> NoReturn:
    """Write a reason of one or more lines to stderr and end the command."""
    for line in reason_of(error).splitlines():
        typer.echo(f"persist: {line.removeprefix('persist: ')}", err=True)
    raise typer.Exit(status)


def progress_bars(count: ProgressColumn | None = None) -> Progress:
    """Return progress bars on stderr, disabled if stderr is not a terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        *([] if count is None else [count]),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=count is None,
        disable=not sys.stderr.isatty(),
    )


@contextmanager
def spinner(title: str) -> Iterator[None]:
    """Display work whose length is unknown."""
    with progress_bars() as bars:
        bars.add_task(title, total=None)
        yield


@contextmanager
def record_progress(
    write_line: Callable[[str], None], unit: str = "records"
) -> Iterator[OnProgress]:
    """Give a callback that displays progress.

    It draws bars on a terminal. Elsewhere it calls ``write_line`` now and then.
    """
    if not sys.stderr.isatty():
        yield _ProgressLines(write_line, unit)
        return
    with progress_bars(MofNCompleteColumn()) as bars:
        tasks: dict[str, TaskID] = {}

        def on_progress(title: str, done: int, total: int) -> None:
            if title not in tasks:
                tasks[title] = bars.add_task(title)
            bars.update(tasks[title], completed=done, total=total)

        yield on_progress


class _ProgressLines:
    def __init__(self, write_line: Callable[[str], None], unit: str) -> None:
        self._write_line = write_line
        self._unit = unit
        self._next = time.monotonic() + LINE_INTERVAL_SECONDS

    def __call__(self, title: str, done: int, total: int) -> None:
        if done == total or time.monotonic() >= self._next:
            self._write_line(f"{title}: {done:,} of {total:,} {self._unit}")
            self._next = time.monotonic() + LINE_INTERVAL_SECONDS


def print_line(members: Mapping[str, object], sentence: str, *, as_json: bool) -> None:
    """Print a line: what a person reads, or the members as JSON."""
    text = json.dumps(members, ensure_ascii=False) if as_json else sentence
    typer.echo(text)
