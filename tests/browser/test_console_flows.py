"""Every flow of the console in Chromium and Firefox, without a mouse, on a service
with 100,000 records, light and dark, wide and narrow."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from persist.storage.access.sessions import create_code
from persist.storage.dialect import dialect_of
from tests.browser.chromium import CHROMIUM
from tests.browser.console import TICKETS, KeyRing
from tests.support.forked import ROOT
from tests.support.ports import free_port
from tests.support.server import Server, start
from tests.support.waiting import until

BROWSERS = {
    "firefox": shutil.which("firefox") or shutil.which("firefox-esr"),
    "chrome": str(CHROMIUM) if CHROMIUM.exists() else None,
}
SIZES = {"wide": (1300, 850), "narrow": (360, 740)}
NODE = shutil.which("node")
CONSOLE = ROOT / "console"
TIMEOUT_SECONDS = 240
RECORDS = 100_000
SETTINGS = {"MODELS": "app.models", "CONSOLE_NAME": "test", "CONSOLE_COLOR": "teal"}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (NODE and (CONSOLE / "node_modules").exists()),
        reason="THE FLOWS OF THE CONSOLE ARE NOT TESTED: no `make console`",
    ),
]


@dataclass
class Service:
    """A service with many records, which can be stopped and started again."""

    keys: KeyRing
    folder: Path
    port: int
    server: Server
    passing: str = ""
    """The last key that was made for the flows."""

    def start(self) -> None:
        self.server = start(
            self.keys.url, self.folder, settings=SETTINGS, port=self.port
        )

    def do(self, what: str) -> str:
        """Do what the flows ask for; return what they wait for."""
        match what.split():
            case ["stop"]:
                self.server.kill()
            case ["start"]:
                self.start()
            case ["link", name]:
                return self.link(name)
            case ["key", name]:
                self.passing = self.keys.make(name, "ops-tickets:write")
                return self.passing
            case ["revoke", name]:
                self.keys.stored.revoke(name)
                with self.server.client() as client:
                    client.headers["Authorization"] = f"Bearer {self.passing}"
                    until(lambda: client.get("/sessions").status_code == 401)
        return "done"

    def link(self, key: str) -> str:
        """Return a link that begins a session of a key, once."""
        code = create_code(dialect_of(self.keys.url), key)
        return f"{self.server.url}/console#code={code}"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("flows")
    keys, port = KeyRing(f"sqlite:///{folder}/persist.db"), free_port()
    secrets = {name: keys.make(name, "*:admin") for name in ("admin", "colleague")}
    server = start(keys.url, folder, settings=SETTINGS, port=port)
    service = Service(keys, folder, port, server)
    try:
        with server.client() as client:
            client.headers["Authorization"] = f"Bearer {secrets['colleague']}"
            fill(client)
            snapshot(client, folder / "snapshot.ndjson")
        (folder / "keys.json").write_text(json.dumps(secrets), encoding="utf-8")
        yield service
    finally:
        service.server.stop()


def fill(client: httpx.Client) -> None:
    """Import many tickets."""
    kind = {"Content-Type": "application/x-ndjson"}
    for first in range(0, RECORDS, 10_000):
        lines = "\n".join(
            f'{{"title": "Ticket {number % 7} {number}",'
            f' "severity": {number % 5 * 10 + 10}}}'
            for number in range(first, first + 10_000)
        )
        path = f"{TICKETS}/import"
        client.post(path, content=lines, headers=kind).raise_for_status()


def snapshot(client: httpx.Client, file: Path) -> None:
    """Write the content of a snapshot to a file."""
    answer = client.post("/api/catalog-products/snapshots", json={})
    name = answer.raise_for_status().json()["id"]
    file.write_bytes(client.get(f"/snapshots/{name}/content").content)
    client.delete(f"/snapshots/{name}").raise_for_status()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("browser", BROWSERS)
def test_every_flow_runs_by_keyboard(
    service: Service, browser: str, size: str, theme: str
) -> None:
    if BROWSERS[browser] is None:
        pytest.skip(f"THE CONSOLE IS NOT TESTED IN {browser}: it is not here")
    secrets = json.loads((service.folder / "keys.json").read_text(encoding="utf-8"))
    settings = secrets | {
        "url": service.server.url,
        "browser": browser,
        "executablePath": BROWSERS[browser],
        "width": SIZES[size][0],
        "height": SIZES[size][1],
        "theme": theme,
        "file": str(service.folder / "snapshot.ndjson"),
    }
    run(settings, service)


def run(settings: dict[str, object], service: Service) -> None:
    """Run the flows; do what they ask for meanwhile."""
    with subprocess.Popen(
        [str(NODE), "test/flows.mjs", json.dumps(settings)],
        cwd=CONSOLE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as flows:
        assert flows.stdin
        assert flows.stdout
        lines = []
        for line in flows.stdout:
            lines.append(line)
            if line.startswith("please "):
                answer = service.do(line.removeprefix("please "))
                flows.stdin.write(f"{answer}\n")
                flows.stdin.flush()
    assert flows.returncode == 0, "".join(lines)
