"""The rules of the house that a machine can check."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = sorted((ROOT / "persist").rglob("*.py"))
DEPLOYMENT = [
    path
    for folder in ("app", "migrations")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
OURS = [*ENGINE, *DEPLOYMENT]
DIALECT = ROOT / "persist" / "storage" / "dialect"
NAMELESS = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "core",
    "manager",
    "base",
    "misc",
}
NAMES_A_DATABASE = {
    "persist/cli/journal.py": "its examples show a URL",
    "persist/cli/migrate.py": "its examples show a URL",
    "persist/cli/snapshots.py": "its examples show a URL",
    "persist/domain/migration.py": (
        "the author of a plan chooses its SQL by the name of the database"
    ),
}


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


def test_imports_go_one_way() -> None:
    program = (
        "from importlinter.cli import lint_imports; raise"
        " SystemExit(lint_imports(no_cache=True))"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_every_package_of_the_engine_stands_under_a_rule_of_its_own() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
        "importlinter"
    ]["contracts"]
    named = {
        name.strip() for layer in contracts[0]["layers"] for name in layer.split("|")
    }
    folder = ROOT / "persist"
    parts = {f"persist.{path.parent.name}" for path in folder.glob("*/__init__.py")}
    parts |= {f"persist.{path.stem}" for path in folder.glob("[!_]*.py")}
    assert parts == named - {"app", "migrations"}


def test_the_domain_imports_the_standard_library_only() -> None:
    allowed = {*sys.stdlib_module_names, "persist"}
    foreign = {
        (short(path), name)
        for path in (ROOT / "persist" / "domain").glob("*.py")
        for name in imported(path)
        if name.split(".")[0] not in allowed
        or (name.startswith("app.") and not name.startswith("persist.domain"))
    }
    assert foreign == set()


@pytest.mark.parametrize("word", ["dialect.name", "PRAGMA", "postgresql"])
def test_databases_differ_in_one_package_only(word: str) -> None:
    elsewhere = [
        path
        for path in ENGINE
        if DIALECT not in path.parents and word in path.read_text()
    ]
    assert [
        short(path) for path in elsewhere if short(path) not in NAMES_A_DATABASE
    ] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    named = {
        short(path) for path in OURS if NAMELESS & set(re.split(r"[/_.]", short(path)))
    }
    assert named == set()


def test_every_module_but_an_empty_one_begins_with_what_it_is_for() -> None:
    assert [
        short(path)
        for path in OURS
        if path.read_text() and not ast.get_docstring(ast.parse(path.read_text()))
    ] == []
