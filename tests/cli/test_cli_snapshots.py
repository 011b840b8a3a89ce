"""`persist snapshot` and `persist restore`, on a running service and on a database."""

import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.fixtures import RECORDS, TICKETS_1
from tests.support.forked import PROGRAM, ROOT
from tests.support.postgres import create_database
from tests.support.problems import Json
from tests.support.program import TIMEOUT_SECONDS, clean_environment, persist
from tests.support.server import Server, serving

PRESENT = {"MODELS": "app.models"}
UNKNOWN = "0199c000-0000-7000-8000-0000000000ff"
COMMANDS = ("take", "list", "export", "import", "verify", "delete")


@dataclass(frozen=True)
class Desk:
    """A service with two tickets, and the folder its commands are run in."""

    server: Server
    folder: Path
    database: str

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return persist(self.folder, *arguments, "--url", self.server.url)

    def done(self, *arguments: str) -> str:
        """What it says where it goes well."""
        outcome = self.run(*arguments)
        assert (outcome.returncode, outcome.stderr) == (0, "")
        return outcome.stdout

    def refused(self, *arguments: str) -> str:
        """What it says where it does not."""
        outcome = self.run(*arguments)
        assert outcome.returncode == 1, outcome
        assert "Traceback" not in outcome.stderr
        return outcome.stderr

    def get(self, path: str) -> Json:
        found: Json = httpx.get(f"{self.server.url}{path}").json()
        return found


@pytest.fixture(scope="module")
def served(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, str]]:
    url = new_database()
    with serving(url, tmp_path_factory.mktemp("served"), settings=PRESENT) as server:
        tickets = f"{server.url}/api/ops-tickets"
        for title, severity in (("Database degraded", 30), ("API latency spike", 20)):
            httpx.post(
                tickets, json={"title": title, "severity": severity}
            ).raise_for_status()
        yield server, url


@pytest.fixture
def desk(served: tuple[Server, str], tmp_path: Path) -> Desk:
    server, url = served
    return Desk(server, tmp_path, url)


def taken(desk: Desk, *arguments: str) -> Json:
    """The manifest of a snapshot of the tickets."""
    manifest: Json = json.loads(
        desk.done("snapshot", "take", "ops-tickets", "--json", *arguments)
    )
    return manifest


def test_a_snapshot_is_taken_and_reported_in_a_line(desk: Desk) -> None:
    said = desk.done("snapshot", "take", "ops-tickets", "--note", "before the release")
    id, at, listed = said.rstrip("\n").split("  ", 2)
    manifest = desk.get(f"/snapshots/{id}")
    assert (manifest["created_at"], manifest["mode"]) == (at, "with_data")
    assert listed == "2 ops-tickets at schema version 2  before the release"


def test_a_snapshot_of_everything_has_every_collection(desk: Desk) -> None:
    manifest = json.loads(desk.done("snapshot", "take", "--json"))
    assert [listed["name"] for listed in manifest["collections"]] == [
        "catalog-products",
        "ops-tickets",
    ]


def test_a_snapshot_may_go_without_records(desk: Desk) -> None:
    manifest = taken(desk, "--schema-only")
    assert (manifest["mode"], manifest["records"]) == ("schema_only", 0)


def test_the_list_has_the_newest_first_and_those_of_one_collection(desk: Desk) -> None:
    first, second = taken(desk)["id"], taken(desk)["id"]
    products = json.loads(desk.done("snapshot", "take", "catalog-products", "--json"))[
        "id"
    ]
    assert [line.split()[0] for line in desk.done("snapshot", "list").splitlines()][
        :3
    ] == [
        products,
        second,
        first,
    ]
    listed = json.loads(desk.done("snapshot", "list", "ops-tickets", "--json"))
    assert [manifest["id"] for manifest in listed][:2] == [second, first]


def test_what_is_exported_is_the_content_to_the_byte(desk: Desk) -> None:
    id = taken(desk, "--output", "taken.ndjson")["id"]
    content = httpx.get(f"{desk.server.url}/snapshots/{id}/content").content
    desk.done("snapshot", "export", id, "--output", "exported.ndjson")
    assert desk.done("snapshot", "export", id).encode() == content
    assert (desk.folder / "exported.ndjson").read_bytes() == content
    assert (desk.folder / "taken.ndjson").read_bytes() == content


def test_an_export_that_fails_leaves_no_file_and_an_older_one_as_it_was(
    desk: Desk,
) -> None:
    (desk.folder / "older.ndjson").write_text("older\n")
    for file in ("older.ndjson", "new.ndjson"):
        assert "there is no snapshot" in desk.refused(
            "snapshot", "export", UNKNOWN, "--output", file
        )
    assert {path.name: path.read_text() for path in desk.folder.iterdir()} == {
        "older.ndjson": "older\n"
    }


@pytest.mark.parametrize("command", [["take"], ["export", "nope"]])
def test_a_folder_that_is_missing_is_named_before_a_snapshot_is_taken(
    desk: Desk, command: list[str]
) -> None:
    before = desk.run("snapshot", "list").stdout
    outcome = desk.run("snapshot", *command, "--output", "missing/file")
    assert outcome.returncode == 2
    assert outcome.stderr == "persist: there is no folder missing; create it first\n"
    assert desk.run("snapshot", "list").stdout == before


def test_a_snapshot_is_verified_and_deleted(desk: Desk) -> None:
    id = taken(desk)["id"]
    assert desk.done("snapshot", "verify", id) == "ok: 2 records\n"
    assert json.loads(desk.done("snapshot", "verify", id, "--json")) == {
        "ok": True,
        "records": 2,
    }
    assert desk.done("snapshot", "delete", id) == f"deleted {id}\n"
    for command in ("verify", "delete", "export"):
        assert f"there is no snapshot '{id}'" in desk.refused("snapshot", command, id)


def test_an_id_is_never_part_of_another_path(desk: Desk) -> None:
    id = taken(desk)["id"]
    assert "no address contains" in desk.refused("snapshot", "delete", f"x/../{id}")
    assert desk.get(f"/snapshots/{id}")["id"] == id


def test_an_unknown_collection_is_refused_with_the_services_words(desk: Desk) -> None:
    assert "ops-tikets" in desk.refused("snapshot", "take", "ops-tikets")


def test_a_snapshot_that_was_altered_is_refused_and_leaves_nothing(desk: Desk) -> None:
    before = desk.done("snapshot", "list")
    altered = TICKETS_1.snapshot.read_text().replace('"severity":4', '"severity":5')
    (desk.folder / "altered.ndjson").write_text(altered)
    assert "altered" in desk.refused("snapshot", "import", "altered.ndjson")
    assert "altered" in desk.refused("restore", "altered.ndjson")
    assert desk.done("snapshot", "list") == before


def test_a_file_that_is_not_there_is_named(desk: Desk) -> None:
    assert "nowhere.ndjson" in desk.refused("snapshot", "import", "nowhere.ndjson")
    outcome = desk.run("restore", "nowhere.ndjson")
    assert outcome.returncode == 2
    assert (
        "nowhere.ndjson is neither the id of a snapshot nor a file here"
        in outcome.stderr
    )


def test_an_old_snapshot_is_restored_through_the_plan_under_each_policy(
    desk: Desk,
) -> None:
    file, ids = str(TICKETS_1.snapshot), list(RECORDS[TICKETS_1])
    rehearsed = desk.done("restore", file, "--dry-run")
    assert rehearsed.splitlines() == [
        "would be: 2 created, 0 overwritten, 0 skipped, 2 migrated",
        "  ops-tickets: 2 of schema version 1, now 2",
    ]
    assert httpx.get(f"{desk.server.url}/api/ops-tickets/{ids[0]}").status_code == 404
    report = json.loads(desk.done("restore", file, "--json"))
    assert (report["created"], report["migrated"]) == (2, 2)
    assert desk.get(f"/migrations/{report['id']}")["snapshot"] == report["snapshot"]
    assert [desk.get(f"/api/ops-tickets/{id}")["data"]["severity"] for id in ids] == [
        40,
        20,
    ]
    said = desk.refused("restore", report["snapshot"])
    assert all(
        f"persist:   ops-tickets {id} a record with this id exists" in said
        for id in ids
    )
    assert "2 skipped" in desk.done("restore", file, "--on-conflict", "skip")
    assert "2 overwritten" in desk.done("restore", file, "--on-conflict", "overwrite")
    for id in ids:
        httpx.delete(f"{desk.server.url}/api/ops-tickets/{id}").raise_for_status()


def test_a_plan_for_one_run_comes_from_a_file(desk: Desk) -> None:
    step = {
        "from": 1,
        "to": 2,
        "set": {"severity": "data.severity + 10"},
        "default": {"migration_note": "x"},
    }
    (desk.folder / "plan.json").write_text(json.dumps({"ops-tickets": [step]}))
    desk.done("restore", str(TICKETS_1.snapshot), "--plan", "plan.json")
    found = [desk.get(f"/api/ops-tickets/{id}")["data"] for id in RECORDS[TICKETS_1]]
    assert [(data["severity"], data["migration_note"]) for data in found] == [
        (14, "x"),
        (12, "x"),
    ]
    for id in RECORDS[TICKETS_1]:
        httpx.delete(f"{desk.server.url}/api/ops-tickets/{id}").raise_for_status()


def test_records_a_plan_does_not_bring_along_are_named_with_their_place(
    desk: Desk,
) -> None:
    step = {"from": 1, "to": 2, "default": {"migration_note": "x"}}
    (desk.folder / "plan.json").write_text(json.dumps({"ops-tickets": [step]}))
    said = desk.refused("restore", str(TICKETS_1.snapshot), "--plan", "plan.json")
    for id in RECORDS[TICKETS_1]:
        assert f"persist:   ops-tickets {id} /severity " in said


def test_a_plan_that_is_no_json_is_refused_before_anything_happens(desk: Desk) -> None:
    (desk.folder / "plan.json").write_text("{")
    outcome = desk.run("restore", str(TICKETS_1.snapshot), "--plan", "plan.json")
    assert outcome.returncode == 2
    assert "plan.json" in outcome.stderr


def test_a_workspace_that_is_not_there_is_named(desk: Desk) -> None:
    said = desk.refused(
        "restore", str(TICKETS_1.snapshot), "--workspace", "black-friday"
    )
    assert "there is no workspace 'black-friday'" in said


def test_the_default_workspace_can_be_named(desk: Desk) -> None:
    assert "2 created" in desk.done(
        "restore", str(TICKETS_1.snapshot), "--workspace", "", "--dry-run"
    )


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense"])
def test_a_service_that_cannot_be_reached_is_reported_in_a_sentence(
    tmp_path: Path, url: str
) -> None:
    outcome = persist(tmp_path, "snapshot", "list", "--url", url)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("persist: the service cannot be reached")
    assert len(outcome.stderr.splitlines()) == 1


def test_everything_moves_to_the_other_database(
    desk: Desk, database: str, postgres: str
) -> None:
    definition = json.loads((ROOT / "schemas" / "audit-event.json").read_text())
    kind, events = (
        f"{desk.server.url}/entity-types/audit-events",
        f"{desk.server.url}/api/audit-events",
    )
    httpx.put(kind, json=definition).raise_for_status()
    login = {"event_name": "user.login", "duration_ms": 41}
    event = httpx.post(events, json=login).raise_for_status().json()
    other = (
        f"sqlite:///{desk.folder}/other.db"
        if database == "postgresql"
        else create_database(postgres)
    )
    here, there = ("--database-url", desk.database), ("--database-url", other)

    def moved(*arguments: str) -> str:
        outcome = persist(desk.folder, *arguments)
        assert (outcome.returncode, outcome.stderr) == (0, "")
        return outcome.stdout

    id = moved("snapshot", "take", "--output", "everything.ndjson", *here).split()[0]
    assert id in moved("snapshot", "import", "everything.ndjson", *there)
    report = json.loads(moved("restore", id, "--json", *there))
    assert (report["created"], report["migrated"]) == (3, 0)
    before, after = (
        manifest_of(moved("snapshot", "take", "--json", *database))
        for database in (here, there)
    )
    assert before == after
    with serving(other, desk.folder, settings=PRESENT) as server:
        assert httpx.get(f"{server.url}/api/audit-events/{event['id']}").json() == event
    httpx.delete(f"{events}/{event['id']}").raise_for_status()
    httpx.delete(kind).raise_for_status()


def manifest_of(text: str) -> tuple[str, Json]:
    """What of a manifest tells what the snapshot holds."""
    manifest = json.loads(text)
    return manifest["sha256"], manifest["collections"]


@pytest.fixture
def behind(new_database: NewDatabase) -> str:
    """A database whose tickets are of schema version 1."""
    return TICKETS_1.put_into(new_database())


def test_a_local_service_migrates_nothing_and_says_what_does(
    behind: str, tmp_path: Path
) -> None:
    outcome = persist(tmp_path, "snapshot", "take", PERSIST_DATABASE_URL=behind)
    assert outcome.returncode == 1
    assert (
        outcome.stderr.splitlines()[-1]
        == "persist: tables are behind the code: ops-tickets (1 to 2); run `persist"
        " migrate`"
    )
    assert (
        "run `persist migrate`"
        in persist(tmp_path, "check", PERSIST_DATABASE_URL=behind).stdout
    )


def test_a_local_service_registers_no_files(desk: Desk) -> None:
    (desk.folder / "schemas").mkdir()
    (desk.folder / "schemas" / "notes.json").write_text(
        '{"schema": {"type": "object"}}'
    )
    outcome = persist(desk.folder, "snapshot", "list", "--database-url", desk.database)
    assert outcome.returncode == 0
    assert desk.get("/entity-types")["items"] == []


@pytest.mark.parametrize(
    "arguments", [("take",), ("list",), ("export", UNKNOWN), ("verify", UNKNOWN)]
)
def test_a_database_that_is_not_there_is_not_made_to_read_it(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    outcome = persist(tmp_path, "snapshot", *arguments)
    assert outcome.returncode == 2
    assert "sqlite:///persist.db: there is no such file" in outcome.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_local_service_ends_with_a_command_that_is_ended(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [*PROGRAM, "snapshot", "import", "-"],
        cwd=tmp_path,
        env=clean_environment(TMPDIR=str(temporary)),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    # Once the pipe is full somebody reads it, which is after the service was started.
    process.stdin.write(
        TICKETS_1.snapshot.read_bytes().splitlines(keepends=True)[0] * 10_000
    )
    folders = list(temporary.glob("persist-*"))
    assert [folder for folder in folders if (folder / "socket").is_socket()]
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 128 + signal.SIGTERM
    assert list(temporary.glob("persist-*")) == []


def test_standard_input_is_imported(desk: Desk) -> None:
    outcome = subprocess.run(
        [*PROGRAM, "snapshot", "import", "-", "--url", desk.server.url],
        env=clean_environment(),
        input=TICKETS_1.snapshot.read_bytes(),
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
        check=True,
    )
    assert b"2 ops-tickets at schema version 1" in outcome.stdout


@pytest.mark.parametrize("command", [("snapshot",), ("snapshot", "take"), ("restore",)])
def test_the_help_teaches_by_examples(tmp_path: Path, command: tuple[str, ...]) -> None:
    text = persist(tmp_path, *command, "--help").stdout
    examples = [line for line in text.splitlines() if line.startswith("    persist ")]
    assert len(examples) >= 2
    assert all(f"persist {command[0]} " in line for line in examples)


def test_the_help_lists_what_can_be_done_with_a_snapshot(tmp_path: Path) -> None:
    words = persist(tmp_path, "snapshot", "--help").stdout.split()
    assert all(command in words for command in COMMANDS)
