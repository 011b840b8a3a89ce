"""`persist makemigration`: the step that a changed class needs, written into its plan."""

import os
import pty
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.conftest import NewDatabase
from tests.support.forked import PROGRAM
from tests.support.program import TIMEOUT_SECONDS, clean_environment, persist, serving

BEFORE = """
from sqlmodel import Field, SQLModel
from persist import entity

@entity("tickets")
class Ticket(SQLModel):
    title: str = Field(max_length=10, index=True)
    note: str | None = None
    size: int | None = None
    obsolete: bool = True
"""

AFTER = """
from sqlmodel import Field, SQLModel
from persist import entity
{imports}
@entity("tickets"{arguments})
class Ticket(SQLModel):
    title: int
    remark: str | None = None
    size: int = 0
    tags: list[str]
    Kind: str = "a"
"""


@pytest.fixture
def folder(new_database: NewDatabase, tmp_path: Path) -> Path:
    """A folder with a deployment of one class, served once."""
    url = new_database()
    (tmp_path / ".url").write_text(url)
    (tmp_path / "shop.py").write_text(BEFORE)
    with serving(tmp_path, **environment(tmp_path)) as service:
        for ticket in ({"title": "1", "note": "a"}, {"title": "2", "size": 5}):
            created = httpx.post(f"{service.url}/api/tickets", json=ticket)
            assert created.status_code == 201, created.text
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    return {
        "PERSIST_MODELS": "shop",
        "PERSIST_DATABASE_URL": (folder / ".url").read_text(),
    }


def run(folder: Path, *arguments: str, status: int = 0) -> str:
    outcome = persist(folder, *arguments, **environment(folder))
    said = outcome.stdout + outcome.stderr
    assert outcome.returncode == status, said
    assert "Traceback" not in said
    return said


def write(folder: Path, version: int = 1) -> None:
    arguments, imports = "", ""
    if version > 1:
        arguments = f", schema_version={version}, plan=tickets.PLAN"
        imports = "from migrations import tickets\n"
    text = AFTER.format(arguments=arguments, imports=imports)
    (folder / "shop.py").write_text(text)


def test_the_step_is_written_and_runs_as_it_stands(folder: Path) -> None:
    assert "nothing changed" in run(folder, "makemigration", "tickets")
    write(folder)
    options = ["--rename", "note:remark", "--default", 'tags=["x"]', "--no-input"]
    said = run(folder, "makemigration", "tickets", *options)
    assert "migrations/tickets.py: the step 1 to 2" in said
    assert "schema_version=2, plan=tickets.PLAN" in said
    write(folder, 2)
    assert "nothing was changed" in run(folder, "migrate", "--dry-run")
    with serving(folder, **environment(folder)) as service:
        items = httpx.get(f"{service.url}/api/tickets").json()["items"]
        assert [item["data"] for item in items] == [
            {"title": 1, "remark": "a", "size": 0, "tags": ["x"], "Kind": "a"},
            {"title": 2, "remark": None, "size": 5, "tags": ["x"], "Kind": "a"},
        ]
        assert {item["schema_version"] for item in items} == {2}
    assert "ok    tables" in run(folder, "check")


def test_a_further_step_is_added_to_the_plan_that_is_there(folder: Path) -> None:
    write(folder)
    run(folder, "makemigration", "tickets", "--no-input")
    write(folder, 2)
    run(folder, "migrate")
    first = (folder / "migrations" / "tickets.py").read_text()
    text = (
        (folder / "shop.py")
        .read_text()
        .replace("    Kind:", "    more: int = 3\n    Kind:")
    )
    (folder / "shop.py").write_text(text)
    run(folder, "makemigration", "tickets", "--no-input")
    second = (folder / "migrations" / "tickets.py").read_text()
    assert "def to_version_2" in second
    assert "def to_version_3" in second
    assert first.partition("PLAN")[0] in second
    text = text.replace("schema_version=2", "schema_version=3")
    (folder / "shop.py").write_text(text)
    assert "tickets is at schema version 3" in run(folder, "migrate")
    with serving(folder, **environment(folder)) as service:
        items = httpx.get(f"{service.url}/api/tickets").json()["items"]
        assert [item["data"]["more"] for item in items] == [3, 3]


def test_what_cannot_be_written_is_said(folder: Path) -> None:
    assert "did you mean tickets?" in run(folder, "makemigration", "ticket", status=1)
    write(folder)
    wrong = run(folder, "makemigration", "tickets", "--rename", "a:b", status=2)
    assert "OLD is a field taken out (note, obsolete)" in wrong
    wrong = run(folder, "makemigration", "tickets", "--default", "tags=x", status=2)
    assert "is not JSON" in wrong
    (folder / "migrations").mkdir()
    (folder / "migrations" / "tickets.py").write_text("PLAN = None\n")
    wrong = run(folder, "makemigration", "tickets", "--no-input", status=1)
    assert "there is no PLAN = MigrationPlan([...])" in wrong


def test_on_a_terminal_it_asks_for_renames_and_values(folder: Path) -> None:
    write(folder)
    master, slave = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, "makemigration", "tickets"],
        cwd=folder,
        env=clean_environment(**environment(folder)),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    ) as process:
        os.close(slave)
        # renamed: yes; Kind is not note; then the values of tags and Kind
        os.write(master, b'y\n["asked"]\n\n')
        process.wait(TIMEOUT_SECONDS)
        os.close(master)
    assert process.returncode == 0
    written = (folder / "migrations" / "tickets.py").read_text()
    assert "RENAME COLUMN note TO remark" in written
    assert "changed[\"tags\"] = ['asked']" in written
