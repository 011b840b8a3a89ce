"""Part two: a snapshot of an older schema version comes back through the migration plan."""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import httpx

from app.showcase.narrator import MERGE_PATCH, Narrator

TICKETS = "/api/ops-tickets"
FIXTURE = Path(__file__).parent / "fixtures" / "ops-tickets-v1.ndjson"
NDJSON = {"Content-Type": "application/x-ndjson"}


def restore_tickets(narrator: Narrator) -> None:
    """The story of two tickets of schema version 1, whose severities went from 1 to 5."""
    narrator.report.chapter("Two tickets of today")
    _open(narrator, "Database degraded", 30)
    _open(narrator, "API latency spike", 20)
    narrator.report.chapter("Two tickets of schema version 1")
    content = FIXTURE.read_text() if narrator.alone else renewed(FIXTURE.read_text())
    snapshot = _upload(narrator, content)
    degraded, spike = (narrator.made(f"{TICKETS}/{record['id']}") for record in _records(content))
    _restore(narrator, snapshot)
    _read(narrator, "Severity 4 became 40", degraded, 40, revision=3)
    _read(narrator, "Severity 2 became 20", spike, 20, revision=2)
    _restore_again(narrator, snapshot, degraded, spike)


def _open(narrator: Narrator, title: str, severity: int) -> None:
    narrator.call(
        f"Open “{title}”",
        "POST",
        TICKETS,
        json={"title": title, "severity": severity},
        status=201,
        expect={
            "revision": 1,
            "schema_version": 2,
            "data.severity": severity,
            "data.acknowledged": False,
            "data.migration_note": None,
        },
    )


def _upload(narrator: Narrator, content: str) -> str:
    manifest = narrator.call(
        "Upload a snapshot that was taken at schema version 1",
        "POST",
        "/snapshots",
        content=content.encode(),
        headers=NDJSON,
        status=201,
        expect={
            "records": 2,
            "collections.0.name": "ops-tickets",
            "collections.0.schema_version": 1,
            "collections.0.count": 2,
        },
    )
    path = f"/snapshots/{manifest['id']}"
    held = {"schema_versions": [1, 1], "severities": [4, 2]}
    narrator.call("Look into it", "GET", f"{path}/content", status=200, expect=held, read=_held)
    whole = {"ok": True, "records": 2}
    narrator.call("Verify it", "POST", f"{path}/verify", status=200, expect=whole)
    return str(manifest["id"])


def _restore(narrator: Narrator, snapshot: str) -> None:
    steps = {"current_version": 2, "steps.0.from": 1, "steps.0.to": 2}
    narrator.call("Ask for the plan", "GET", "/migration-plans/ops-tickets", status=200, expect=steps)
    expected = {
        "created": 2,
        "skipped": 0,
        "overwritten": 0,
        "migrated": 2,
        "collections.0.from_versions": {"1": 2},
        "collections.0.to_version": 2,
        "failures": [],
    }
    rehearsal = {"snapshot": snapshot, "dry_run": True}
    narrator.call("Rehearse", "POST", "/migrations", json=rehearsal, status=200, expect=expected)
    wanted = {"snapshot": snapshot}
    narrator.call("Restore it", "POST", "/migrations", json=wanted, status=201, expect=expected)


def _read(narrator: Narrator, title: str, path: str, severity: int, *, revision: int) -> None:
    expected = {
        "revision": revision,
        "schema_version": 2,
        "data.severity": severity,
        "data.migration_note": None,
    }
    narrator.call(title, "GET", path, status=200, expect=expected)


def _restore_again(narrator: Narrator, snapshot: str, degraded: str, spike: str) -> None:
    narrator.report.chapter("The same again, where the tickets are here already")
    refused = {"code": "restore-conflict", "failures.0.id": _id(degraded), "failures.1.id": _id(spike)}
    _run(narrator, "fail: refused", snapshot, "fail", 409, refused)
    narrator.call(
        "Raise a severity meanwhile",
        "PATCH",
        degraded,
        json={"severity": 50},
        headers=MERGE_PATCH,
        status=200,
        expect={"revision": 4, "data.severity": 50},
    )
    skipped = {"created": 0, "skipped": 2, "overwritten": 0}
    _run(narrator, "skip: what is here stays", snapshot, "skip", 201, skipped)
    _read(narrator, "Still at 50", degraded, 50, revision=4)
    overwritten = {"created": 0, "skipped": 0, "overwritten": 2}
    _run(narrator, "overwrite: what was then comes back", snapshot, "overwrite", 201, overwritten)
    _read(narrator, "At 40 again", degraded, 40, revision=5)


def _run(
    narrator: Narrator, title: str, snapshot: str, on_conflict: str, status: int, expect: dict[str, Any]
) -> None:
    wanted = {"snapshot": snapshot, "on_conflict": on_conflict}
    narrator.call(title, "POST", "/migrations", json=wanted, status=status, expect=expect)


def _id(path: str) -> str:
    return path.rpartition("/")[2]


def _records(content: str) -> list[Any]:
    return [json.loads(line) for line in content.splitlines()[1:-1]]


def _held(response: httpx.Response) -> dict[str, Any]:
    records = _records(response.text)
    return {
        "schema_versions": [record["schema_version"] for record in records],
        "severities": [record["data"]["severity"] for record in records],
    }


def renewed(content: str) -> str:
    """The same snapshot under ids that nobody has used, so that it can be shown anywhere, any number
    of times; its hashes are made anew."""
    head, *lines, _ = content.splitlines(keepends=True)
    manifest = json.loads(head)["manifest"] | {"id": str(uuid.uuid4())}
    fresh = sorted(str(uuid.uuid4()) for _ in lines)
    records = [line.replace(json.loads(line)["id"], id) for line, id in zip(lines, fresh, strict=True)]
    manifest["sha256"] = _sha256("".join(records))
    text = _line({"manifest": manifest}) + "".join(records)
    return text + _line({"end": {"records": len(records), "sha256": _sha256(text)}})


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
