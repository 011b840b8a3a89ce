"""OwnService: `persist serve` in a process of its own, for a command that needs a
service for a while."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn, Self

ANNOUNCEMENT = re.compile(r"answers on (http://\S+)")
START_SECONDS = 120
STOP_SECONDS = 30


class CannotStart(Exception):
    """The service ended before it answered; the message holds the end of its log."""


class LocalService:
    """A service on a free port of this machine, in ``folder`` and ``environment``; what
    it says goes to the file ``log``. It ends with the block, and with this process
    where that gets SIGTERM."""

    def __init__(self, folder: Path, environment: Mapping[str, str], log: Path) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._handler = signal.signal(signal.SIGTERM, _end)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        signal.signal(signal.SIGTERM, self._handler)

    def start(self) -> str:
        """Start it and give its URL once it answers. Raises ``CannotStart``."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "persist.cli", "serve", "--port", "0"],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self._announced_url(self._process)

    def stop(self) -> None:
        """Stop it as an operator would, with SIGTERM."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

    def restart(self) -> str:
        """Stop it, start it on what it stored, and give its new URL."""
        self.stop()
        return self.start()

    def _announced_url(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        timer = threading.Timer(START_SECONDS, process.kill)
        timer.start()
        try:
            for line in process.stdout:
                if found := ANNOUNCEMENT.search(line):
                    return found[1]
        finally:
            timer.cancel()
        raise CannotStart(
            f"the service did not start:\n{self._log.read_text()[-2000:]}".rstrip()
        )


def without_choices(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """An environment without the choices that were made for another service."""
    return {
        name: value
        for name, value in environment.items()
        if not name.upper().startswith("PERSIST_")
    }


def _end(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
