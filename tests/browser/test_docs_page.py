"""The documentation page in a real browser that can reach this service and nothing else
(contract 12)."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    Locator,
    Page,
    Route,
    expect,
)

from persist.api.docs import VERSION
from tests.browser.chromium import CHROMIUM
from tests.support.server import Server, serving

TIMEOUT_MILLISECONDS = 60_000
"""Milliseconds; Swagger UI computes for seconds on a busy machine."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists(),
        reason=f"THE DOCUMENTATION PAGE IS NOT TESTED: no {CHROMIUM}",
    ),
]
Opened = Callable[[str], Page]


@contextmanager
def pages(browser: Browser) -> Iterator[Opened]:
    """Give a function that opens pages; afterwards they must have asked no other host
    and broken no rule of their own."""
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    context.set_default_timeout(TIMEOUT_MILLISECONDS)
    foreign: list[str] = []
    complaints: list[str] = []

    def open_page(url: str) -> Page:
        origin = "/".join(url.split("/")[:3])

        def cut_off(route: Route) -> None:
            if route.request.url.startswith(f"{origin}/"):
                route.continue_()
            else:
                foreign.append(route.request.url)
                route.abort()

        context.route("**/*", cut_off)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda message: complaints.extend(broken_rules(message.text))
        )
        page.goto(url)
        return page

    yield open_page
    context.close()
    assert foreign == []
    assert complaints == []


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    with pages(browser) as opened:
        yield opened


@pytest.fixture(scope="module")
def front(browser: Browser, server: Server) -> Iterator[Page]:
    """The page of the whole service, which takes seconds to open: tests leave it as it
    was."""
    with pages(browser) as opened:
        page = opened(f"{server.url}/docs")
        expect(page.locator("#operations-tag-ops-tickets")).to_be_visible(
            timeout=TIMEOUT_MILLISECONDS
        )
        yield page


def broken_rules(message: str) -> list[str]:
    return [message] if "Content Security Policy" in message else []


def operation(page: Page, collection: str, name: str) -> Locator:
    """An operation of a collection, opened."""
    block = page.locator(
        f"#operations-{collection}-{collection.replace('-', '_')}_{name}"
    )
    if not block.is_visible():
        page.locator(f"#operations-tag-{collection}").click()
    block.locator(".opblock-summary-control").click()
    return block


def execute(block: Locator) -> str:
    """Try an operation as it is prefilled; gives the status of the answer."""
    block.get_by_role("button", name="Try it out").click()
    given = block.locator(".parameters input[placeholder=id]")
    if given.count():
        expect(given).not_to_have_value("", timeout=TIMEOUT_MILLISECONDS)
    block.get_by_role("button", name="Execute").click()
    status = (
        block.locator(".live-responses-table .response-col_status")
        .nth(1)
        .inner_text()
        .split()[0]
    )
    block.locator(
        ".opblock-summary-control"
    ).click()  # the page computes all that is open again and again
    return status


def test_an_operation_is_opened_and_tried_with_its_example(
    front: Page, server: Server
) -> None:
    assert front.title() == "Persist"
    assert front.locator(".opblock").count() == 0  # the collections are folded
    assert execute(operation(front, "ops-tickets", "create")) == "201"
    with server.client() as client:
        [record] = client.get("/api/ops-tickets").json()["items"]
    assert record["data"]["title"] == "Database degraded"


@pytest.mark.slow  # twelve seconds of processor time
def test_the_examples_of_a_record_work_one_after_the_other(
    opened: Opened, server: Server
) -> None:
    page = opened(f"{server.url}/docs?collection=catalog-products")
    tried = {
        name: execute(operation(page, "catalog-products", name))
        for name in (
            "replace",
            "patch",
            "invoke_set",
            "get",
            "history",
            "import_records",
            "delete",
        )
    }
    assert tried == dict.fromkeys(tried, "200") | {"replace": "201", "delete": "204"}


def test_the_page_fits_its_window_and_begins_with_a_guide(front: Page) -> None:
    listing = operation(front, "ops-tickets", "list")
    expect(listing.locator(".parameters").first).to_be_visible(
        timeout=TIMEOUT_MILLISECONDS
    )
    for width in (400, 1300):
        front.set_viewport_size({"width": width, "height": 900})
        assert front.evaluate("document.documentElement.scrollWidth") <= width
        guide, first = front.locator("#guide").bounding_box(), listing.bounding_box()
        assert guide is not None
        assert first is not None
        assert guide["y"] + guide["height"] < first["y"]
        assert len(listing.screenshot()) > 10_000
    listing.locator(".opblock-summary-control").click()


def test_a_list_shows_its_other_filters_on_demand_and_fits_three_screens(
    opened: Opened, server: Server
) -> None:
    page = opened(f"{server.url}/docs?collection=ops-tickets")
    listing = operation(page, "ops-tickets", "list")
    row = listing.locator('tr[data-param-name="severity__gte"]')
    expect(listing.locator('tr[data-param-name="severity"]')).to_be_visible(
        timeout=TIMEOUT_MILLISECONDS
    )
    expect(row).to_be_hidden()
    box = listing.bounding_box()
    assert box is not None
    assert box["height"] < 3 * 900
    listing.locator("button.fold").click()
    expect(row).to_be_visible()


def test_collections_and_the_service_stand_under_headings_of_their_own(
    front: Page, server: Server
) -> None:
    heading_of = """(id) => getComputedStyle(
        document.getElementById(id).closest(".opblock-tag-section"), "::before").content"""
    assert front.evaluate(heading_of, "operations-tag-transactions") == '"The service"'
    assert front.evaluate(heading_of, "operations-tag-ops-tickets") == "none"
    link = front.locator('a[href="collections/ops-tickets/openapi.json"]')
    expect(link).to_be_visible()
    with server.client() as client:
        assert client.get("/collections/ops-tickets/openapi.json").status_code == 200


def test_the_filter_box_narrows_the_collections(front: Page) -> None:
    tags = front.locator(".opblock-tag")
    assert tags.count() > 1
    box = front.locator(".operation-filter-input")
    box.fill("ops-t")
    expect(tags).to_have_count(1, timeout=TIMEOUT_MILLISECONDS)
    box.fill("")
    expect(tags).not_to_have_count(1, timeout=TIMEOUT_MILLISECONDS)


@pytest.mark.slow  # ten seconds of processor time
def test_where_there_are_many_collections_the_pages_list_and_search_the_same(
    opened: Opened, tmp_path: Path
) -> None:
    settings = {"MODELS": "tests.support.many_collections"}
    with serving(
        f"sqlite:///{tmp_path}/persist.db", tmp_path, settings=settings
    ) as server:
        page = opened(f"{server.url}/docs")
        console = page.context.new_page()
        console.goto(f"{server.url}/console")
        offered = page.locator("#collections li")
        links = console.locator("nav.side").get_by_role("link", name=re.compile("-"))
        expect(offered).to_have_count(12, timeout=TIMEOUT_MILLISECONDS)
        expect(links).to_have_text(offered.get_by_role("link").all_inner_texts())
        for search in (
            page.locator("#collections input"),
            console.get_by_label("Filter the collections"),
        ):
            search.fill("shelf 7")
        expect(offered).to_have_count(1)
        expect(links).to_have_count(1)
        offered.get_by_role("link").click()
        expect(page.locator("#operations-tag-shelves-07")).to_be_visible(
            timeout=TIMEOUT_MILLISECONDS
        )
        assert execute(operation(page, "shelves-07", "create")) == "201"
        page.goto(f"{server.url}/docs?service")
        expect(page.locator("#operations-tag-transactions")).to_be_visible(
            timeout=TIMEOUT_MILLISECONDS
        )
        assert page.locator(".opblock-tag").count() == 7


def test_the_pages_files_are_cached_for_good_under_an_address_of_their_version(
    server: Server,
) -> None:
    with server.client() as client:
        page = client.get("/docs")
        assert "script-src 'self'" in page.headers["content-security-policy"]
        for name in (
            "swagger-ui.css",
            "swagger-ui-bundle.js",
            "page.css",
            "page.js",
            "favicon.png",
        ):
            address = f"docs/assets/{VERSION}/{name}"
            assert address in page.text
            file = client.get(f"/{address}")
            assert file.status_code == 200
            assert "immutable" in file.headers["cache-control"]


@pytest.mark.parametrize(
    "path",
    [
        "docs/assets/0/page.js",
        f"docs/assets/{VERSION}/docs.py",
        "docs/assets/x/..%2fdocs.py",
    ],
)
def test_no_other_file_is_served(server: Server, path: str) -> None:
    assert httpx.get(f"{server.url}/{path}").status_code == 404


def test_where_keys_are_demanded_the_page_asks_for_one_and_shows_it(
    opened: Opened, tmp_path: Path
) -> None:
    settings = {"MODELS": "app.models", "HOST": "0.0.0.0"}
    with serving(
        f"sqlite:///{tmp_path}/persist.db", tmp_path, settings=settings
    ) as server:
        key = re.findall(r"^persist_\S+$", server.log.read_text(), re.MULTILINE)[0]
        page = opened(f"{server.url}/docs?collection=ops-tickets")
        field = page.get_by_placeholder("Key")
        expect(page.get_by_text("persist keys create")).to_be_visible()
        field.fill("wrong")
        field.press("Enter")
        expect(page.get_by_text("This key is not known here.")).to_be_visible(
            timeout=TIMEOUT_MILLISECONDS
        )
        assert page.locator(".opblock-tag").count() == 0
        field.fill(key)
        field.press("Enter")
        expect(page.locator("#operations-tag-ops-tickets")).to_be_visible(
            timeout=TIMEOUT_MILLISECONDS
        )
        assert execute(operation(page, "ops-tickets", "create")) == "201"
        page.get_by_role("button", name="Authorize").click()
        expect(page.get_by_text("Authorized")).to_be_visible(
            timeout=TIMEOUT_MILLISECONDS
        )
        page.reload()
        expect(page.locator("#operations-tag-ops-tickets")).to_be_visible(
            timeout=TIMEOUT_MILLISECONDS
        )
