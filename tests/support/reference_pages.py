"""Write the reference pages that the code determines: settings and command line.

``python -m tests.support.reference_pages`` writes them; a test compares them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
from pydantic.fields import FieldInfo

from persist.cli import commands
from persist.settings import Settings, variable
from tests.support.program import ROOT

REFERENCE = ROOT / "docs" / "reference"
HELP_WIDTH = 88

SETTINGS_INTRODUCTION = """\
# Settings

Each setting is an environment variable, and most are a flag of `persist serve` as well; the flag wins. A
value that cannot be used stops the start and is named. An unknown variable that begins with `PERSIST_`
is a warning that names the nearest setting. `persist check` shows whether the settings, the database and
its tables match.

`PERSIST_KEY` is no setting of the service: it holds the key that `persist snapshot`, `persist restore`
and the showcase send to a running service.
"""

CLI_INTRODUCTION = """\
# Command line

The help of every command, as `--help` prints it. The exit status is 0 if the command did what it was
asked, 1 if it failed or found something wrong, and 2 if it was called wrongly.
"""


def settings_page() -> str:
    """Return the page of settings, a section for each."""
    sections = [
        _setting_section(name, field) for name, field in Settings.model_fields.items()
    ]
    return "\n".join([SETTINGS_INTRODUCTION, *sections])


def _setting_section(name: str, field: FieldInfo) -> str:
    rows = [
        ("default", f"`{_shown(field.default)}`"),
        ("type", _type_of(field)),
        *_bounds(field),
        ("flag", f"`--{name.replace('_', '-')}`"),
    ]
    table = "\n".join(f"| {label} | {value} |" for label, value in rows)
    return (
        f"## {variable(name)}\n\n{field.description}\n\n| | |\n| --- | --- |\n{table}\n"
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value}"


def _type_of(field: FieldInfo) -> str:
    named = {bool: "true or false", int: "integer", float: "number", str: "text"}
    choices = getattr(field.annotation, "__args__", ())
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    return named.get(field.annotation, "text")  # type: ignore[arg-type]


def _bounds(field: FieldInfo) -> Iterator[tuple[str, str]]:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    for rule in field.metadata:
        for attribute, label in words.items():
            bound = getattr(rule, attribute, None)
            if bound is not None:
                yield label, f"{bound}"


def cli_page() -> str:
    """Return the page of the command line, a section for each command."""
    root: Any = typer.main.get_command(commands)
    sections = ["\n".join(_command_sections(root, "persist", None, 2))]
    return "\n".join([CLI_INTRODUCTION, *sections])


def _command_sections(
    command: Any, name: str, parent: Any, level: int
) -> Iterator[str]:
    context = command.make_context(
        name, [], parent=parent, resilient_parsing=True, max_content_width=HELP_WIDTH
    )
    context.info_name = name.rsplit(maxsplit=1)[-1]
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield f"{'#' * level} {name}\n\n```text\n{text}\n```\n"
    for child in getattr(command, "commands", {}).values():
        below = f"{name} {child.name}"
        yield from _command_sections(child, below, context, min(level + 1, 3))


PAGES = {"settings.md": settings_page, "cli.md": cli_page}


def main(folder: Path = REFERENCE) -> None:
    """Write the pages into the documentation."""
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
