"""The folder of definition files: registered at start and when they change (contract 6
and 12)."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.collection import Collection
from tests.support.forked import ROOT
from tests.support.problems import Json, assert_problem
from tests.support.registered import (
    AUDIT_EVENT,
    an_empty_database,
    an_object,
    registered,
    two_replicas,
)
from tests.support.server import Server, serving
from tests.support.waiting import until

TEXT = {"type": "string"}


def write(folder: Path, name: str, schema: Json, **members: object) -> Path:
    """Put a definition into the folder, at once."""
    path, unfinished = folder / f"{name}.json", folder / f"{name}.unfinished"
    unfinished.write_text(json.dumps({"name": name, "schema": schema, **members}))
    return unfinished.replace(path)


def until_version(client: httpx.Client, name: str, number: int) -> None:
    """Return when the type has that schema version."""
    until(lambda: version(client, name) == number)


def version(client: httpx.Client, name: str) -> int | None:
    """The schema version a type has, if it is there."""
    response = client.get(f"/entity-types/{name}")
    return response.json()["schema_version"] if response.status_code == 200 else None


def faults(client: httpx.Client) -> dict[str, str]:
    """What the service says of the files it cannot register; it is ready all the
    same."""
    response = client.get("/health/ready")
    assert response.status_code == 200
    assert response.json()["status"] == "ok"
    found: dict[str, str] = response.json()["definition_files"]
    return found


def until_fault(client: httpx.Client, file: str, message: str) -> None:
    """Return when the service says that of a file."""
    until(lambda: message in faults(client).get(file, ""))


@pytest.fixture(scope="module")
def folder(database: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of definitions; two files are there before the service starts."""
    found = tmp_path_factory.mktemp("schemas")
    (found / "audit-events.json").write_bytes(
        (ROOT / "schemas" / "audit-event.json").read_bytes()
    )
    (found / "torn.json").write_text('{"schema": {"type": "obj')
    (found / "unnamed.json").write_text(json.dumps({"schema": an_object(a=TEXT)}))
    (found / "read-me.txt").write_text("no definition")
    return found


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest,
    database: str,
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A service of two processes that watch the folder."""
    home = tmp_path_factory.mktemp("files")
    url = an_empty_database(request, database, home)
    with serving(url, home, workers=2, settings={"SCHEMAS": str(folder)}) as found:
        yield found


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as found:
        yield found


def test_the_showcases_type_is_there_at_start(client: httpx.Client) -> None:
    events = Collection(client, "audit-events")
    record = events.created(event_name="user.login", duration_ms=41)
    events.patch(record["id"], {"duration_ms": 47})
    answer = events.command(record["id"], "reattribute", {"source": "edge-proxy"})
    assert answer.json()["record"]["data"] == {
        "event_name": "user.login",
        "duration_ms": 47,
        "source": "edge-proxy",
    }


def test_a_file_without_a_name_inside_is_named_by_its_own(client: httpx.Client) -> None:
    Collection(client, "unnamed").created(a="x")


def test_a_file_that_was_broken_at_start_is_reported(
    server: Server, client: httpx.Client
) -> None:
    assert "line 1" in faults(client)["torn.json"]
    assert "torn.json is not registered" in server.log.read_text()
    assert version(client, "torn") is None


def test_a_new_file_is_registered_without_a_restart(
    folder: Path, client: httpx.Client
) -> None:
    write(folder, "notes", an_object(a=TEXT), indexes=["a"])
    until_version(client, "notes", 1)
    Collection(client, "notes").created(a="x")
    assert "/api/notes" in client.get("/openapi.json").json()["paths"]


def test_a_file_that_changes_evolves_its_type_once(
    folder: Path, client: httpx.Client
) -> None:
    write(folder, "people", an_object(name=TEXT))
    until_version(client, "people", 1)
    people = Collection(client, "people")
    record = people.created(name="Ada")
    write(
        folder,
        "people",
        an_object(called=TEXT),
        migration={"rename": {"name": "called"}},
    )
    until_version(client, "people", 2)
    write(
        folder,
        "people",
        an_object(called=TEXT),
        commands={"go": {"result": "data.called"}},
    )
    until(lambda: people.command(record["id"], "go").status_code == 200)
    assert people.record(record["id"])["revision"] == 2
    assert people.record(record["id"])["data"] == {"called": "Ada"}
    assert version(client, "people") == 2


def test_a_file_that_breaks_is_reported_and_the_last_good_version_stays(
    server: Server, folder: Path, client: httpx.Client
) -> None:
    path = write(folder, "parcels", an_object(a=TEXT))
    until_version(client, "parcels", 1)
    record = Collection(client, "parcels").created(a="x")
    for broken, message in (
        (
            '{"schema": {"type": "object", "properties": {"a": {"type": "text"}}}}',
            "/schema/properties/a/type",
        ),
        ('{"schema": {"type": "object"}, "index": []}', "/index"),
        ('{"name": "counters", "schema": {"type": "object"}}', "counters"),
        ('{"schema": {"type": "object", "required": ["b"]}}', "1 of 1 stored records"),
        ("[" * 100_000, "deep"),
    ):
        path.write_text(broken)
        until_fault(client, "parcels.json", message)
        assert version(client, "parcels") == 1
        assert Collection(client, "parcels").record(record["id"]) == record
    assert "parcels.json is not registered" in server.log.read_text()
    write(folder, "parcels", an_object(a=TEXT, b=TEXT))
    until_version(client, "parcels", 2)
    until(lambda: "parcels.json" not in faults(client))


def test_the_report_of_a_file_goes_with_the_file_and_its_type_stays(
    folder: Path, client: httpx.Client
) -> None:
    path = write(folder, "letters", an_object(a=TEXT))
    until_version(client, "letters", 1)
    path.write_text("{")
    until(lambda: "letters.json" in faults(client))
    path.unlink()
    until(lambda: "letters.json" not in faults(client))
    Collection(client, "letters").created(a="x")


def test_a_file_may_be_a_link_that_is_turned(
    folder: Path, client: httpx.Client
) -> None:
    """How a ConfigMap of Kubernetes is mounted."""
    for number in (1, 2):
        target = folder / f"mounted-{number}"
        target.write_text(
            json.dumps({"schema": an_object(a=TEXT | {"maxLength": number})})
        )
        link = folder / f"link-{number}"
        link.symlink_to(target)
        link.replace(folder / "linked.json")
        until_version(client, "linked", number)


def test_a_file_never_takes_a_type_back_but_under_a_higher_number(
    folder: Path, client: httpx.Client
) -> None:
    first, second = an_object(a=TEXT), an_object(a=TEXT, b=TEXT)
    write(folder, "drafts", first)
    until_version(client, "drafts", 1)
    registered(client, "drafts", second)
    write(folder, "drafts", first, commands={"go": {}})
    write(folder, "marker-1", first)
    until_version(client, "marker-1", 1)
    assert version(client, "drafts") == 2
    write(folder, "drafts", first, schema_version=3)
    until_version(client, "drafts", 3)
    assert client.get("/entity-types/drafts").json()["schema"] == first


def test_a_file_with_the_number_of_another_schema_is_reported(
    folder: Path, client: httpx.Client
) -> None:
    registered(client, "taken", an_object(a=TEXT), schema_version=5)
    write(folder, "taken", an_object(b=TEXT), schema_version=5)
    until(lambda: "schema_version" in faults(client).get("taken.json", ""))
    write(folder, "taken", an_object(b=TEXT), schema_version=4)
    until(lambda: "taken.json" not in faults(client))
    assert version(client, "taken") == 5


def test_two_replicas_with_different_files_come_to_rest(
    request: pytest.FixtureRequest, database: str, tmp_path: Path
) -> None:
    """Each file changes the type once at the most; then the newer schema stays,
    whatever is written."""
    url = an_empty_database(request, database, tmp_path)
    folders = [tmp_path / "one", tmp_path / "two"]
    limit = {folder: {"maxProperties": 8 + n} for n, folder in enumerate(folders)}
    for folder in folders:
        folder.mkdir()
        write(folder, "shared", AUDIT_EVENT | limit[folder])
    with (
        serving(url, tmp_path, settings={"SCHEMAS": str(folders[0])}) as one,
        serving(url, tmp_path, settings={"SCHEMAS": str(folders[1])}) as two,
        one.client() as client,
        two.client() as other,
    ):
        assert version(client, "shared") == version(other, "shared") == 2
        for folder in folders:
            write(folder, "shared", AUDIT_EVENT | limit[folder])
            write(folder, f"marker-{folder.name}", {"type": "object"})
        for folder in folders:
            until_version(client, f"marker-{folder.name}", 1)
        assert version(client, "shared") == version(other, "shared") == 2
        schema = client.get("/entity-types/shared").json()["schema"]
        assert schema["maxProperties"] == 9
        assert faults(client) == faults(other) == {}


@pytest.mark.slow
def test_a_folder_of_many_files_is_registered_by_every_replica_at_once(
    request: pytest.FixtureRequest, database: str, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(100):
        write(
            folder, f"kind-{number}", an_object(a=TEXT), indexes=["a"], unique=[["a"]]
        )
    url = an_empty_database(request, database, tmp_path)
    with two_replicas(url, tmp_path, SCHEMAS=str(folder)) as replicas:
        for client in replicas.each:
            assert [version(client, f"kind-{number}") for number in range(100)] == [
                1
            ] * 100
        assert faults(replicas.client) == {}
        _rewrite(folder)
        for client in replicas.each:
            for number in range(100):
                until_version(client, f"kind-{number}", 2)


def _rewrite(folder: Path) -> None:
    for number in range(100):
        write(
            folder,
            f"kind-{number}",
            an_object(a=TEXT, b=TEXT),
            indexes=["a"],
            unique=[["a"]],
        )


def test_a_definition_from_a_file_can_be_evolved_and_deleted_over_http(
    folder: Path, client: httpx.Client
) -> None:
    write(folder, "shelves", an_object(a=TEXT))
    until_version(client, "shelves", 1)
    assert registered(client, "shelves", an_object(b=TEXT))["schema_version"] == 2

    def is_deleted() -> bool:
        # A process that had not seen the file registers it once more.
        assert client.delete("/entity-types/shelves").status_code in (204, 404)
        return client.get("/api/shelves").status_code == 404

    until(is_deleted)
    assert_problem(client.get("/api/shelves"), 404, "collection-not-found")


FAULTY: dict[str, tuple[str, str]] = {
    "a-number-as-dialect": (
        '{"schema": {"type": "object", "$schema": 5}}',
        "/schema/$schema",
    ),
    "a-payload-of-no-dialect": (
        '{"schema": {}, "commands": {"go": {"payload": {"$schema": 5}}}}',
        "/commands/go/payload/$schema",
    ),
    "a-misspelt-member": ('{"schema": {}, "comands": {}}', "commands"),
    "a-name-that-is-no-text": ('{"name": ["x"], "schema": {}}', "cannot name"),
    "a-list": ("[]", "object"),
}
"""Contents of files that cannot be registered, and what is said of them."""


def test_the_fault_of_one_file_stops_neither_the_start_nor_its_neighbours(
    request: pytest.FixtureRequest, database: str, tmp_path: Path
) -> None:
    folder = tmp_path / "definitions"
    folder.mkdir()
    for name, (content, _) in FAULTY.items():
        (folder / f"{name}.json").write_text(content)
    migration = {"rename": {"ms": "duration_ms"}}
    write(folder, "with-migration", an_object(duration_ms=TEXT), migration=migration)
    write(folder, "zebras", an_object(a=TEXT))
    url = an_empty_database(request, database, tmp_path)
    settings = {"SCHEMAS": str(folder)}
    with (
        serving(url, tmp_path, settings=settings) as server,
        server.client() as client,
    ):
        assert version(client, "zebras") == version(client, "with-migration") == 1
        found = faults(client)
        assert found.keys() == {f"{name}.json" for name in FAULTY}
        for name, (_, reason) in FAULTY.items():
            assert reason in found[f"{name}.json"]
        write(folder, "added", an_object(a=TEXT))
        until_version(client, "added", 1)


def test_two_files_of_one_name_are_both_named_and_neither_is_applied(
    server: Server, folder: Path, client: httpx.Client
) -> None:
    first, second = (
        {"name": "twins", "schema": an_object(**{member: TEXT})} for member in "ab"
    )
    (folder / "one-twin.json").write_text(json.dumps(first))
    until_version(client, "twins", 1)
    (folder / "other-twin.json").write_text(json.dumps(second))
    until_fault(client, "one-twin.json", "other-twin.json")
    until_fault(client, "other-twin.json", "one-twin.json")
    assert version(client, "twins") == 1
    log = server.log.read_text()
    assert "other-twin.json is not registered" in log
    (folder / "one-twin.json").unlink()
    until_version(client, "twins", 2)
    until(lambda: "other-twin.json" not in faults(client))


def test_a_folder_that_does_not_exist_is_named_until_it_does(
    request: pytest.FixtureRequest, database: str, tmp_path: Path
) -> None:
    folder = tmp_path / "later"
    url = an_empty_database(request, database, tmp_path)
    settings = {"SCHEMAS": str(folder)}
    with (
        serving(url, tmp_path, settings=settings) as server,
        server.client() as client,
    ):
        assert "no such folder" in faults(client)[str(folder)]
        assert str(folder) in server.log.read_text()
        folder.mkdir()
        write(folder, "notes", an_object(a=TEXT))
        until_version(client, "notes", 1)
        until(lambda: faults(client) == {})
