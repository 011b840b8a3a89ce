"""The console in a real browser that can reach this service and nothing else."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from tests.browser.chromium import CHROMIUM, FLAGS
from tests.support.server import Server, serving

TIMEOUT_MILLISECONDS = 30_000
CSV = "name,born,number\nAda,1815-12-10,9007199254740993\nGrace,1906-12-09,2\n"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists(), reason=f"THE CONSOLE IS NOT TESTED: no {CHROMIUM}"
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("console")
    with serving(
        f"sqlite:///{folder}/persist.db", folder, settings={"MODELS": "app.models"}
    ) as server:
        yield server


@pytest.fixture
def service(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as client:
        yield client


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """A page that asks no other host, breaks no rule and has no error."""
    context = browser.new_context(base_url=server.url)
    context.set_default_timeout(TIMEOUT_MILLISECONDS)
    expect.set_options(timeout=TIMEOUT_MILLISECONDS)
    complaints: list[str] = []

    def cut_off(route: Route) -> None:
        if not route.request.url.startswith((f"{server.url}/", "data:", "blob:")):
            complaints.append(route.request.url)
        route.continue_()

    context.route("**/*", cut_off)
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text)
            if "Content Security Policy" in message.text
            else None
        ),
    )
    yield page
    context.close()
    assert complaints == []


def ticket(service: httpx.Client, **data: object) -> str:
    """Create a ticket; return its id."""
    body = {"title": "Disk full", "severity": 30} | data
    answer = service.post("/api/ops-tickets", json=body)
    return str(answer.raise_for_status().json()["id"])


def test_a_type_is_made_from_a_pasted_csv(page: Page, service: httpx.Client) -> None:
    page.goto("/")
    page.get_by_role("link", name="New type from CSV or JSON").click()
    page.locator("#paste").fill(CSV)
    page.get_by_label("Name", exact=True).fill("people")
    page.get_by_role("button", name="Make it with 2 records").click()
    expect(page).to_have_url(re.compile("/console/c/people$"))
    expect(page.get_by_role("gridcell", name="9007199254740993")).to_be_visible()
    schema = service.get("/collections/people").json()["schema"]
    assert schema["properties"]["born"] == {"type": "string", "format": "date"}
    assert schema["properties"]["number"] == {"type": "integer"}


def test_a_record_is_edited_and_taken_back_by_keyboard(
    page: Page, service: httpx.Client
) -> None:
    record = ticket(service, title="<img src=x onerror=alert(1)> \u202etxet")
    path = f"/api/ops-tickets/{record}"
    page.goto(f"/console/c/ops-tickets/{record}")
    severity = page.get_by_label("severity")
    severity.fill("many")
    expect(page.locator(".field.faulty .fault")).to_be_visible()
    severity.fill("40")
    expect(page.get_by_text("The service would take it")).to_be_visible()
    page.keyboard.press("Control+s")
    expect(page.get_by_text("Saved as revision 2.")).to_be_visible()
    assert service.get(path).json()["data"]["severity"] == 40
    page.get_by_role("button", name="Undo this").press("Enter")
    undo = page.get_by_role("button", name="Undo", exact=True)
    expect(undo).to_be_enabled()
    undo.press("Enter")
    expect(page.get_by_text("1 record taken back.")).to_be_visible()
    assert service.get(path).json()["data"]["severity"] == 30


def test_two_changes_of_one_record_are_merged(
    page: Page, service: httpx.Client
) -> None:
    record = ticket(service)
    path = f"/api/ops-tickets/{record}"
    page.goto(f"/console/c/ops-tickets/{record}")
    page.get_by_label("severity").fill("40")
    expect(page.get_by_text("The service would take it")).to_be_visible()
    service.patch(path, json={"title": "Disk nearly full"}).raise_for_status()
    page.get_by_role("button", name="Merge with mine").click()
    expect(page.get_by_text("Nothing overlaps")).to_be_visible()
    page.get_by_role("button", name="Save the merge").click()
    expect(page.get_by_text("Saved as revision 3.")).to_be_visible()
    data = service.get(path).json()["data"]
    assert (data["title"], data["severity"]) == ("Disk nearly full", 40)


def test_a_list_is_looked_at_as_it_was_and_a_record_brought_back(
    page: Page, service: httpx.Client
) -> None:
    record = ticket(service, title="Before")
    seq = service.get("/changes", params={"before": "now"}).json()["items"][0]["seq"]
    path = f"/api/ops-tickets/{record}"
    service.delete(path).raise_for_status()
    page.goto("/console/c/ops-tickets/trash")
    expect(page.get_by_role("gridcell", name="Before")).to_be_visible()
    page.goto(f"/console/c/ops-tickets?as_of={seq}&f=title%3DBefore")
    page.get_by_label(f"Select {record}").check()
    page.get_by_role("button", name="Bring back 1 record").click()
    page.get_by_role("button", name="Bring back", exact=True).click()
    expect(page.get_by_text("1 record brought back.")).to_be_visible()
    assert service.get(path).json()["data"]["title"] == "Before"


def test_a_list_is_filtered_and_opened_by_keyboard(
    page: Page, service: httpx.Client
) -> None:
    record = ticket(service, title="The one that is looked for")
    page.goto("/console")
    expect(page.get_by_role("heading", name="Home")).to_be_visible()
    page.keyboard.press("Control+k")
    page.get_by_label("Where to").fill("ops-tickets")
    page.keyboard.press("Enter")
    condition = page.get_by_label("Condition in CEL")
    condition.fill('data.title.contains("looked for")')
    condition.press("Enter")
    expect(page.get_by_text("1 record, all there are.")).to_be_visible()
    page.get_by_role("grid").press("Enter")
    expect(page).to_have_url(re.compile(record))
    expect(page.get_by_label("title")).to_have_value("The one that is looked for")
