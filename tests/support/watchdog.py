"""Watch what an attack does to others: how long another client's read takes meanwhile,
and how much memory the service takes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support import bystander
from tests.support.server import Server

QUIET = "QUIET_MACHINE"
"""The environment variable that says that nothing else runs on this machine."""

ALLOWED_SECONDS = 0.1 if QUIET in os.environ else 3.0
"""How long a read of another client may take during an attack. Where other tests run too,
what keeps others waiting is noticed only if it does so for seconds."""

ALLOWED_KILOBYTES = 100_000
"""How much larger the service may be while it is attacked."""


@dataclass
class Watch:
    """What was measured: the slowest read, their number, and the growth of the service at
    its largest."""

    seconds: float = 0.0
    reads: int = 0
    kilobytes: int = 0


@contextmanager
def unharmed(
    server: Server, path: str, headers: Mapping[str, str], kilobytes: int | None = None
) -> Iterator[None]:
    """Read a path again and again during the block. Fail where a read took too long, or
    the service grew by more than ``kilobytes``."""
    asked = (server.url.removeprefix("http://"), path, json.dumps(dict(headers)))
    with subprocess.Popen(
        # Without the packages that are installed: it begins in a third of the time.
        [sys.executable, "-S", bystander.__file__, *asked, str(server.process.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "begun\n"
        try:
            yield
        finally:
            time.sleep(5 * bystander.EVERY_SECONDS)
            measured = other.communicate()[0]
    assert other.returncode == 0, "the other client was refused"
    watch = Watch(**json.loads(measured))
    assert watch.reads, "the other client read nothing"
    assert watch.seconds <= ALLOWED_SECONDS, watch
    assert watch.kilobytes <= (kilobytes or ALLOWED_KILOBYTES), watch
