"""Migrations over HTTP: the plans, the runs, and the endpoint that restores a
snapshot."""

import asyncio
import inspect
import json
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from persist.api.documented_bodies import Body
from persist.api.entity_types import sent
from persist.api.fastapi_errors import Asked
from persist.api.query_params import controls, flag, pairs_of
from persist.api.requests import Request
from persist.api.responses import Answer, json_answer
from persist.api.snapshots import places_of
from persist.api.write_requests import Writes
from persist.domain.access import EVERY, Level
from persist.domain.entity_type import EntityType, Kind
from persist.domain.errors import (
    MigrationNotFound,
    PersistError,
    Unavailable,
    WorkspaceNotFound,
)
from persist.domain.identifiers import is_canonical
from persist.domain.migration import MigrationStep
from persist.domain.workspace import DEFAULT
from persist.storage.catalog import Stale
from persist.storage.database import Database
from persist.storage.layout import Layout
from persist.storage.migrator import step_statements
from persist.storage.restore import Restore, RestoreRequest
from persist.storage.restore_writer import OnConflict
from persist.storage.unit_of_work import UnitOfWork
from persist.storage.writer import Isolation

ATTEMPTS = 5

_INTO = (
    "Where to: null is the default workspace, any other must be declared. Left out,"
    " everything comes back where it was taken, and the workspaces of the snapshot that"
    " are not declared here are declared with it."
)
BODY = Body(
    {"snapshot": "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70", "on_conflict": "skip"},
    "snapshot",
    snapshot={"type": "string", "description": "Its id."},
    workspace={"type": ["string", "null"], "description": _INTO},
    on_conflict={"enum": [choice.value for choice in OnConflict], "default": "fail"},
    dry_run={"type": "boolean", "default": False},
    plan={"type": ["object", "null"]},
)


def migration_router(database: Database, writes: Writes) -> APIRouter:
    """The routes of migration plans and of their runs."""
    router = APIRouter(tags=["migrations"])

    async def plan(layout: Layout) -> dict[str, Any]:
        stored = await database.read(lambda reader: reader.versions(layout))
        return {
            "collection": layout.type.name,
            "kind": layout.type.kind.value,
            "current_version": layout.type.schema_version,
            "explanation": _explanation(layout.type),
            "steps": [_step(layout, step) for step in layout.type.plan.steps],
            "records": {
                str(version): count for version, count in sorted(stored.items())
            },
        }

    @router.get(
        "/migration-plans",
        summary="How data of older schema versions comes to the present",
    )
    async def plans(request: Asked) -> dict[str, Any]:
        request.access.require_some(Level.ADMIN)
        await database.refresh()
        layouts = [
            layout
            for name, layout in sorted(database.catalog.layouts.items())
            if request.access.allows(Level.ADMIN, name)
        ]
        return {"items": [await plan(layout) for layout in layouts]}

    @router.get(
        "/migration-plans/{collection}", summary="The migration plan of one collection"
    )
    async def plan_of(collection: str, request: Asked) -> dict[str, Any]:
        request.access.require(Level.ADMIN, collection)
        await database.refresh()
        return await plan(database.catalog.get(collection))

    @router.get("/migrations", summary="Every completed run, the newest first")
    async def index(request: Asked) -> dict[str, Any]:
        request.access.require_some(Level.ADMIN)
        reports = map(
            json.loads, await database.read(lambda reader: reader.migrations())
        )
        return {
            "items": [
                report
                for report in reports
                if request.access.allows_all(Level.ADMIN, _names(report))
            ]
        }

    @router.get("/migrations/{id}", summary="One completed run")
    async def read(id: str, request: Asked) -> dict[str, Any]:
        request.access.require_some(Level.ADMIN)
        text = None
        if is_canonical(id):
            text = await database.read(lambda reader: reader.migration(id))
        report: dict[str, Any] = json.loads(text or '{"collections":[]}')
        request.access.require_all(Level.ADMIN, _names(report))
        if text is None:
            raise MigrationNotFound(
                f"there is no migration {id[:80]!r}; GET /migrations lists them"
            )
        return report

    @router.post(
        "/migrations",
        summary="Restore a snapshot through the migration plans",
        openapi_extra=BODY,
        status_code=201,
    )
    async def restore(request: Asked) -> Response:
        request.access.require_some(Level.ADMIN)
        in_query = flag(controls(pairs_of(request.query), ("dry_run",)), "dry_run")
        body = await request.body()
        wanted = BODY.read(body)
        order = _order(wanted)
        dry_run = in_query or wanted["dry_run"]
        for _ in range(ATTEMPTS):
            await database.refresh()
            await _permit(database, request, order)
            with (
                closing(Restore(database.dialect, database.catalog, order)) as work,
                suppress(Stale),
            ):
                operation = await _prepared(database, work, order, request)
                answer = await writes.perform(
                    request,
                    operation,
                    body=body,
                    isolation=Isolation.EXCLUSIVE,
                    dry_run=dry_run,
                )
                await database.refresh()
                return sent(answer)
        raise Unavailable("the entity types of the snapshot keep changing; try again")

    return router


async def _permit(database: Database, request: Request, order: RestoreRequest) -> None:
    """Raise ``Forbidden`` unless the caller administers what the snapshot holds and
    where it goes: a type that has to be registered everywhere, and all of a workspace
    that has to be declared."""
    if request.access.allows(Level.ADMIN):
        return
    held, catalog = await places_of(database, order.snapshot), database.catalog
    wanted: list[tuple[str, str | None]] = [*held]
    for name, workspace in held:
        into = workspace if order.workspace is None else order.workspace
        wanted.append((name, into if name in catalog.layouts else None))
        if into != DEFAULT and into not in catalog.workspaces:
            wanted.append((EVERY, into))
    request.access.require_all(Level.ADMIN, wanted)


def _names(report: dict[str, Any]) -> list[tuple[str, None]]:
    """The collections of a run, in every workspace."""
    return [(collection["name"], None) for collection in report["collections"]]


async def _prepared(
    database: Database, work: Restore, order: RestoreRequest, request: Request
) -> Callable[[UnitOfWork], Answer]:
    """The operation that restores. Under an ``Idempotency-Key`` a refusal waits for its
    turn: a stored answer comes first."""
    refused: PersistError | None = None
    try:
        await asyncio.to_thread(
            work.prepare, database.snapshots.content(order.snapshot)
        )
    except PersistError as error:
        if request.idempotency_key is None:
            raise
        refused = error

    def operation(unit: UnitOfWork) -> Answer:
        if refused is not None:
            raise refused
        report = work.run(unit, request.origin)
        return json_answer(
            report, 201, [(b"location", f"/migrations/{report['id']}".encode())]
        )

    return operation


def _order(wanted: dict[str, Any]) -> RestoreRequest:
    """What a body asks for. Raises ``WorkspaceNotFound``."""
    if wanted.get("workspace") == DEFAULT:
        raise WorkspaceNotFound("the default workspace has no name: it is null")
    into = (wanted["workspace"] or DEFAULT) if "workspace" in wanted else None
    return RestoreRequest(
        wanted["snapshot"],
        into,
        OnConflict(wanted["on_conflict"]),
        wanted.get("plan") or {},
    )


def _explanation(type: EntityType) -> str:
    current, steps = type.schema_version, type.plan.steps
    if not steps:
        return (
            f"Schema version {current} has no way from older ones: data of them cannot"
            " be restored."
        )
    moment = (
        "when the type evolves"
        if type.kind is Kind.REGISTERED
        else "when the service starts"
    )
    return (
        f"Data of schema version {steps[0].from_version} or later comes to version"
        f" {current} step by step: stored records {moment}, those of a snapshot when it"
        " is restored. SQL only changes the table; each step's function or definition"
        " changes the data."
    )


def _step(layout: Layout, step: MigrationStep) -> dict[str, Any]:
    function = None if step.definition else inspect.getdoc(step.data)
    return {
        "from": step.from_version,
        "to": step.to_version,
        "description": step.description or function or "",
        "sql": step_statements(layout.dialect, layout.table.name, step),
        "function": function,
        "definition": dict(step.definition) or None,
    }
