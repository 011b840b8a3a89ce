import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from app.showcase.snapshots import FIXTURES, with_new_ids
from tests.conftest import NewDatabase
from tests.support.forked import ROOT
from tests.support.problems import Json
from tests.support.program import serving, showcase
from tests.support.server import Server, start
from tests.support.server import serving as serving_on

CATALOGUE = [
    "Create a product",
    "Lower its price with the command set",
    "Patch its title, take it off sale",
    "Read it back",
]
RESTART = ["Stop the service, start it, read the same"]
TICKETS = [
    "Open “Database degraded”",
    "Open “API latency spike”",
    "Escalate both: only a major fault does",
    "30 became 40",
    "20 stayed 20",
    "Upload a snapshot that was taken at schema version 1",
    "Read its content",
    "Verify it",
    "Ask for the plan",
    "Rehearse",
    "Restore it",
    "Severity 4 became 40",
    "Severity 2 became 20",
    "fail: refused",
    "Raise a severity meanwhile",
    "skip: existing tickets stay",
    "Still at 50",
    "overwrite: the snapshot replaces them",
    "At 40 again",
]
EVENTS = [
    "Record a login",
    "It took longer",
    "A command names its source",
    "It has one now",
    "Find it by a nested member",
    "Without event_name",
    "A duration of “x”",
    "An unknown field",
    "null for event_name",
]
INCIDENT = [
    "Declare a workspace",
    "A product",
    "A ticket",
    "An audit event",
    "List all of it",
    "The default workspace has none of it",
    "Acknowledge what can be acknowledged",
    "The ticket is acknowledged",
    "Take a snapshot of all of it",
    "Upload it",
    "Declare a new workspace, for two of the types",
    "It has no audit events",
    "So they cannot be restored there",
    "Declare all three types",
    "Restore it there",
    "4900 became 5400",
    "The ticket is unchanged",
    "The event is unchanged",
    "A second restore: refused",
    "Three are skipped",
    "Three are overwritten",
]
MISTAKES = [
    "Desk in the catalogue",
    "Lamp in the catalogue",
    "Note the last change",
    "Import a price list over them",
    "Note the last change of the import",
    "The prices are euros",
    "Before the import",
    "Rehearse the undo",
    "Undo the import",
    "The prices are cents again",
    "The mistake can be seen",
    "Both read a ticket",
    "One raises its severity",
    "The other renames it: late",
    "Merged: both edits hold",
    "The same member twice is a conflict",
]
END = ["Delete what was created"]
STORY = [
    *CATALOGUE,
    *RESTART,
    *TICKETS,
    "Register AuditEvent",
    *EVENTS,
    *INCIDENT,
    *MISTAKES,
    *END,
]

APP = {"MODELS": "app.models"}
"""The settings of a service of this deployment."""

OTHER_CATALOGUE = '''
from persist import entity
from sqlmodel import Field, SQLModel

@entity("catalog-products", schema_version=7)
class Product(SQLModel):
    """A product of another shop."""
    sku: str
    title: str
    price_cents: int
    active: bool = True
'''


@pytest.fixture(scope="module")
def report(
    tmp_path_factory: pytest.TempPathFactory,
) -> subprocess.CompletedProcess[str]:
    """What it printed of a service of its own, where the settings are those of another
    service."""
    folder = tmp_path_factory.mktemp("empty")
    outcome = showcase(
        folder, PERSIST_WORKERS="none", PERSIST_DATABASE_URL="sqlite:///mine.db"
    )
    assert list(folder.iterdir()) == []
    return outcome


@pytest.fixture(scope="module")
def database_url(new_database: NewDatabase) -> str:
    return new_database()


@pytest.fixture(scope="module")
def running(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A service that runs anyway, on either database."""
    folder = tmp_path_factory.mktemp("running")
    with serving_on(database_url, folder, settings=APP) as server:
        yield server


def test_it_tells_the_story_of_a_service_of_its_own(
    report: subprocess.CompletedProcess[str],
) -> None:
    assert report.returncode == 0, report.stdout + report.stderr
    story = [
        line.split(maxsplit=1)[1]
        for line in report.stdout.splitlines()
        if line.startswith("  ✓")
    ]
    assert [line.split("  ")[0] for line in story] == STORY
    assert "all as expected" in report.stdout


def test_a_running_service_is_checked_again_and_again_and_left_as_it_was(
    running: Server, tmp_path: Path
) -> None:
    for _ in range(2):
        steps = checked_steps(showcase(tmp_path, "--json", "--url", running.url))
        assert [step["title"] for step in steps] == [
            title for title in STORY if title not in RESTART
        ]
    assert_as_it_was(running.url)


def test_the_typescript_client_tells_the_same_story(
    running: Server, database_url: str, typescript: Path
) -> None:
    script = typescript / "dist-test" / "test" / "showcase.js"
    command = ["node", str(script), running.url, str(ROOT), "--restart"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        lines = []
        for line in node.stdout:
            if line == "restart\n":
                restart(running, database_url)
                node.stdin.write("\n")
                node.stdin.flush()
            else:
                lines.append(line.strip())
    assert lines == [f"✓ {title}" for title in STORY]
    assert node.returncode == 0
    assert_as_it_was(running.url)


def restart(server: Server, database_url: str) -> None:
    """Stop the service and start it again at the same address."""
    server.stop()
    folder, port = server.log.parent, urlsplit(server.url).port
    server.process = start(database_url, folder, settings=APP, port=port).process


def test_a_type_that_was_registered_before_stays(
    running: Server, tmp_path: Path
) -> None:
    definition = json.loads((ROOT / "schemas" / "audit-event.json").read_text())
    kind = f"{running.url}/entity-types/audit-events"
    httpx.put(kind, json=definition).raise_for_status()
    steps = checked_steps(showcase(tmp_path, "--json", "--url", running.url))
    assert "AuditEvent is registered" in [step["title"] for step in steps]
    assert httpx.get(kind).status_code == 200
    assert httpx.delete(kind).status_code == 204


def test_the_database_of_its_own_service_can_be_chosen_and_is_left_as_it_was(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database()
    for _ in range(2):
        steps = checked_steps(showcase(tmp_path, "--json", "--database-url", url))
        assert [step["title"] for step in steps] == STORY
    with serving_on(url, tmp_path, settings=APP) as server:
        assert_as_it_was(server.url)


def assert_as_it_was(url: str) -> None:
    assert httpx.get(f"{url}/api/catalog-products").json()["items"] == []
    assert httpx.get(f"{url}/api/ops-tickets").json()["items"] == []
    assert httpx.get(f"{url}/snapshots").json()["items"] == []
    assert httpx.get(f"{url}/entity-types").json()["items"] == []
    assert httpx.get(f"{url}/workspaces").json()["items"] == []


def checked_steps(outcome: subprocess.CompletedProcess[str]) -> list[Json]:
    report = json.loads(outcome.stdout)
    assert (outcome.returncode, report["ok"], report["failure"]) == (0, True, None)
    steps: list[Json] = report["steps"]
    facts = {step["title"]: step["checked"] for step in steps}
    assert facts["Read it back"]["data.price_cents"] == 10900
    assert facts["Restore it"]["collections.0.from_versions"] == {"1": 2}
    assert facts["Severity 4 became 40"]["data.severity"] == 40
    assert facts["Escalate both: only a major fault does"]["outcomes.0.result"] == 40
    assert facts["Restore it there"]["created"] == 3
    assert facts["4900 became 5400"]["data.price_cents"] == 5400
    assert facts["Before the import"]["items.1.data.price_cents"] == 3900
    assert facts["Undo the import"] == {"undone": 3, "skipped": 0}
    assert facts["The prices are cents again"]["total"] == 2
    assert facts["Merged: both edits hold"]["revision"] == 3
    assert facts["Delete what was created"] == {
        "deleted": 21 if "Register AuditEvent" in facts else 20
    }
    return steps


@pytest.mark.parametrize("name", ["ops-tickets-v1", "incident-v2"])
def test_a_snapshot_with_new_ids_is_a_whole_one_and_otherwise_the_same(
    running: Server, name: str
) -> None:
    before = (FIXTURES / f"{name}.ndjson").read_text()
    after = with_new_ids(before)
    kept = httpx.post(
        f"{running.url}/snapshots",
        content=after.encode(),
        headers={"content-type": "application/x-ndjson"},
    )
    assert kept.status_code == 201, kept.text
    assert (
        httpx.delete(f"{running.url}/snapshots/{kept.json()['id']}").status_code == 204
    )
    first, second = (
        [json.loads(line) for line in text.splitlines()[1:-1]]
        for text in (before, after)
    )
    assert {record.pop("id") for record in first}.isdisjoint(
        record.pop("id") for record in second
    )
    assert first == second


def test_a_number_that_is_off_fails_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(OTHER_CATALOGUE)
    with serving(tmp_path, PERSIST_MODELS="other") as service:
        outcome = showcase(tmp_path, "--url", service.url)
        assert httpx.get(f"{service.url}/api/catalog-products").json()["items"] == []
    assert outcome.returncode == 1
    assert "schema_version is 7 instead of 3" in outcome.stdout


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense"])
def test_a_service_that_cannot_be_reached_fails_in_a_sentence(
    tmp_path: Path, url: str
) -> None:
    outcome = showcase(tmp_path, "--json", "--url", url)
    assert outcome.returncode == 1
    assert json.loads(outcome.stdout)["failure"].startswith(
        "the service cannot be reached"
    )
    assert outcome.stderr == ""


def test_a_database_that_does_not_answer_fails_in_a_sentence(tmp_path: Path) -> None:
    outcome = showcase(
        tmp_path, "--json", "--database-url", "postgresql://127.0.0.1:1/x"
    )
    assert outcome.returncode == 1
    assert "PERSIST_DATABASE_URL" in json.loads(outcome.stdout)["failure"]


def test_a_running_service_cannot_be_given_another_database(tmp_path: Path) -> None:
    both = ("--url", "http://127.0.0.1:1", "--database-url", "sqlite:///x.db")
    outcome = showcase(tmp_path, *both)
    assert outcome.returncode == 2
    assert "choose --url or --database-url" in outcome.stderr
