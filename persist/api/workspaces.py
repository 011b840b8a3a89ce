"""Workspaces over HTTP: declaring, looking at and deleting them, and all their records
together."""

from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import Response

from persist.api.documented_bodies import Body
from persist.api.entity_types import sent
from persist.api.fastapi_errors import Asked
from persist.api.lists import list_together
from persist.api.query_params import controls, flag, pairs_of
from persist.api.responses import Answer, json_answer
from persist.api.snapshots import TAKEN, of_collection, take
from persist.api.write_requests import Writes
from persist.domain.access import Access, Level
from persist.domain.errors import Forbidden, InvalidPayload
from persist.domain.identifiers import COLLECTION_NAME
from persist.domain.workspace import Workspaces, collections_in
from persist.storage import workspace_changes
from persist.storage.database import Database
from persist.storage.snapshots import Selection
from persist.storage.unit_of_work import UnitOfWork
from persist.storage.writer import Isolation

BODY = Body(
    {"collections": ["catalog-products", "ops-tickets"]},
    "collections",
    collections={
        "type": "array",
        "uniqueItems": True,
        "items": {"type": "string"},
        "description": "What it is to hold, shown sorted. What goes must be empty.",
    },
)


Name = Annotated[str, Path(description="The workspace's name.", examples=["incident"])]


def workspace_router(database: Database, writes: Writes) -> APIRouter:  # noqa: C901 - a list of routes
    """The routes of workspaces; those of the collections inside them are
    ``api.collections``'."""
    router = APIRouter(tags=["workspaces"], prefix="/workspaces")

    @router.get(
        "/{workspace}/records",
        summary="Its records of all collections together",
        openapi_extra=PAGE,
    )
    async def records(workspace: Name, request: Asked) -> Response:
        await database.refresh()
        seen = _shown(request.access, workspace, database.catalog.workspaces)[
            "collections"
        ]
        layouts = [
            database.catalog.get(name)
            for name in database.catalog.names_in(workspace)
            if name in seen
        ]
        return sent(await list_together(database, layouts, workspace, request))

    @router.get("", summary="All workspaces")
    async def index(request: Asked) -> dict[str, Any]:
        await database.refresh()
        items = []
        for name in sorted(database.catalog.workspaces):
            with suppress(Forbidden):
                items.append(_shown(request.access, name, database.catalog.workspaces))
        return {"items": items}

    @router.get("/{workspace}", summary="One workspace")
    async def read(workspace: Name, request: Asked) -> dict[str, Any]:
        await database.refresh()
        return _shown(request.access, workspace, database.catalog.workspaces)

    @router.put(
        "/{workspace}",
        summary="Declare a workspace, or what it holds",
        openapi_extra=BODY,
        status_code=201,
    )
    async def put(workspace: Name, request: Asked) -> Response:
        request.access.require(Level.ADMIN, workspace=workspace)
        dry_run = flag(controls(pairs_of(request.query), ("dry_run",)), "dry_run")
        body = await request.body()
        collections = _collections(workspace, body)

        def operation(work: UnitOfWork) -> Answer:
            created = workspace_changes.declare(
                work, database.catalog, workspace, collections
            )
            shown = {"name": workspace, "collections": sorted(collections)}
            location = [(b"location", request.path.encode())] if created else []
            return json_answer(shown, 201 if created else 200, location)

        answer = await writes.perform(
            request,
            operation,
            body=body,
            isolation=Isolation.EXCLUSIVE,
            dry_run=dry_run,
        )
        await database.refresh()
        return sent(answer)

    @router.delete(
        "/{workspace}",
        summary="Delete a workspace",
        openapi_extra=FORCE,
        status_code=204,
    )
    async def delete(workspace: Name, request: Asked) -> Response:
        request.access.require(Level.ADMIN, workspace=workspace)
        control = controls(pairs_of(request.query), ("dry_run", "force"))
        force = flag(control, "force")

        def operation(work: UnitOfWork) -> Answer:
            workspace_changes.delete(
                work, database.catalog, workspace, request.origin, force=force
            )
            return Answer(204, b"", [])

        answer = await writes.perform(
            request,
            operation,
            isolation=Isolation.EXCLUSIVE,
            dry_run=flag(control, "dry_run"),
        )
        await database.refresh()
        return sent(answer)

    @router.get(
        "/{workspace}/snapshots",
        summary="The snapshots that hold something of a workspace",
    )
    async def snapshots(workspace: Name, request: Asked) -> Response:
        request.access.require(Level.ADMIN, workspace=workspace)
        await database.refresh()
        collections_in(database.catalog.workspaces, workspace)
        return sent(await of_collection(database, None, workspace, request))

    @router.post(
        "/{workspace}/snapshots",
        summary="Take a snapshot of a workspace",
        openapi_extra=TAKEN,
        status_code=201,
    )
    async def take_snapshot(workspace: Name, request: Asked) -> Response:
        request.access.require(Level.ADMIN, workspace=workspace)
        return sent(
            await take(database, writes, request, Selection(workspace=workspace))
        )

    return router


def _shown(access: Access, name: str, workspaces: Workspaces) -> dict[str, Any]:
    """A workspace as its reader sees it: with the collections that they may read.
    Raises ``Forbidden`` where that is none, whether or not there is such a workspace,
    and ``WorkspaceNotFound``."""
    seen = [
        each
        for each in workspaces.get(name, ())
        if access.allows(Level.READ, each, name)
    ]
    if not seen:
        access.require(Level.READ, workspace=name)
        collections_in(workspaces, name)
    return {"name": name, "collections": seen}


def _collections(workspace: str, body: bytes) -> list[str]:
    """The collections a body names. Raises ``InvalidPayload``."""
    if not COLLECTION_NAME.fullmatch(workspace):
        raise InvalidPayload(
            f"{workspace[:80]!r} cannot name a workspace: {COLLECTION_NAME.pattern}"
        )
    named: list[str] = BODY.read(body)["collections"]
    return named


PAGE: dict[str, Any] = {
    "description": (
        "By id, then collection. Filters and `filter` reach the envelope:"
        " `_created_at__gte=…`."
    ),
    "parameters": [
        {"$ref": f"#/components/parameters/{name}"}
        for name in ("limit", "cursor", "filter")
    ],
}
FORCE: dict[str, Any] = {
    "parameters": [
        {
            "name": "force",
            "in": "query",
            "description": (
                "Delete its records as well; without it, it has to be empty."
            ),
            "schema": {"type": "boolean", "default": False},
        }
    ]
}
