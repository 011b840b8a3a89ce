"""The documentation: every example runs, and nothing that exists is missing from it."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from persist.api.problems import catalogue, status_of
from persist.api.routes import ROUTES, WORKSPACE_COLLECTION_ROUTES
from persist.cli import commands
from persist.domain.query import OPERATORS
from tests.support import reference_pages
from tests.support.forked import ROOT
from tests.support.postgres import create_database
from tests.support.sessions import DATABASE_URL, Session, blocks

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def languages_of(page: Path) -> set[str]:
    return {language for language, _ in blocks(page.read_text())}


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "console" in languages_of(page)], ids=name_of
)
def test_every_example_of_a_page_answers_as_printed(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("the examples need curl")
    text, database = page.read_text(), ""
    if DATABASE_URL in text:
        database = create_database(request.getfixturevalue("postgres"))
    with Session(tmp_path, database) as session:
        assert session.follow(text) > 0


def test_every_page_is_part_of_the_site() -> None:
    listed = re.findall(r'"([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text())
    assert sorted(listed) == [str(page.relative_to(DOCS)) for page in PAGES[1:]]


def test_the_site_is_built_without_a_warning_or_a_foreign_asset(
    tmp_path: Path,
) -> None:
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    outcome = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    pages = list((tmp_path / "build" / "site").rglob("*.html"))
    assert len(pages) > 30
    loaded = re.compile(r'<(?:script|img|iframe)[^>]* src="?https?:|<link[^>]*"https?:')
    assert [page.name for page in pages if loaded.search(page.read_text())] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_of_a_page_can_be_read_by_its_language(page: Path) -> None:
    text = page.read_text()
    assert text.count("\n```") == 2 * len(blocks(text)), "a block without its language"
    for language, block in blocks(text):
        if language == "json":
            json.loads(block)
        elif language == "python":
            assert re.match(r"# [\w/]+\.py\n", block), block
            ast.parse(block)
        elif language == "sh":
            subprocess.run(["bash", "-n"], input=block, text=True, check=True)
        else:
            others = ("console", "text", "dockerfile", "ini", "ts")
            assert language in others, language


@pytest.mark.parametrize("page", reference_pages.generated_pages(), ids=name_of)
def test_the_parts_that_the_code_determines_are_up_to_date(page: Path) -> None:
    written = page.read_text()
    assert written == reference_pages.generate(written), "run `make docs`"


def test_every_problem_has_a_section_below_its_status() -> None:
    page = (DOCS / "reference" / "problems.md").read_text()
    written: dict[str, int] = {}
    status = 0
    for marks, heading in re.findall(r"^(##|###) ([\w-]+)$", page, re.MULTILINE):
        if marks == "##":
            status = int(heading)
        else:
            written[heading] = status
    assert written == {code: status_of(kind) for code, kind in catalogue().items()}


def test_every_filter_operator_has_a_row() -> None:
    page = (DOCS / "reference" / "filters.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    known = {operator.value for offered in OPERATORS.values() for operator in offered}
    assert sorted(rows) == sorted(known)


def test_every_command_that_a_page_names_exists() -> None:
    text = "\n".join(page.read_text() for page in [*PAGES, ROOT / "CONTRIBUTING.md"])
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    assert set(re.findall(r"`make ([a-z-]+)", text)) - set(targets) == set()
    root: Any = typer.main.get_command(commands)
    named = re.findall(r"(?:`|\$ |persist )persist ([a-z]+)(?: ([a-z]+)\b)?", text)
    for name, below in named:
        assert name in root.commands, name
        group = getattr(root.commands[name], "commands", None)
        assert not group or not below or below in group, f"{name} {below}"


def test_every_package_of_the_storage_is_in_the_architecture() -> None:
    page = (DOCS / "explanation" / "architecture.md").read_text()
    table = page.partition("| package | what it has |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    storage = ROOT / "persist" / "storage"
    packages = [path.parent.name for path in storage.glob("*/__init__.py")]
    assert sorted(named) == sorted(packages)


def test_every_file_that_the_architecture_names_exists() -> None:
    page = (DOCS / "explanation" / "architecture.md").read_text()
    named = re.findall(r"`((?:app|persist|tests)/[\w/.-]+)`", page)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_service_that_a_page_names_is_in_the_compose_file() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    named = re.findall(
        r"docker compose.*? (?:up|logs|exec|kill|start|cp)\b(?: --[a-z-]+)*"
        r" ([a-z]+\d?)",
        text,
    )
    services = re.findall(
        r"^  ([a-z]+\d?):", (ROOT / "compose.yaml").read_text(), re.MULTILINE
    )
    assert {"persist", "proxy", "replica2", "postgres"} <= set(named) <= set(services)


def test_every_file_that_a_page_names_is_in_the_repository() -> None:
    ours = r"`((?:persist|app|clients|tests|benchmarks|deploy|migrations)/[\w./-]*)`"
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        for path in re.findall(ours, page.read_text()):
            assert (ROOT / path).exists(), f"{name_of(page)} names {path}"


def test_every_link_of_the_pages_outside_the_site_leads_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^):#]+)[^)]*\)", page.read_text()):
            assert (ROOT / target).exists(), f"{name_of(page)} links to {target}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def reference_of_http() -> str:
    """Return the pages about HTTP that people wrote."""
    pages = sorted((DOCS / "reference" / "http").glob("*.md"))
    return "\n".join(page.read_text() for page in pages if page.stem != "routes")


def openapi() -> Any:
    """Return the committed document, which another test compares with the code."""
    return json.loads((ROOT / "openapi" / "openapi.json").read_text())


def test_every_route_is_described_in_the_reference() -> None:
    reference = reference_of_http()
    routes = [
        f"{route.method} {route.path}"
        for route in ROUTES
        if route not in WORKSPACE_COLLECTION_ROUTES
    ]
    assert [
        route
        for route in routes
        if not re.search(rf"`{re.escape(route)}[`?]", reference)
    ] == []


def test_every_parameter_and_header_is_in_the_reference() -> None:
    reference = reference_of_http()
    components = openapi()["components"]
    known = {parameter["name"] for parameter in components["parameters"].values()}
    # The fields of the examples are parameters, too: those that have operators.
    fields = {name.partition("__")[0] for name in known if "__" in name[1:]}
    named = {name for name in known if name.partition("__")[0] not in fields}
    named |= set(components["headers"])
    missing = {name for name in named if not re.search(rf"`{name}\b", reference)}
    assert missing == set()
