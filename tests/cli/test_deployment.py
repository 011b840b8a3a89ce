"""The current folder as a deployment: its models, its definitions, and no more."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.forked import ROOT
from tests.support.ports import free_port
from tests.support.program import TIMEOUT_SECONDS, clean_environment, persist, serving
from tests.support.waiting import until

DEFAULT = {"PERSIST_MODELS": ""}
"""An empty variable leaves the default."""

HATS = '''
from migrations.hats import PLAN
from persist import entity
from sqlmodel import SQLModel

@entity("hats", schema_version=2, plan=PLAN)
class Hat(SQLModel):
    """Something to wear."""
    size: int
    colour: str | None = None
'''
PLAN = """
from persist import MigrationPlan, MigrationStep

PLAN = MigrationPlan([MigrationStep(1, 2, sql="ALTER TABLE {table} ADD COLUMN colour {text}")])
"""
NOTES = {"name": "notes", "schema": {"type": "object"}}
PLANTED = ("fqdn", "webcolors", "multipart", "psycopg_c", "orjson", "watchfiles")
"""Modules that a library imports where they are installed; none of them is."""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def collections(url: str) -> dict[str, str]:
    items = httpx.get(f"{url}/collections").json()["items"]
    return {each["name"]: each["kind"] for each in items}


@pytest.mark.parametrize(
    ("models", "workers"), [("app/models.py", "2"), ("app/models/__init__.py", "1")]
)
def test_a_folders_own_models_migrations_and_schemas_are_served(
    tmp_path: Path, models: str, workers: str
) -> None:
    definition = json.dumps(NOTES)
    files = {
        "app/__init__.py": "",
        models: HATS,
        "migrations/hats.py": PLAN,
        "migrations/__init__.py": "",
    }
    files["schemas/notes.json"] = definition
    write(tmp_path, files)
    with serving(tmp_path, **DEFAULT, PERSIST_WORKERS=workers) as service:
        assert collections(service.url) == {"hats": "typed", "notes": "registered"}


def test_a_folder_without_models_serves_registered_types_and_says_so(
    tmp_path: Path,
) -> None:
    write(tmp_path, {"schemas/notes.json": json.dumps(NOTES)})
    with serving(tmp_path, **DEFAULT) as service:
        assert collections(service.url) == {"notes": "registered"}
        lines = service.errors.read_text().splitlines()
        assert sum("only registered types are served" in line for line in lines) == 1
    assert "ok    models      none" in persist(tmp_path, "check", **DEFAULT).stdout


def test_a_package_called_app_without_models_is_not_imported(tmp_path: Path) -> None:
    write(tmp_path, {"app/__init__.py": "raise RuntimeError('somebody else')\n"})
    with serving(tmp_path, **DEFAULT) as service:
        assert collections(service.url) == {}


def test_another_package_called_app_is_never_served_in_its_stead(
    tmp_path: Path,
) -> None:
    other = {"app/__init__.py": "", "app/models.py": "OTHER = 1\n"}
    write(tmp_path / "other", other)
    write(tmp_path / "here", {"app/models.py": HATS, "migrations/hats.py": PLAN})
    path = f"{tmp_path / 'other'}:{ROOT}"
    with serving(tmp_path / "here", **DEFAULT, PYTHONPATH=path) as service:
        assert collections(service.url) == {"hats": "typed"}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_module_of_the_current_folder_never_stands_in_for_one_of_a_library(
    tmp_path: Path, workers: str
) -> None:
    for name in (*PLANTED, "pickle", "struct"):
        code = f"open('{name}-was-run', 'w').close()\nraise ImportError\n"
        write(tmp_path, {f"{name}.py": code})
    with serving(tmp_path, **DEFAULT, PERSIST_WORKERS=workers) as service:
        assert httpx.get(f"{service.url}/health/ready").status_code == 200
    assert persist(tmp_path, "snapshot", "list", **DEFAULT).returncode == 0
    assert [path.name for path in tmp_path.glob("*-was-run")] == []


def test_the_application_of_this_deployment_runs_under_uvicorn(tmp_path: Path) -> None:
    port = free_port()
    environment = clean_environment(
        PERSIST_DATABASE_URL=f"sqlite:///{tmp_path}/persist.db", **DEFAULT
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(port)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: process.poll() is not None or is_ready(url))
        assert collections(url) == {
            "audit-events": "registered",
            "catalog-products": "typed",
            "ops-tickets": "typed",
        }
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT_SECONDS)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False
