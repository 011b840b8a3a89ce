import json
import os
import pty
import shutil
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psycopg
import pytest

from persist.settings import Settings, variable
from tests.support.disk import small_disk
from tests.support.forked import PROGRAM, ROOT
from tests.support.program import (
    TIMEOUT_SECONDS,
    Running,
    clean_environment,
    persist,
    serving,
)

SHOP = '''
from persist import entity
from sqlmodel import SQLModel

@entity("hats", schema_version=1)
class Hat(SQLModel):
    """Something to wear."""
    size: int
'''


def refusal(folder: Path, *arguments: str, **environment: str) -> str:
    """What it says on the way out with status 2, which is never a traceback."""
    return said(persist(folder, *arguments, **environment), status=2)


def failure(folder: Path, *arguments: str, **environment: str) -> str:
    """The same with status 1: nothing is wrong with what was asked for."""
    return said(persist(folder, *arguments, **environment), status=1)


def said(outcome: subprocess.CompletedProcess[str], *, status: int) -> str:
    assert outcome.returncode == status, outcome
    assert "Traceback" not in outcome.stderr
    return outcome.stderr


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A user's own deployment, half of it chosen by flags."""
    folder = tmp_path_factory.mktemp("shop")
    flags = ("--require-if-match", "--database-url", "sqlite:///second.db")
    other = {"PERSIST_DATABASE_URL": "sqlite:///first.db", "PERSIST_WORKRES": "4"}
    with serving(folder, *flags, **shop(folder), **other) as running:
        yield running


def test_serve_answers_where_it_says_once_it_says_so(service: Running) -> None:
    assert httpx.get(f"{service.url}/health/ready").status_code == 200


def test_a_module_in_the_current_folder_is_served(service: Running) -> None:
    assert [
        each["name"] for each in httpx.get(f"{service.url}/collections").json()["items"]
    ] == ["hats"]


def test_a_flag_overrides_the_environment(service: Running) -> None:
    folder = service.errors.parent
    assert (folder / "second.db").exists()
    assert not (folder / "first.db").exists()


def test_a_switch_is_turned_on_by_its_flag(service: Running) -> None:
    hats = f"{service.url}/api/hats"
    hat = httpx.post(hats, json={"size": 56}).json()
    assert httpx.put(f"{hats}/{hat['id']}", json={"size": 57}).status_code == 428


def test_an_unknown_variable_is_a_warning(service: Running) -> None:
    assert (
        "PERSIST_WORKRES is not a setting; did you mean PERSIST_WORKERS?"
        in service.errors.read_text()
    )


def test_openapi_prints_the_document_the_service_gives(service: Running) -> None:
    printed = persist(service.errors.parent, "openapi", PERSIST_MODELS="shop").stdout
    assert json.loads(printed) == httpx.get(f"{service.url}/openapi.json").json()


def test_check_passes_where_tables_and_models_agree(service: Running) -> None:
    chosen = {"PERSIST_MODELS": "shop", "PERSIST_DATABASE_URL": "sqlite:///second.db"}
    outcome = persist(service.errors.parent, "check", **chosen)
    assert outcome.returncode == 0, outcome.stdout
    assert [line.split()[:2] for line in outcome.stdout.splitlines()] == [
        ["ok", "settings"],
        ["ok", "models"],
        ["ok", "definitions"],
        ["ok", "database"],
        ["ok", "tables"],
    ]


def test_check_says_nothing_of_the_tables_of_registered_types(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas")
    with serving(tmp_path):
        pass
    outcome = persist(tmp_path, "check")
    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_serve_lists_every_setting_with_its_variable(tmp_path: Path) -> None:
    words = persist(tmp_path, "serve", "--help").stdout.split()
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')}" in words
        assert f"[{variable(name)}," in words


def test_several_processes_serve_what_one_of_them_stored_and_log_alike(
    tmp_path: Path,
) -> None:
    with serving(
        tmp_path, "--workers", "2", "--models", "shop", **shop(tmp_path)
    ) as service:
        hats = f"{service.url}/api/hats"
        ids = {httpx.post(hats, json={"size": size}).json()["id"] for size in range(20)}
        assert {hat["id"] for hat in httpx.get(hats).json()["items"]} == ids
        assert service.end(signal.SIGTERM) == 0
        assert (
            sum(
                "Started server process" in record["event"]
                for record in log_of(service)
            )
            == 2
        )


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_requests_are_not_in_its_log(
    tmp_path: Path, signal_: signal.Signals
) -> None:
    with serving(tmp_path) as service:
        httpx.get(f"{service.url}/collections")
        assert service.end(signal_) in (0, -signal_)
        events = [record["event"] for record in log_of(service)]
        assert "Application shutdown complete." in events
        assert not any("/collections" in event for event in events)


def log_of(service: Running) -> list[dict[str, str]]:
    """Every line is a JSON object of one form; a traceback would be none."""
    records = [json.loads(line) for line in service.errors.read_text().splitlines()]
    assert all(
        {"event", "level", "logger", "time"} <= set(record) for record in records
    )
    return records


def test_a_service_that_has_ended_leaves_all_in_one_file(tmp_path: Path) -> None:
    with serving(tmp_path, **shop(tmp_path)) as service:
        for path in ("api/hats", "collections", "health/ready", "metrics"):
            httpx.get(f"{service.url}/{path}").raise_for_status()
        httpx.post(f"{service.url}/api/hats", json={"size": 56}).raise_for_status()
    # The others are locks, which have no content.
    stored = [path.name for path in tmp_path.glob("persist.db*") if path.stat().st_size]
    assert stored == ["persist.db"]


def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    environment = shop(tmp_path)
    with serving(tmp_path, **environment) as service:
        hat = httpx.post(f"{service.url}/api/hats", json={"size": 56}).json()
    with serving(tmp_path, **environment) as service:
        assert httpx.get(f"{service.url}/api/hats/{hat['id']}").json() == hat


def test_a_bad_value_stops_the_start_with_its_name(tmp_path: Path) -> None:
    said = refusal(tmp_path, "serve", PERSIST_WORKERS="many")
    assert (
        said
        == "persist: PERSIST_WORKERS=many: should be a valid integer, unable to parse"
        " string as an integer\n"
    )


def test_a_bad_flag_is_named_like_its_variable(tmp_path: Path) -> None:
    assert refusal(tmp_path, "serve", "--port", "high").startswith(
        "persist: PERSIST_PORT=high: "
    )


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        message = refusal(tmp_path, "serve", "--port", port)
        assert message.startswith(
            f"persist: PERSIST_HOST, PERSIST_PORT: cannot listen on 127.0.0.1:{port}"
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["serve", "openapi"])
def test_a_module_of_models_that_is_missing_is_named(
    tmp_path: Path, command: str
) -> None:
    assert "'hat_shop'" in refusal(tmp_path, command, PERSIST_MODELS="hat_shop")


def test_a_module_without_entities_is_refused(tmp_path: Path) -> None:
    assert "no class under @entity" in refusal(tmp_path, "serve", PERSIST_MODELS="json")


def test_a_module_that_does_not_run_shows_where(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("size = 1 / 0\n")
    outcome = persist(tmp_path, "serve", PERSIST_MODELS="broken")
    assert outcome.returncode != 0
    assert "broken.py" in outcome.stderr
    assert "ZeroDivisionError" in outcome.stderr


def test_a_database_of_an_unknown_kind_is_refused_by_its_scheme(tmp_path: Path) -> None:
    assert "'oracle'" in refusal(
        tmp_path, "serve", PERSIST_DATABASE_URL="oracle://db/x"
    )


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_sqlite_without_a_file_is_refused(tmp_path: Path, url: str) -> None:
    assert "sqlite:///persist.db" in refusal(
        tmp_path, "serve", PERSIST_DATABASE_URL=url
    )
    assert list(tmp_path.iterdir()) == []


def test_a_missing_driver_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "psycopg.py").write_text("raise ModuleNotFoundError(name='psycopg')")
    paths = f"{tmp_path}:{ROOT}"
    said = refusal(
        tmp_path,
        "serve",
        PERSIST_DATABASE_URL="postgresql://localhost/x",
        PYTHONPATH=paths,
    )
    assert "pip install 'persist-service[postgres]'" in said


def test_a_database_that_is_not_there_is_named_without_its_password(
    tmp_path: Path,
) -> None:
    url = "postgresql://me:hunter2@127.0.0.1:1/x"
    message = failure(tmp_path, "serve", PERSIST_DATABASE_URL=url)
    assert "127.0.0.1" in message
    assert "hunter2" not in message


def test_a_database_that_cannot_hold_all_text_is_refused(
    postgres: str, tmp_path: Path
) -> None:
    made = "create database narrow encoding 'SQL_ASCII' locale 'C' template template0"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(made)
    message = failure(
        tmp_path,
        "serve",
        PERSIST_DATABASE_URL=postgres.replace("/postgres?", "/narrow?"),
    )
    assert "its encoding is SQL_ASCII; create one with UTF8" in message


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    message = failure(
        tmp_path, "serve", PERSIST_DATABASE_URL="sqlite:///nowhere/persist.db"
    )
    assert "nowhere" in message


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "persist.db").write_bytes(b"no database at all " * 1000)
    message = failure(tmp_path, "serve")
    assert (
        message == "persist: PERSIST_DATABASE_URL=sqlite:///persist.db: file is not a"
        " database\n"
    )


def test_a_database_whose_tables_are_damaged_is_named(tmp_path: Path) -> None:
    with serving(tmp_path):
        pass
    with (tmp_path / "persist.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"x" * 100_000)
    message = failure(tmp_path, "serve")
    assert message.startswith("persist: PERSIST_DATABASE_URL=sqlite:///persist.db: ")
    assert "malformed" in message


def test_a_database_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with small_disk(8) as disk:
        url = f"sqlite:///{disk.folder}/persist.db"
        with serving(tmp_path, PERSIST_DATABASE_URL=url):
            pass
        with disk.read_only():
            message = failure(tmp_path, "serve", PERSIST_DATABASE_URL=url)
    assert f"{disk.folder}/persist.db: " in message


def test_a_table_that_a_newer_version_has_migrated_is_not_touched(
    tmp_path: Path,
) -> None:
    environment = shop(tmp_path)
    with serving(tmp_path, **environment):
        pass
    with closing(sqlite3.connect(tmp_path / "persist.db")) as database:
        database.execute(
            "UPDATE definitions SET schema_version = 9 WHERE name = 'hats'"
        )
        database.commit()
    said = refusal(tmp_path, "serve", **environment)
    assert "hats is at schema version 9, this code knows 1" in said


def test_check_names_a_table_that_is_behind(tmp_path: Path) -> None:
    with serving(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "persist.db")) as database:
        database.execute(
            "UPDATE definitions SET schema_version = 1 WHERE name = 'ops-tickets'"
        )
        database.commit()
    outcome = persist(tmp_path, "check")
    assert outcome.returncode == 1
    assert "ops-tickets is at schema version 1, the code at 2" in outcome.stdout


def test_check_names_a_column_that_is_missing(tmp_path: Path) -> None:
    with serving(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "persist.db")) as database:
        tables = database.execute(
            "SELECT name FROM sqlite_master WHERE sql LIKE '%pricing_tier%'"
        ).fetchall()
        database.execute(f'ALTER TABLE "{tables[0][0]}" DROP COLUMN pricing_tier')
    outcome = persist(tmp_path, "check")
    assert outcome.returncode == 1
    assert "pricing_tier" in outcome.stdout


def test_check_fails_on_a_database_that_was_never_served(tmp_path: Path) -> None:
    outcome = persist(tmp_path, "check")
    assert outcome.returncode == 1
    assert "ok    settings" in outcome.stdout
    assert "FAIL" in outcome.stdout


def test_check_fails_on_a_database_that_cannot_be_reached(tmp_path: Path) -> None:
    outcome = persist(
        tmp_path, "check", PERSIST_DATABASE_URL="postgresql://127.0.0.1:1/x"
    )
    assert outcome.returncode == 1
    assert "FAIL  database" in outcome.stdout
    assert "Traceback" not in outcome.stderr


def test_check_fails_on_settings_that_are_wrong(tmp_path: Path) -> None:
    outcome = persist(tmp_path, "check", PERSIST_PORT="x")
    assert outcome.returncode == 1
    assert outcome.stdout.startswith("FAIL  settings")


def test_openapi_writes_a_file_and_touches_no_database(tmp_path: Path) -> None:
    assert persist(tmp_path, "openapi", "--output", "openapi.json").returncode == 0
    assert (
        "/api/ops-tickets"
        in json.loads((tmp_path / "openapi.json").read_text())["paths"]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["openapi.json"]


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    assert persist(tmp_path, "--version").stdout == "persist 0.1.0\n"


def shop(folder: Path) -> dict[str, str]:
    """A user's own module in the folder the program is started from."""
    (folder / "shop.py").write_text(SHOP)
    return {"PERSIST_MODELS": "shop"}


def test_check_for_production_names_what_is_unsafe(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with serving(tmp_path):
        pass
    (tmp_path / "persist.db").chmod(0o644)
    chosen = {"PERSIST_LOG_LEVEL": "debug", "PERSIST_WORKERS": "1"}
    outcome = persist(tmp_path, "check", "--production", **chosen)
    assert outcome.returncode == 1
    unsafe = [line for line in outcome.stdout.splitlines() if line.startswith("FAIL")]
    named = (
        "persist.db is relative",
        "every user of this machine",
        "no key was created",
    )
    for reason, line in zip((*named, "PERSIST_LOG_LEVEL=debug"), unsafe, strict=True):
        assert reason in line


def test_check_for_production_is_content_with_settings_that_are_safe(
    tmp_path: Path,
) -> None:
    environment = shop(tmp_path) | {
        "PERSIST_DATABASE_URL": f"sqlite:///{tmp_path}/persist.db"
    }
    with serving(tmp_path, **environment):
        pass
    tmp_path.chmod(0o700)  # what lies in it, nobody else can read
    made = persist(
        tmp_path,
        "keys",
        "create",
        "--name",
        "ci",
        "--scope",
        "hats:write",
        **environment,
    )
    assert made.returncode == 0
    outcome = persist(tmp_path, "check", "--production", **environment)
    assert outcome.returncode == 0, outcome.stdout
    assert outcome.stdout.splitlines()[-1].split(maxsplit=2) == [
        "ok",
        "unsafe",
        "nothing was found",
    ]


def test_check_fails_on_a_misspelt_setting(tmp_path: Path) -> None:
    with serving(tmp_path):
        pass
    outcome = persist(tmp_path, "check", PERSIST_WORKRES="4")
    assert outcome.returncode == 1
    [failed] = [line for line in outcome.stdout.splitlines() if "FAIL" in line]
    assert "did you mean PERSIST_WORKERS?" in failed


def test_check_names_what_is_wrong_with_each_definition_file(tmp_path: Path) -> None:
    folder = tmp_path / "schemas"
    folder.mkdir()
    (folder / "good.json").write_text('{"schema": {"type": "object"}}')
    (folder / "bad.json").write_text('{"schema": {"type": "objekt"}}')
    (folder / "broken.json").write_text("{")
    (folder / "Name.json").write_text('{"schema": {}}')
    (folder / "path.json").write_text('{"schema": {}, "unique": ["a"]}')
    (folder / "folder.json").mkdir()
    os.mkfifo(folder / "pipe.json")
    outcome = persist(tmp_path, "check")
    assert outcome.returncode == 1
    failed = [
        line for line in outcome.stdout.splitlines() if "FAIL  definitions" in line
    ]
    assert [line.split()[2] for line in failed] == [
        *("Name.json:", "bad.json:", "broken.json:", "folder.json:"),
        *("path.json:", "pipe.json:"),
    ]
    assert failed[0].count("cannot name a collection") == 1
    assert [failed[3], failed[5]] == [
        f"FAIL  definitions {name}: it is not a file"
        for name in ("folder.json", "pipe.json")
    ]
    missing = persist(tmp_path, "check", "--schemas", "nowhere")
    assert "FAIL  definitions nowhere: there is no such folder" in missing.stdout


def test_check_goes_on_after_a_failure(tmp_path: Path) -> None:
    outcome = persist(tmp_path, "check", PERSIST_MODELS="nowhere")
    results = [line.split()[:2] for line in outcome.stdout.splitlines()]
    assert results == [
        ["ok", "settings"],
        ["FAIL", "models"],
        ["ok", "definitions"],
        ["FAIL", "database"],
    ]


@pytest.mark.parametrize("command", [("backup",), ("journal", "trim")])
def test_a_command_that_takes_no_url_names_none(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    text = persist(tmp_path, *command, "--help").stdout
    assert "--database-url" in text
    assert "--url" not in text


def test_a_restore_by_id_makes_no_database(tmp_path: Path) -> None:
    said = refusal(tmp_path, "restore", "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70")
    assert "there is no such file" in said
    assert list(tmp_path.iterdir()) == []


def test_only_their_owner_can_read_the_files_of_the_service(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with serving(tmp_path, **shop(tmp_path)) as service:
        httpx.post(f"{service.url}/api/hats", json={"size": 56}).raise_for_status()
        export = ("snapshot", "take", "--output", "all.ndjson")
        assert persist(tmp_path, *export, **shop(tmp_path)).returncode == 0
        assert persist(tmp_path, "backup", "copy.db").returncode == 0
        files = [*tmp_path.glob("persist.db*"), tmp_path / "copy.db"]
        files.append(tmp_path / "all.ndjson")
        modes = {file.name: oct(file.stat().st_mode & 0o777) for file in files}
    assert len(files) >= 4
    assert set(modes.values()) == {"0o600"}, modes


def test_the_environment_file_is_read_and_the_environment_comes_first(
    tmp_path: Path,
) -> None:
    (tmp_path / ".env").write_text(
        "\ufeffPERSIST_WORKERS=many\nexport PERSIST_PORT='high'\nPERSIST_WORKRES=1\n"
        'OTHER="${HOME}"\nPERSIST_HOST localhost\nPERSIST_SCHEMAS\n',
        encoding="utf-8",
    )
    said = refusal(tmp_path, "serve", PERSIST_WORKERS="1")
    assert said == (
        "persist: PERSIST_PORT=high: should be a valid integer, unable to parse string"
        " as an integer\n"
    )
    warned = refusal(
        tmp_path, "snapshot", "list", PERSIST_WORKERS="1", PERSIST_PORT="1"
    )
    assert "PERSIST_WORKRES is not a setting" in warned
    for line in (5, 6):
        assert f".env, line {line}: it is not NAME=value" in warned


def test_an_environment_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe=1\n")
    assert ".env cannot be read" in refusal(tmp_path, "serve")


def test_logs_are_plain_lines_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--port", "0"],
        cwd=tmp_path,
        env=clean_environment(PERSIST_MODELS=""),
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    assert process.stdout is not None
    assert "persist answers on" in process.stdout.readline()
    written = os.read(ours, 65_536).decode()
    process.terminate()
    process.communicate(timeout=TIMEOUT_SECONDS)
    os.close(ours)
    assert "only registered types are served" in written
    assert "\x1b[" in written
    assert not any(line.startswith("{") for line in written.splitlines())
