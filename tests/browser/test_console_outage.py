"""The console while its service restarts."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser.console import (
    MARKS,
    TICKETS,
    accepted,
    button,
    field,
    notice,
    pages,
    ticket,
)
from tests.support.ports import free_port
from tests.support.server import start

pytestmark = MARKS


def test_a_restart_while_somebody_types_loses_nothing(
    browser: Browser, tmp_path: Path
) -> None:
    url, port = f"sqlite:///{tmp_path}/persist.db", free_port()
    settings = {"MODELS": "app.models"}
    server = start(url, tmp_path, settings=settings, port=port)
    try:
        with server.client() as client, pages(browser, server) as opened:
            page = opened()
            page.goto(f"/console/c/ops-tickets/{ticket(client)}")
            field(page, "severity").fill("40")
            expect(accepted(page)).to_be_visible()
            server.kill()
            field(page, "title").fill("Typed while it was away")
            expect(
                page.locator(".banner", has_text="Nothing you typed is lost.")
            ).to_be_visible()
            button(page, "Try now").click()
            page.keyboard.press("Control+s")
            server = start(url, tmp_path, settings=settings, port=port)
            expect(notice(page, "Saved as revision 2.")).to_be_visible()
            items = client.get(TICKETS).json()["items"]
            data = items[0]["data"]
            assert data["title"] == "Typed while it was away"
            expect(
                page.locator(".banner", has_text="Nothing you typed is lost.")
            ).to_have_count(0)
            with server.client() as other:
                path = f"{TICKETS}/{items[0]['id']}"
                other.patch(path, json={"severity": 50}).raise_for_status()
            expect(field(page, "severity")).to_have_value("50")
    finally:
        server.stop()
