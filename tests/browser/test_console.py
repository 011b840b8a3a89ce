"""The console in a real browser that can reach this service and nothing else."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.console import MARKS, TICKETS, Opened, pages, ticket
from tests.support.server import Server, serving

CSV = "name,born,number\nAda,1815-12-10,9007199254740993\nGrace,1906-12-09,2\n"

pytestmark = MARKS


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
def opened(browser: Browser, server: Server) -> Iterator[Opened]:
    with pages(browser, server) as opened:
        yield opened


@pytest.fixture
def page(opened: Opened) -> Page:
    return opened()


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
    path = f"{TICKETS}/{record}"
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
    path = f"{TICKETS}/{record}"
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
    path = f"{TICKETS}/{record}"
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
