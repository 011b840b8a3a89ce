"""The README's sessions are run as they stand; ids and times may differ, nothing
else."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from persist.cli import commands
from tests.support.postgres import create_database
from tests.support.program import PROGRAM, ROOT, clean_environment, serving

README = (ROOT / "README.md").read_text()
DEFAULT = "http://127.0.0.1:8000"
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SERVE = re.compile(r"((?:PERSIST_\w+=\S+ )*)persist serve")
ELSEWHERE = ("pip ",)
"""Commands that are the reader's own business."""


def section(title: str) -> str:
    found = re.search(
        rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL
    )
    assert found is not None, f"the README has no section {title!r}"
    return found[1]


@dataclass(frozen=True)
class Exchange:
    """A command of a session and the answer the README gives."""

    command: str
    answer: str


def exchanges(block: str) -> Iterator[Exchange]:
    """Every command; it goes on where a line ends in a backslash, and in quotes."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, answer = re.sub(r"\\\n\s*", "", part).partition("\n")
        while command.count("'") % 2:
            more, _, answer = answer.partition("\n")
            command += "\n" + more
        yield Exchange(command, answer)


class Reader:
    """Somebody who types what the README shows, in a folder of their own.

    A module is a block of Python that begins with the comment ``# name.py``; a changed
    one ends the service that runs. An id the service makes stands for the README's from
    then on.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._service = ExitStack()
        self._url = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._service.close()

    def follow(self, text: str) -> int:
        """Do what a text shows; how many answers were as it shows them."""
        compared = 0
        for language, block in BLOCK.findall(text):
            if language == "python":
                self._service.close()
                (self._folder / block.split()[1]).write_text(block)
                continue
            for exchange in exchanges(block):
                compared += self._do(exchange)
        return compared

    def serve(self, chosen: str = "") -> None:
        """Start the service, in place of the one that runs."""
        self._service.close()
        self._environment |= dict(
            assignment.split("=") for assignment in chosen.split()
        )
        self._url = self._service.enter_context(
            serving(self._folder, **self._environment)
        ).url

    def _do(self, exchange: Exchange) -> bool:
        if exchange.command.startswith(ELSEWHERE):
            return False
        serve = SERVE.fullmatch(exchange.command)
        if serve and not exchange.answer:
            self.serve(serve[1])
            return False
        if exchange.command.startswith("export "):
            self._environment |= dict(
                [exchange.command.removeprefix("export ").split("=")]
            )
            return False
        answer = self._run(exchange.command)
        self._ids |= zip(ID.findall(exchange.answer), ID.findall(answer), strict=False)
        assert comparable(answer) == comparable(exchange.answer), exchange.command
        return True

    def _run(self, command: str) -> str:
        command = ID.sub(lambda found: self._ids.get(found[0], found[0]), command)
        program = f'persist() {{ {shlex.join(PROGRAM)} "$@"; }}\n'
        return subprocess.run(
            ["bash", "-c", program + command.replace(DEFAULT, self._url)],
            cwd=self._folder,
            env=clean_environment(**self._environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        ).stdout


def comparable(answer: str) -> Any:
    """JSON as its value, anything else as its lines; ids and times all alike."""
    alike = TIME.sub("<time>", ID.sub("<id>", answer))
    try:
        return json.loads(alike)
    except ValueError:
        return [
            line.strip()
            for line in alike.strip().splitlines()
            if not line.startswith("date:")
        ]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    if shutil.which("curl") is None:
        pytest.skip("the sessions need curl")
    with Reader(tmp_path) as reader:
        yield reader


@pytest.mark.parametrize(
    "title", ["A session", "A type of its own, while the service runs"]
)
def test_a_session_of_the_readme_gives_what_it_shows(
    reader: Reader, title: str
) -> None:
    reader.serve()
    assert reader.follow(section(title)) == 7


def test_the_keys_of_the_readme_open_and_close_what_it_shows(reader: Reader) -> None:
    reader.serve()
    assert reader.follow(section("Keys")) == 6


def test_the_showcase_tells_what_the_readme_shows(reader: Reader) -> None:
    assert reader.follow(section("The whole story in one command")) == 1


def test_many_writes_at_once_go_as_the_readme_shows(reader: Reader) -> None:
    reader.serve()
    assert reader.follow(section("Several at once")) == 3


def test_a_workspace_works_as_the_readme_shows(reader: Reader) -> None:
    reader.serve()
    assert reader.follow(section("Workspaces")) == 5


def test_following_changes_goes_as_the_readme_shows(reader: Reader) -> None:
    reader.serve()
    assert reader.follow(section("Following changes")) == 8


def test_the_entity_of_the_readme_does_what_it_shows(reader: Reader) -> None:
    assert reader.follow(section("Your own entity")) == 2


def test_changing_a_schema_that_has_data_goes_as_the_readme_shows_and_then_to_postgresql(
    reader: Reader, postgres: str
) -> None:
    assert reader.follow(section("Changing a schema that has data")) >= 8
    moving = section("Moving to PostgreSQL")
    assert "postgresql://db.example/desk" in moving
    assert (
        reader.follow(
            moving.replace("postgresql://db.example/desk", create_database(postgres))
        )
        >= 3
    )


def test_every_command_the_readme_names_exists() -> None:
    targets = set(
        re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    )
    assert set(re.findall(r"`make ([a-z-]+)", README)) - targets == set()
    known = {
        each.name or each.callback.__name__
        for each in commands.registered_commands
        if each.callback
    }
    known |= {group.name for group in commands.registered_groups if group.name}
    assert set(re.findall(r"(?:`|\$ )persist ([a-z]+)", README)) - known == set()


def test_every_service_the_readme_names_is_in_the_compose_file() -> None:
    named = re.findall(
        r"docker compose.*? (?:up|logs|exec|kill|start|cp)\b(?: --[a-z-]+)*"
        r" ([a-z]+\d?)",
        README,
    )
    services = re.findall(
        r"^  ([a-z]+\d?):", (ROOT / "compose.yaml").read_text(), re.MULTILINE
    )
    assert {"persist", "proxy", "replica2", "postgres"} <= set(named) <= set(services)
