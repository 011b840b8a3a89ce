"""Hostile data in the console: it is text, whatever it contains, and the page stays
quick."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.console import MARKS, accepted, field, notice, pages
from tests.support.server import Server, serving

pytestmark = [*MARKS, pytest.mark.slow]

RECORDS = 100_000
BUSY_SECONDS = 1.0
"""What a page may compute to open a screen with the largest data."""
FRAME_SECONDS = 0.05

MARKUP = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
BIDI = "\u202egnp.exe \u2066isolated\u2069 \u200f\u200e\u061c"
SCRIPTS = {
    "Arabic": "السلام عليكم",
    "Armenian": "Բարեւ",
    "Bengali": "নমস্কার",
    "Chinese": "你好，世界 𠜎",
    "Cyrillic": "Здравствуйте",
    "Devanagari": "नमस्ते",
    "Emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽",
    "Ethiopic": "ሰላም",
    "Greek": "Γειά σου",
    "Hebrew": "שלום",
    "Japanese": "こんにちは",
    "Korean": "안녕하세요",
    "Tamil": "வணக்கம்",
    "Thai": "สวัสดี",
    "Zalgo": "Z̸͑ͅa̵̚l̷̛g̸̀o",
}
HOSTILE: dict[str, Any] = {
    MARKUP: MARKUP,
    "__proto__": {"polluted": True},
    "constructor": "toString",
    BIDI: BIDI,
    "": "an empty name",
    "a/b~c": {"'\"`": "\\\n\t"},
    "integer": 9223372036854775807,
    "decimal": "123456789012345678901234567890.10",
    "exponent": 1e-7,
    **SCRIPTS,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile")
    with serving(f"sqlite:///{folder}/persist.db", folder) as server:
        with server.client() as client:
            for name in ("anything", "many"):
                address = f"/entity-types/{name}"
                schema = {"type": "object"}
                client.put(address, json={"schema": schema}).raise_for_status()
        yield server


@pytest.fixture
def service(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    with pages(browser, server) as opened:
        yield opened()


class PageThread:
    """What the thread of a page computes, whatever else the machine does."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._total = 0.0

    def lap(self) -> float:
        """Return the seconds since the last lap."""
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        total = float({item["name"]: item["value"] for item in metrics}["TaskDuration"])
        # A new document may begin at zero.
        spent = total - self._total if total >= self._total else total
        self._total = total
        return spent


def store(service: httpx.Client, data: dict[str, Any]) -> str:
    answer = service.post("/api/anything", json=data)
    return str(answer.raise_for_status().json()["id"])


def test_what_is_stored_is_text_and_is_stored_again_as_it_was(
    page: Page, service: httpx.Client
) -> None:
    schema = {"type": "object", "properties": {name: {} for name in HOSTILE}}
    body = {"schema": schema | {"title": MARKUP, "description": MARKUP}}
    service.put("/entity-types/anything", json=body).raise_for_status()
    record = store(service, HOSTILE)
    text = service.get(f"/api/anything/{record}").text
    for address in (
        "c/anything",
        f"c/anything/{record}",
        f"c/anything/{record}/history",
        "changes",
        "types/anything",
    ):
        page.goto(f"/console/{address}")
        page.locator("h1").wait_for()
        page.wait_for_timeout(200)
        assert page.locator("main img, main script").count() == 0
        assert "Persist" in page.title()
        assert "\u202e" not in page.locator("body").inner_text()
    page.goto(f"/console/c/anything/{record}")
    field(page, "constructor").fill('"valueOf"')
    expect(accepted(page)).to_be_visible()
    page.keyboard.press("Control+s")
    expect(notice(page, "Saved as revision 2.")).to_be_visible()
    again = service.get(f"/api/anything/{record}").text
    assert json.loads(again)["data"] == HOSTILE | {"constructor": "valueOf"}
    assert digits(again) == digits(text)


def digits(text: str) -> str:
    """Return the numbers of the data as they are written."""
    return text[text.index('"integer"') : text.index('"exponent"')]


def deep(levels: int) -> dict[str, Any]:
    """Return an object with this many levels below it."""
    inner: dict[str, Any] = {}
    for level in range(levels):
        inner = {f"level {level}": inner}
    return inner


LARGE: dict[str, Callable[[], dict[str, Any]]] = {
    "text": lambda: {"text": "<b>word</b> " * 80_000},
    "members": lambda: {f"member {number}": number for number in range(10_000)},
    "items": lambda: {"items": list(range(100_000))},
    "levels": lambda: deep(60),
    "line": lambda: {"text": "x" * 1_000_000},
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_record_is_opened_and_edited_quickly(
    page: Page, service: httpx.Client, name: str
) -> None:
    address = "/entity-types/anything"
    service.put(address, json={"schema": {"type": "object"}}).raise_for_status()
    record = store(service, {"first": "1"} | LARGE[name]())
    thread = PageThread(page)
    for screen in ("", "/history"):
        page.goto(f"/console/c/anything/{record}{screen}")
        page.get_by_text("first").first.wait_for()
        assert thread.lap() < BUSY_SECONDS
    page.goto(f"/console/c/anything/{record}")
    first = field(page, "first")
    first.fill('"2"')
    expect(accepted(page)).to_be_visible()
    thread.lap()
    first.press_sequentially("   ")
    assert thread.lap() / 3 < BUSY_SECONDS / 4
    page.keyboard.press("Control+s")
    expect(notice(page, "Saved as revision 2.")).to_be_visible()
    page.goto("/console/c/anything")
    page.get_by_role("row").nth(1).wait_for()
    assert page.evaluate("document.querySelectorAll('*').length") < 5_000


SCROLL = """() => new Promise((resolve) => {
  const frame = document.querySelector(".table-frame");
  frame.scrollTop += 1450;
  requestAnimationFrame(() => requestAnimationFrame(() => resolve(frame.scrollTop)));
})"""
SCROLLED_PIXELS = 29 * 10_000


def test_a_collection_of_100_000_records_stays_quick(
    page: Page, service: httpx.Client
) -> None:
    for start in range(0, RECORDS, 10_000):
        lines = "\n".join(
            f'{{"number": {number}, "text": "record {number}"}}'
            for number in range(start, start + 10_000)
        )
        kind = {"Content-Type": "application/x-ndjson"}
        answer = service.post("/api/many/import", content=lines, headers=kind)
        answer.raise_for_status()
    schema = {
        "type": "object",
        "properties": {"number": {"type": "integer"}, "text": {"type": "string"}},
    }
    service.put("/entity-types/many", json={"schema": schema}).raise_for_status()
    thread = PageThread(page)
    for address in (
        "",
        "/c/many",
        "/c/many?sort=-text&f=number__gte%3D500",
        "/changes",
    ):
        page.goto(f"/console{address}")
        page.locator("[role=gridcell], .stream > li").first.wait_for()
        assert thread.lap() < BUSY_SECONDS
    page.goto("/console/c/many")
    page.get_by_role("gridcell").first.wait_for()
    thread.lap()
    while page.evaluate(SCROLL) < SCROLLED_PIXELS:
        assert thread.lap() < FRAME_SECONDS
    assert page.evaluate("document.querySelectorAll('*').length") < 5_000
