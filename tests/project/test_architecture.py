"""The rules of the house that a machine can check."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
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
ONLY_IN: dict[str, tuple[str, ...]] = {
    "alembic": ("persist/storage/",),
    "psycopg": ("persist/storage/",),
    "sqlalchemy": ("persist/storage/",),
    "sqlite3": ("persist/storage/",),
    "fastapi": ("persist/api/", "persist/application.py"),
    "starlette": ("persist/api/", "persist/application.py"),
    "cel_expr_python": ("persist/entity_types/",),
    "jsonschema": ("persist/entity_types/",),
    "jsonschema_rs": ("persist/entity_types/",),
    "referencing": ("persist/entity_types/",),
}
"""Where the engine imports a library."""

PRIVATE_PARTS = [
    ("prometheus-client", "0.26", "_upper_bounds", {"persist/api/metrics.py"}),
    ("uvicorn", "0.54", "uvicorn.protocols", {"persist/server/protocol.py"}),
    (
        "pydantic",
        "2.14",
        "core_schema.",
        {"persist/entity_types/pydantic_schema.py"},
    ),
]
"""Parts of libraries that another version may change, and who uses them."""

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


@cache
def imported(path: Path) -> frozenset[str]:
    return frozenset(imports(ast.parse(path.read_text())))


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
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


def test_every_package_of_the_engine_has_a_rule_and_a_row_in_the_architecture() -> None:
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
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    table = page.partition("## The packages")[2].partition("\n## ")[0]
    listed = re.findall(r"^\|.*?\|", table, re.MULTILINE)
    found = re.findall(r"`persist/(\w+)(?:\.py)?`", "".join(listed))
    assert parts == {f"persist.{name}" for name in found}


@pytest.mark.parametrize(
    ("package", "others"), [("domain", ()), ("client", ("httpx",))]
)
def test_a_package_at_the_bottom_imports_the_standard_library_and_itself(
    package: str, others: tuple[str, ...]
) -> None:
    allowed = {*sys.stdlib_module_names, *others}
    foreign = {
        (short(path), name)
        for path in (ROOT / "persist" / package).glob("*.py")
        for name in imported(path)
        if name.split(".")[0] not in allowed
        and not name.startswith(f"persist.{package}")
    }
    assert foreign == set()


def test_each_library_is_imported_in_one_package_only() -> None:
    libraries = {
        (short(path), name.split(".")[0]) for path in OURS for name in imported(path)
    }
    elsewhere = {
        (path, library)
        for path, library in libraries
        if not path.startswith(ONLY_IN.get(library, ""))
    }
    assert elsewhere == set()
    assert ONLY_IN.keys() <= {library for _, library in libraries}


@pytest.mark.parametrize(("library", "version", "private", "modules"), PRIVATE_PARTS)
def test_private_parts_of_a_library_are_used_in_few_modules_and_of_one_version(
    library: str, version: str, private: str, modules: set[str]
) -> None:
    users = {short(path) for path in ENGINE if private in path.read_text()}
    assert users == modules
    assert metadata.version(library).startswith(f"{version}.")
    major, minor = version.split(".")
    bound = f"<{major}.{int(minor) + 1}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [
        requirement
        for requirement in project["dependencies"]
        if requirement.startswith(f"{library}>") and requirement.endswith(bound)
    ]


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
