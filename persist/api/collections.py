"""The collections' routes: one generic set, in front of FastAPI's own routing.

Finding the collection is one dictionary look-up, so a type that is registered at run
time is there by being in the registry, and the number of collections costs nothing.
"""

from collections.abc import Awaitable, Callable

from persist.api.authentication import level_of
from persist.api.bulk import export, import_records
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
from persist.storage.writer import Mode

COLLECTION = "/api/{collection}"
BELOW = {("history", 3): "/{id}/history", ("commands", 4): "/{id}/commands/{command}"}
"""The templates of what lies below a record, by its name and the length of the path."""

Reply = Answer | Stream
Handler = Callable[["Resource", Request], Awaitable[Reply]]


class Resource:
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
        self._collection: dict[str, dict[str, Handler]] = {
            "": {"GET": self.list, "POST": self.create, "DELETE": self.delete_matching},
            "commands": {"GET": self.commands},
            "import": {"POST": self.import_},
            "export": {"GET": self.export},
            "snapshots": {"GET": self.snapshots, "POST": self.take_snapshot},
        }
        self._record: dict[str, Handler] = {
            "GET": self.read,
            "PUT": self.replace,
            "PATCH": self.patch,
            "DELETE": self.delete,
        }
        self._below: dict[str, dict[str, Handler]] = {
            "history": {"GET": self.history, "DELETE": self.erase_history},
            "commands": {"POST": self.run},
        }
        self._matching: dict[str, Handler] = {"POST": self.invoke}

    async def answer(
        self, request: Request, parts: list[str], workspace: str = ""
    ) -> Reply:
        """The answer to a request; ``parts`` is the path behind ``/api/``. Raises
        ``Forbidden``, whether or not there is such a collection."""
        request.route = self._route(parts, workspace)
        request.access.require(level_of(request.method, parts[1:]), parts[0], workspace)
        by_key = (
            len(parts) == 2 and parts[1] not in self._collection and not request.query
        )
        if workspace and request.method in ("GET", "HEAD") and not by_key:
            await (
                self._database.refresh()
            )  # an empty list does not show that its workspace is there
        return await retry_on_stale_schema(
            self._database, request, lambda: self._answer(request, parts, workspace)
        )

    def _route(self, parts: list[str], workspace: str) -> str:
        """The template of a path, one of few whatever clients send."""
        if len(parts) == 2 and parts[1] not in self._collection:
            below = "/{id}"
        elif len(parts) < 3:
            below = "/" + parts[1] if parts[1:] and parts[1] else ""
        elif parts[1] == "commands" and len(parts) == 3:
            below = "/commands/{command}"
        else:
            below = BELOW.get((parts[2], len(parts)), "/" + UNKNOWN)
        return (
            f"/workspaces/{{workspace}}/api/{{collection}}{below}"
            if workspace
            else COLLECTION + below
        )

    async def _answer(
        self, request: Request, parts: list[str], workspace: str
    ) -> Reply:
        layout = self._database.catalog.get(parts[0], workspace)
        id = parts[1] if len(parts) > 1 else ""
        if len(parts) == 2 and id not in self._collection:
            handlers = self._record
        elif len(parts) < 3:
            return await self._dispatch(
                self._collection[id], Resource(layout, workspace), request
            )
        elif len(parts) == 3 and id == "commands":
            return await self._dispatch(
                self._matching, Resource(layout, workspace, "", parts[2]), request
            )
        else:
            if (parts[2], len(parts)) not in BELOW:
                raise NotFound(f"there is nothing at {request.path}")
            handlers = self._below[parts[2]]
        if not is_canonical(id):
            raise RecordNotFound(
                f"{id[:80]!r} is no id: ids are canonical lower-case UUIDs"
            )
        return await self._dispatch(
            handlers, Resource(layout, workspace, id, parts[-1]), request
        )

    async def _dispatch(
        self, handlers: dict[str, Handler], place: Resource, request: Request
    ) -> Reply:
        method = "GET" if request.method == "HEAD" else request.method
        handler = handlers.get(method)
        if handler is not None:
            return await handler(place, request)
        allowed = sorted(
            {*handlers, *(("HEAD",) if "GET" in handlers else ()), "OPTIONS"}
        )
        if method == "OPTIONS":
            patches = (
                [(b"accept-patch", ", ".join(PATCH_TYPES).encode())]
                if "PATCH" in handlers
                else []
            )
            return Answer(204, b"", [(b"allow", ", ".join(allowed).encode()), *patches])
        raise MethodNotAllowed(request.method, allowed)

    # one record

    async def read(self, place: Resource, request: Request) -> Answer:
        """The record, or as it was at ``?revision=``."""
        if request.query:
            revision = natural(
                controls(pairs_of(request.query), ("revision",)), "revision"
            )
            if revision is not None:
                return await self._past(place, request, revision)
        row = await self._database.find(place.layout, place.workspace, place.id)
        if row is None:
            raise RecordNotFound(f"{place.type.name} has no record {place.id}")
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
            200, row_text(place.type.name, place.workspace, row).encode(), [JSON, tag]
        )

    async def _past(self, place: Resource, request: Request, revision: int) -> Answer:
        name, workspace, id = place.type.name, place.workspace, place.id
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
            and (current := await self._database.find(place.layout, workspace, id))
            is not None
        ):
            record = place.layout.record(
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

    async def replace(self, place: Resource, request: Request) -> Answer:
        """PUT: replace the record, or create it under the client's id."""
        dry_run = _dry_run(request)
        body = await request.body()
        precondition = request.precondition(required=self._require)
        data = await draft(
            request, body, lambda: place.type.validate(json_object(body))
        )

        def operation(work: UnitOfWork) -> Answer:
            collection = work.collection(place.type, place.workspace, request.origin)
            record, created = collection.replace(place.id, data(), precondition)
            return _created(request.path, record) if created else _shown(record)

        return await self._writes.perform(
            request, operation, body=body, keys=[place.key], dry_run=dry_run
        )

    async def patch(self, place: Resource, request: Request) -> Answer:
        """PATCH: merge patch or JSON Patch, by the body's media type."""
        dry_run = _dry_run(request)
        body = await request.body(PATCH_TYPES)
        precondition = request.precondition(required=self._require)
        media_type, limit = request.media_type(PATCH_TYPES), request.limits.body
        change = await draft(
            request, body, lambda: change_of(strict_json.parse(body), media_type, limit)
        )

        def operation(work: UnitOfWork) -> Answer:
            collection = work.collection(place.type, place.workspace, request.origin)
            return _shown(collection.patch(place.id, change(), precondition))

        return await self._writes.perform(
            request, operation, body=body, keys=[place.key], dry_run=dry_run
        )

    async def delete(self, place: Resource, request: Request) -> Answer:
        """DELETE one record; its history stays."""
        dry_run = _dry_run(request)
        precondition = request.precondition(required=self._require)

        def operation(work: UnitOfWork) -> Answer:
            work.collection(place.type, place.workspace, request.origin).delete(
                place.id, precondition
            )
            return Answer(204, b"", [])

        return await self._writes.perform(
            request, operation, keys=[place.key], dry_run=dry_run
        )

    async def history(self, place: Resource, request: Request) -> Answer:
        """The record's changes, newest first."""
        return await list_changes(
            self._database, place.layout, place.workspace, place.id, request
        )

    async def erase_history(self, place: Resource, request: Request) -> Answer:
        """DELETE the data and payloads of a record's changes; what else they tell
        stays."""
        request.access.require(Level.ADMIN, place.type.name, place.workspace)
        dry_run = _dry_run(request)
        precondition = request.precondition()

        def operation(work: UnitOfWork) -> Answer:
            collection = work.collection(place.type, place.workspace, request.origin)
            erased = collection.erase_history(place.id, precondition)
            return json_answer({"erased": erased}) if dry_run else Answer(204, b"", [])

        return await self._writes.perform(
            request, operation, keys=[place.key], mode=Mode.ALONE, dry_run=dry_run
        )

    # commands

    async def commands(self, place: Resource, request: Request) -> Answer:
        """What can be done with the collection's records."""
        controls(pairs_of(request.query), ())
        await self._database.refresh()
        commands = self._database.catalog.get(place.type.name).type.commands
        return json_answer(
            {"items": [_command(commands[name]) for name in sorted(commands)]}
        )

    async def run(self, place: Resource, request: Request) -> Answer:
        """Run a command on one record."""
        dry_run = _dry_run(request)
        command = command_of(place.type, place.name)
        body = await request.body()
        precondition = request.precondition(required=self._require)
        payload = await draft(request, body, lambda: payload_of(command, body))

        def operation(work: UnitOfWork) -> Answer:
            collection = work.collection(place.type, place.workspace, request.origin)
            result, record = collection.run(place.id, command, payload(), precondition)
            text = f'{{"result":{dumps(result)},"record":{record_text(record)}}}'
            return Answer(200, text.encode(), [JSON, etag(record.revision)])

        return await self._writes.perform(
            request, operation, body=body, keys=[place.key], dry_run=dry_run
        )

    async def invoke(self, place: Resource, request: Request) -> Answer:
        """Run a command on every record that matches."""
        return await invoke_matching(
            self._writes, request, place.type, place.workspace, place.name
        )

    # the whole collection

    async def list(self, place: Resource, request: Request) -> Answer:
        """A page of records."""
        return await list_records(
            self._database, place.layout, place.workspace, request
        )

    async def create(self, place: Resource, request: Request) -> Answer:
        """POST: a new record under an id of the service's."""
        dry_run = _dry_run(request)
        body = await request.body()
        data = await draft(
            request, body, lambda: place.type.validate(json_object(body))
        )
        id = new_id()

        def operation(work: UnitOfWork) -> Answer:
            collection = work.collection(place.type, place.workspace, request.origin)
            return _created(f"{request.path}/{id}", collection.create(data(), id))

        return await self._writes.perform(
            request, operation, body=body, dry_run=dry_run
        )

    async def delete_matching(self, place: Resource, request: Request) -> Answer:
        """DELETE by filter, up to ``max_affected`` records."""
        known = ("filter", "max_affected", "dry_run")
        control, filters = split(pairs_of(request.query), known)
        where, values = conditions(place.type, filters, control, known)
        most = natural(control, "max_affected", least=0)
        if where is None or most is None:
            raise InvalidQuery(
                "deleting many records takes at least one filter and max_affected"
            )
        query = Query(where, values)

        def operation(work: UnitOfWork) -> Answer:
            collection = work.collection(place.type, place.workspace, request.origin)
            return json_answer({"deleted": collection.delete_matching(query, most)})

        return await self._writes.perform(
            request, operation, mode=Mode.ALONE, dry_run=flag(control, "dry_run")
        )

    async def import_(self, place: Resource, request: Request) -> Answer:
        """NDJSON in: all records or none."""
        dry_run = _dry_run(request)
        return await import_records(
            self._writes, place.type, place.workspace, request, dry_run=dry_run
        )

    async def export(self, place: Resource, request: Request) -> Reply:
        """NDJSON out, from one moment."""
        return await export(self._database, place.layout, place.workspace, request)

    async def snapshots(self, place: Resource, request: Request) -> Answer:
        """The snapshots that hold this collection."""
        controls(pairs_of(request.query), ())
        return await of_collection(
            self._database, place.type.name, place.workspace, request
        )

    async def take_snapshot(self, place: Resource, request: Request) -> Answer:
        """Take a snapshot of this collection."""
        return await take(
            self._database,
            self._writes,
            request,
            Selection(place.type.name, place.workspace),
        )


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
