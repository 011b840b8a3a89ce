"""Part two: a command runs on the records that allow it, and an old snapshot is
restored."""

from typing import Any

from app.showcase.narrator import MERGE_PATCH, Narrator
from app.showcase.snapshots import NDJSON, records, snapshot_content

TICKETS = "/api/ops-tickets"


def restore_tickets(narrator: Narrator) -> None:
    """Escalate two tickets, then restore two of schema version 1.

    Version 1 rated severity from 1 to 5, the current one from 10 to 50.
    """
    narrator.report.chapter("Two tickets of today")
    _escalate(
        narrator,
        _open(narrator, "Database degraded", 30),
        _open(narrator, "API latency spike", 20),
    )
    narrator.report.chapter("Two tickets of schema version 1")
    content = snapshot_content(narrator, "ops-tickets-v1")
    snapshot = _upload(narrator, content)
    degraded, spike = (
        narrator.will_delete(f"{TICKETS}/{record['id']}") for record in records(content)
    )
    _restore(narrator, snapshot)
    _read(narrator, "Severity 4 became 40", degraded, 40, revision=3)
    _read(narrator, "Severity 2 became 20", spike, 20, revision=2)
    _restore_again(narrator, snapshot, degraded, spike)


def _open(narrator: Narrator, title: str, severity: int) -> str:
    record = narrator.call(
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
    return str(record["id"])


def _escalate(narrator: Narrator, major: str, minor: str) -> None:
    """Run a command on two records with one request: selective invoke."""
    narrator.call(
        "Escalate both: only a major fault does",
        "POST",
        f"{TICKETS}/commands/escalate?_id__in={major},{minor}",
        status=200,
        expect={
            "invoked": 1,
            "skipped": 1,
            "failed": 0,
            "outcomes.0.id": major,
            "outcomes.0.status": "invoked",
            "outcomes.0.result": 40,
            "outcomes.1.status": "skipped",
            "outcomes.1.reason": "unavailable",
        },
    )
    _read(narrator, "30 became 40", f"{TICKETS}/{major}", 40, revision=2)
    _read(narrator, "20 stayed 20", f"{TICKETS}/{minor}", 20, revision=1)


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
    narrator.call(
        "Read its content",
        "GET",
        f"{path}/content",
        status=200,
        expect={"schema_versions": [1, 1], "severities": [4, 2]},
        read=_summary,
    )
    verified = {"ok": True, "records": 2}
    narrator.call("Verify it", "POST", f"{path}/verify", status=200, expect=verified)
    return str(manifest["id"])


def _restore(narrator: Narrator, snapshot: str) -> None:
    steps = {"current_version": 2, "steps.0.from": 1, "steps.0.to": 2}
    narrator.call(
        "Ask for the plan",
        "GET",
        "/migration-plans/ops-tickets",
        status=200,
        expect=steps,
    )
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
    narrator.call(
        "Rehearse", "POST", "/migrations", json=rehearsal, status=200, expect=expected
    )
    request = {"snapshot": snapshot}
    narrator.call(
        "Restore it", "POST", "/migrations", json=request, status=201, expect=expected
    )


def _read(
    narrator: Narrator, title: str, path: str, severity: int, *, revision: int
) -> None:
    expected = {
        "revision": revision,
        "schema_version": 2,
        "data.severity": severity,
        "data.migration_note": None,
    }
    narrator.call(title, "GET", path, status=200, expect=expected)


def _restore_again(
    narrator: Narrator, snapshot: str, degraded: str, spike: str
) -> None:
    narrator.report.chapter("The same again, where the tickets exist already")
    refused = {
        "code": "restore-conflict",
        "failures.0.id": _id(degraded),
        "failures.1.id": _id(spike),
    }
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
    _run(narrator, "skip: existing tickets stay", snapshot, "skip", 201, skipped)
    _read(narrator, "Still at 50", degraded, 50, revision=4)
    overwritten = {"created": 0, "skipped": 0, "overwritten": 2}
    _run(
        narrator,
        "overwrite: the snapshot replaces them",
        snapshot,
        "overwrite",
        201,
        overwritten,
    )
    _read(narrator, "At 40 again", degraded, 40, revision=5)


def _run(
    narrator: Narrator,
    title: str,
    snapshot: str,
    on_conflict: str,
    status: int,
    expect: dict[str, Any],
) -> None:
    request = {"snapshot": snapshot, "on_conflict": on_conflict}
    narrator.call(
        title, "POST", "/migrations", json=request, status=status, expect=expect
    )


def _id(path: str) -> str:
    return path.rpartition("/")[2]


def _summary(content: str) -> dict[str, Any]:
    found = records(content)
    return {
        "schema_versions": [record["schema_version"] for record in found],
        "severities": [record["data"]["severity"] for record in found],
    }
