"""Part four: records of three types in one workspace, a command on those that know it,
a snapshot of such a workspace restored into another."""

from typing import Any

from app.showcase.narrator import Narrator
from app.showcase.snapshots import NDJSON, brought, records

HELD = ["audit-events", "catalog-products", "ops-tickets"]
PRODUCT = {"sku": "MOUSE-9", "title": "Pro Mouse", "price_cents": 4900}
TICKET = {"title": "Node pool overloaded", "severity": 40}
NOT_YET = {"acknowledged": False}
EVENT = {
    "event_name": "service.scale",
    "duration_ms": 12,
    "payload": {"service": "worker", "replicas": 8},
}


def respond(narrator: Narrator, event_version: int) -> None:
    """The story of an incident and all that belongs to it; ``event_version`` is that of
    the events."""
    narrator.report.chapter("One workspace, three types")
    workspace = _declared(narrator, "Declare a workspace", "incident", HELD)
    made = _fill(narrator, workspace)
    _together(narrator, workspace, made)
    _acknowledge(narrator, workspace, made["ops-tickets"])
    narrator.report.chapter(
        "A snapshot of such a workspace, from when products were at schema version 2"
    )
    _clone(narrator, event_version)


def _declared(narrator: Narrator, title: str, name: str, held: list[str]) -> str:
    path = f"/workspaces/{narrator.unique(name)}"
    body, expected = {"collections": held}, {"collections": held}
    narrator.call(title, "PUT", path, json=body, status=201, expect=expected)
    return path


def _fill(narrator: Narrator, workspace: str) -> dict[str, str]:
    """The id of a record of each type."""
    made: dict[str, str] = {}
    for title, collection, data, expect in (
        (
            "A product",
            "catalog-products",
            PRODUCT,
            {"schema_version": 3, "data.price_cents": 4900},
        ),
        (
            "A ticket",
            "ops-tickets",
            TICKET,
            {"data.severity": 40, "data.acknowledged": False},
        ),
        ("An audit event", "audit-events", EVENT, {"data.payload": EVENT["payload"]}),
    ):
        path = f"{workspace}/api/{collection}"
        expected = {"workspace": _name(workspace), "revision": 1} | expect
        record = narrator.call(
            title, "POST", path, json=data, status=201, expect=expected
        )
        made[collection] = record["id"]
    return made


def _together(narrator: Narrator, workspace: str, made: dict[str, str]) -> None:
    listed = {f"items.{number}.collection": name for number, name in enumerate(made)}
    path = f"{workspace}/records"
    narrator.call(
        "All of it", "GET", path, status=200, expect=listed | {"next_cursor": None}
    )
    outside = f"/api/catalog-products/{made['catalog-products']}"
    gone = {"code": "record-not-found"}
    narrator.call(
        "Outside of it nothing is seen", "GET", outside, status=404, expect=gone
    )


def _acknowledge(narrator: Narrator, workspace: str, ticket: str) -> None:
    narrator.call(
        "Acknowledge whatever can be",
        "POST",
        f"{workspace}/commands/ack",
        status=200,
        expect={
            "invoked": 1,
            "skipped": 2,
            "failed": 0,
            "outcomes.0.reason": "unsupported",
            "outcomes.1.id": ticket,
            "outcomes.1.status": "invoked",
            "outcomes.2.reason": "unsupported",
        },
    )
    path = f"{workspace}/api/ops-tickets/{ticket}"
    acknowledged = {"revision": 2, "data.acknowledged": True}
    narrator.call("The ticket is", "GET", path, status=200, expect=acknowledged)
    path, taken = (
        f"{workspace}/snapshots",
        {"records": 3, "collections.0.workspace": _name(workspace)},
    )
    narrator.call(
        "Take a snapshot of all of it", "POST", path, status=201, expect=taken
    )


def _clone(narrator: Narrator, event_version: int) -> None:
    content = brought(narrator, "incident-v2")
    told = {
        "records": 3,
        "collections.1.name": "catalog-products",
        "collections.1.schema_version": 2,
    }
    snapshot = narrator.call(
        "Upload it",
        "POST",
        "/snapshots",
        content=content.encode(),
        headers=NDJSON,
        status=201,
        expect=told,
    )["id"]
    clone = _declared(
        narrator, "Declare a new workspace, for two of the types", "drill", HELD[1:]
    )
    _refused(narrator, clone, snapshot)
    body, expected = {"collections": HELD}, {"collections": HELD}
    narrator.call(
        "Have it hold all three", "PUT", clone, json=body, status=200, expect=expected
    )
    paths = {
        record["collection"]: narrator.made(
            f"{clone}/api/{record['collection']}/{record['id']}"
        )
        for record in records(content)
    }
    counts = {
        "created": 3,
        "skipped": 0,
        "overwritten": 0,
        "migrated": 1 + (event_version > 1),
    }
    versions = {"collections.1.from_versions": {"2": 1}, "collections.1.to_version": 3}
    _restore(
        narrator, "Restore it there", clone, snapshot, "fail", 201, counts | versions
    )
    _look(narrator, paths, event_version)
    _restore_again(narrator, clone, snapshot)


def _refused(narrator: Narrator, clone: str, snapshot: str) -> None:
    refused = {"code": "collection-not-in-workspace"}
    path = f"{clone}/api/audit-events"
    narrator.call(
        "It does not hold events", "POST", path, json=EVENT, status=404, expect=refused
    )
    _restore(
        narrator,
        "So they cannot be restored there",
        clone,
        snapshot,
        "fail",
        404,
        refused,
    )


def _look(narrator: Narrator, paths: dict[str, str], event_version: int) -> None:
    for title, collection, version, expect in (
        (
            "4900 became 5400",
            "catalog-products",
            3,
            {"revision": 2, "data.price_cents": 5400},
        ),
        (
            "The ticket is unchanged",
            "ops-tickets",
            2,
            {"revision": 1} | _data(TICKET | NOT_YET),
        ),
        (
            "The event is unchanged",
            "audit-events",
            event_version,
            {"revision": 1} | _data(EVENT),
        ),
    ):
        expected = {"schema_version": version} | expect
        narrator.call(title, "GET", paths[collection], status=200, expect=expected)


def _restore_again(narrator: Narrator, clone: str, snapshot: str) -> None:
    narrator.report.chapter("The same again, where everything is here already")
    refused, skipped = (
        {"code": "restore-conflict"},
        {"created": 0, "skipped": 3, "overwritten": 0},
    )
    overwritten = {"created": 0, "skipped": 0, "overwritten": 3}
    _restore(
        narrator, "A second restore: refused", clone, snapshot, "fail", 409, refused
    )
    _restore(narrator, "Three are skipped", clone, snapshot, "skip", 201, skipped)
    _restore(
        narrator,
        "Three are overwritten",
        clone,
        snapshot,
        "overwrite",
        201,
        overwritten,
    )


def _restore(
    narrator: Narrator,
    title: str,
    workspace: str,
    snapshot: str,
    on_conflict: str,
    status: int,
    expect: dict[str, Any],
) -> None:
    wanted = {
        "snapshot": snapshot,
        "workspace": _name(workspace),
        "on_conflict": on_conflict,
    }
    narrator.call(
        title, "POST", "/migrations", json=wanted, status=status, expect=expect
    )


def _name(workspace: str) -> str:
    return workspace.rpartition("/")[2]


def _data(data: dict[str, Any]) -> dict[str, Any]:
    return {f"data.{name}": value for name, value in data.items()}
