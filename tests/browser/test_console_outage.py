"""The console while its service restarts."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser.console import MARKS, TICKETS, pages, ticket
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
            page.get_by_label("severity").fill("40")
            expect(page.get_by_text("The service would take it")).to_be_visible()
            server.kill()
            page.get_by_label("title").fill("Typed while it was away")
            expect(page.get_by_text("Nothing you typed is lost.")).to_be_visible()
            page.get_by_role("button", name="Try now").click()
            page.keyboard.press("Control+s")
            server = start(url, tmp_path, settings=settings, port=port)
            expect(page.get_by_text("Saved as revision 2.")).to_be_visible()
            items = client.get(TICKETS).json()["items"]
            data = items[0]["data"]
            assert data["title"] == "Typed while it was away"
            expect(page.get_by_text("Nothing you typed is lost.")).to_have_count(0)
            with server.client() as other:
                path = f"{TICKETS}/{items[0]['id']}"
                other.patch(path, json={"severity": 50}).raise_for_status()
            expect(page.get_by_label("severity")).to_have_value("50")
    finally:
        server.stop()
