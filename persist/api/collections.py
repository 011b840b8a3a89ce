"""The collections' routes: one generic set, in front of FastAPI's own routing.

Finding the collection is one dictionary look-up, so a type that is registered at run
time is there by being in the registry, and the number of collections costs nothing.
"""

from collections.abc import Awaitable, Callable

from persist.api import bulk
from persist.api.deferred_validation import draft
from persist.api.lists import list_changes, list_records
from persist.api.patches import change_of
from persist.api.query_params import (
    conditions,
    controls,
    flag,
    natural,
    pairs_of,
    split,
)
from persist.api.requests import PATCH_TYPES, UNKNOWN, Request, json_object
from persist.api.responses import (
    JSON,
    Answer,
    Stream,
    etag,
    json_answer,
    record_text,
    row_text,
)
from persist.api.retry import retry_on_stale_schema
from persist.api.routes import (
    COLLECTION,
    COLLECTION_ROUTES,
    WORKSPACE,
    WORKSPACE_COLLECTION_ROUTES,
    Match,
    Route,
    level_of,
    tree_of,
)
from persist.api.selective_invoke import command_of, invoke_matching, payload_of
from persist.api.snapshots import of_collection, take
from persist.api.write_requests import Writes
from persist.domain import strict_json
from persist.domain.access import Level
from persist.domain.command import Command
from persist.domain.errors import (
    InvalidQuery,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
    RecordNotFound,
    RevisionNotFound,
)
from persist.domain.identifiers import is_canonical, new_id
from persist.domain.query import Query
from persist.domain.record import INT64, Record, dumps
from persist.storage.database import Database
from persist.storage.journal import past_record
from persist.storage.layout import Layout
from persist.storage.snapshots import Selection
from persist.storage.unit_of_work import RecordKey, UnitOfWork
from persist.storage.writer import Isolation

Reply = Answer | Stream
Handler = Callable[["Target", Request], Awaitable[Reply]]


class Target:
    """Where a request goes: a collection in a workspace, and what the rest of the path
    names."""

    __slots__ = ("id", "layout", "name", "type", "workspace")

    def __init__(
        self, layout: Layout, workspace: str, id: str = "", name: str = ""
    ) -> None:
        self.layout = layout
        self.type = layout.type
        self.workspace = workspace
        self.id = id
        self.name = name

    @property
    def key(self) -> RecordKey:
        """The record the path names."""
        return RecordKey(self.type.name, self.workspace, self.id)


class CollectionRoutes:
    """Answers everything below ``/api/`` and ``/workspaces/{workspace}/api/``."""

    def __init__(
        self, database: Database, writes: Writes, *, require_if_match: bool
    ) -> None:
        self._database = database
        self._writes = writes
        self._require = require_if_match
        self._resources = tree_of(COLLECTION_ROUTES, COLLECTION)
        self._in_workspaces = tree_of(
            WORKSPACE_COLLECTION_ROUTES, WORKSPACE + COLLECTION
        )
        self._handlers: dict[str, Handler] = {
            route.operation: getattr(self, route.operation)
            for route in COLLECTION_ROUTES
        }

    async def answer(
        self, request: Request, segments: list[str], workspace: str = ""
    ) -> Reply:
        """Return the answer to a request; ``segments`` is its path below ``/api/``.

        Raises ``Forbidden``, whether or not there is such a collection.
        """
        collection, *below = segments
        top = self._in_workspaces if workspace else self._resources
        matched = top.match(below)
        request.route = matched[0].path if matched else f"{top.path}/{UNKNOWN}"
        route = matched[0].routes.get(_method(request)) if matched else None
        level = level_of(request.method) if route is None else route.level
        request.access.require(level or Level.READ, collection, workspace)
        if workspace and _must_refresh(request, route):
            await self._database.refresh()
        return await retry_on_stale_schema(
            self._database,
            request,
            lambda: self._dispatch(request, collection, workspace, matched),
        )

    async def _dispatch(
        self, request: Request, collection: str, workspace: str, matched: Match | None
    ) -> Reply:
        layout = self._database.catalog.get(collection, workspace)
        if matched is None:
            raise NotFound(f"there is nothing at {request.path}")
        resource, parameters = matched
        id = parameters.get("id", "")
        if "id" in parameters and not is_canonical(id):
            raise RecordNotFound(
                f"{id[:80]!r} is no id: ids are canonical lower-case UUIDs"
            )
        route = resource.routes.get(_method(request))
        if route is not None:
            target = Target(layout, workspace, id, parameters.get("command", ""))
            return await self._handlers[route.operation](target, request)
        if request.method != "OPTIONS":
            raise MethodNotAllowed(request.method, resource.methods)
        headers = [(b"allow", ", ".join(resource.methods).encode())]
        if "PATCH" in resource.routes:
            headers.append((b"accept-patch", ", ".join(PATCH_TYPES).encode()))
        return Answer(204, b"", headers)

    # one record

    async def get(self, target: Target, request: Request) -> Answer:
        """The record, or as it was at ``?revision=``."""
        if request.query:
            revision = natural(
                controls(pairs_of(request.query), ("revision",)), "revision"
            )
            if revision is not None:
                return await self._past(target, request, revision)
        row = await self._database.find(target.layout, target.workspace, target.id)
        if row is None:
            raise RecordNotFound(f"{target.type.name} has no record {target.id}")
        tag = etag(row[1])
        precondition = request.precondition()
        if precondition.if_match and not precondition.match_names(tag[1].decode()):
            raise PreconditionFailed(
                f"If-Match does not hold: the record is at {tag[1].decode()}",
                revision=row[1],
            )
        if precondition.none_match_names(tag[1].decode()):
            return Answer(304, b"", [tag])
        return Answer(
            200, row_text(target.type.name, target.workspace, row).encode(), [JSON, tag]
        )

    async def _past(self, target: Target, request: Request, revision: int) -> Answer:
        name, workspace, id = target.type.name, target.workspace, target.id
        none_match = request.precondition()
        row = (
            None
            if revision not in INT64
            else await self._database.read(
                lambda reader: reader.revision(name, workspace, id, revision)
            )
        )
        record = past_record(name, workspace, row) if row is not None else None
        if (
            record is None
            and (current := await self._database.find(target.layout, workspace, id))
            is not None
        ):
            record = target.layout.record(
                workspace, current
            )  # its change may be erased or trimmed
        if record is None or record.revision != revision:
            raise RevisionNotFound(f"{name} has no revision {revision} of {id} to show")
        tag = etag(revision)
        return (
            Answer(304, b"", [tag])
            if none_match.none_match_names(tag[1].decode())
            else _shown(record)
        )

    async def replace(self, target: Target, request: Request) -> Answer:
        """PUT: replace the record, or create it under the client's id."""
        dry_run = _dry_run(request)
        body = await request.body()
        precondition = request.precondition(required=self._require)
        data = await draft(
            request, body, lambda: target.type.validate(json_object(body))
        )

        def operation(work: UnitOfWork) -> Answer:
            collection = work.collection(target.type, target.workspace, request.origin)
            record, created = collection.replace(target.id, data(), precondition)
            return _created(request.path, record) if created else _shown(record)

        return await self._writes.perform(
            request, operation, body=body, keys=[target.key], dry_run=dry_run
        )

    async def patch(self, target: Target, request: Request) -> Answer:
        """PATCH: merge patch or JSON Patch, by the body's media type."""
        dry_run = _dry_run(request)
        body = await request.body(PATCH_TYPES)
        precondition = request.precondition(required=self._require)
        media_type, limit = request.media_type(PATCH_TYPES), request.limits.body
        change = await draft(
            request, body, lambda: change_of(strict_json.parse(body), media_type, limit)
        )

        def operation(work: UnitOfWork) -> Answer:
            collection = work.collection(target.type, target.workspace, request.origin)
            return _shown(collection.patch(target.id, change(), precondition))

        return await self._writes.perform(
            request, operation, body=body, keys=[target.key], dry_run=dry_run
        )

    async def delete(self, target: Target, request: Request) -> Answer:
        """DELETE one record; its history stays."""
        dry_run = _dry_run(request)
        precondition = request.precondition(required=self._require)

        def operation(work: UnitOfWork) -> Answer:
            work.collection(target.type, target.workspace, request.origin).delete(
                target.id, precondition
            )
            return Answer(204, b"", [])

        return await self._writes.perform(
            request, operation, keys=[target.key], dry_run=dry_run
        )

    async def history(self, target: Target, request: Request) -> Answer:
        """The record's changes, newest first."""
        return await list_changes(
            self._database, target.layout, target.workspace, target.id, request
        )

    async def erase_history(self, target: Target, request: Request) -> Answer:
        """DELETE the data and payloads of a record's changes; what else they tell
        stays."""
        request.access.require(Level.ADMIN, target.type.name, target.workspace)
        dry_run = _dry_run(request)
        precondition = request.precondition()

        def operation(work: UnitOfWork) -> Answer:
            collection = work.collection(target.type, target.workspace, request.origin)
            erased = collection.erase_history(target.id, precondition)
            return json_answer({"erased": erased}) if dry_run else Answer(204, b"", [])

        return await self._writes.perform(
            request,
            operation,
            keys=[target.key],
            isolation=Isolation.SEPARATE,
            dry_run=dry_run,
        )

    # commands

    async def commands(self, target: Target, request: Request) -> Answer:
        """What can be done with the collection's records."""
        controls(pairs_of(request.query), ())
        await self._database.refresh()
        commands = self._database.catalog.get(target.type.name).type.commands
        return json_answer(
            {"items": [_command(commands[name]) for name in sorted(commands)]}
        )

    async def invoke(self, target: Target, request: Request) -> Answer:
        """Run a command on one record."""
        dry_run = _dry_run(request)
        command = command_of(target.type, target.name)
        body = await request.body()
        precondition = request.precondition(required=self._require)
        payload = await draft(request, body, lambda: payload_of(command, body))

        def operation(work: UnitOfWork) -> Answer:
            collection = work.collection(target.type, target.workspace, request.origin)
            result, record = collection.run(target.id, command, payload(), precondition)
            text = f'{{"result":{dumps(result)},"record":{record_text(record)}}}'
            return Answer(200, text.encode(), [JSON, etag(record.revision)])

        return await self._writes.perform(
            request, operation, body=body, keys=[target.key], dry_run=dry_run
        )

    async def invoke_all(self, target: Target, request: Request) -> Answer:
        """Run a command on every record that matches."""
        return await invoke_matching(
            self._writes, request, target.type, target.workspace, target.name
        )

    # the whole collection

    async def list(self, target: Target, request: Request) -> Answer:
        """A page of records."""
        return await list_records(
            self._database, target.layout, target.workspace, request
        )

    async def create(self, target: Target, request: Request) -> Answer:
        """POST: a new record under an id of the service's."""
        dry_run = _dry_run(request)
        body = await request.body()
        data = await draft(
            request, body, lambda: target.type.validate(json_object(body))
        )
        id = new_id()

        def operation(work: UnitOfWork) -> Answer:
            collection = work.collection(target.type, target.workspace, request.origin)
            return _created(f"{request.path}/{id}", collection.create(data(), id))

        return await self._writes.perform(
            request, operation, body=body, dry_run=dry_run
        )

    async def delete_matching(self, target: Target, request: Request) -> Answer:
        """DELETE by filter, up to ``max_affected`` records."""
        known = ("filter", "max_affected", "dry_run")
        control, filters = split(pairs_of(request.query), known)
        where, values = conditions(target.type, filters, control, known)
        most = natural(control, "max_affected", least=0)
        if where is None or most is None:
            raise InvalidQuery(
                "deleting many records takes at least one filter and max_affected"
            )
        query = Query(where, values)

        def operation(work: UnitOfWork) -> Answer:
            collection = work.collection(target.type, target.workspace, request.origin)
            return json_answer({"deleted": collection.delete_matching(query, most)})

        return await self._writes.perform(
            request,
            operation,
            isolation=Isolation.SEPARATE,
            dry_run=flag(control, "dry_run"),
        )

    async def import_records(self, target: Target, request: Request) -> Answer:
        """NDJSON in: all records or none."""
        dry_run = _dry_run(request)
        return await bulk.import_records(
            self._writes, target.type, target.workspace, request, dry_run=dry_run
        )

    async def export(self, target: Target, request: Request) -> Reply:
        """NDJSON out, from one moment."""
        return await bulk.export(
            self._database, target.layout, target.workspace, request
        )

    async def list_snapshots(self, target: Target, request: Request) -> Answer:
        """The snapshots that hold this collection."""
        controls(pairs_of(request.query), ())
        return await of_collection(
            self._database, target.type.name, target.workspace, request
        )

    async def take_snapshot(self, target: Target, request: Request) -> Answer:
        """Take a snapshot of this collection."""
        return await take(
            self._database,
            self._writes,
            request,
            Selection(target.type.name, target.workspace),
        )


def _method(request: Request) -> str:
    """Return the method to look for; HEAD works wherever GET does."""
    return "GET" if request.method == "HEAD" else request.method


def _must_refresh(request: Request, route: Route | None) -> bool:
    """Return whether a read in a workspace has to meet the present definitions first:
    an empty list does not show that its workspace exists, a record does."""
    if request.method not in ("GET", "HEAD"):
        return False
    return route is None or route.operation != "get" or bool(request.query)


def _dry_run(request: Request) -> bool:
    return (
        flag(controls(pairs_of(request.query), ("dry_run",)), "dry_run")
        if request.query
        else False
    )


def _shown(record: Record) -> Answer:
    return Answer(200, record_text(record).encode(), [JSON, etag(record.revision)])


def _created(location: str, record: Record) -> Answer:
    headers = [JSON, etag(record.revision), (b"location", location.encode())]
    return Answer(201, record_text(record).encode(), headers)


def _command(command: Command) -> dict[str, object]:
    return {
        "name": command.name,
        "description": command.description,
        "payload_schema": command.payload_schema,
    }
