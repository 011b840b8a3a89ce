"""The routes of collections, which are answered before FastAPI's own routing.

Finding a collection is one look-up in a dictionary. A type that is registered at run
time is there by being in the catalog, and the number of collections costs nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from persist.api import bulk, pagination
from persist.api.headers import PATCH_TYPES
from persist.api.pagination import page_response, rendered
from persist.api.past import page_as_of, record_as_of, trash_page
from persist.api.patches import change_of
from persist.api.query_filters import conditions
from persist.api.query_params import (
    controls,
    cursor_of,
    flag,
    listing,
    moment_of,
    natural,
    page_size,
    pairs_of,
    split,
    trash_listing,
)
from persist.api.request_bodies import Body
from persist.api.requests import UNKNOWN, Request, json_object
from persist.api.responses import (
    JSON,
    Response,
    StreamedResponse,
    change_text,
    created_response,
    deleted_response,
    deleted_text,
    etag,
    json_response,
    no_content,
    record_response,
    record_text,
    row_text,
    selected,
    with_computed,
)
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
from persist.api.snapshots import snapshots_holding, take
from persist.api.write_requests import (
    Write,
    Writes,
    nothing,
    parse_body,
    retry_on_stale_schema,
)
from persist.domain import strict_json
from persist.domain.access import Level
from persist.domain.collection import Collection, Invocation, Written
from persist.domain.command import Command
from persist.domain.entity_type import EntityType
from persist.domain.errors import (
    InvalidQuery,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
    RecordNotFound,
    RevisionNotFound,
)
from persist.domain.identifiers import is_canonical, new_id
from persist.domain.json_diff import json_patch_between
from persist.domain.query import Query
from persist.domain.record import INT64, Data, Record, dumps
from persist.storage.database import Database
from persist.storage.journal import past_record
from persist.storage.layout import Layout
from persist.storage.reader import Reader
from persist.storage.snapshots import Selection
from persist.storage.sql import Row
from persist.storage.unit_of_work import RecordKey, UnitOfWork
from persist.storage.weights import FEW_ROWS, fitting, of_changes, of_records
from persist.storage.writer import Isolation

LAST_REVISION = INT64[-1]
"""No revision is higher."""

REVERT_BODY = Body(
    {"to_revision": 2},
    "to_revision",
    to_revision={"type": "integer", "minimum": 1, "maximum": LAST_REVISION},
)

Reply = Response | StreamedResponse
Handler = Callable[["Target", Request], Awaitable[Reply]]


@dataclass(slots=True)
class Target:
    """What a request is about: a collection in a workspace, ``""`` the default one; the
    id of a record and the name of a command where the path has them."""

    layout: Layout
    type: EntityType
    workspace: str
    id: str
    command: str

    @property
    def path(self) -> str:
        """The path of the collection."""
        workspace = f"/workspaces/{self.workspace}" if self.workspace else ""
        return f"{workspace}/api/{self.type.name}"

    @property
    def record_path(self) -> str:
        """The path of the record."""
        return f"{self.path}/{self.id}"

    @property
    def key(self) -> RecordKey:
        """The record the path names."""
        return RecordKey(self.type.name, self.workspace, self.id)

    def collection(self, work: UnitOfWork, request: Request) -> Collection:
        """Return the collection inside a transaction."""
        return work.collection(self.type, self.workspace, request.origin)


class CollectionRoutes:
    """Answers everything below ``/api/`` and ``/workspaces/{workspace}/api/``."""

    def __init__(
        self, database: Database, writes: Writes, *, require_if_match: bool
    ) -> None:
        self._database = database
        self._writes = writes
        self._require_if_match = require_if_match
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
            lambda: self._dispatch(request, collection, workspace, matched),
        )

    async def _dispatch(
        self, request: Request, collection: str, workspace: str, matched: Match | None
    ) -> Reply:
        layout = self._database.catalog.get(collection, workspace)
        if matched is None:
            raise NotFound(f"there is nothing at {request.path}")
        resource, parameters = matched
        record_id = parameters.get("id", "")
        if "id" in parameters and not is_canonical(record_id):
            raise RecordNotFound(
                f"{record_id[:80]!r} is no id: ids are canonical lower-case UUIDs"
            )
        route = resource.routes.get(_method(request))
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

    # one record

    async def get(self, target: Target, request: Request) -> Response:
        """Return the record, or as it was at ``?revision=`` or ``?as_of=``."""
        if request.query:
            record = await self._past(target, request.query)
            if record is not None:
                return _past_response(target, request, record)
        row = await self._database.find(target.layout, target.workspace, target.id)
        if row is None:
            raise RecordNotFound(f"{target.type.name} has no record {target.id}")
        tag = etag(row[1])
        current = tag[1].decode()
        precondition = request.precondition()
        if precondition.if_match and not precondition.match_names(current):
            raise PreconditionFailed(
                f"If-Match does not hold: the record is at {current}", revision=row[1]
            )
        if precondition.none_match_names(current):
            return Response(304, b"", [tag])
        complete = with_computed(target.type, row)
        text = row_text(target.type.name, target.workspace, complete)
        return Response(200, text.encode(), [JSON, tag])

    async def _past(self, target: Target, query: bytes) -> Record | None:
        """Return the record as it was at the revision or moment that a query names."""
        control = controls(pairs_of(query), ("revision", "as_of"))
        revision = natural(control, "revision")
        as_of = moment_of(control)
        if as_of is None:
            if revision is None:
                return None
            return await self._revision(target, revision)
        if revision is not None:
            raise InvalidQuery("revision and as_of exclude each other")
        record = await record_as_of(
            self._database,
            target.type.name,
            target.workspace,
            target.id,
            as_of,
        )
        if isinstance(record, int):
            return await self._revision(target, record)
        return record

    async def _revision(self, target: Target, revision: int) -> Record:
        """Return the record as it was at a revision. Raises ``RevisionNotFound``."""
        record = None
        if revision in INT64:
            record = await self._changed_record(target, revision)
        if record is None:
            # The change may be erased or trimmed, and the record still be at it.
            row = await self._database.find(target.layout, target.workspace, target.id)
            if row is not None:
                record = target.layout.record(target.workspace, row)
        if record is None or record.revision != revision:
            raise RevisionNotFound(
                f"{target.type.name} has no revision {revision} of {target.id} to show"
            )
        return record

    async def _changed_record(self, target: Target, revision: int) -> Record | None:
        name = target.type.name
        workspace = target.workspace
        record_id = target.id
        row = await self._database.read(
            lambda reader: reader.revision(name, workspace, record_id, revision)
        )
        return None if row is None else past_record(name, workspace, row)

    async def replace(self, target: Target, request: Request) -> Response:
        """Replace the record, or create it under the client's id."""
        dry_run = _dry_run(request)
        body = await request.body()
        precondition = request.precondition(required=self._require_if_match)

        def run(work: UnitOfWork, data: Data) -> Written:
            collection = target.collection(work, request)
            return collection.replace(target.id, data, precondition)

        write = Write(
            parse=lambda: _data(target.type, body),
            run=run,
            render=lambda written: _written_response(written, target, request),
            body=body,
            keys=[target.key],
            dry_run=dry_run,
        )
        return await self._writes.perform(request, write)

    async def patch(self, target: Target, request: Request) -> Response:
        """Change the record by a merge patch or a JSON Patch, as the body's media type
        says."""
        dry_run = _dry_run(request)
        body = await request.body(PATCH_TYPES)
        precondition = request.precondition(required=self._require_if_match)
        media_type = request.media_type(PATCH_TYPES)
        limit = request.limits.body

        def parse() -> Callable[[Data], Data]:
            return change_of(strict_json.parse(body), media_type, limit)

        def run(work: UnitOfWork, change: Callable[[Data], Data]) -> Written:
            collection = target.collection(work, request)
            return collection.patch(target.id, change, precondition)

        write = Write(
            parse=lambda: parse_body(body, parse),
            run=run,
            render=lambda written: _written_response(written, target, request),
            body=body,
            keys=[target.key],
            dry_run=dry_run,
        )
        return await self._writes.perform(request, write)

    async def delete(self, target: Target, request: Request) -> Response:
        """Delete the record; its history stays."""
        dry_run = _dry_run(request)
        precondition = request.precondition(required=self._require_if_match)

        def run(work: UnitOfWork, _: None) -> Record:
            collection = target.collection(work, request)
            return collection.delete(target.id, precondition)

        write = Write(
            parse=nothing,
            run=run,
            render=lambda _: deleted_response(dry_run=dry_run),
            keys=[target.key],
            dry_run=dry_run,
        )
        return await self._writes.perform(request, write)

    async def history(self, target: Target, request: Request) -> Response:
        """Return a page of the record's changes, newest first."""
        name = target.type.name
        workspace = target.workspace
        record_id = target.id
        control = controls(pairs_of(request.query), ("limit", "cursor"))
        size = page_size(control)
        bound = f"history\n{name}\n{workspace}\n{record_id}"
        before = LAST_REVISION
        if "cursor" in control:
            before = _revision_in(control["cursor"], bound)

        def read(reader: Reader) -> tuple[list[Row], bool]:
            rows = reader.history(name, workspace, record_id, before, size + 1)
            if rows:
                return rows, True
            return rows, reader.knows(name, workspace, record_id)

        rows, known = await self._database.read(read)
        # All changes of a record may be trimmed.
        if not known and not await self._database.find(
            target.layout, workspace, record_id
        ):
            raise RecordNotFound(f"{name} never had a record {record_id}")
        kept = fitting(rows, size, of_changes)
        more = kept < len(rows)
        rows = rows[:kept]
        cursor = None
        if more:
            last_revision = rows[-1][5]
            cursor = pagination.encode(bound, [last_revision])
        path = f"{target.record_path}/history"

        def render() -> Response:
            return page_response(request, path, map(change_text, rows), cursor)

        return await rendered(render, rows, of_changes)

    async def diff(self, target: Target, request: Request) -> Response:
        """Return the JSON Patch that turns one revision into another."""
        control = controls(pairs_of(request.query), ("from", "to"))
        revisions = [natural(control, name) for name in ("from", "to")]
        records = [
            await self._revision(target, _required(name, revision))
            for name, revision in zip(("from", "to"), revisions, strict=True)
        ]
        before, after = (record.data for record in records)
        patch = await asyncio.to_thread(json_patch_between, before, after)
        return json_response(
            {
                "from": revisions[0],
                "to": revisions[1],
                "patch": patch,
            }
        )

    async def revert(self, target: Target, request: Request) -> Response:
        """Give the record the data of an earlier revision; a deleted one comes back."""
        dry_run = _dry_run(request)
        body = await request.body()
        precondition = request.precondition(required=self._require_if_match)

        async def parse() -> int:
            revision: int = REVERT_BODY.read(body)["to_revision"]
            return revision

        def run(work: UnitOfWork, revision: int) -> Record:
            collection = target.collection(work, request)
            return collection.revert(target.id, revision, precondition)

        write = Write(
            parse=parse,
            run=run,
            render=lambda record: record_response(target.type, record),
            body=body,
            keys=[target.key],
            dry_run=dry_run,
        )
        return await self._writes.perform(request, write)

    async def erase_history(self, target: Target, request: Request) -> Response:
        """Erase the data and payloads of the record's changes; their envelopes stay."""
        dry_run = _dry_run(request)
        precondition = request.precondition()

        def run(work: UnitOfWork, _: None) -> int:
            collection = target.collection(work, request)
            return collection.erase_history(target.id, precondition)

        def render(erased: int) -> Response:
            return json_response({"erased": erased}) if dry_run else no_content()

        write = Write(
            parse=nothing,
            run=run,
            render=render,
            keys=[target.key],
            isolation=Isolation.SEPARATE,
            dry_run=dry_run,
        )
        return await self._writes.perform(request, write)

    # commands

    async def commands(self, target: Target, request: Request) -> Response:
        """Return the commands of the collection."""
        controls(pairs_of(request.query), ())
        await self._database.refresh()
        layout = self._database.catalog.get(target.type.name)
        commands = layout.type.commands
        items = [_described(commands[name]) for name in sorted(commands)]
        return json_response({"items": items})

    async def invoke(self, target: Target, request: Request) -> Response:
        """Run a command on the record."""
        dry_run = _dry_run(request)
        command = command_of(target.type, target.command)
        body = await request.body()
        precondition = request.precondition(required=self._require_if_match)

        def run(work: UnitOfWork, payload: Data) -> Invocation:
            collection = target.collection(work, request)
            return collection.run(target.id, command, payload, precondition)

        write = Write(
            parse=lambda: parse_body(body, lambda: payload_of(command, body)),
            run=run,
            render=lambda found: _invocation_response(target.type, found),
            body=body,
            keys=[target.key],
            dry_run=dry_run,
        )
        return await self._writes.perform(request, write)

    async def invoke_all(self, target: Target, request: Request) -> Response:
        """Run a command on every record that matches."""
        return await invoke_matching(
            self._writes,
            request,
            target.type,
            target.workspace,
            target.command,
        )

    # the complete collection

    async def list(self, target: Target, request: Request) -> Response:
        """Return a page of the records that match, in order."""
        layout = target.layout
        workspace = target.workspace
        asked = listing(target.type, workspace, request.query)
        if asked.as_of is not None:
            page = await page_as_of(self._database, layout, workspace, asked)
            items = await _items(target, page.rows, asked.fields)
            return page_response(
                request,
                target.path,
                items,
                page.cursor,
                page.total,
                page.erased,
            )
        size = asked.query.limit or 0
        query = asked.query.one_more()

        def read(reader: Reader) -> tuple[list[Row], int | None]:
            rows = reader.page(layout, workspace, query)
            total = None
            if asked.count:
                total = reader.count(layout, workspace, query)
            return rows, total

        rows, total = await self._database.read(
            read,
            consistent=asked.count or size >= FEW_ROWS,
            brief=not query.searches_text,
        )
        kept = fitting(rows, size, of_records)
        cursor = None
        if kept < len(rows):
            position = rows[kept - 1][6:]
            cursor = cursor_of(asked, position)
        items = await _items(target, rows[:kept], asked.fields)
        return page_response(request, target.path, items, cursor, total)

    async def trash(self, target: Target, request: Request) -> Response:
        """Return a page of the deleted records, the newest deletion first."""
        asked = trash_listing(target.type, target.workspace, request.query)
        page = await trash_page(
            self._database,
            target.layout,
            target.workspace,
            asked,
        )
        items = await _items(target, page.rows, asked.fields)
        deletions = [row[6:8] for row in page.rows]
        texts = [
            deleted_text(item, *deletion)
            for item, deletion in zip(items, deletions, strict=True)
        ]
        return page_response(
            request,
            f"{target.path}/trash",
            texts,
            page.cursor,
            page.total,
        )

    async def create(self, target: Target, request: Request) -> Response:
        """Create a record under an id that the service makes."""
        dry_run = _dry_run(request)
        body = await request.body()
        record_id = new_id()
        location = request.address(f"{target.path}/{record_id}")

        def run(work: UnitOfWork, data: Data) -> Record:
            return target.collection(work, request).create(data, record_id)

        write = Write(
            parse=lambda: _data(target.type, body),
            run=run,
            render=lambda record: created_response(target.type, record, location),
            body=body,
            dry_run=dry_run,
        )
        return await self._writes.perform(request, write)

    async def delete_matching(self, target: Target, request: Request) -> Response:
        """Delete the records that match, up to ``max_affected``."""
        known = ("filter", "max_affected", "dry_run")
        control, filters = split(pairs_of(request.query), known)
        where, values = conditions(target.type, filters, control, known)
        max_affected = natural(control, "max_affected", least=0)
        if where is None or max_affected is None:
            raise InvalidQuery(
                "deleting many records takes at least one filter and max_affected"
            )
        query = Query(where, values)

        def run(work: UnitOfWork, _: None) -> int:
            collection = target.collection(work, request)
            return collection.delete_matching(query, max_affected)

        write = Write(
            parse=nothing,
            run=run,
            render=lambda deleted: json_response({"deleted": deleted}),
            isolation=Isolation.SEPARATE,
            dry_run=flag(control, "dry_run"),
        )
        return await self._writes.perform(request, write)

    async def import_records(self, target: Target, request: Request) -> Response:
        """Create a record of each line of NDJSON, or none; with ``envelope`` store
        records as they were exported."""
        known = ("dry_run", "envelope", "on_conflict")
        control = controls(pairs_of(request.query), known)
        if flag(control, "envelope"):
            request.access.require(Level.ADMIN, target.type.name, target.workspace)
            return await bulk.import_envelopes(
                self._writes,
                target.layout,
                target.workspace,
                request,
                control,
            )
        if "on_conflict" in control:
            raise InvalidQuery("on_conflict is for envelope=true only")
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
        controls(pairs_of(request.query), ())
        return await snapshots_holding(
            self._database, target.type.name, target.workspace, request
        )

    async def take_snapshot(self, target: Target, request: Request) -> Response:
        """Take a snapshot of this collection."""
        selection = Selection(target.type.name, target.workspace)
        return await take(self._database, self._writes, request, selection)


async def _items(
    target: Target, rows: list[Row], fields: tuple[str, ...] | None
) -> list[str]:
    """Return stored rows as the JSON texts of records, or of some of their fields."""
    entity_type = target.type
    workspace = target.workspace

    def render() -> list[str]:
        complete = rows
        if fields is None:
            complete = [with_computed(entity_type, row) for row in rows]
        return [
            row_text(
                entity_type.name,
                workspace,
                selected(row, fields),
            )
            for row in complete
        ]

    return await rendered(render, rows, of_records)


def _past_response(target: Target, request: Request, record: Record) -> Response:
    """Return a record as it was, unless the client has it."""
    tag = etag(record.revision)
    if request.precondition().none_match_names(tag[1].decode()):
        return Response(304, b"", [tag])
    return record_response(target.type, record)


def _required(name: str, revision: int | None) -> int:
    if revision is None:
        raise InvalidQuery(f"{name} is required: the number of a revision")
    return revision


def _written_response(written: Written, target: Target, request: Request) -> Response:
    if written.created:
        location = request.address(target.record_path)
        return created_response(target.type, written.record, location)
    response = record_response(target.type, written.record)
    if written.merged:
        response.raw_headers.append((b"preference-applied", b"merge"))
    return response


async def _data(entity_type: EntityType, body: bytes) -> Data:
    return await parse_body(body, lambda: entity_type.validate(json_object(body)))


def _method(request: Request) -> str:
    """Return the method to look for; HEAD works wherever GET does."""
    return "GET" if request.method == "HEAD" else request.method


def _must_refresh(request: Request, route: Route | None) -> bool:
    """Return whether a read in a workspace has to meet the present definitions first:
    an empty list does not show that its workspace exists, a record does."""
    if request.method not in ("GET", "HEAD"):
        return False
    is_get = route is not None and route.operation == "get"
    return not is_get or bool(request.query)


def _dry_run(request: Request) -> bool:
    if not request.query:
        return False
    control = controls(pairs_of(request.query), ("dry_run",))
    return flag(control, "dry_run")


def _revision_in(cursor: str, bound: str) -> int:
    position = pagination.decode(cursor, bound)
    if len(position) != 1:
        raise pagination.foreign()
    revision = position[0]
    if type(revision) is not int or revision not in INT64:
        raise pagination.foreign()
    return revision


def _invocation_response(entity_type: EntityType, invocation: Invocation) -> Response:
    result, record = invocation
    stored = record_text(entity_type, record)
    text = f'{{"result":{dumps(result)},"record":{stored}}}'
    headers = [JSON, etag(record.revision)]
    return Response(200, text.encode(), headers)


def _described(command: Command) -> dict[str, object]:
    return {
        "name": command.name,
        "description": command.description,
        "payload_schema": command.payload_schema,
    }
