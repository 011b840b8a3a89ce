"""Terminal: how a command refuses, and what it shows while it works; bars where
somebody watches."""

import sys
import time
from collections.abc import Callable, Iterator
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

FAILED = 1
REFUSED = 2  # what a shell calls a misuse
SECONDS = 5.0
"""Between two lines of something that goes on, where nobody watches."""

Told = Callable[[str, int, int], None]
"""Told what is being done, how many records are done, and how many there are."""


def refuse(error: object, status: int = REFUSED) -> NoReturn:
    """End the command with a reason, a line or several, on stderr."""
    for line in str(error).splitlines():
        typer.echo(f"persist: {line.removeprefix('persist: ')}", err=True)
    raise typer.Exit(status)


def bars(count: ProgressColumn | None = None) -> Progress:
    """Progress bars on stderr; nothing where that is no terminal."""
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
def waiting(title: str) -> Iterator[None]:
    """Show that something goes on whose end cannot be told."""
    with bars() as shown:
        shown.add_task(title, total=None)
        yield


@contextmanager
def records_done(say: Callable[[str], None], unit: str = "records") -> Iterator[Told]:
    """Progress by records: bars on a terminal, otherwise now and then a line through
    ``say``."""
    if not sys.stderr.isatty():
        yield _Lines(say, unit)
        return
    with bars(MofNCompleteColumn()) as shown:
        tasks: dict[str, TaskID] = {}

        def told(title: str, done: int, total: int) -> None:
            if title not in tasks:
                tasks[title] = shown.add_task(title)
            shown.update(tasks[title], completed=done, total=total)

        yield told


class _Lines:
    def __init__(self, say: Callable[[str], None], unit: str) -> None:
        self._say = say
        self._unit = unit
        self._next = time.monotonic() + SECONDS

    def __call__(self, title: str, done: int, total: int) -> None:
        if done == total or time.monotonic() >= self._next:
            self._say(f"{title}: {done:,} of {total:,} {self._unit}")
            self._next = time.monotonic() + SECONDS
