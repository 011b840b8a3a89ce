"""Write a picture of every screen of the console, in light and dark, wide and narrow.

``python -m tests.browser.console_pictures FOLDER [DOCS]`` starts a service of its own;
those that the documentation shows go into a second folder as well.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from playwright.sync_api import FloatRect, Page, sync_playwright

from tests.browser.chromium import CHROMIUM, FLAGS
from tests.browser.console import button, field, paused
from tests.browser.console_shop import Shop, empty_service, shop
from tests.support.server import Server

Theme = Literal["light", "dark"]
SIZES = {"wide": (1300, 850), "narrow": (360, 740)}
THEMES: tuple[Theme, ...] = ("light", "dark")
LOOKS = [(size, theme) for size in SIZES for theme in THEMES]
CSV = "name,born,active\nAda,1815-12-10,true\nGrace,1906-12-09,true\nEdsger,,false\n"
DOCUMENTED = {
    "history-wide-light": "console-history.png",
    "conflict-wide-light": "console-merge.png",
    "past-wide-light": "console-time.png",
}
"""The pictures of the documentation, by the name of their file there."""
CLIP = FloatRect(x=0, y=0, width=1300, height=440)
"""The part of them that has something on it."""


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
        "new-record": "/console/c/hosts/new",
        "request": "/console/changes?request_id=the-import",
        "fault": "/console/c/ops-tickets?q=data.severity %2B",
        "nothing": "/console/c/ops-tickets?f=severity%3D11",
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
    yield from menus(page, ticket, shop)
    yield from faults(page, ticket, shop)


def menus(page: Page, ticket: str, shop: Shop) -> Iterator[str]:
    """Open the menus and what appears while somebody works."""
    listing = "/console/c/ops-tickets"
    page.goto(listing)
    page.get_by_role("gridcell").first.wait_for()
    if button(page, "Collections").is_visible():
        button(page, "Collections").click()
        yield "side"
        page.goto(listing)
        page.get_by_role("gridcell").first.wait_for()
    shop.change(severity=20)
    shop.change(severity=40)
    button(page, "1 record changed since you looked").wait_for()
    page.get_by_role("checkbox").nth(1).check()
    for menu in ("Act on 1", "Columns", "Copy", "⋯"):
        page.locator("main summary", has_text=menu).click()
        yield f"menu-{menu.split()[0]}".replace("⋯", "more")
        # On a narrow screen an open menu covers the next one.
        page.keyboard.press("Escape")
    button(page, "+ filter").click()
    condition = page.get_by_role("combobox", name="Condition in CEL", exact=True)
    condition.fill("")
    condition.press_sequentially("data.")
    page.locator(".completions").wait_for()
    yield "filter"
    yield from work(page, ticket, shop)


def work(page: Page, ticket: str, shop: Shop) -> Iterator[str]:
    """Show what an action would do, and what somebody typed."""
    listing = "/console/c/ops-tickets"
    page.goto(f"{listing}?f=severity__gte%3D40")
    page.get_by_text("Act", exact=True).click()
    button(page, "Delete all that match").click()
    page.locator("dialog footer .danger").wait_for()
    yield "delete-many"
    page.goto(ticket)
    button(page, "escalate").click()
    page.locator("dialog .note").wait_for()
    yield "command"
    button(page, "Close").click()
    page.locator("summary", has_text="ada").click()
    yield "who"
    field(page, "title").fill("Not saved yet")
    page.locator(".verdict.good").wait_for()
    page.locator("summary", has_text="HTTP request").click()
    button(page, "Copy as curl").scroll_into_view_if_needed()
    yield "http-request"
    page.keyboard.press("Control+k")
    page.keyboard.type("Home")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Home", exact=True).wait_for()
    page.goto(ticket)
    button(page, "Discard it").wait_for()
    yield "draft"
    button(page, "Discard it").click()
    page.goto(f"/console/c/ops-tickets?as_of={shop.moment}")
    page.get_by_role("checkbox").nth(2).check()
    button(page, "Bring back 1 record").click()
    page.locator("dialog footer").wait_for()
    yield "bring-back"


def faults(page: Page, ticket: str, shop: Shop) -> Iterator[str]:
    """Show what goes wrong, and what a key does not allow."""
    page.goto("/console/types/hosts")
    definition = page.get_by_label("Definition", exact=True)
    text = definition.input_value()
    definition.fill(text.replace('"host"\n', '"host", "rack"\n'))
    page.locator("main td a").first.scroll_into_view_if_needed()
    yield "type-refused"
    page.goto(ticket)
    field(page, "title").wait_for()
    page.context.set_offline(True)
    field(page, "title").fill("Typed while it was away")
    page.locator(".banner").wait_for()
    yield "outage"
    page.context.set_offline(False)
    page.locator(".verdict.good").wait_for()
    page.context.clear_cookies()
    field(page, "title").fill("Typed without a session")
    page.locator(".banner").wait_for()
    yield "signed-out"
    field(page, "title").fill("Database <b>down</b>")
    shop.enter(page, shop.reader)
    reading = {
        "reader-home": "/console",
        "reader-list": "/console/c/ops-tickets",
        "reader-record": ticket,
        "reader-history": f"{ticket}/history",
        "reader-refused": "/console/snapshots",
    }
    for name, address in reading.items():
        page.goto(address)
        yield name
    page.context.clear_cookies()
    page.goto("/console")
    page.get_by_label("Key", exact=True).fill("persist_wrong")
    button(page, "Sign in").click()
    page.get_by_role("alert").wait_for()
    yield "enter-refused"


def empty(page: Page) -> Iterator[str]:
    """Open the screens of a service where nothing is yet."""
    addresses = {
        "empty-home": "/console",
        "empty-changes": "/console/changes",
        "empty-snapshots": "/console/snapshots",
        "empty-new": "/console/types/new",
    }
    for name, address in addresses.items():
        page.goto(address)
        page.locator("h1").wait_for()
        yield name


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
    yield from under_way(page)
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


def under_way(page: Page) -> Iterator[str]:
    """Let an attempt at a restore take long, and leave its dialog."""
    requests = paused(page, "**/migrations?*")
    button(page, "Try again").click()
    page.get_by_text(re.compile("… [3-9] s")).first.wait_for()
    yield "under-way"
    button(page, "Close").click()
    yield "under-way-left"
    requests[0].continue_()
    page.get_by_role("progressbar").wait_for(state="detached")
    page.unroute_all()


def draw(
    page: Page,
    names: Iterator[str],
    look: str,
    folder: Path,
    documents: Path | None = None,
) -> None:
    """Write the pictures of screens in one look."""
    for screen in names:
        page.wait_for_load_state("load")
        page.get_by_text("Loading…").first.wait_for(state="detached")
        page.wait_for_timeout(300)
        page.screenshot(path=folder / f"{screen}-{look}.png")
        if documents is not None and f"{screen}-{look}" in DOCUMENTED:
            file = documents / DOCUMENTED[f"{screen}-{look}"]
            page.screenshot(path=file, clip=CLIP)


def main(folder: Path, documents: Path | None) -> None:
    """Start the services, and write their pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with shop() as filled, empty_service() as bare, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)

        def page_of(server: Server, size: str, theme: Theme) -> Page:
            width, height = SIZES[size]
            return browser.new_page(
                base_url=server.url,
                viewport={"width": width, "height": height},
                color_scheme=theme,
            )

        for size, theme in LOOKS:
            look = f"{size}-{theme}"
            page = page_of(filled.server, size, theme)
            draw(page, screens(page, filled), look, folder, documents)
            page.close()
            page = page_of(bare, size, theme)
            draw(page, empty(page), look, folder)
            page.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else None)
