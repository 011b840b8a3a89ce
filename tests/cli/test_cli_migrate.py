"""`persist migrate`, and what `serve` and `check` do about tables of another schema
version."""

import os
import pty
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.fixtures import PRODUCTS_1, RECORDS, TICKETS_1
from tests.support.forked import PROGRAM
from tests.support.program import TIMEOUT_SECONDS, clean_environment, persist, serving

SHOP = '''
from persist import MigrationPlan, MigrationStep, entity
from sqlmodel import SQLModel

def scale(data):
    {function}

PLAN = MigrationPlan([MigrationStep(1, 2, data=scale)])

@entity("ops-tickets", schema_version=2, plan=PLAN)
class Ticket(SQLModel):
    """A fault someone has to deal with."""
    title: str
    severity: int
    acknowledged: bool = False
'''


@pytest.fixture
def behind(new_database: NewDatabase) -> dict[str, str]:
    """A database with two tickets of schema version 1, where the code knows version
    2."""
    return {"PERSIST_DATABASE_URL": TICKETS_1.put_into(new_database())}


def test_a_dry_run_tells_the_steps_the_counts_and_the_sql_and_changes_nothing(
    new_database: NewDatabase, tmp_path: Path, database: str
) -> None:
    chosen = {"PERSIST_DATABASE_URL": PRODUCTS_1.put_into(new_database())}
    text = {"sqlite": "TEXT", "postgresql": 'TEXT COLLATE "C"'}[database]
    for _ in range(2):
        outcome = persist(tmp_path, "migrate", "--dry-run", **chosen)
        assert outcome.returncode == 0, outcome.stderr
        assert outcome.stdout.splitlines() == [
            "catalog-products: schema version 1 to 3, 3 records",
            "  1 to 2: products can be taken out of sale",
            (
                "    ALTER TABLE catalog_products ADD COLUMN active BOOLEAN NOT NULL"
                " DEFAULT TRUE"
            ),
            "  2 to 3: pricing tiers; 500 cents more for everything",
            f"    ALTER TABLE catalog_products ADD COLUMN pricing_tier {text}",
            "nothing was changed",
        ]
    assert (
        "catalog-products is at schema version 1"
        in persist(tmp_path, "check", **chosen).stdout
    )


def test_tables_are_brought_up_to_date_once(
    behind: dict[str, str], tmp_path: Path
) -> None:
    outcome = persist(tmp_path, "migrate", **behind)
    assert outcome.returncode == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    assert [line for line in lines if "ops-tickets" in line] == [
        "ops-tickets 1 to 2: 2 of 2 records",
        "ops-tickets is at schema version 2",
    ]
    assert "ok    tables" in persist(tmp_path, "check", **behind).stdout
    again = persist(tmp_path, "migrate", **behind)
    assert (again.returncode, again.stdout) == (
        0,
        "every table is at the schema version of the code\n",
    )
    with serving(tmp_path, PERSIST_AUTO_MIGRATE="false", **behind) as service:
        for id, data in RECORDS[TICKETS_1].items():
            ticket = httpx.get(f"{service.url}/api/ops-tickets/{id}").json()
            assert ticket["schema_version"] == 2
            assert ticket["data"] == {
                **data,
                "severity": data["severity"] * 10,
                "migration_note": None,
            }


def test_the_database_is_a_flag_too(behind: dict[str, str], tmp_path: Path) -> None:
    outcome = persist(
        tmp_path, "migrate", "--database-url", behind["PERSIST_DATABASE_URL"]
    )
    assert "ops-tickets is at schema version 2" in outcome.stdout


def test_serve_refuses_where_it_may_not_migrate_and_says_what_to_run(
    behind: dict[str, str], tmp_path: Path
) -> None:
    outcome = persist(tmp_path, "serve", PERSIST_AUTO_MIGRATE="false", **behind)
    assert outcome.returncode == 2
    assert outcome.stderr.splitlines()[-1] == (
        "persist: tables are behind the code: ops-tickets (1 to 2); run `persist"
        " migrate`"
    )


def test_serve_tells_in_its_log_that_it_migrates(
    behind: dict[str, str], tmp_path: Path
) -> None:
    with serving(tmp_path, **behind) as service:
        assert "ops-tickets 1 to 2: 2 of 2 records" in service.errors.read_text()
        severities = [
            record["data"]["severity"]
            for record in httpx.get(f"{service.url}/api/ops-tickets").json()["items"]
        ]
        assert severities == [40, 20]


@pytest.mark.parametrize("command", ["migrate", "serve"])
def test_a_step_that_stops_is_named_with_its_record_and_undone(
    behind: dict[str, str], tmp_path: Path, command: str
) -> None:
    (tmp_path / "shop.py").write_text(
        SHOP.format(function='raise ValueError("no idea")')
    )
    before = persist(tmp_path, "migrate", "--dry-run", **behind).stdout
    assert "1 to 2" in before
    outcome = persist(tmp_path, command, PERSIST_MODELS="shop", **behind)
    assert outcome.returncode == {"migrate": 1, "serve": 2}[command]
    for message in ("ops-tickets", "1 to 2", next(iter(RECORDS[TICKETS_1])), "no idea"):
        assert message in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert persist(tmp_path, "migrate", "--dry-run", **behind).stdout == before


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_a_table_that_is_ahead_is_named_with_both_versions(
    behind: dict[str, str], tmp_path: Path, flags: tuple[str, ...]
) -> None:
    persist(tmp_path, "migrate", **behind)
    old = SHOP.replace("schema_version=2, plan=PLAN", "schema_version=1")
    (tmp_path / "old.py").write_text(old.format(function="return data"))
    chosen = {"PERSIST_MODELS": "old", **behind}
    outcome = persist(tmp_path, "migrate", *flags, **chosen)
    assert outcome.returncode == 1
    assert "ops-tickets is at schema version 2, this code knows 1" in outcome.stderr
    checked = persist(tmp_path, "check", **chosen)
    assert checked.returncode == 1
    assert (
        "FAIL  tables      the table of ops-tickets is at schema version 2"
        in checked.stdout
    )
    assert "migration_note" not in checked.stdout


@pytest.mark.parametrize("arguments", [("migrate", "--dry-run"), ("check",)])
def test_what_only_looks_makes_no_file(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    outcome = persist(tmp_path, *arguments)
    assert outcome.returncode == 1
    assert (
        "sqlite:///persist.db: there is no such file" in outcome.stdout + outcome.stderr
    )
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_gets_its_tables(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    chosen = {"PERSIST_DATABASE_URL": new_database()}
    assert persist(tmp_path, "migrate", **chosen).returncode == 0
    assert "ok    tables" in persist(tmp_path, "check", **chosen).stdout


def test_a_file_that_another_process_migrates_is_waited_for_longer_than_for_a_write(
    tmp_path: Path,
) -> None:
    url = TICKETS_1.put_into(f"sqlite:///{tmp_path}/persist.db")
    with closing(
        sqlite3.connect(tmp_path / "persist.db", isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        with subprocess.Popen(
            [*PROGRAM, "migrate", "--database-url", url],
            cwd=tmp_path,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(10)
            other.execute("COMMIT")
            message, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert "ops-tickets is at schema version 2" in message


def test_somebody_at_a_terminal_sees_a_bar(
    behind: dict[str, str], tmp_path: Path
) -> None:
    screen = on_a_terminal(tmp_path, "migrate", **behind)
    assert "2/2" in screen
    assert "━" in screen
    assert "ops-tickets is at schema version 2" in screen


def on_a_terminal(folder: Path, *arguments: str, **environment: str) -> str:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=folder,
        env=clean_environment(TERM="xterm", COLUMNS="120", **environment),
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    chunks = []
    try:
        while chunk := os.read(ours, 65536):
            chunks.append(chunk)
    except OSError:  # how Linux says that the other side was closed
        pass
    finally:
        os.close(ours)
    assert process.wait(TIMEOUT_SECONDS) == 0
    return b"".join(chunks).decode()


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ('sql="ALTER TABLE {table} ADD COLUMN x {tabel}"', "the placeholder {tabel}"),
        ("data=exit", "2 of 2 records fail"),
    ],
)
def test_a_dry_run_names_the_step_that_cannot_run(
    behind: dict[str, str], tmp_path: Path, step: str, reason: str
) -> None:
    shop = SHOP.replace("data=scale", step).replace("{function}", "return data")
    (tmp_path / "shop.py").write_text(shop)
    chosen = behind | {"PERSIST_MODELS": "shop"}
    outcome = persist(tmp_path, "migrate", "--dry-run", **chosen)
    assert outcome.returncode == 1, outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stderr.count(reason) == 1
