"""Write a picture of every screen of the console, in light and dark, wide and narrow.

``python -m tests.browser.console_pictures FOLDER [DOCS]`` starts a service of its own;
those that the documentation shows go into a second folder as well.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
from playwright.sync_api import FloatRect, Page, sync_playwright

from tests.browser.chromium import CHROMIUM, FLAGS
from tests.browser.console import TICKETS, KeyRing, button, field
from tests.support.server import Server, serving

SIZES = {"wide": (1300, 850), "narrow": (360, 740)}
CSV = "name,born,active\nAda,1815-12-10,true\nGrace,1906-12-09,true\nEdsger,,false\n"
DOCUMENTED = {
    "history-wide-light": "console-history.png",
    "conflict-wide-light": "console-merge.png",
    "past-wide-light": "console-time.png",
}
"""The pictures of the documentation, by the name of their file there."""
CLIP = FloatRect(x=0, y=0, width=1300, height=440)
"""The part of them that has something on it."""

TITLES = [
    "Disk of node {} is full",
    "Certificate of node {} expires on Friday",
    "Node {} answers slowly",
    "Backup of node {} failed",
    "Queue of node {} grows",
]


@dataclass(frozen=True)
class Shop:
    """A service with records that have a history, and the way in."""

    server: Server
    key: str
    record: str
    moment: str
    """A time before the last change of the record."""

    def enter(self, page: Page) -> None:
        """Begin a session."""
        headers = {"Authorization": f"Bearer {self.key}"}
        assert page.request.post("/sessions", headers=headers).status == 204

    def change(self, **data: object) -> None:
        """Change the record as somebody else."""
        with self.server.client() as client:
            client.headers["Authorization"] = f"Bearer {self.key}"
            client.patch(f"{TICKETS}/{self.record}", json=data).raise_for_status()


@contextmanager
def shop() -> Iterator[Shop]:
    """Give a service that is full of records."""
    with tempfile.TemporaryDirectory() as made:
        here = Path(made)
        keys = KeyRing(f"sqlite:///{here}/persist.db")
        ada, grace = (keys.make(name, "*:admin") for name in ("ada", "grace"))
        settings = {
            "MODELS": "app.models",
            "CONSOLE_NAME": "staging",
            "CONSOLE_COLOR": "darkorange",
        }
        with serving(keys.url, here, settings=settings) as server:
            with server.client() as service:
                service.headers["Authorization"] = f"Bearer {ada}"
                record, moment = fill(service, f"Bearer {grace}")
            yield Shop(server, ada, record, moment)


def fill(service: httpx.Client, other: str) -> tuple[str, str]:
    """Make records that have a history, with a second caller; return the id of one and
    a time before its last change."""
    lines = "\n".join(
        f'{{"title": "{TITLES[number % 5].format(number % 7)}",'
        f' "severity": {number % 5 * 10 + 10}}}'
        for number in range(300)
    )
    kind = {"Content-Type": "application/x-ndjson"}
    service.post(f"{TICKETS}/import", content=lines, headers=kind).raise_for_status()
    grace = {"Authorization": other}
    ticket = {"title": "Database <b>degraded</b>", "severity": 30}
    record = str(service.post(TICKETS, json=ticket).json()["id"])
    path = f"{TICKETS}/{record}"
    command = f"{path}/commands/escalate"
    service.post(command, json={"steps": 1}, headers=grace).raise_for_status()
    body = {"title": "Database <b>down</b>"}
    service.patch(path, json=body).raise_for_status()
    moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    service.post(f"{path}/commands/ack", headers=grace).raise_for_status()
    shot = {"scope": "all", "note": "before the release"}
    service.post("/snapshots", json=shot).raise_for_status()
    schema = {"type": "object", "properties": {"host": {"type": "string"}}}
    types = {"schema": schema}
    service.put("/entity-types/hosts", json=types).raise_for_status()
    service.post("/api/hosts", json={"host": "a", "port": 9007199254740993})
    spare = service.post("/api/hosts", json={"host": "b"}).json()["id"]
    service.delete(f"/api/hosts/{spare}", headers=grace).raise_for_status()
    service.put("/workspaces/lab", json={"collections": ["ops-tickets"]})
    return record, moment


def screens(page: Page, shop: Shop) -> Iterator[str]:
    """Open the screens one after the other; yield the name of each while it is
    open."""
    page.goto("/console")
    page.get_by_label("Key", exact=True).wait_for()
    yield "enter"
    shop.enter(page)
    ticket = f"/console/c/ops-tickets/{shop.record}"
    addresses = {
        "home": "/console",
        "list": "/console/c/ops-tickets?f=severity__gte%3D20",
        "record": ticket,
        "history": f"{ticket}/history",
        "past": f"/console/c/ops-tickets?as_of={shop.moment}",
        "past-record": f"{ticket}?as_of=301",
        "trash": "/console/c/hosts/trash",
        "changes": "/console/changes",
        "snapshots": "/console/snapshots",
        "type": "/console/types/hosts",
        "class": "/console/types/ops-tickets",
        "unknown": "/console/unknown",
    }
    for name, address in addresses.items():
        page.goto(address)
        if name == "past":
            page.get_by_role("checkbox").nth(2).check()
            page.get_by_role("checkbox").nth(4).check()
        yield name
    page.goto(ticket)
    field(page, "severity").fill("many")
    page.locator(".field.faulty").wait_for()
    yield "record-fault"
    yield from conflict(page, ticket, shop)
    page.goto("/console/types/new")
    page.locator("#paste").fill(CSV)
    page.get_by_label("Name", exact=True).fill("people")
    yield "new-type"
    yield from dialogs(page, ticket)


def conflict(page: Page, ticket: str, shop: Shop) -> Iterator[str]:
    """Edit a record that somebody else changes."""
    page.goto(ticket)
    field(page, "title").fill("Database down since noon")
    field(page, "severity").fill("50")
    page.locator(".verdict.good").wait_for()
    shop.change(title="Database is down", migration_note="by hand")
    button(page, "Merge with mine").wait_for()
    yield "theirs"
    button(page, "Merge with mine").click()
    page.locator(".conflict .differences").wait_for()
    yield "conflict"
    shop.change(title="Database <b>down</b>", migration_note=None)


def dialogs(page: Page, ticket: str) -> Iterator[str]:
    """Open the dialogs, each on its screen."""

    def press(name: str) -> None:
        button(page, name).first.click()

    page.goto("/console/snapshots")
    press("Take a snapshot")
    yield "take"
    press("Close")
    press("Compare with now")
    page.locator("dialog table").wait_for()
    yield "compare"
    press("Close")
    press("Restore")
    press("Try it")
    page.locator("dialog .note").wait_for()
    yield "restore"
    page.goto(f"{ticket}/history")
    press("Go back to 1")
    page.locator("dialog .differences").wait_for()
    yield "revert"
    press("Close")
    press("undo")
    page.locator("dialog table").wait_for()
    yield "undo"
    press("Close")
    press("Erase")
    yield "erase"
    page.goto("/console/changes")
    press("proof")
    page.locator("dialog .hash").first.wait_for()
    yield "proof"
    page.goto("/console/c/ops-tickets?f=severity__gte%3D40")
    page.get_by_text("Act", exact=True).click()
    press("Run a command on all that match")
    press("Try it")
    page.locator("dialog .note").wait_for()
    yield "act"
    page.goto("/console")
    page.locator("h1").wait_for()
    page.keyboard.press("Control+k")
    page.locator("dialog li").first.wait_for()
    yield "jump"
    press("Close")
    page.keyboard.press("?")
    page.locator("dialog").wait_for()
    yield "shortcuts"


def draw(
    page: Page, shop: Shop, name: str, folder: Path, documents: Path | None
) -> None:
    """Write the pictures of all screens in one look."""
    for screen in screens(page, shop):
        page.wait_for_load_state("load")
        page.wait_for_timeout(500)
        page.screenshot(path=folder / f"{screen}-{name}.png")
        if documents is not None and f"{screen}-{name}" in DOCUMENTED:
            file = documents / DOCUMENTED[f"{screen}-{name}"]
            page.screenshot(path=file, clip=CLIP)


def main(folder: Path, documents: Path | None) -> None:
    """Start a service, and write its pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with shop() as filled, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for size, (width, height) in SIZES.items():
            for theme in ("light", "dark"):
                page = browser.new_page(
                    base_url=filled.server.url,
                    viewport={"width": width, "height": height},
                    color_scheme=theme,
                )
                draw(page, filled, f"{size}-{theme}", folder, documents)
                page.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else None)
