"""Run `persist` or the showcase in a process forked from one that has imported it.

Importing takes most of the time of a short command. A forked process has its own
folder, environment, output and process group, as a new program has. A program whose
environment differs in more than the settings is started as a new one, since such an
environment acts on the interpreter itself.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from multiprocessing import reduction
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[2]
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
MODULE = "persist.cli"
PROGRAM = [sys.executable, "-P", "-m", MODULE]
FOLDER_INTERVAL_SECONDS = 0.2
"""How often a forked service looks for changed definition files."""

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "persist.cli",
        "persist.application",
        "persist.cli.preflight",
        "persist.server",
        "psycopg",
        "pydantic.v1",  # FastAPI imports it with the first route
        "sqlite3",
        "tests.deployment",
        "tests.support.forked",
        "uvicorn.protocols.http.httptools_impl",
    ]
)


class Process(Protocol):
    """The part of ``subprocess.Popen`` that tests use."""

    @property
    def pid(self) -> int:
        """The process id, which is the id of its process group too."""

    def poll(self) -> int | None:
        """Return the exit status, None while the process runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status. Raise ``subprocess.TimeoutExpired``."""

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process has ended."""

    def terminate(self) -> None:
        """Send SIGTERM, unless the process has ended."""

    def kill(self) -> None:
        """Send SIGKILL, unless the process has ended."""


class _Forked:
    def __init__(self, process: Any) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        pid: int = self._process.pid
        return pid

    def poll(self) -> int | None:
        status: int | None = self._process.exitcode
        return status

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(PROGRAM, timeout or 0)
        return status

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    arguments: list[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    stdout: int,
    stderr: int,
    module: str = MODULE,
) -> Process:
    """Start a module with these arguments; the descriptors stay the caller's."""
    if _without_settings(environment) != _without_settings(os.environ):
        return subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    process = _CONTEXT.Process(
        target=_run,
        args=(
            module,
            arguments,
            folder,
            dict(environment),
            reduction.DupFd(stdout),
            reduction.DupFd(stderr),
        ),
    )
    process.start()
    return _Forked(process)


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    expected = environment.get("PYTHONPATH", "") in ("", str(ROOT))
    ignored = {NO_BYTECODE, "PYTEST_CURRENT_TEST"}
    if expected:
        ignored.add("PYTHONPATH")
    return {
        name: value
        for name, value in environment.items()
        if name not in ignored and not name.startswith("PERSIST_")
    }


def _run(
    module: str,
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    stdout: Any,
    stderr: Any,
) -> None:
    from persist import cli
    from persist.deployment import definition_files

    definition_files.INTERVAL_SECONDS = FOLDER_INTERVAL_SECONDS
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.dont_write_bytecode = bool(environment.get(NO_BYTECODE))
    if not environment.get("PYTHONPATH"):
        sys.path[:] = [folder for folder in sys.path if folder != str(ROOT)]
    for descriptor, given in ((1, stdout), (2, stderr)):
        os.dup2(given.detach(), descriptor)
    sys.argv = ["persist", *arguments]
    try:
        if module == MODULE:
            cli.main()
        else:
            runpy.run_module(module, run_name="__main__")
    finally:
        # A process of multiprocessing ends without what the interpreter does at its
        # end.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
