"""Run `persist` as a user does: a process of its own in a folder of its own."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.support.forked import MODULE, NO_BYTECODE, ROOT, Process, start

ANNOUNCEMENT = re.compile(r"answers on (http://\S+)")
TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Running:
    """A service that has said that it answers."""

    url: str
    process: Process
    errors: Path

    def end(self, signal: int) -> int:
        """Its exit status after a signal."""
        self.process.send_signal(signal)
        return self.process.wait(TIMEOUT_SECONDS)


def persist(
    folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return run(list(arguments), folder, clean_environment(**environment))


def run(
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    *,
    module: str = MODULE,
) -> subprocess.CompletedProcess[str]:
    """Run a module to its end in exactly this environment."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = start(
            arguments,
            folder,
            environment,
            stdout=output.fileno(),
            stderr=errors.fileno(),
            module=module,
        )
        try:
            status = process.wait(TIMEOUT_SECONDS)
        finally:
            process.kill()
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(
            [module, *arguments], status, output.read(), errors.read()
        )


def showcase(
    folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run this deployment's showcase to its end."""
    environment = clean_environment(**environment)
    return run(list(arguments), folder, environment, module="app.showcase")


@contextmanager
def serving(folder: Path, *flags: str, **environment: str) -> Iterator[Running]:
    """`persist serve` on a free port, from its announcement until the block ends."""
    errors = folder / "stderr.log"
    reading, writing = os.pipe()
    with errors.open("w") as log, os.fdopen(reading) as output:
        process = start(
            ["serve", "--port", "0", *flags],
            folder,
            clean_environment(**environment),
            stdout=writing,
            stderr=log.fileno(),
        )
        os.close(writing)
        try:
            yield Running(_announced_url(output, errors), process, errors)
        finally:
            process.terminate()
            process.wait(TIMEOUT_SECONDS)


@contextmanager
def announced(
    program: list[str], folder: Path, environment: dict[str, str], *flags: str
) -> Iterator[Running]:
    """The same of any installation of the program."""
    errors = folder / "stderr.log"
    with errors.open("w") as log:
        process = subprocess.Popen(
            [*program, "serve", "--port", "0", *flags],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    try:
        yield Running(_announced_url(process.stdout, errors), process, errors)
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT_SECONDS)


def _announced_url(output: IO[str], errors: Path) -> str:
    """Return the URL of the line that says that the service answers."""
    found = next(
        (match for line in output if (match := ANNOUNCEMENT.search(line))), None
    )
    assert found is not None, errors.read_text()
    return found[1]


def clean_environment(**chosen: str) -> dict[str, str]:
    """Return this process's environment with these settings only.

    The checkout can be imported, and the entities of its deployment are served. A
    module of a test is not compiled into a file: it may change twice in a second.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PERSIST_")
    }
    ours = {
        "PYTHONPATH": str(ROOT),
        NO_BYTECODE: "1",
        "PERSIST_MODELS": "app.models",
    }
    return inherited | ours | chosen
