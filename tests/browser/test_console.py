"""The console in a real browser that can reach this service and nothing else."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.console import (
    MARKS,
    TICKETS,
    Opened,
    accepted,
    button,
    field,
    notice,
    pages,
    paused,
    ticket,
)
from tests.support.server import Server

CSV = "name,born,number\nAda,1815-12-10,9007199254740993\nGrace,1906-12-09,2\n"

pytestmark = MARKS


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
    page.get_by_role("link", name="New type from CSV or JSON", exact=True).click()
    page.locator("#paste").fill(CSV)
    page.get_by_label("Name", exact=True).fill("people")
    button(page, "Create it with 2 records").click()
    expect(page).to_have_url(re.compile("/console/c/people$"))
    expect(
        page.get_by_role("gridcell", name="9007199254740993", exact=True)
    ).to_be_visible()
    schema = service.get("/collections/people").json()["schema"]
    assert schema["properties"]["born"] == {"type": "string", "format": "date"}
    assert schema["properties"]["number"] == {"type": "integer"}


def test_a_type_whose_rows_are_refused_is_not_made(
    page: Page, service: httpx.Client
) -> None:
    page.goto("/console/types/new")
    page.locator("#paste").fill('[{"big": 1}, {"big": 1e400}]')
    page.get_by_label("Name", exact=True).fill("refused")
    button(page, "Create it with 2 records").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    expect(button(page, "Create it with 2 records")).to_be_enabled()
    assert service.get("/collections/refused").status_code == 404


def test_a_record_is_edited_and_taken_back_by_keyboard(
    page: Page, service: httpx.Client
) -> None:
    record = ticket(service, title="<img src=x onerror=alert(1)> \u202etxet")
    path = f"{TICKETS}/{record}"
    page.goto(f"/console/c/ops-tickets/{record}")
    severity = field(page, "severity")
    severity.fill("many")
    expect(page.locator(".field.faulty .fault")).to_be_visible()
    severity.fill("40")
    expect(accepted(page)).to_be_visible()
    page.keyboard.press("Control+s")
    expect(notice(page, "Saved as revision 2.")).to_be_visible()
    assert service.get(path).json()["data"]["severity"] == 40
    button(page, "Undo this").press("Enter")
    undo = button(page, "Undo")
    expect(undo).to_be_enabled()
    undo.press("Enter")
    expect(notice(page, "1 record taken back.")).to_be_visible()
    assert service.get(path).json()["data"]["severity"] == 30


def test_an_undo_is_offered_while_nothing_was_written_since(
    page: Page, service: httpx.Client
) -> None:
    record = ticket(service)
    page.goto(f"/console/c/ops-tickets/{record}")
    severity = field(page, "severity")
    for revision, value in ((2, "40"), (3, "50")):
        severity.fill(value)
        expect(accepted(page)).to_be_visible()
        page.keyboard.press("Control+s")
        expect(notice(page, f"Saved as revision {revision}.")).to_be_visible()
        expect(button(page, "Undo this")).to_have_count(1)
    service.patch(f"{TICKETS}/{record}", json={"severity": 10}).raise_for_status()
    expect(severity).to_have_value("10")
    expect(button(page, "Undo this")).to_have_count(0)


def test_long_work_goes_on_where_its_screen_is_left(
    page: Page, service: httpx.Client
) -> None:
    requests = paused(page, "**/api/left/import")
    page.goto("/console/types/new")
    page.locator("#paste").fill(CSV)
    page.get_by_label("Name", exact=True).fill("left")
    button(page, "Create it with 2 records").click()
    under_way = page.get_by_role("progressbar", name="Importing 2 records", exact=True)
    expect(under_way).to_have_count(2)
    page.get_by_role("navigation").get_by_role("link", name="Home").click()
    expect(under_way).to_have_count(1)
    requests[0].continue_()
    expect(notice(page, "left has 2 records.")).to_be_visible()
    expect(under_way).to_have_count(0)
    expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()


def test_a_type_that_two_edit_has_what_both_stored(
    page: Page, service: httpx.Client
) -> None:
    address, schema = "/entity-types/shared", {"type": "object"}
    service.put(address, json={"schema": schema}).raise_for_status()
    page.goto("/console/types/shared")
    definition = page.get_by_label("Definition", exact=True)
    mine = json.loads(definition.input_value())
    mine["schema"]["title"] = "Mine"
    definition.fill(json.dumps(mine))
    save = button(page, "Save")
    expect(save).to_be_enabled()
    theirs = {"touch": {"set": {"touched": "true"}}}
    body = {"schema": schema, "commands": theirs}
    service.put(address, json=body).raise_for_status()
    save.click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody saved another")
    expect(save).to_be_enabled()
    save.click()
    expect(notice(page, "shared is at schema version 1.")).to_be_visible()
    stored = service.get(address).json()
    assert stored["schema"]["title"] == "Mine"
    assert list(stored["commands"]) == ["touch"]


def test_two_changes_of_one_record_are_merged(
    page: Page, service: httpx.Client
) -> None:
    record = ticket(service)
    path = f"{TICKETS}/{record}"
    page.goto(f"/console/c/ops-tickets/{record}")
    field(page, "severity").fill("40")
    expect(accepted(page)).to_be_visible()
    service.patch(path, json={"title": "Disk nearly full"}).raise_for_status()
    button(page, "Merge with mine").click()
    expect(page.get_by_text("Nothing overlaps")).to_be_visible()
    button(page, "Save the merge").click()
    expect(notice(page, "Saved as revision 3.")).to_be_visible()
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
    expect(page.get_by_role("gridcell", name="Before", exact=True)).to_be_visible()
    page.goto(f"/console/c/ops-tickets?as_of={seq}&f=title%3DBefore")
    page.get_by_label(f"Select {record}", exact=True).check()
    button(page, "Bring back 1 record").click()
    button(page, "Bring back").click()
    expect(notice(page, "1 record brought back.")).to_be_visible()
    assert service.get(path).json()["data"]["title"] == "Before"


def test_a_list_is_filtered_and_opened_by_keyboard(
    page: Page, service: httpx.Client
) -> None:
    record = ticket(service, title="The one that is looked for")
    page.goto("/console")
    expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()
    page.keyboard.press("Control+k")
    page.get_by_label("Where to", exact=True).fill("ops-tickets")
    page.keyboard.press("Enter")
    condition = page.get_by_label("Condition in CEL", exact=True)
    condition.fill('data.title.contains("looked for")')
    condition.press("Enter")
    expect(page.get_by_text("1 record, all there are.")).to_be_visible()
    page.get_by_role("grid").press("Enter")
    expect(page).to_have_url(re.compile(record))
    expect(field(page, "title")).to_have_value("The one that is looked for")


def test_many_records_are_acted_on_and_taken_back(
    page: Page, service: httpx.Client
) -> None:
    records = [ticket(service, title="One of three", severity=31) for _ in range(3)]
    page.goto("/console/c/ops-tickets?f=title%3DOne of three")
    page.get_by_label(f"Select {records[0]}", exact=True).check()
    page.get_by_label(f"Select {records[1]}", exact=True).check()
    page.get_by_text("Act on 2").click()
    button(page, "Run a command on 2 selected records").click()
    page.get_by_role("combobox", name="Command", exact=True).select_option("ack")
    button(page, "Try it").click()
    expect(page.get_by_text("It would change 2 records.")).to_be_visible()
    button(page, "Run on 2 records").click()
    expect(notice(page, "ack: 2 records changed.")).to_be_visible()
    assert [acknowledged(service, record) for record in records] == [True, True, False]
    button(page, "Undo this").click()
    button(page, "Undo").click()
    expect(notice(page, "2 records taken back.")).to_be_visible()
    assert not any(acknowledged(service, record) for record in records)
    page.get_by_text("Act", exact=True).click()
    button(page, "Delete all that match").click()
    button(page, "Delete 3 records").click()
    expect(notice(page, "3 records deleted.")).to_be_visible()
    expect(page.get_by_text("No record matches.")).to_be_visible()


def acknowledged(service: httpx.Client, record: str) -> bool:
    data = service.get(f"{TICKETS}/{record}").raise_for_status().json()["data"]
    return bool(data["acknowledged"])


def test_a_conflict_is_decided_member_by_member(
    opened: Opened, service: httpx.Client
) -> None:
    record = ticket(service, title="Before", severity=10)
    mine, theirs = opened(), opened()
    for page, title, severity in ((mine, "Mine", "20"), (theirs, "Theirs", "30")):
        page.goto(f"/console/c/ops-tickets/{record}")
        field(page, "title").fill(title)
        field(page, "severity").fill(severity)
        expect(accepted(page)).to_be_visible()
    theirs.keyboard.press("Control+s")
    expect(notice(theirs, "Saved as revision 2.")).to_be_visible()
    expect(mine.get_by_text("changed this record")).to_be_visible()
    expect(field(mine, "title")).to_have_value("Mine")
    mine.keyboard.press("Control+s")
    save = button(mine, "Save the merge")
    expect(save).to_be_disabled()
    mine.get_by_label("mine: Mine", exact=True).check()
    mine.get_by_label("theirs: 30", exact=True).check()
    save.click()
    expect(notice(mine, "Saved as revision 3.")).to_be_visible()
    data = service.get(f"{TICKETS}/{record}").json()["data"]
    assert (data["title"], data["severity"]) == ("Mine", 30)
    expect(field(theirs, "title")).to_have_value("Mine")


def test_a_history_is_paged_compared_and_erased(
    page: Page, service: httpx.Client
) -> None:
    record = ticket(service, title="Title 0")
    for number in range(1, 120):
        service.patch(f"{TICKETS}/{record}", json={"title": f"Title {number}"})
    page.goto(f"/console/c/ops-tickets/{record}/history")
    revisions = page.get_by_role("list", name="Revisions", exact=True).get_by_role(
        "listitem"
    )
    expect(revisions).to_have_count(100)
    button(page, "Older").click()
    expect(revisions).to_have_count(120)
    expect(button(page, "Older")).to_have_count(0)
    button(revisions.last, "compare with 120").click()
    expect(
        page.get_by_role("heading", name="Revision 1 → 120", exact=True)
    ).to_be_visible()
    button(page, "Erase").click()
    button(page, "Erase for ever").click()
    expect(notice(page, "Erased.")).to_be_visible()
    expect(page.get_by_text("data erased")).not_to_have_count(0)
    history = service.get(f"{TICKETS}/{record}/history").json()["items"]
    assert history[-1]["data"] is None


def test_the_trash_brings_records_back(page: Page, service: httpx.Client) -> None:
    records = [ticket(service, title="Deleted by mistake") for _ in range(12)]
    for record in records:
        service.delete(f"{TICKETS}/{record}").raise_for_status()
    page.goto("/console/c/ops-tickets/trash?f=title%3DDeleted by mistake")
    page.get_by_label("Select all loaded rows", exact=True).check()
    button(page, "Bring back 12 records").click()
    button(page, "Bring back").click()
    expect(notice(page, "12 records brought back.")).to_be_visible()
    expect(page.get_by_text("No record matches.")).to_be_visible()
    for record in records:
        service.get(f"{TICKETS}/{record}").raise_for_status()


def test_a_snapshot_is_taken_verified_and_restored(
    page: Page, service: httpx.Client
) -> None:
    record = ticket(service, title="Kept by a snapshot")
    page.goto("/console/snapshots")
    button(page, "Take a snapshot").click()
    page.get_by_label("Note", exact=True).fill("before the mistake")
    button(page, "Take it").click()
    expect(page.get_by_text("before the mistake")).to_be_visible()
    button(page, "Verify").first.click()
    expect(page.get_by_text("✓ verified")).to_be_visible()
    service.patch(f"{TICKETS}/{record}", json={"title": "A mistake"})
    button(page, "Compare with now").first.click()
    changed = page.get_by_role("dialog").get_by_role("row").nth(1)
    expect(changed).to_contain_text("patch")
    button(page, "Close").click()
    button(page, "Restore").first.click()
    page.get_by_role("radio", name=re.compile("^stay as they are")).check()
    button(page, "Try it").click()
    expect(page.get_by_text("To take back what changed since")).to_be_visible()
    expect(button(page.get_by_role("dialog"), "Restore")).to_be_disabled()
    page.get_by_role("radio", name=re.compile("^go back to what")).check()
    button(page, "Try it").click()
    expect(page.get_by_text("It would replace")).to_be_visible()
    button(page.get_by_role("dialog"), "Restore").click()
    expect(notice(page, re.compile("^Restored: "))).to_be_visible()
    data = service.get(f"{TICKETS}/{record}").json()["data"]
    assert data["title"] == "Kept by a snapshot"


def test_a_type_that_changes_under_an_open_form_changes_the_form(
    page: Page, service: httpx.Client
) -> None:
    text = {"type": "string"}
    closed = {"type": "object", "additionalProperties": False}
    first = closed | {"properties": {"name": text}}
    second = closed | {"properties": {"full_name": text, "born": text}}
    address = "/entity-types/renamed"
    service.put(address, json={"schema": first}).raise_for_status()
    body = {"name": "Ada"}
    record = service.post("/api/renamed", json=body).raise_for_status().json()["id"]
    page.goto(f"/console/c/renamed/{record}")
    field(page, "name").fill("Ada Lovelace")
    expect(accepted(page)).to_be_visible()
    migration = {"rename": {"name": "full_name"}}
    changed = {"schema": second, "migration": migration}
    service.put(address, json=changed).raise_for_status()
    expect(page.get_by_text("changed this record")).to_be_visible()
    expect(field(page, "born")).to_be_visible()
    expect(field(page, "name")).to_have_value('"Ada Lovelace"')
    field(page, "born").fill("1815")
    expect(page.locator(".verdict.bad")).to_contain_text("1 fault")
    button(page, "Discard mine").click()
    expect(field(page, "full_name")).to_have_value("Ada")


def test_a_keyboard_reaches_menus_dialogs_and_screens(
    page: Page, service: httpx.Client
) -> None:
    record = ticket(service)
    page.goto(f"/console/c/ops-tickets?f=_id%3D{record}")
    expect(page.get_by_role("row")).to_have_count(2)
    focused = page.locator(":focus")
    menu = page.locator("summary", has_text="Act")
    menu.focus()
    page.keyboard.press("ArrowDown")
    expect(focused).to_have_text("Run a command on all that match")
    page.keyboard.press("ArrowDown")
    expect(focused).to_have_text("Delete all that match")
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox", name="Command", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(menu).to_be_focused()
    page.keyboard.press("Control+k")
    page.keyboard.type("ops-tickets")
    page.keyboard.press("Enter")
    expect(page.get_by_role("grid")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("s")
    expect(page).to_have_url(re.compile("sort=title"))
    expect(page.get_by_role("grid")).to_be_focused()
    page.keyboard.press("End")
    last = page.locator("tr.active").get_attribute("aria-rowindex")
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    expect(field(page, "severity")).to_be_visible()
    page.go_back()
    expect(page.locator("tr.active")).to_have_attribute("aria-rowindex", str(last))
    expect(page.get_by_role("grid")).to_be_focused()
    page.keyboard.press("g")
    page.keyboard.press("c")
    expect(page).to_have_url(re.compile("/console/changes$"))


def test_a_change_is_proved(page: Page, service: httpx.Client) -> None:
    ticket(service)
    page.goto("/console/changes")
    button(page, "proof").first.click()
    expect(page.get_by_text("✓ The hash of this change")).to_be_visible()


LOOK = """(state) => {
    Object.defineProperty(document, "visibilityState", {value: state, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_tab_that_nobody_sees_follows_later(
    page: Page, service: httpx.Client
) -> None:
    record = ticket(service)
    page.goto(f"/console/c/ops-tickets?f=_id%3D{record}")
    expect(page.get_by_role("row")).to_have_count(2)
    with page.expect_event("requestfailed", lambda request: "/changes" in request.url):
        page.evaluate(LOOK, "hidden")
    service.patch(f"{TICKETS}/{record}", json={"severity": 50}).raise_for_status()
    page.evaluate(LOOK, "visible")
    button(page, "1 record changed since you looked").click()
    expect(page.get_by_role("gridcell", name="50", exact=True)).to_be_visible()


def test_an_address_that_nobody_meant_shows_a_page(page: Page) -> None:
    for address in (
        "%E0%A4%A",
        "c/no-such",
        "c/ops-tickets/no-such",
        "w/x/c/y",
        "types/z",
    ):
        page.goto(f"/console/{address}")
        expect(page.locator("main .note").first).to_be_visible()
    page.goto("/console/c/ops-tickets?as_of=yesterday&sort=x&f=y&q=(")
    expect(page.get_by_role("alert").first).to_be_visible()
