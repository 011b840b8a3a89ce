"""Migrations over HTTP: the plans, the runs, and the restore of a snapshot through the
plans."""

import inspect
import json
from contextlib import closing
from typing import Annotated

from fastapi import Path

from persist.api import pagination
from persist.api.fastapi_registration import AuthorizedRequest
from persist.api.query_params import controls, flag, page_size, pairs_of
from persist.api.request_bodies import Body
from persist.api.requests import Request
from persist.api.responses import Response, json_response
from persist.api.snapshots import contents_of
from persist.api.write_requests import Write, Writes, retry_on_stale_schema
from persist.domain.access import EVERY, Level
from persist.domain.entity_type import EntityType, Kind
from persist.domain.errors import MigrationNotFound, UniqueViolation, WorkspaceNotFound
from persist.domain.identifiers import is_canonical
from persist.domain.migration import MigrationStep
from persist.domain.record import Json
from persist.domain.workspace import DEFAULT
from persist.storage.database import Database
from persist.storage.layout import Layout
from persist.storage.long_operations.staging import Staging
from persist.storage.migrations.table_step import step_statements
from persist.storage.queries.result_size import fitting, of_reports
from persist.storage.reads.reader import LAST_ID, Reader
from persist.storage.snapshots.restore import Restore, RestoreRequest
from persist.storage.snapshots.restore_writer import OnConflict
from persist.storage.writes.writer import Isolation

MigrationId = Annotated[str, Path(alias="id")]

_WORKSPACE = (
    "Where to: null is the default workspace, any other must be declared. If it is"
    " left out, every record returns to the workspace it was taken from, and those that"
    " are not declared here are declared with it."
)
BODY = Body(
    {"snapshot": "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70", "on_conflict": "skip"},
    "snapshot",
    snapshot={"type": "string", "description": "Its id."},
    workspace={"type": ["string", "null"], "description": _WORKSPACE},
    on_conflict={"enum": [choice.value for choice in OnConflict], "default": "fail"},
    dry_run={"type": "boolean", "default": False},
    plan={"type": ["object", "null"]},
)


class MigrationRoutes:
    """The handlers of the routes of migration plans and of their runs."""

    def __init__(self, database: Database, writes: Writes) -> None:
        self._database = database
        self._writes = writes

    async def list_migration_plans(self, request: AuthorizedRequest) -> Json:
        """Return the plans of the collections that the caller administers."""
        await self._database.refresh()
        layouts = [
            layout
            for name, layout in sorted(self._database.catalog.layouts.items())
            if request.access.allows(Level.ADMIN, name)
        ]
        return {"items": [await self._plan(layout) for layout in layouts]}

    async def read_migration_plan(
        self, collection: str, request: AuthorizedRequest
    ) -> Json:
        """Return the plan of one collection."""
        await self._database.refresh()
        return await self._plan(self._database.catalog.get(collection))

    async def _plan(self, layout: Layout) -> dict[str, object]:
        stored = await self._database.read(lambda reader: reader.versions(layout))
        entity_type = layout.type
        steps = [_step(layout, step) for step in entity_type.plan.steps]
        records = {str(version): stored[version] for version in sorted(stored)}
        return {
            "collection": entity_type.name,
            "kind": entity_type.kind.value,
            "current_version": entity_type.schema_version,
            "explanation": _explanation(entity_type),
            "steps": steps,
            "records": records,
        }

    async def list_migrations(self, request: AuthorizedRequest) -> Response:
        """Return a page of the completed runs, the newest first.

        Those that the caller may not see count as items of the page.
        """
        control = controls(pairs_of(request.query), ("limit", "cursor"))
        bound = "migrations"
        before = LAST_ID
        if "cursor" in control:
            before = pagination.id_in(control["cursor"], bound)
        size = page_size(control)

        def read(reader: Reader) -> Response:
            rows = reader.migrations(before, size + 1)
            kept = fitting(rows, size, of_reports)
            cursor = None
            if kept < len(rows):
                cursor = pagination.encode(bound, [rows[kept - 1][0]])
            texts = [
                report
                for _, report in rows[:kept]
                if request.access.allows_all(
                    Level.ADMIN, _collections(json.loads(report))
                )
            ]
            return pagination.page_response(request, request.path, texts, cursor)

        return await self._database.read(read, brief=False)

    async def read_migration(
        self, migration_id: MigrationId, request: AuthorizedRequest
    ) -> Json:
        """Return one completed run."""
        text = None
        if is_canonical(migration_id):
            text = await self._database.read(
                lambda reader: reader.migration(migration_id)
            )
        if text is None:
            request.access.require(Level.ADMIN)
            shortened = repr(migration_id[:80])
            raise MigrationNotFound(
                f"there is no migration {shortened}; GET /migrations lists them"
            )
        report: Json = json.loads(text)
        collections = _collections(report)
        request.access.require_all(Level.ADMIN, collections)
        return report

    async def restore(self, request: AuthorizedRequest) -> Response:
        """Restore a snapshot through the migration plans, and return the report."""
        control = controls(pairs_of(request.query), ("dry_run",))
        body = await request.body()
        wanted = BODY.read(body)
        dry_run = flag(control, "dry_run") or wanted["dry_run"]
        restore_request = _request(wanted)

        async def attempt() -> Response:
            await self._database.refresh()
            await self._require(request, restore_request)
            return await self._restore(request, restore_request, body, dry_run=dry_run)

        async with self._database.job():
            response = await retry_on_stale_schema(self._database, attempt)
        await self._database.refresh()
        return response

    async def _restore(
        self,
        request: Request,
        restore_request: RestoreRequest,
        body: bytes,
        *,
        dry_run: bool,
    ) -> Response:
        database = self._database
        jobs = database.jobs
        with closing(Staging(database.dialect)) as staging:
            restore = Restore(
                staging, database.catalog, restore_request, request.origin
            )

            async def parse() -> None:
                await jobs.run(restore.prepare, database.snapshots)
                if restore.is_exclusive:
                    write.isolation = Isolation.EXCLUSIVE

            def render(report: Json) -> Response:
                location = request.url_path(f"/migrations/{report['id']}")
                header = (b"location", location.encode())
                return json_response(
                    report,
                    201,
                    [header],
                )

            write = Write(
                parse=parse,
                run=lambda work, _: restore.run(work),
                render=render,
                body=body,
                isolation=Isolation.SEPARATE,
                dry_run=dry_run,
                staging=staging,
            )
            try:
                return await self._writes.perform(request, write)
            except UniqueViolation as error:
                raise await jobs.run(restore.writer.refusal, error) from None

    async def _require(self, request: Request, restore_request: RestoreRequest) -> None:
        """Raise ``Forbidden`` unless the caller administers what the snapshot holds and
        where it goes: every workspace of a type that has to be registered, and all of a
        workspace that has to be declared."""
        if request.access.allows(Level.ADMIN):
            return
        taken = await contents_of(self._database, restore_request.snapshot)
        catalog = self._database.catalog
        required: list[tuple[str, str | None]] = [*taken]
        for name, workspace in taken:
            into = (
                workspace
                if restore_request.workspace is None
                else restore_request.workspace
            )
            is_known = name in catalog.layouts
            required.append((name, into if is_known else None))
            is_declared = into == DEFAULT or into in catalog.workspaces
            if not is_declared:
                required.append((EVERY, into))
        request.access.require_all(Level.ADMIN, required)


def _collections(report: Json) -> list[tuple[str, None]]:
    """Return the collections of a run, in every workspace."""
    return [(collection["name"], None) for collection in report["collections"]]


def _request(wanted: Json) -> RestoreRequest:
    """Return the restore that a body asks for. Raises ``WorkspaceNotFound``."""
    workspace = wanted.get("workspace")
    if workspace == DEFAULT:
        raise WorkspaceNotFound("the default workspace has no name: it is null")
    if "workspace" in wanted:
        workspace = workspace or DEFAULT
    conflict = OnConflict(wanted["on_conflict"])
    plan = wanted.get("plan") or {}
    return RestoreRequest(wanted["snapshot"], workspace, conflict, plan)


def _explanation(entity_type: EntityType) -> str:
    current = entity_type.schema_version
    steps = entity_type.plan.steps
    if not steps:
        return (
            f"No plan leads from older schema versions to {current}: data of them"
            " cannot be restored."
        )
    moment = "when the service starts"
    if entity_type.kind is Kind.REGISTERED:
        moment = "when the type evolves"
    return (
        f"Data of schema version {steps[0].from_version} or later comes to version"
        f" {current} step by step: stored records {moment}, those of a snapshot when it"
        " is restored. SQL only changes the table; each step's function or definition"
        " changes the data."
    )


def _step(layout: Layout, step: MigrationStep) -> dict[str, object]:
    function = None if step.definition else inspect.getdoc(step.data)
    statements = step_statements(layout.dialect, layout.table.name, step)
    return {
        "from": step.from_version,
        "to": step.to_version,
        "description": step.description or function or "",
        "sql": statements,
        "function": function,
        "definition": dict(step.definition) or None,
    }
