"""The container image, run as a deployment runs it: no root, nothing to write on but
/data and /tmp."""

import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.ports import free_port
from tests.support.problems import Json

pytestmark = pytest.mark.slow

IMAGE = "persist-showcase"
ENGINE_IMAGE = "persist"
TIMEOUT_SECONDS = 60
# Its health check is run by these tests, whose engine may have nothing that would run
# it.
HARDENED = [
    "--no-healthcheck",
    "--read-only",
    "--tmpfs",
    "/tmp",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
]
CALL = """
import sys, urllib.error, urllib.request
method, url, body, key = sys.argv[1:]
headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
request = urllib.request.Request(url, body.encode() or None, headers, method=method)
try:
    print(urllib.request.urlopen(request, timeout=10).read().decode())
except urllib.error.HTTPError as error:
    print(error.read().decode())
"""


@pytest.fixture(scope="module")
def engine() -> str:
    """Docker or podman, with the image built."""
    for name in ("docker", "podman"):
        if works(name, "info"):
            if works(name, "image", "inspect", IMAGE):
                return name
            pytest.skip(
                "NOT TESTED, the image: it is not there; `make image` builds it"
            )
    pytest.skip(
        "NOT TESTED, the image: there is neither docker nor podman that works here"
    )


def works(*command: str) -> bool:
    try:
        return (
            subprocess.run(
                command, capture_output=True, timeout=TIMEOUT_SECONDS, check=False
            ).returncode
            == 0
        )
    except OSError:
        return False


@dataclass
class Container:
    """A running container, reached from its inside, so that no port has to be free
    here."""

    engine: str
    name: str
    port: int
    key: str = ""

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.engine, *command],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        return self.run("exec", self.name, *command)

    def call(self, method: str, path: str, body: str = "") -> Json:
        url = f"http://127.0.0.1:{self.port}{path}"
        outcome = self.inside("python", "-c", CALL, method, url, body, self.key)
        assert outcome.returncode == 0, outcome.stderr
        answer: Json = json.loads(outcome.stdout)
        return answer

    def log(self) -> str:
        outcome = self.run("logs", self.name)
        return outcome.stdout + outcome.stderr

    def wait_until_ready(self) -> None:
        """By the image's own health check, the way an engine runs it."""
        inspected = self.run("image", "inspect", IMAGE)
        image = json.loads(inspected.stdout)[0]
        command = (image.get("Healthcheck") or image["Config"]["Healthcheck"])["Test"]
        assert command[0] == "CMD"
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self.inside(*command[1:]).returncode != 0:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.2)


@pytest.fixture
def container(engine: str) -> Iterator[Container]:
    made = Container(engine, f"persist-test-{uuid.uuid4().hex[:8]}", free_port())
    port = ["--env", f"PERSIST_PORT={made.port}"]
    try:
        started = made.run(
            "run", "--detach", "--name", made.name, *HARDENED, *port, IMAGE
        )
        assert started.returncode == 0, started.stderr
        made.wait_until_ready()
        made.key = first_key(made)
        yield made
    finally:
        made.run("rm", "--force", "--volumes", made.name)


def first_key(container: Container) -> str:
    """The key `serve` made, from the line below the one that names it."""
    lines = iter(container.log().splitlines())
    assert any("the first key" in line for line in lines), container.log()
    return next(lines)


def test_the_image_stores_and_keeps_what_it_stored_over_a_restart(
    container: Container,
) -> None:
    ticket = '{"title": "Database degraded", "severity": 30}'
    stored = container.call("POST", "/api/ops-tickets", ticket)
    assert stored["revision"] == 1, stored
    assert container.run("restart", "--time", "20", container.name).returncode == 0
    container.wait_until_ready()
    assert container.call("GET", f"/api/ops-tickets/{stored['id']}") == stored
    assert container.call("GET", "/collections/audit-events")["kind"] == "registered"


def test_the_image_refuses_whoever_has_no_key(container: Container) -> None:
    container.key = ""
    assert container.call("GET", "/api/ops-tickets")["status"] == 401


def test_the_image_ends_in_good_order_when_it_is_asked_to(container: Container) -> None:
    begun = time.monotonic()
    assert container.run("stop", "--time", "30", container.name).returncode == 0
    assert time.monotonic() - begun < 20
    assert (
        container.run(
            "inspect", "--format", "{{.State.ExitCode}}", container.name
        ).stdout.strip()
        == "0"
    )


def test_the_image_is_not_root_and_can_write_its_data_only(
    container: Container,
) -> None:
    assert container.inside("id", "-u").stdout.strip() == "10001"
    for folder in ("/", "/opt/persist", "/srv", "/etc"):
        assert container.inside("touch", f"{folder}/x").returncode != 0, folder
    for folder in ("/data", "/tmp"):
        assert container.inside("touch", f"{folder}/x").returncode == 0, folder


def test_the_image_has_no_tools_that_built_it(container: Container) -> None:
    for program in ("gcc", "make", "git", "hatchling"):
        assert container.inside("sh", "-c", f"command -v {program}").returncode != 0, (
            program
        )
    assert container.inside("python", "-m", "pip").returncode != 0
    assert container.inside("sh", "-c", "ls -d /build /root/.cache/pip").stdout == ""


def test_the_image_of_the_engine_has_no_collection(engine: str) -> None:
    program = "ls -d /srv/* 2>/dev/null; persist check || true"
    outcome = subprocess.run(
        [engine, "run", "--rm", "--entrypoint", "sh", ENGINE_IMAGE, "-c", program],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert "ok    models    none" in outcome.stdout, outcome
    assert "/srv" not in outcome.stdout
