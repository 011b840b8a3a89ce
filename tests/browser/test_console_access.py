"""The console for callers who may not do everything: what they may not do is neither
drawn nor sent."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.console import (
    MARKS,
    TICKETS,
    KeyRing,
    Opened,
    accepted,
    button,
    field,
    notice,
    pages,
    refusals,
    sign_in,
)
from tests.support.server import Server, serving
from tests.support.waiting import until

pytestmark = MARKS

WORKSPACE = "lab"
HIDDEN = ["New", "Act", "Save", "Erase", "Take a snapshot", "Undo this", "undo"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return KeyRing(f"sqlite:///{tmp_path_factory.mktemp('keys')}/persist.db")


@pytest.fixture(scope="module")
def admin(keys: KeyRing) -> str:
    return keys.make("admin", "*:admin")


@pytest.fixture(scope="module")
def server(
    keys: KeyRing, admin: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    settings = {"MODELS": "app.models", "REQUIRE_IF_MATCH": "true"}
    folder = tmp_path_factory.mktemp("guarded")
    with serving(keys.url, folder, settings=settings) as server:
        with server.client() as client:
            client.headers["Authorization"] = f"Bearer {admin}"
            workspace = {"collections": ["ops-tickets"]}
            client.put(f"/workspaces/{WORKSPACE}", json=workspace).raise_for_status()
            for path in (TICKETS, f"/workspaces/{WORKSPACE}{TICKETS}"):
                body = {"title": f"Disk full at {path}", "severity": 30}
                client.post(path, json=body).raise_for_status()
                spare = client.post(path, json=body).json()["id"]
                headers = {"If-Match": "*"}
                client.delete(f"{path}/{spare}", headers=headers).raise_for_status()
            client.post("/snapshots", json={"scope": "all"}).raise_for_status()
        yield server


@pytest.fixture
def opened(browser: Browser, server: Server) -> Iterator[Opened]:
    with pages(browser, server) as opened:
        yield opened


def walk(page: Page, prefix: str = "") -> None:
    """Go through the screens of the tickets by what is drawn."""
    listing = f"/console{prefix}/c/ops-tickets"
    page.goto(listing)
    row = page.get_by_role("row").nth(1)
    row.click()
    expect(field(page, "title")).to_be_visible()
    page.get_by_role("link", name="History", exact=True).click()
    expect(page.get_by_role("list", name="Revisions", exact=True)).to_be_visible()
    page.goto(f"{listing}/trash")
    expect(page.locator(".table-end")).to_contain_text("there are")
    page.goto("/console/types/ops-tickets")
    expect(page.get_by_role("heading", name="Schema", exact=True)).to_be_visible()
    page.goto("/console/changes")
    expect(page.locator(".stream > li").first).to_be_visible()
    page.wait_for_load_state("networkidle")


def assert_absent(page: Page, names: list[str]) -> None:
    for name in names:
        expect(button(page, name)).to_have_count(0)
        expect(page.get_by_role("link", name=name, exact=True)).to_have_count(0)


@pytest.mark.parametrize("scope", ["*:read", "ops-tickets:read"])
def test_a_key_that_reads_sees_no_way_to_write(
    opened: Opened, keys: KeyRing, scope: str
) -> None:
    page = opened()
    key = keys.make(f"reader {scope}", scope)
    sign_in(page, key)
    refused = refusals(page)
    assert_absent(page, ["Snapshots", "New type", "New type from CSV or JSON"])
    page.goto("/console/c/ops-tickets")
    expect(
        page.get_by_role("gridcell", name=f"Disk full at {TICKETS}", exact=True)
    ).to_be_visible()
    assert_absent(page, HIDDEN)
    walk(page)
    assert_absent(page, HIDDEN)
    for unknown in ("/console/snapshots", "/console/types/new"):
        page.goto(unknown)
        expect(page.get_by_text("Your key does not allow this.")).to_be_visible()
    assert refused == []


def test_a_key_of_a_workspace_sees_that_workspace_only(
    opened: Opened, keys: KeyRing
) -> None:
    page = opened()
    sign_in(page, keys.make("lab", f"*:admin@{WORKSPACE}"))
    refused = refusals(page)
    page.goto("/console")
    side = page.get_by_role("navigation")
    expect(side.get_by_role("link", name="ops-tickets", exact=True)).to_have_count(1)
    walk(page, f"/w/{WORKSPACE}")
    expect(page.locator(".stream > li")).to_have_count(3)
    page.goto(f"/console/w/{WORKSPACE}/c/ops-tickets")
    expect(page.get_by_role("link", name="New", exact=True)).to_be_visible()
    page.goto("/console/snapshots")
    button(page, "Take a snapshot").click()
    button(page, "Take it").click()
    expect(notice(page, "Taken: 1 record.")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert refused == []


def test_without_a_key_the_console_shows_nothing(opened: Opened) -> None:
    page = opened()
    page.goto("/console/c/ops-tickets")
    key = page.get_by_label("Key", exact=True)
    key.fill("persist_wrong")
    key.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    assert "ops-tickets" not in page.locator("body").inner_text()


def test_a_key_that_is_revoked_while_somebody_types_loses_nothing(
    opened: Opened, keys: KeyRing, admin: str, server: Server
) -> None:
    page = opened()
    key = keys.make("passing", "ops-tickets:write")
    sign_in(page, key)
    page.goto("/console/c/ops-tickets")
    page.get_by_role("row").nth(1).click()
    field(page, "severity").fill("41")
    expect(accepted(page)).to_be_visible()
    assert keys.stored.revoke("passing")
    with server.client() as client:
        client.headers["Authorization"] = f"Bearer {key}"
        until(lambda: client.get("/sessions").status_code == 401)
    field(page, "severity").fill("42")
    expect(page.locator(".banner", has_text="The session has ended.")).to_be_visible()
    page.get_by_label("Key", exact=True).fill(admin)
    button(page, "Sign in again").click()
    expect(page.locator(".banner", has_text="The session has ended.")).to_have_count(0)
    expect(field(page, "severity")).to_have_value("42")
    page.keyboard.press("Control+s")
    expect(notice(page, "Saved as revision 2.")).to_be_visible()


def test_where_preconditions_are_required_all_of_it_works(
    opened: Opened, keys: KeyRing
) -> None:
    page = opened()
    sign_in(page, keys.make("writer", "ops-tickets:write"))
    page.goto("/console/c/ops-tickets/new")
    field(page, "title").fill("Made here")
    severity = field(page, "severity")
    severity.fill("10")
    page.keyboard.press("Control+s")
    expect(page.locator(".envelope")).to_contain_text("revision 1 ")
    severity.fill("many")
    expect(page.locator(".verdict.bad")).to_contain_text("1 fault")
    severity.fill("20")
    page.keyboard.press("Control+s")
    expect(notice(page, "Saved as revision 2.")).to_be_visible()
    button(page, "ack").click()
    button(page.get_by_role("dialog"), "ack").click()
    expect(notice(page, re.compile("^ack: revision 3"))).to_be_visible()
    page.locator("summary", has_text="⋯").click()
    button(page, "Delete").click()
    button(page.get_by_role("dialog"), "Delete").click()
    expect(notice(page, "Deleted. It is in the trash.")).to_be_visible()
    page.goto("/console/c/ops-tickets/trash?f=title%3DMade here")
    page.get_by_label("Select all loaded rows", exact=True).check()
    button(page, "Bring back 1 record").click()
    button(page, "Bring back").click()
    expect(notice(page, "1 record brought back.")).to_be_visible()


def test_a_newcomer_finds_the_way_through_all_of_it(
    opened: Opened, keys: KeyRing, server: Server
) -> None:
    page = opened(timezone_id="UTC")
    sign_in(page, keys.make("newcomer", "*:admin"))
    rows = page.get_by_role("row")
    follow = page.get_by_role("navigation").get_by_role

    follow("link", name="New type", exact=True).click()
    page.locator("#paste").fill("name,born\nAda,1815-12-10\nGrace,1906-12-09\n")
    page.get_by_label("Name", exact=True).fill("people")
    button(page, "Create it with 2 records").click()
    expect(rows).to_have_count(3)

    page.get_by_role("gridcell", name="Ada", exact=True).click()
    field(page, "born").fill("1815-12-11")
    button(page, "Save").click()
    expect(notice(page, "Saved as revision 2.")).to_be_visible()
    record = page.url.rsplit("/", 1)[1]
    edited = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)

    until(lambda: datetime.now(UTC) > edited)
    with server.client() as colleague:
        key = keys.make("colleague", "people:write")
        headers = {"Authorization": f"Bearer {key}", "If-Match": "*"}
        body = {"name": "oops"}
        path = f"/api/people/{record}"
        colleague.patch(path, json=body, headers=headers).raise_for_status()
    expect(field(page, "name")).to_have_value("oops")
    page.get_by_role("link", name="History", exact=True).click()
    newest = page.get_by_role("list", name="Revisions").get_by_role("listitem").first
    expect(newest).to_contain_text("colleague")
    button(newest, "undo").click()
    button(page, "Undo").click()
    expect(notice(page, "1 record taken back.")).to_be_visible()

    follow("link", name="people", exact=True).click()
    button(page, "Look back").click()
    tuesday = edited - timedelta(days=(edited.weekday() - 1) % 7 or 7)
    page.get_by_label("Date and time", exact=True).fill(f"{tuesday:%FT%T}")
    expect(page.get_by_text("There was nothing then")).to_be_visible()
    page.get_by_label("Date and time", exact=True).fill(f"{edited:%FT%T}")
    expect(page.get_by_role("gridcell", name="1815-12-11", exact=True)).to_be_visible()
    button(page, "Back to now").click()

    restore(page)


def restore(page: Page) -> None:
    """Take a snapshot of the people, delete them, and restore it."""
    follow = page.get_by_role("navigation").get_by_role
    follow("link", name="Snapshots", exact=True).click()
    button(page, "Take a snapshot").click()
    page.get_by_role("combobox", name="Of", exact=True).select_option("people")
    button(page, "Take it").click()
    expect(notice(page, "Taken: 2 records.")).to_be_visible()
    follow("link", name="people", exact=True).click()
    page.get_by_label("Select all loaded rows", exact=True).check()
    page.get_by_text("Act on 2", exact=True).click()
    button(page, "Delete 2 selected records").click()
    button(page, "Delete 2 records").click()
    expect(notice(page, "2 records deleted.")).to_be_visible()
    follow("link", name="Snapshots", exact=True).click()
    button(page, "Restore").first.click()
    button(page, "Try it").click()
    expect(page.get_by_text("It would create 2 records")).to_be_visible()
    button(page.get_by_role("dialog"), "Restore").click()
    expect(notice(page, re.compile("^Restored: 2 created"))).to_be_visible()
    follow("link", name="people", exact=True).click()
    expect(page.get_by_role("gridcell", name="1815-12-11", exact=True)).to_be_visible()
