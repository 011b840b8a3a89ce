"""Service: a service of the showcase's own, on a temporary database and a free port."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

ANNOUNCEMENT = re.compile(r"answers on (http://\S+)")
START_SECONDS = 60
STOP_SECONDS = 30


class CannotStart(Exception):
    """The service ended before it answered; the message holds the end of its log."""


class Service:
    """`persist serve` in a process of its own; what it stores lives in ``folder`` and outlives a stop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> str:
        """Start it and give its URL once it answers. Raises ``CannotStart``."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "app.cli", "serve", "--port", "0"],
                cwd=self._folder,
                env=self._environment(),
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

    @property
    def _log(self) -> Path:
        return self._folder / "service.log"

    def _environment(self) -> dict[str, str]:
        """The caller's environment, without choices that were made for another service."""
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("PERSIST_")}
        return kept | {
            "PERSIST_DATABASE_URL": f"sqlite:///{self._folder / 'showcase.db'}",
            "PERSIST_LOG_LEVEL": "warning",
        }

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
        raise CannotStart(f"the service did not start:\n{self._log.read_text()[-2000:]}")
