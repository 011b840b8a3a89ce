"""Every screen of the console, in light and dark, wide and narrow: axe-core finds no
fault in it, and it fits its window."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser.console import MARKS, pages
from tests.browser.console_pictures import SIZES, Shop, screens, shop
from tests.support.forked import ROOT

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


def faults(page: Page) -> list[str]:
    """Return what axe-core finds: the rule and the elements."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{page.url} {violation['id']}: {node['html'][:200]}"
        for violation in found["violations"]
        for node in violation["nodes"][:3]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_no_screen_has_a_fault(
    browser: Browser, filled: Shop, size: str, theme: str
) -> None:
    width, height = SIZES[size]
    window = ViewportSize(width=width, height=height)
    with pages(browser, filled.server) as opened:
        page = opened(viewport=window, color_scheme=theme)
        found: list[str] = []
        for name in screens(page, filled):
            expect(page.get_by_text("Loading…")).to_have_count(0)
            found += faults(page)
            overflow = page.evaluate("document.documentElement.scrollWidth")
            if overflow > width:
                found.append(f"{name}: {overflow} pixels wide")
    assert not found, "\n".join(found)
