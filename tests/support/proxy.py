"""The deployment's own proxy, with the deployment's own configuration, in front of
replicas."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.forked import ROOT
from tests.support.ports import free_port
from tests.support.server import Server
from tests.support.waiting import until

CONFIGURATION = [
    "--config",
    str(ROOT / "deploy" / "Caddyfile"),
    "--adapter",
    "caddyfile",
]


@dataclass
class Proxy(Server):
    """The running proxy; a client of it is a client of the replicas."""

    environment: dict[str, str]

    def reload(self) -> None:
        """Have it read its configuration again."""
        command = [
            "caddy",
            "reload",
            "--force",
            *CONFIGURATION,
            "--address",
            self.environment["PROXY_ADMIN"],
        ]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)


@contextmanager
def proxy(replicas: Sequence[str], folder: Path) -> Iterator[Proxy]:
    """A proxy in front of replicas at ``host:port``; skips the test where there is no
    Caddy."""
    if shutil.which("caddy") is None:
        pytest.skip(
            "NOT TESTED, the cluster: there is no caddy here (apt-get install caddy)"
        )
    port = free_port()
    environment = os.environ | {
        "PROXY_ADDRESS": f"http://127.0.0.1:{port}",
        "PROXY_ADMIN": f"127.0.0.1:{free_port()}",
        "PROXY_REPLICAS": " ".join(replicas),
        "XDG_CONFIG_HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
    }
    log = folder / "caddy.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["caddy", "run", *CONFIGURATION],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Proxy(f"http://127.0.0.1:{port}", process, log, environment)
    try:
        until(running.is_ready)
        yield running
    finally:
        running.stop()
