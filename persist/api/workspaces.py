"""Workspaces over HTTP: declaring, reading and deleting them, and their records of all
collections. The collections inside them are answered by ``api.collections``."""

from contextlib import closing, suppress
from typing import Annotated

from fastapi import Path

from persist.api.fastapi_registration import AuthorizedRequest
from persist.api.pagination import page_response
from persist.api.parse_threads import parse_body, parse_query
from persist.api.past_reads import records_page
from persist.api.query_params import (
    ENVELOPE_ONLY,
    controls,
    dry_run_of,
    flag,
    pairs_of,
    workspace_listing,
)
from persist.api.render_threads import rendered
from persist.api.request_bodies import Body
from persist.api.requests import Request
from persist.api.responses import (
    Response,
    deleted_response,
    json_response,
    row_text,
)
from persist.api.selective_invoke import Invocation, invoke_on
from persist.api.snapshots import snapshots_holding, take
from persist.api.write_requests import (
    Write,
    Writes,
    parse_nothing,
    retry_on_stale_schema,
)
from persist.domain.access import EVERY, Access, Level
from persist.domain.errors import CommandNotFound, Forbidden, InvalidPayload
from persist.domain.identifiers import COLLECTION_NAME
from persist.domain.record import Json
from persist.domain.workspace import Workspaces, collections_in
from persist.storage.database import Database
from persist.storage.entity_types import workspace_changes
from persist.storage.long_operations.staging import Staging
from persist.storage.queries.result_size import of_records
from persist.storage.snapshots.snapshot_store import Selection
from persist.storage.writes.unit_of_work import UnitOfWork
from persist.storage.writes.writer import Isolation

Name = Annotated[str, Path(description="The workspace's name.", examples=["incident"])]


class WorkspaceRoutes:
    """The handlers of the routes of workspaces."""

    def __init__(self, database: Database, writes: Writes) -> None:
        self._database = database
        self._writes = writes

    async def list_workspaces(self, request: AuthorizedRequest) -> Json:
        """Return the workspaces of which the caller may read something."""
        await self._database.refresh()
        workspaces = self._database.catalog.workspaces
        items = []
        for name in sorted(workspaces):
            with suppress(Forbidden):
                items.append(_visible(request.access, name, workspaces))
        return {"items": items}

    async def read_workspace(self, workspace: Name, request: AuthorizedRequest) -> Json:
        """Return one workspace."""
        await self._database.refresh()
        return _visible(request.access, workspace, self._database.catalog.workspaces)

    async def declare_workspace(
        self, workspace: Name, request: AuthorizedRequest
    ) -> Response:
        """Declare a workspace, or change what it holds."""
        dry_run = dry_run_of(request.query)
        body = await request.body()

        def run(work: UnitOfWork, collections: list[str]) -> tuple[bool, list[str]]:
            catalog = self._database.catalog
            return workspace_changes.declare(
                work, catalog, workspace, collections
            ), sorted(collections)

        location = request.url_path(f"/workspaces/{workspace}").encode()

        def render(declared: tuple[bool, list[str]]) -> Response:
            created, collections = declared
            value = {"name": workspace, "collections": collections}
            if not created:
                return json_response(value)
            return json_response(value, 201, [(b"location", location)])

        write = Write(
            parse=lambda: parse_body(body, lambda: _collections(workspace, body)),
            run=run,
            render=render,
            body=body,
            isolation=Isolation.EXCLUSIVE,
            dry_run=dry_run,
        )
        response = await self._writes.perform(request, write)
        await self._database.refresh()
        return response

    async def delete_workspace(
        self, workspace: Name, request: AuthorizedRequest
    ) -> Response:
        """Delete a workspace that is empty, or with its records."""
        control = controls(pairs_of(request.query), ("dry_run", "force"))
        dry_run = flag(control, "dry_run")
        if flag(control, "force"):
            response = await retry_on_stale_schema(
                self._database,
                lambda: self._delete_with_records(workspace, request, dry_run=dry_run),
            )
        else:
            catalog = self._database.catalog
            write = Write(
                parse=parse_nothing,
                run=lambda work, _: workspace_changes.delete(work, catalog, workspace),
                render=lambda _: deleted_response(dry_run=dry_run),
                isolation=Isolation.EXCLUSIVE,
                dry_run=dry_run,
            )
            response = await self._writes.perform(request, write)
        await self._database.refresh()
        return response

    async def _delete_with_records(
        self, workspace: str, request: Request, *, dry_run: bool
    ) -> Response:
        database = self._database
        async with database.job():
            with closing(Staging(database.dialect)) as staging:
                deletion = workspace_changes.WorkspaceDelete(
                    staging, database.catalog, workspace, request.origin
                )
                write = Write(
                    parse=lambda: database.jobs.run(deletion.stage),
                    run=lambda work, _: deletion.store(work),
                    render=lambda _: deleted_response(dry_run=dry_run),
                    isolation=Isolation.EXCLUSIVE,
                    dry_run=dry_run,
                    staging=staging,
                )
                return await self._writes.perform(request, write)

    async def list_workspace_records(
        self, workspace: Name, request: AuthorizedRequest
    ) -> Response:
        """Return a page of its records of all collections, by id then collection."""
        await self._database.refresh()
        catalog = self._database.catalog
        visible = _visible(request.access, workspace, catalog.workspaces)
        layouts = [
            catalog.get(name)
            for name in catalog.names_in(workspace)
            if name in visible["collections"]
        ]
        asked = await parse_query(
            request.query, lambda: workspace_listing(workspace, request.query)
        )
        page = await records_page(self._database, layouts, workspace, asked)
        types = {layout.type.name: layout.type for layout in layouts}

        def render() -> Response:
            items = [
                row_text(types[collection], workspace, row)
                for _, collection, row in page.rows
            ]
            return page_response(
                request,
                f"/workspaces/{workspace}/records",
                items,
                page.cursor,
                erased=page.erased,
            )

        rows = [row for _, _, row in page.rows]
        return await rendered(request, render, rows, of_records)

    async def invoke_in_workspace(
        self, workspace: Name, command: str, request: AuthorizedRequest
    ) -> Response:
        """Run a command on every record that matches, of all its collections."""
        return await retry_on_stale_schema(
            self._database, lambda: self._invoke(workspace, command, request)
        )

    async def _invoke(
        self, workspace: str, command: str, request: AuthorizedRequest
    ) -> Response:
        await self._database.refresh()
        catalog = self._database.catalog
        names = catalog.workspaces.get(workspace, ()) or (EVERY,)
        request.access.require_all(Level.WRITE, [(name, workspace) for name in names])
        types = [
            catalog.get(name, workspace).type for name in catalog.names_in(workspace)
        ]
        if not any(command in entity_type.commands for entity_type in types):
            raise CommandNotFound(
                f"no collection of {workspace} has a command {command[:80]!r}"
            )
        invocation = Invocation(types, workspace, command, ENVELOPE_ONLY)
        return await invoke_on(self._writes, request, invocation)

    async def list_workspace_snapshots(
        self, workspace: Name, request: AuthorizedRequest
    ) -> Response:
        """Return the snapshots that hold something of a workspace."""
        await self._database.refresh()
        collections_in(self._database.catalog.workspaces, workspace)
        return await snapshots_holding(self._database, None, workspace, request)

    async def take_workspace_snapshot(
        self, workspace: Name, request: AuthorizedRequest
    ) -> Response:
        """Take a snapshot of a workspace."""
        selection = Selection(workspace=workspace)
        async with self._database.job():
            return await take(self._database, self._writes, request, selection)


def _visible(access: Access, name: str, workspaces: Workspaces) -> Json:
    """Return a workspace with those of its collections that the caller may read.

    Raises ``Forbidden`` if the caller may read none of them, even if the workspace does
    not exist, and ``WorkspaceNotFound``.
    """
    readable = [
        collection
        for collection in workspaces.get(name, ())
        if access.allows(Level.READ, collection, name)
    ]
    if not readable:
        access.require(Level.READ, workspace=name)
        collections_in(workspaces, name)
    return {"name": name, "collections": readable}


def _collections(workspace: str, body: bytes) -> list[str]:
    """Return the collections that a body names. Raises ``InvalidPayload``."""
    if not COLLECTION_NAME.fullmatch(workspace):
        raise InvalidPayload(
            f"{workspace[:80]!r} cannot name a workspace: {COLLECTION_NAME.pattern}"
        )
    named: list[str] = DECLARE_BODY.read(body)["collections"]
    return named


DECLARE_BODY = Body(
    {"collections": ["catalog-products", "ops-tickets"]},
    "collections",
    collections={
        "type": "array",
        "uniqueItems": True,
        "items": {"type": "string"},
        "description": (
            "The collections it is to contain, sorted in answers. One that is left out"
            " must be empty."
        ),
    },
)
