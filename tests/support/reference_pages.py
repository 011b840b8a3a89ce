"""Write the parts of the reference that the code determines.

A page marks such a part by ``<!-- generated: name -->`` and ``<!-- end -->``.
``python -m tests.support.reference_pages`` writes all of them; a test compares them.
"""

import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.main
from pydantic.fields import FieldInfo

from persist.api.routes import EVERY_ROUTE, ROUTES, WORKSPACE, Reach, Route
from persist.cli import commands
from persist.domain.query import OPERATORS
from persist.settings import Settings, variable
from tests.support.forked import ROOT

DOCS = ROOT / "docs"
PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
HELP_COLUMNS = 88


def settings() -> str:
    """Return a section for each setting."""
    return "\n".join(
        _setting(name, field) for name, field in Settings.model_fields.items()
    )


def _setting(name: str, field: FieldInfo) -> str:
    text = str(field.default)
    default = text.lower() if isinstance(field.default, bool) else text
    rows = [
        ("default", f"`{default}`" if default else "empty"),
        ("type", _type_of(field)),
        *_bounds(field),
        ("flag", f"`--{name.replace('_', '-')}`"),
    ]
    table = "\n".join(f"| {label} | {value} |" for label, value in rows)
    head = "| | |\n| --- | --- |"
    return f"## {variable(name)}\n\n{field.description}\n\n{head}\n{table}\n"


def _type_of(field: FieldInfo) -> str:
    choices = typing.get_args(field.annotation)
    if typing.get_origin(field.annotation) is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in choices)
    names = {bool: "true or false", int: "integer", float: "number"}
    return names.get(field.annotation, "text")  # type: ignore[arg-type]


def _bounds(field: FieldInfo) -> Iterator[tuple[str, str]]:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    for rule in field.metadata:
        for attribute, label in words.items():
            bound = getattr(rule, attribute, None)
            if bound is not None:
                yield label, f"{bound}"


def command_line() -> str:
    """Return a section for each command, with its help."""
    root: Any = typer.main.get_command(commands)
    return "\n".join(_command(root, "persist", None))


def _command(command: Any, name: str, parent: Any) -> Iterator[str]:
    context = command.make_context(
        name, [], parent=parent, resilient_parsing=True, max_content_width=HELP_COLUMNS
    )
    context.info_name = name.rsplit(maxsplit=1)[-1]
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    marks = "##" if parent is None else "###"
    yield f"{marks} {name}\n\n```text\n{text}\n```\n"
    for child in getattr(command, "commands", {}).values():
        yield from _command(child, f"{name} {child.name}", context)


def routes() -> str:
    """Return a section for each route, those of one tag after another."""
    groups: dict[str, list[Route]] = {}
    for route in ROUTES:
        if not route.path.startswith(f"{WORKSPACE}/api/"):
            tag = route.tags[0] if route.tags else "records"
            groups.setdefault(tag, []).append(route)
    sections = []
    for tag, members in groups.items():
        sections.append(f"## {tag.capitalize()}\n")
        sections += map(_route, members)
    return "\n".join(sections)


def _route(route: Route) -> str:
    codes = _codes(set(route.problems) - set(EVERY_ROUTE))
    problems = f" Problems: {codes}." if codes else ""
    return (
        f"### `{route.method} {route.path}`\n\n{route.summary}. Level: {_level(route)}."
        f" Success: {route.status}.{problems}\n"
    )


def _level(route: Route) -> str:
    if route.open_to_all:
        return "open"
    if route.level is None:
        return "any key"
    level = route.level.name.lower()
    return f"`*:{level}`" if route.reach is Reach.EVERYTHING else f"`{level}`"


def _codes(codes: Iterable[str]) -> str:
    return ", ".join(f"`{code}`" for code in sorted(codes))


def operators_of_types() -> str:
    """Return a table of the operators that each type of field offers."""
    rows = [
        f"| {kind.value} | {', '.join(f'`{each.value}`' for each in offered)} |"
        for kind, offered in OPERATORS.items()
    ]
    return "\n".join(["| type | operators |", "| --- | --- |", *rows, ""])


PARTS: Mapping[str, Callable[[], str]] = {
    "settings": settings,
    "command-line": command_line,
    "codes-of-every-route": lambda: f"{_codes(EVERY_ROUTE)}\n",
    "routes": routes,
    "operators-of-types": operators_of_types,
}
"""What each generated part holds, by its name."""


def generate(text: str) -> str:
    """Return a page with its generated parts as the code has them now."""
    return PART.sub(lambda part: f"{part[1]}\n{PARTS[part[2]]()}\n{part[3]}", text)


def generated_pages() -> list[Path]:
    """Return the pages that have generated parts."""
    return [page for page in sorted(DOCS.rglob("*.md")) if PART.search(_read(page))]


def _read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def main() -> None:
    """Write the generated parts of all pages."""
    for page in generated_pages():
        page.write_text(generate(_read(page)), encoding="utf-8")


if __name__ == "__main__":
    main()
