"""Part three: a JSON Schema is registered as an entity type while the service runs."""

import json
from pathlib import Path
from typing import Any

from app.showcase.narrator import MERGE_PATCH, Narrator

EVENTS = "/api/audit-events"
TYPE = "/entity-types/audit-events"
DEFINITION = Path(__file__).parents[2] / "schemas" / "audit-event.json"


def record_login(narrator: Narrator) -> int:
    """Record a login as an audit event. Return the schema version of its type."""
    narrator.report.chapter("An audit event, from a JSON Schema")
    version: int = _register(narrator)["schema_version"]
    user = {"user_id": narrator.unique("u-42")}
    data = {"event_name": "user.login", "duration_ms": 41, "payload": user}
    expected = {"revision": 1, "schema_version": version, "data": data}
    event = narrator.call(
        "Record a login", "POST", EVENTS, json=data, status=201, expect=expected
    )
    path = f"{EVENTS}/{event['id']}"
    _change(narrator, path)
    _find(narrator, user["user_id"])
    narrator.report.chapter("What does not fit its schema")
    for title, wrong, pointer in WRONG:
        _refused(narrator, title, wrong, pointer)
    return version


def _register(narrator: Narrator) -> Any:
    if narrator.exists(TYPE):
        expected = {"name": "audit-events", "current": True}
        return narrator.call(
            "AuditEvent is registered", "GET", TYPE, status=200, expect=expected
        )
    definition = json.loads(DEFINITION.read_text())
    expected = {"name": "audit-events", "schema.title": "AuditEvent", "migrated": 0}
    return narrator.call(
        "Register AuditEvent", "PUT", TYPE, json=definition, status=201, expect=expected
    )


def _change(narrator: Narrator, path: str) -> None:
    narrator.call(
        "It took longer",
        "PATCH",
        path,
        json={"duration_ms": 47},
        headers=MERGE_PATCH,
        status=200,
        expect={"revision": 2, "data.event_name": "user.login", "data.duration_ms": 47},
    )
    command = f"{path}/commands/reattribute"
    source = {"source": "edge-proxy"}
    attributed = {
        "result": "user.login",
        "record.revision": 3,
        "record.data.source": "edge-proxy",
    }
    narrator.call(
        "A command names its source",
        "POST",
        command,
        json=source,
        status=200,
        expect=attributed,
    )
    unavailable = {"code": "command-unavailable"}
    narrator.call(
        "It has one now", "POST", command, json=source, status=409, expect=unavailable
    )


def _find(narrator: Narrator, user: str) -> None:
    narrator.call(
        "Find it by a nested member",
        "GET",
        f"{EVENTS}?payload.user_id={user}&event_name=user.login&count=true",
        status=200,
        expect={
            "total": 1,
            "items.0.data.duration_ms": 47,
            "items.0.data.source": "edge-proxy",
        },
    )


WRONG: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("Without event_name", {"duration_ms": 41}, "/event_name"),
    (
        "A duration of “x”",
        {"event_name": "user.login", "duration_ms": "x"},
        "/duration_ms",
    ),
    (
        "An unknown field",
        {"event_name": "user.login", "hostname": "edge-1"},
        "/hostname",
    ),
    ("null for event_name", {"event_name": None}, "/event_name"),
)


def _refused(
    narrator: Narrator, title: str, data: dict[str, Any], pointer: str
) -> None:
    expected = {"code": "invalid-data", "errors.0.pointer": pointer}
    narrator.call(title, "POST", EVENTS, json=data, status=422, expect=expected)
