"""Every screen of the console, in light and dark, wide and narrow: axe-core finds no
fault in it, and it fits its window."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser.console import MARKS, pages
from tests.browser.console_pictures import SIZES, THEMES, Theme, empty, screens
from tests.browser.console_shop import Shop, empty_service, shop
from tests.support.forked import ROOT
from tests.support.server import Server

AXE = ROOT / "console/node_modules/axe-core/axe.min.js"

pytestmark = [
    *MARKS,
    pytest.mark.slow,
    pytest.mark.skipif(not AXE.exists(), reason="`make console` installs axe-core"),
]


@pytest.fixture(scope="module")
def filled() -> Iterator[Shop]:
    with shop() as filled:
        yield filled


@pytest.fixture(scope="module")
def bare() -> Iterator[Server]:
    with empty_service() as server:
        yield server


def faults(page: Page) -> list[str]:
    """Return what axe-core finds: the rule and the elements."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{page.url} {violation['id']}: {node['html'][:200]}"
        for violation in found["violations"]
        for node in violation["nodes"][:3]
    ]


def all_faults(page: Page, names: Iterator[str], width: int) -> list[str]:
    """Return the faults of screens, of their width as well."""
    found: list[str] = []
    for name in names:
        expect(page.get_by_text("Loading…")).to_have_count(0)
        found += [f"{name}: {fault}" for fault in faults(page)]
        overflow = page.evaluate("document.documentElement.scrollWidth")
        if overflow > width:
            found.append(f"{name}: {overflow} pixels wide")
    return found


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
def test_no_screen_has_a_fault(
    browser: Browser, filled: Shop, bare: Server, size: str, theme: Theme
) -> None:
    width, height = SIZES[size]
    look: dict[str, Any] = {
        "viewport": ViewportSize(width=width, height=height),
        "color_scheme": theme,
    }
    with pages(browser, filled.server) as opened, pages(browser, bare) as opened_bare:
        page = opened(**look)
        found = all_faults(page, screens(page, filled), width)
        page = opened_bare(**look)
        found += all_faults(page, empty(page), width)
    assert not found, "\n".join(found)
