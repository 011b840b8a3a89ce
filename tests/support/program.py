"""Run `persist` as a user does: a process of its own in a folder of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-P", "-m", "persist.cli"]
ANNOUNCEMENT = re.compile(r"answers on (http://\S+)")
PATIENCE = 60


@dataclass(frozen=True)
class Running:
    """A service that has said that it answers."""

    url: str
    process: subprocess.Popen[str]
    errors: Path

    def end(self, signal: int) -> int:
        """Its exit status after a signal."""
        self.process.send_signal(signal)
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


def persist(
    folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return _run([*PROGRAM, *arguments], folder, environment)


def showcase(
    folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run this deployment's showcase to its end."""
    return _run(
        [sys.executable, "-P", "-m", "app.showcase", *arguments], folder, environment
    )


def _run(
    program: list[str], folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        program,
        cwd=folder,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextmanager
def serving(folder: Path, *flags: str, **environment: str) -> Iterator[Running]:
    """`persist serve` on a free port, from its announcement until the block ends."""
    with announced(
        PROGRAM, folder, clean_environment(**environment), *flags
    ) as running:
        yield running


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
        found = next(
            (match for line in process.stdout if (match := ANNOUNCEMENT.search(line))),
            None,
        )
        assert found is not None, errors.read_text()
        yield Running(found[1], process, errors)
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def clean_environment(**chosen: str) -> dict[str, str]:
    """Return this process's environment with these settings only.

    The checkout can be imported, and the entities of its deployment are served.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PERSIST_")
    }
    ours = {"PYTHONPATH": str(ROOT), "PERSIST_MODELS": "app.models"}
    return inherited | ours | chosen
