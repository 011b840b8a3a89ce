"""The routes of collections and of the records of a workspace. They are answered before
FastAPI's own routing, which would take longer than the answer.

Finding a collection is one look-up in a dictionary. A type that is registered at run
time is there by being in the catalog, and the number of collections costs nothing.
The handlers of records are in ``record_reads``, ``record_writes`` and ``record_lists``.
"""

from collections.abc import Awaitable, Callable
from functools import partial

from persist.api import bulk
from persist.api.headers import PATCH_TYPES
from persist.api.query_params import (
    controls,
    flag,
    pairs_of,
)
from persist.api.record_lists import RecordLists
from persist.api.record_reads import RecordReads
from persist.api.record_writes import RecordWrites
from persist.api.requests import UNKNOWN, Request
from persist.api.responses import (
    Response,
    StreamedResponse,
    json_response,
    no_content,
)
from persist.api.route_tree import Match, tree_of
from persist.api.routes import (
    COLLECTION,
    COLLECTION_ROUTES,
    WORKSPACE,
    WORKSPACE_COLLECTION_ROUTES,
    WORKSPACE_RECORDS,
    Route,
    level_of,
)
from persist.api.snapshots import snapshots_holding, take
from persist.api.target import Target
from persist.api.workspaces import WorkspaceRoutes
from persist.api.write_requests import (
    Writes,
    retry_on_stale_schema,
)
from persist.domain.access import Level
from persist.domain.command import Command
from persist.domain.errors import (
    InvalidQuery,
    MethodNotAllowed,
    NotFound,
    RecordNotFound,
)
from persist.domain.identifiers import is_canonical
from persist.storage.database import Database
from persist.storage.snapshots.snapshot_store import Selection

Reply = Response | StreamedResponse
Handler = Callable[[Target, Request], Awaitable[Reply]]


class CollectionRoutes:
    """Answers everything below ``/api/`` and ``/workspaces/{workspace}/api/``."""

    def __init__(
        self,
        database: Database,
        writes: Writes,
        workspaces: WorkspaceRoutes,
        *,
        require_if_match: bool,
    ) -> None:
        self._database = database
        self._writes = writes
        self._workspaces = workspaces
        self._resources = tree_of(COLLECTION_ROUTES, COLLECTION)
        self._in_workspaces = tree_of(
            WORKSPACE_COLLECTION_ROUTES, WORKSPACE + COLLECTION
        )
        self._handlers = _handlers(
            RecordReads(database),
            RecordWrites(writes, require_if_match=require_if_match),
            RecordLists(database),
            self,
        )

    async def answer(self, request: Request) -> Reply | None:
        """Return the answer to a request, or None if its path is not about records.

        Raises ``Forbidden``, whether or not there is such a collection.
        """
        workspace, segments = _split_workspace(request.path)
        if workspace and segments == ["records"]:
            return await self._list_workspace(workspace, request)
        if segments[0] != "api" or len(segments) == 1:
            return None
        _, collection, *below = segments
        top = self._in_workspaces if workspace else self._resources
        matched = top.match(below)
        request.route = f"{top.path}/{UNKNOWN}"
        route = None
        if matched is not None:
            request.route = matched[0].path
            route = matched[0].routes.get(request.method)
        level = level_of(request.method) if route is None else route.level
        request.access.require(level or Level.READ, collection, workspace)
        if workspace and _must_refresh(request, route):
            await self._database.refresh()
        attempt = partial(
            self._dispatch,
            request,
            collection,
            workspace,
            matched,
            route,
        )
        return await retry_on_stale_schema(self._database, attempt)

    async def _list_workspace(self, workspace: str, request: Request) -> Reply | None:
        """List the records of a workspace, of all its collections."""
        if request.method not in ("GET", "HEAD"):
            return None
        request.route = WORKSPACE_RECORDS.path
        WORKSPACE_RECORDS.authorize(request.access, {"workspace": workspace})
        return await self._workspaces.list_workspace_records(workspace, request)

    async def _dispatch(
        self,
        request: Request,
        collection: str,
        workspace: str,
        matched: Match | None,
        route: Route | None,
    ) -> Reply:
        layout = self._database.catalog.get(collection, workspace)
        if matched is None:
            raise NotFound(f"there is nothing at {request.path}")
        resource, parameters = matched
        record_id = parameters.get("id", "")
        if "id" in parameters and not is_canonical(record_id):
            raise RecordNotFound(
                f"{record_id[:80]!r} is not an id: ids are canonical lower-case UUIDs"
            )
        if route is not None:
            command = parameters.get("command", "")
            target = Target(layout, layout.type, workspace, record_id, command)
            return await self._handlers[route.operation](target, request)
        if request.method != "OPTIONS":
            raise MethodNotAllowed(request.method, resource.methods)
        methods = ", ".join(resource.methods)
        response = no_content()
        response.raw_headers.append((b"allow", methods.encode()))
        if "PATCH" in resource.routes:
            types = ", ".join(PATCH_TYPES).encode()
            response.raw_headers.append((b"accept-patch", types))
        return response

    async def commands(self, target: Target, request: Request) -> Response:
        """Return the commands of the collection."""
        controls(pairs_of(request.query), ())
        # Reading records would notice a new schema version, but not new commands.
        await self._database.refresh()
        layout = self._database.catalog.get(target.type.name)
        commands = layout.type.commands
        items = [_described(commands[name]) for name in sorted(commands)]
        return json_response({"items": items})

    async def import_records(self, target: Target, request: Request) -> Response:
        """Create a record of each line of NDJSON, or none; with ``envelope`` store
        records as they were exported."""
        known = ("dry_run", "envelope", "on_conflict")
        control = controls(pairs_of(request.query), known)
        if flag(control, "envelope"):
            request.access.require(Level.ADMIN, target.type.name, target.workspace)
            async with self._database.job():
                return await bulk.import_envelopes(
                    self._writes,
                    target.layout,
                    target.workspace,
                    request,
                    control,
                )
        if "on_conflict" in control:
            raise InvalidQuery("on_conflict is for envelope=true only")
        async with self._database.job():
            return await bulk.import_records(
                self._writes,
                target.layout,
                target.workspace,
                request,
                dry_run=flag(control, "dry_run"),
            )

    async def export(self, target: Target, request: Request) -> StreamedResponse:
        """Return the records that match as NDJSON, from one moment."""
        return await bulk.export(
            self._database, target.layout, target.workspace, request
        )

    async def list_snapshots(self, target: Target, request: Request) -> Response:
        """Return the snapshots that hold this collection."""
        return await snapshots_holding(
            self._database, target.type.name, target.workspace, request
        )

    async def take_snapshot(self, target: Target, request: Request) -> Response:
        """Take a snapshot of this collection."""
        selection = Selection(target.type.name, target.workspace)
        async with self._database.job():
            return await take(self._database, self._writes, request, selection)


def _handlers(*subjects: object) -> dict[str, Handler]:
    """Return the handler of each route: the method that has the name of its
    operation."""
    return {
        route.operation: next(
            getattr(subject, route.operation)
            for subject in subjects
            if hasattr(subject, route.operation)
        )
        for route in COLLECTION_ROUTES
    }


def _split_workspace(path: str) -> tuple[str, list[str]]:
    """Return the workspace that a path names, ``""`` if none, and the segments behind
    it."""
    segments = path.split("/")[1:]
    if len(segments) > 2 and segments[0] == "workspaces" and segments[1]:
        return segments[1], segments[2:]
    return "", segments


def _must_refresh(request: Request, route: Route | None) -> bool:
    """Return whether a read in a workspace has to meet the present definitions first:
    an empty list does not show that its workspace exists, a record does."""
    if request.method not in ("GET", "HEAD"):
        return False
    is_get = route is not None and route.operation == "get"
    return not is_get or bool(request.query)


def _described(command: Command) -> dict[str, object]:
    return {
        "name": command.name,
        "description": command.description,
        "payload_schema": command.payload_schema,
    }
