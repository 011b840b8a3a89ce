"""Write a picture of every screen of the console, in light and dark, wide and narrow.

``python -m tests.browser.console_pictures FOLDER`` starts a service of its own.
"""

import sys
import tempfile
from pathlib import Path

import httpx
from playwright.sync_api import Page, sync_playwright

from tests.browser.chromium import CHROMIUM, FLAGS
from tests.support.server import serving

SIZES = {"wide": (1300, 850), "narrow": (360, 740)}
CSV = "name,born,active\nAda,1815-12-10,true\nGrace,1906-12-09,true\nEdsger,,false\n"


def fill(service: httpx.Client) -> str:
    """Make records that have a history; return the id of one."""
    lines = "\n".join(
        f'{{"title": "Ticket {number}: disk of node {number % 7} is full",'
        f' "severity": {number % 5 * 10 + 10}}}'
        for number in range(300)
    )
    kind = {"Content-Type": "application/x-ndjson"}
    path = "/api/ops-tickets/import"
    service.post(path, content=lines, headers=kind).raise_for_status()
    ticket = {"title": "Database <b>degraded</b>", "severity": 30}
    record = str(service.post("/api/ops-tickets", json=ticket).json()["id"])
    path = f"/api/ops-tickets/{record}"
    service.patch(path, json={"severity": 40}).raise_for_status()
    service.post(f"{path}/commands/ack").raise_for_status()
    shot = {"scope": "all", "note": "before the release"}
    service.post("/snapshots", json=shot).raise_for_status()
    schema = {"type": "object", "properties": {"host": {"type": "string"}}}
    body = {"schema": schema}
    service.put("/entity-types/hosts", json=body).raise_for_status()
    service.post("/api/hosts", json={"host": "a", "port": 9007199254740993})
    spare = service.post("/api/hosts", json={"host": "b"}).json()["id"]
    service.delete(f"/api/hosts/{spare}").raise_for_status()
    return record


def draw(page: Page, record: str, name: str, folder: Path) -> None:
    """Write the pictures of all screens in one look."""

    def picture(screen: str) -> None:
        page.wait_for_load_state("load")
        page.wait_for_timeout(700)
        page.screenshot(path=folder / f"{screen}-{name}.png")

    ticket = f"/console/c/ops-tickets/{record}"
    addresses = {
        "home": "/console",
        "list": "/console/c/ops-tickets?f=severity__gte%3D20",
        "record": ticket,
        "history": f"{ticket}/history",
        "past": "/console/c/ops-tickets?as_of=303",
        "past-record": f"{ticket}?as_of=301",
        "trash": "/console/c/hosts/trash",
        "changes": "/console/changes",
        "snapshots": "/console/snapshots",
        "type": "/console/types/hosts",
    }
    for screen, address in addresses.items():
        page.goto(address)
        picture(screen)
    page.goto(ticket)
    page.get_by_label("severity").fill("many")
    picture("record-fault")
    page.goto("/console/types/new")
    page.locator("#paste").fill(CSV)
    page.get_by_label("Name", exact=True).fill("people")
    picture("new-type")
    page.goto("/console/snapshots")
    page.get_by_role("button", name="Restore").click()
    page.get_by_role("button", name="Try it").click()
    picture("restore")
    page.goto(f"{ticket}/history")
    page.get_by_role("button", name="Go back to 1").click()
    picture("revert")
    page.goto("/console")
    page.keyboard.press("Control+k")
    picture("jump")


def main(folder: Path) -> None:
    """Start a service, and write its pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made, sync_playwright() as driver:
        here = Path(made)
        settings = {"MODELS": "app.models", "CONSOLE_NAME": "staging"}
        url = f"sqlite:///{here}/persist.db"
        with serving(url, here, settings=settings) as server:
            with httpx.Client(base_url=server.url) as service:
                record = fill(service)
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            for size, (width, height) in SIZES.items():
                for theme in ("light", "dark"):
                    page = browser.new_page(
                        base_url=server.url,
                        viewport={"width": width, "height": height},
                        color_scheme=theme,
                    )
                    draw(page, record, f"{size}-{theme}", folder)
                    page.close()
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
