"""Report: the steps of the showcase, printed as they happen or as JSON at the end."""

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
    """One request and what was checked of its answer."""

    title: str
    action: str
    checked: Mapping[str, Any]


@dataclass
class Report:
    """The steps so far. Without ``as_json`` each is printed at once."""

    console: Console
    as_json: bool = False
    steps: list[Step] = field(default_factory=list)

    def chapter(self, title: str) -> None:
        """Print the title of a part."""
        if not self.as_json:
            self.console.print(f"\n[bold cyan]{escape(title)}[/]")

    def add(self, step: Step) -> None:
        """Add a step that came out as expected."""
        self.steps.append(step)
        if self.as_json:
            return
        action = escape(_short(step.action))
        self.console.print(
            f"  [green]✓[/] [bold]{escape(step.title)}[/]  [dim]{action}[/]"
        )
        facts = "  ".join(
            f"{name} [yellow]{escape(_short(_text(value)))}[/]"
            for name, value in step.checked.items()
        )
        if facts:
            self.console.print(f"    {facts}", highlight=False)

    def end(self, url: str, failure: str | None) -> None:
        """Print the outcome: the number of checks, or the failure."""
        if self.as_json:
            self._print_json(url, failure)
        elif failure is not None:
            self.console.print(f"  [red]✗ {escape(failure)}[/]\n", highlight=False)
        else:
            checks = sum(len(step.checked) for step in self.steps)
            self.console.print(
                f"\n[green]{len(self.steps)} steps, {checks} checks, all as"
                " expected.[/]"
            )

    def _print_json(self, url: str, failure: str | None) -> None:
        outcome = {
            "ok": failure is None,
            "url": url,
            "failure": failure,
            "steps": [asdict(step) for step in self.steps],
        }
        text = json.dumps(outcome, ensure_ascii=False, indent=2)
        self.console.out(text, highlight=False)


def _short(text: str) -> str:
    """Shorten ids to their last characters: full ones make a line hard to read."""
    return ID.sub(lambda found: "…" + found[0][-4:], text)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
