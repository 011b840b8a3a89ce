"""Report: what the showcase did, for a person as it happens, or as JSON at the end."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape

ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done and what was checked of its outcome."""

    title: str
    action: str
    checked: Mapping[str, Any]


@dataclass
class Report:
    """The steps so far; told to ``console`` at once unless they are wanted as JSON."""

    console: Console
    as_json: bool = False
    steps: list[Step] = field(default_factory=list)

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        if not self.as_json:
            self.console.print(f"\n[bold cyan]{escape(title)}[/]")

    def add(self, step: Step) -> None:
        """A step that came out as expected."""
        self.steps.append(step)
        if self.as_json:
            return
        action = escape(_short(step.action))
        self.console.print(
            f"  [green]✓[/] [bold]{escape(step.title)}[/]  [dim]{action}[/]"
        )
        told = {
            name: escape(_short(_text(value))) for name, value in step.checked.items()
        }
        facts = "  ".join(f"{name} [yellow]{value}[/]" for name, value in told.items())
        if facts:
            self.console.print(f"    {facts}", highlight=False)

    def end(self, url: str, failure: str | None) -> None:
        """Say how it ended."""
        if self.as_json:
            steps = [asdict(step) for step in self.steps]
            outcome = {
                "ok": failure is None,
                "url": url,
                "failure": failure,
                "steps": steps,
            }
            self.console.out(
                json.dumps(outcome, ensure_ascii=False, indent=2), highlight=False
            )
        elif failure is not None:
            self.console.print(f"  [red]✗ {escape(failure)}[/]\n", highlight=False)
        else:
            checks = sum(len(step.checked) for step in self.steps)
            self.console.print(
                f"\n[green]{len(self.steps)} steps, {checks} checks, all as"
                " expected.[/]"
            )


def _short(text: str) -> str:
    """Ids by their ends: whole ones make a line hard to read."""
    return ID.sub(lambda found: "…" + found[0][-4:], text)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
