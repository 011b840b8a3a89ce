"""Part four: records of three types in one workspace.

A command runs on those that have it, and a snapshot is restored into another workspace.
"""

from typing import Any

from app.showcase.narrator import Narrator
from app.showcase.snapshots import NDJSON, records, snapshot_content

TYPES = ["audit-events", "catalog-products", "ops-tickets"]
PRODUCT = {"sku": "MOUSE-9", "title": "Pro Mouse", "price_cents": 4900}
TICKET = {"title": "Node pool overloaded", "severity": 40}
NOT_YET = {"acknowledged": False}
EVENT = {
    "event_name": "service.scale",
    "duration_ms": 12,
    "payload": {"service": "worker", "replicas": 8},
}


def respond(narrator: Narrator, event_version: int) -> None:
    """Collect an incident in a workspace and clone the workspace.

    ``event_version`` is the schema version of audit events.
    """
    narrator.report.chapter("One workspace, three types")
    workspace = _declare(narrator, "Declare a workspace", "incident", TYPES)
    made = _fill(narrator, workspace)
    _list_all(narrator, workspace, made)
    _acknowledge(narrator, workspace, made["ops-tickets"])
    narrator.report.chapter(
        "A snapshot of such a workspace, from when products were at schema version 2"
    )
    _clone(narrator, event_version)


def _declare(narrator: Narrator, title: str, name: str, types: list[str]) -> str:
    path = f"/workspaces/{narrator.unique(name)}"
    body = {"collections": types}
    narrator.call(title, "PUT", path, json=body, status=201, expect=body)
    return path


def _fill(narrator: Narrator, workspace: str) -> dict[str, str]:
    """Create a record of each type. Return their ids by collection."""
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


def _list_all(narrator: Narrator, workspace: str, made: dict[str, str]) -> None:
    listed = {f"items.{number}.collection": name for number, name in enumerate(made)}
    path = f"{workspace}/records"
    narrator.call(
        "List all of it", "GET", path, status=200, expect=listed | {"next_cursor": None}
    )
    outside = f"/api/catalog-products/{made['catalog-products']}"
    not_found = {"code": "record-not-found"}
    narrator.call(
        "The default workspace has none of it",
        "GET",
        outside,
        status=404,
        expect=not_found,
    )


def _acknowledge(narrator: Narrator, workspace: str, ticket: str) -> None:
    narrator.call(
        "Acknowledge what can be acknowledged",
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
    narrator.call(
        "The ticket is acknowledged", "GET", path, status=200, expect=acknowledged
    )
    narrator.call(
        "Take a snapshot of all of it",
        "POST",
        f"{workspace}/snapshots",
        status=201,
        expect={"records": 3, "collections.0.workspace": _name(workspace)},
    )


def _clone(narrator: Narrator, event_version: int) -> None:
    content = snapshot_content(narrator, "incident-v2")
    expected = {
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
        expect=expected,
    )["id"]
    clone = _declare(
        narrator, "Declare a new workspace, for two of the types", "drill", TYPES[1:]
    )
    _refused(narrator, clone, snapshot)
    body = {"collections": TYPES}
    narrator.call(
        "Declare all three types", "PUT", clone, json=body, status=200, expect=body
    )
    paths = {
        record["collection"]: narrator.will_delete(
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
    _check_records(narrator, paths, event_version)
    _restore_again(narrator, clone, snapshot)


def _refused(narrator: Narrator, clone: str, snapshot: str) -> None:
    refused = {"code": "collection-not-in-workspace"}
    path = f"{clone}/api/audit-events"
    narrator.call(
        "It has no audit events", "POST", path, json=EVENT, status=404, expect=refused
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


def _check_records(
    narrator: Narrator, paths: dict[str, str], event_version: int
) -> None:
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
    narrator.report.chapter("The same again, where every record exists already")
    refused = {"code": "restore-conflict"}
    skipped = {"created": 0, "skipped": 3, "overwritten": 0}
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
    request = {
        "snapshot": snapshot,
        "workspace": _name(workspace),
        "on_conflict": on_conflict,
    }
    narrator.call(
        title, "POST", "/migrations", json=request, status=status, expect=expect
    )


def _name(workspace: str) -> str:
    return workspace.rpartition("/")[2]


def _data(data: dict[str, Any]) -> dict[str, Any]:
    return {f"data.{name}": value for name, value in data.items()}
