"""Whether a client waits while a service is busy with another one."""

import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.collection import Collection
from tests.support.server import Server

LONGEST = 0.5 if "PYTEST_XDIST_WORKER" in os.environ else 0.1
"""Seconds an answer may take. Where other tests run at the same time they take the
processors, which hardly shows; what blocks a service does so for seconds."""


def _stalled() -> float:
    """Seconds in which some process of this machine waited for a processor, as far as
    it is reported: what a busy machine makes an answer wait is not the service's fault."""
    pressure = Path("/proc/pressure/cpu")
    found = (
        re.search(r"some .*total=(\d+)", pressure.read_text())
        if pressure.exists()
        else None
    )
    return int(found[1]) / 1e6 if found else 0.0


class Reader:
    """Reads a record of the same process again and again, and notes how long each
    answer took."""

    def __init__(self, server: Server) -> None:
        self._client = server.client()
        self._address = f"/api/counters/{Collection(self._client, 'counters').created(value=1)['id']}"

    def assert_never_waits(self, meanwhile: Callable[[], Any]) -> None:
        """Every answer took less than ``LONGEST`` while something else went on, once in
        three times."""
        waits: list[float] = []
        while len(waits) < 3:
            waits.append(self._waited(meanwhile))
            if waits[-1] < LONGEST:
                return
        raise AssertionError(waits)

    def _waited(self, meanwhile: Callable[[], Any]) -> float:
        done, slowest = threading.Event(), [0.0]
        thread = threading.Thread(
            target=lambda: slowest.append(self._slowest_until(done))
        )
        thread.start()
        try:
            meanwhile()
        finally:
            done.set()
            thread.join()
        return max(slowest)

    def _slowest_until(self, done: threading.Event) -> float:
        slowest = 0.0
        while not done.is_set():
            begun, stalled = time.perf_counter(), _stalled()
            assert self._client.get(self._address).status_code == 200
            slowest = max(slowest, time.perf_counter() - begun - (_stalled() - stalled))
            done.wait(0.002)
        return slowest

    def close(self) -> None:
        self._client.close()
