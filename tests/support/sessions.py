"""Run the examples of a Markdown page as a reader would: in a shell, from the top."""

import json
import os
import re
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.support.forked import PROGRAM, ROOT
from tests.support.ports import free_port
from tests.support.program import clean_environment, persist, serving

DEFAULT_URL = "http://127.0.0.1:8000"
DATABASE_URL = "postgresql://db.example/shop"
"""The PostgreSQL database of the examples; a test puts a real one in its place."""

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SERVE = re.compile(r"((?:PERSIST_\w+=\S+ )*)(persist|make) serve")
PERSIST = re.compile(r"((?:PERSIST_\w+=\S+ )*)persist ([^|<>&;$`]+)")
"""A command of the program and no other, which needs no shell."""

VOLATILE_HEADER = re.compile(r"(date|x-request-id|content-length): ")
ELLIPSIS = "…"

ENGINE_ONLY = ""
"""The ``PYTHONPATH`` with which only the engine can be imported, as it is installed."""

SETUP = ("pip install ", ". .venv/bin/activate")
"""Commands that prepare the reader's environment; a session has one of its own."""

COMMAND_SECONDS = 60


@dataclass(frozen=True)
class Exchange:
    """A command of a session and the answer that the page shows."""

    command: str
    answer: str


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the fenced blocks of a page: language and content."""
    return BLOCK.findall(text)


def exchanges(block: str) -> Iterator[Exchange]:
    """Yield the commands of a console block.

    A command continues where a line ends in a backslash, inside quotes, and to the end
    of a here-document.
    """
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, answer = re.sub(r"\\\n\s*", "", part).partition("\n")
        if (here := re.search(r"<<'(\w+)'", command)) is not None:
            body, _, answer = answer.partition(f"\n{here[1]}\n")
            command += f"\n{body}\n{here[1]}"
        while command.count("'") % 2:
            more, _, answer = answer.partition("\n")
            command += "\n" + more
        yield Exchange(command, answer)


class Session:
    """One reader: a shell in a folder of its own and, where the page starts one, a
    service.

    ``make serve`` serves the deployment of this repository, ``persist serve`` the one in
    the reader's folder. Both replace a service that runs. A block of Python or JSON
    whose first line is a comment with a path is written to that path. An id that the
    service chose replaces the one of the page from then on.
    """

    def __init__(self, folder: Path, database_url: str = "") -> None:
        self._folder = folder / "reader"
        self._folder.mkdir()
        self._home = folder / "home"
        self._home.mkdir()
        (self._home / ".curlrc").write_text(
            f"show-error\nmax-time = {COMMAND_SECONDS}\n"
        )
        self._database_url = database_url
        self._ids: dict[str, str] = {}
        # The page's variables hold addresses, so a restarted service keeps its port.
        self._port = str(free_port())
        self._url = f"http://127.0.0.1:{self._port}"
        self._service = ExitStack()
        self._shell = self._start_shell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._service.close()
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        self._shell.wait(COMMAND_SECONDS)
        assert self._shell.stdout is not None
        self._shell.stdout.close()

    def follow(self, text: str) -> int:
        """Do what a page shows. Return the number of commands that were run."""
        run = 0
        for language, block in blocks(text):
            if language == "python":
                self._write(block)
            elif language == "console":
                for exchange in exchanges(block):
                    run += self._do(exchange)
        return run

    def _write(self, block: str) -> None:
        path = self._folder / block.split()[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.replace(DEFAULT_URL, self._url))

    def _do(self, exchange: Exchange) -> bool:
        if exchange.command.startswith(SETUP):
            return False
        serve = SERVE.fullmatch(exchange.command)
        if serve and not exchange.answer.strip():
            self._serve(serve[1], of_repository=serve[2] == "make")
            return True
        answer = self._run(exchange.command)
        self._ids |= zip(ID.findall(exchange.answer), ID.findall(answer), strict=False)
        assert matches(answer, exchange.answer), (
            f"{exchange.command}\nanswered:\n{answer}\nthe page shows:\n"
            f"{exchange.answer}"
        )
        return True

    def _serve(self, assignments: str, *, of_repository: bool) -> None:
        self._service.close()
        environment = self._environment(assignments)
        importable = str(ROOT) if of_repository else ENGINE_ONLY
        self._run(f"export PYTHONPATH={shlex.quote(importable)}")
        environment["PYTHONPATH"] = importable
        if of_repository:
            environment["PERSIST_SCHEMAS"] = str(ROOT / "schemas")
        self._service.enter_context(
            serving(self._folder, "--port", self._port, **environment)
        )

    def _environment(self, assignments: str) -> dict[str, str]:
        """Return what the shell has exported and a command adds to it."""
        exported = self._in_shell("env | grep -E '^(PERSIST_|PYTHONPATH=)'")
        lines = [*exported.split(), *assignments.split()]
        return dict(line.split("=", 1) for line in lines)

    def _start_shell(self) -> subprocess.Popen[str]:
        shell = subprocess.Popen(
            ["bash"],
            cwd=self._folder,
            env=clean_environment(
                PYTHONPATH=ENGINE_ONLY,
                PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                CURL_HOME=str(self._home),
                COLUMNS="80",
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert shell.stdin is not None
        shell.stdin.write(f'persist() {{ {shlex.join(PROGRAM)} "$@"; }}\n')
        return shell

    def _run(self, command: str) -> str:
        """Return what a command prints, its errors included."""
        command = ID.sub(lambda found: self._ids.get(found[0], found[0]), command)
        command = command.replace(DEFAULT_URL, self._url)
        if self._database_url:
            command = command.replace(DATABASE_URL, self._database_url)
        single = PERSIST.fullmatch(command)
        answer = self._persist(*single.groups()) if single else self._in_shell(command)
        return answer.replace(self._url, DEFAULT_URL)

    def _persist(self, assignments: str, arguments: str) -> str:
        environment = self._environment(assignments)
        ended = persist(self._folder, *shlex.split(arguments), **environment)
        return ended.stdout + ended.stderr

    def _in_shell(self, command: str) -> str:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        end = f"end of {uuid.uuid4()}"
        # A here-document ends with its line, so the closing brace needs its own.
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null\necho; echo '{end}'\n")
        self._shell.stdin.flush()
        lines = list(iter(self._shell.stdout.readline, f"{end}\n"))
        return "".join(lines)


def matches(answer: str, written: str) -> bool:
    """Compare an answer with what a page shows.

    Ids, times and the layout of JSON may differ; ``…`` stands for any text, and
    ``, …`` for any further members.
    """
    if ELLIPSIS in written:
        pattern = re.escape(_without_layout(written))
        pattern = pattern.replace(f",{ELLIPSIS}", "(,.*?)?").replace(ELLIPSIS, ".*?")
        return re.fullmatch(pattern, _without_layout(answer), re.DOTALL) is not None
    return bool(_comparable(answer) == _comparable(written))


def _comparable(answer: str) -> Any:
    """Return JSON as its value, anything else as its lines, with neutral ids and
    times."""
    neutral = _neutral(answer)
    try:
        return json.loads(neutral)
    except ValueError:
        return [line.strip() for line in neutral.strip().splitlines()]


def _without_layout(answer: str) -> str:
    return re.sub(r"\s+", "", _neutral(answer))


def _neutral(answer: str) -> str:
    lines = [
        line for line in answer.splitlines() if not VOLATILE_HEADER.match(line.lower())
    ]
    return TIME.sub("<time>", ID.sub("<id>", "\n".join(lines)))
