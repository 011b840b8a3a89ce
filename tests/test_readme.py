"""The README's sessions are run as they stand; ids and times may differ, nothing else."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import ROOT, clean_environment, serving

README = (ROOT / "README.md").read_text()
DEFAULT = "http://127.0.0.1:8000"
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@dataclass(frozen=True)
class Exchange:
    """A command of a session and the answer the README gives."""

    command: str
    answer: str


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the README has no section {title!r}"
    return found[1]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def exchanges(text: str) -> Iterator[Exchange]:
    """Every ``$ curl`` of the section; a command goes on where a line ends in a backslash."""
    for block in blocks(text, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = re.sub(r"\\\n\s*", "", part).partition("\n")
            if command.startswith("curl"):
                yield Exchange(command, answer)


def run_session(text: str, url: str) -> None:
    """Run the commands in order; an id the service made stands for the README's from then on."""
    ids: dict[str, str] = {}
    for exchange in exchanges(text):
        command = ID.sub(lambda found: ids.get(found[0], found[0]), exchange.command).replace(DEFAULT, url)
        answer = run_curl(command)
        ids.update(zip(ID.findall(exchange.answer), ID.findall(answer), strict=False))
        assert comparable(answer) == comparable(exchange.answer), exchange.command


def run_curl(command: str) -> str:
    outcome = subprocess.run(
        ["bash", "-c", command],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return outcome.stdout


def comparable(answer: str) -> Any:
    """JSON as its value, anything else as its lines; ids and times all alike."""
    alike = TIME.sub("<time>", ID.sub("<id>", answer))
    try:
        return json.loads(alike)
    except ValueError:
        return [line.strip() for line in alike.strip().splitlines() if not line.startswith("date:")]


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="the sessions need curl")


@needs_curl
def test_the_session_of_the_readme_gives_what_it_shows(tmp_path: Path) -> None:
    text = section("A session")
    assert len(list(exchanges(text))) >= 5
    with serving(tmp_path) as service:
        run_session(text, service.url)


@needs_curl
def test_the_entity_of_the_readme_does_what_it_shows(tmp_path: Path) -> None:
    text = section("Your own entity")
    (code,) = blocks(text, "python")
    (tmp_path / "shop.py").write_text(code)
    with serving(tmp_path, PERSIST_MODELS="shop") as service:
        run_session(text, service.url)


def test_every_command_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", README)) - targets == set()
