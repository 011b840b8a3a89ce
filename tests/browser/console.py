"""A page of the console that asks no other host, breaks no rule and has no error."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from persist.domain.access import scope_of
from persist.storage.access.keys import Keys
from persist.storage.dialect import dialect_of
from tests.browser.chromium import CHROMIUM
from tests.support.server import Server

TIMEOUT_MILLISECONDS = 30_000
TICKETS = "/api/ops-tickets"

MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists(), reason=f"THE CONSOLE IS NOT TESTED: no {CHROMIUM}"
    ),
]

Opened = Callable[..., Page]


@contextmanager
def console_page(browser: Browser, server: Server, **options: Any) -> Iterator[Page]:
    """Give a page; what it did wrong fails the test afterwards."""
    context = browser.new_context(base_url=server.url, **options)
    context.set_default_timeout(TIMEOUT_MILLISECONDS)
    expect.set_options(timeout=TIMEOUT_MILLISECONDS)
    complaints: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((f"{server.url}/", "data:", "blob:"))
            else complaints.append(request.url)
        ),
    )
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text)
            if "Content Security Policy" in message.text
            else None
        ),
    )
    try:
        yield page
    finally:
        context.close()
    assert complaints == []


@contextmanager
def pages(browser: Browser, server: Server) -> Iterator[Opened]:
    """Give a function that opens pages, each in a browser context of its own."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(
            console_page(browser, server, **options)
        )


def refusals(page: Page) -> list[str]:
    """Return a list that fills with the requests that the service refuses for want of
    access."""
    found: list[str] = []
    page.on(
        "response",
        lambda answer: (
            found.append(f"{answer.status} {answer.request.method} {answer.url}")
            if answer.status in (401, 403)
            else None
        ),
    )
    return found


def paused(page: Page, address: str) -> list[Route]:
    """Return a list that fills with the requests to an address, which wait in it."""
    found: list[Route] = []

    def hold(route: Route) -> None:
        found.append(route)

    page.route(address, hold)
    return found


def button(where: Page | Locator, name: str) -> Locator:
    """Return the button of this name, not those whose names begin with it."""
    return where.get_by_role("button", name=name, exact=True)


def field(page: Page, name: str) -> Locator:
    """Return the control of a member in the form of a record."""
    return page.locator(f'[data-pointer="/{name}"] :is(input, textarea, select)')


def notice(page: Page, text: str | re.Pattern[str]) -> Locator:
    """Return the note about something that was done, not the same words elsewhere."""
    return page.locator(".notes").get_by_text(text, exact=True)


def accepted(page: Page) -> Locator:
    """Return the verdict that the service would store what was typed."""
    return page.locator(".verdict.good")


@dataclass(frozen=True)
class KeyRing:
    """Keys of the database of a service."""

    url: str

    @property
    def stored(self) -> Keys:
        return Keys(dialect_of(self.url))

    def make(self, name: str, *scopes: str) -> str:
        """Create a key; return its secret."""
        self.stored.prepare()
        return self.stored.create(name, [scope_of(scope) for scope in scopes]).secret


def sign_in(page: Page, key: str) -> None:
    """Paste a key where the console asks for one."""
    page.goto("/console")
    page.get_by_label("Key", exact=True).fill(key)
    button(page, "Sign in").click()
    expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()


def ticket(service: httpx.Client, **data: object) -> str:
    """Create a ticket; return its id."""
    body = {"title": "Disk full", "severity": 30} | data
    return str(service.post(TICKETS, json=body).raise_for_status().json()["id"])
