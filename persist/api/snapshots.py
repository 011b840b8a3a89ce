"""Snapshots over HTTP: taking, listing, verifying, downloading and uploading them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

from fastapi import Path
from fastapi.responses import StreamingResponse

from persist.api import pagination
from persist.api.fastapi_registration import AuthorizedRequest
from persist.api.headers import JSON_TYPES, NDJSON_TYPES
from persist.api.query_params import controls, dry_run_of, page_size, pairs_of
from persist.api.request_bodies import Body
from persist.api.requests import Request
from persist.api.responses import JSON, Response, deleted_response, json_response
from persist.api.write_requests import (
    Write,
    Writes,
    parse_nothing,
    retry_on_stale_schema,
)
from persist.domain.access import Collections, Level
from persist.domain.errors import Unavailable
from persist.domain.record import Json
from persist.domain.snapshot import MAX_LINE_BYTES, Manifest
from persist.storage.database import Database
from persist.storage.entity_types.catalog import Stale
from persist.storage.reads.reader import Reader
from persist.storage.snapshots.snapshot_list import SnapshotQuery, snapshot_page
from persist.storage.snapshots.snapshot_store import Prepared, Selection
from persist.storage.writes.unit_of_work import UnitOfWork

SnapshotId = Annotated[str, Path(alias="id")]

_MODE: Json = {
    "mode": {"enum": ["with_data", "schema_only"], "default": "with_data"},
    "note": {"type": "string", "default": "", "maxLength": 10_000},
}
TAKE_BODY = Body({"note": "before the release"}, **_MODE)
CREATE_BODY = Body(
    {"scope": "all", "note": "before the release"},
    "scope",
    scope={
        "const": "all",
        "description": "For one collection POST /api/{collection}/snapshots.",
    },
    **_MODE,
)
_CONTENT_SCHEMA = {
    "type": "string",
    "description": "the content of a snapshot",
}
CREATE_BODY["requestBody"]["content"]["application/x-ndjson"] = {
    "schema": _CONTENT_SCHEMA,
}


async def take(
    database: Database,
    writes: Writes,
    request: Request,
    selection: Selection,
    form: Body = TAKE_BODY,
) -> Response:
    """Take a snapshot of the selected collections and return its manifest. ``form`` is
    the form of the body."""
    dry_run = dry_run_of(request.query)
    body = await request.body()
    prepared: list[Prepared] = []

    async def parse() -> Prepared:
        wanted = form.read(body)
        take_it = partial(
            database.snapshots.take,
            selection,
            dry_run=dry_run,
            mode=wanted["mode"],
            note=wanted["note"],
        )
        taken = await database.jobs.run(take_it)
        prepared.append(taken)
        return taken

    write = _keep(request, parse, body, dry_run=dry_run)
    try:
        return await writes.perform(request, write)
    finally:
        for each in prepared:
            await asyncio.to_thread(each.store.abandon)


def _keep(
    request: Request, parse: Callable[[], Any], body: bytes, *, dry_run: bool
) -> Write[Prepared, Manifest]:
    """Return the write that makes a prepared snapshot visible."""

    def run(work: UnitOfWork, prepared: Prepared) -> Manifest:
        if not dry_run and not prepared.keep(work.session):
            raise Stale
        return prepared.manifest

    def render(manifest: Manifest) -> Response:
        location = request.url_path(f"/snapshots/{manifest['id']}")
        headers = [(b"location", location.encode())]
        return json_response(manifest, 201, headers)

    return Write(
        parse=parse,
        run=run,
        render=render,
        body=body,
        dry_run=dry_run,
    )


async def snapshots_holding(
    database: Database, collection: str | None, workspace: str | None, request: Request
) -> Response:
    """Return a page of the manifests, the newest first, of the snapshots that hold a
    collection of a workspace, anything of it, or anything."""
    control = controls(pairs_of(request.query), ("limit", "cursor"))
    bound = f"snapshots\n{collection}\n{workspace}"
    before = None
    if "cursor" in control:
        before = pagination.id_in(control["cursor"], bound)
    size = page_size(control)
    query = SnapshotQuery(request.access, collection, workspace, before, size)

    def read(reader: Reader) -> Response:
        texts, last = snapshot_page(reader.session, query)
        cursor = last and pagination.encode(bound, [last])
        return pagination.page_response(request, request.path, texts, cursor)

    return await database.read(read, brief=False)


def contents(manifest: Manifest) -> list[tuple[str, str]]:
    """Return the collections of a snapshot, each with its workspace. A caller needs the
    level ``admin`` on all of them."""
    return [
        (entry["name"], entry["workspace"] or "") for entry in manifest["collections"]
    ]


async def contents_of(database: Database, snapshot_id: str) -> list[tuple[str, str]]:
    """Return the collections of a stored snapshot; none if there is no such
    snapshot."""
    return await asyncio.to_thread(database.snapshots.contents, snapshot_id)


class SnapshotRoutes:
    """The handlers of the routes of snapshots."""

    def __init__(self, database: Database, writes: Writes) -> None:
        self._database = database
        self._snapshots = database.snapshots
        self._writes = writes

    async def list_all_snapshots(self, request: AuthorizedRequest) -> Response:
        """Return a page of the manifests of all snapshots, the newest first."""
        return await snapshots_holding(self._database, None, None, request)

    async def create_snapshot(self, request: AuthorizedRequest) -> Response:
        """Take a snapshot of everything, or store an uploaded one."""
        media_type = request.media_type((*JSON_TYPES, *NDJSON_TYPES))
        async with self._database.job():
            if media_type not in JSON_TYPES:
                return await self._upload(request)
            request.access.require(Level.ADMIN)
            everything = Selection()
            return await take(
                self._database,
                self._writes,
                request,
                everything,
                CREATE_BODY,
            )

    async def read_snapshot(
        self, snapshot_id: SnapshotId, request: AuthorizedRequest
    ) -> Response:
        """Return the manifest of a snapshot."""
        await self._require(snapshot_id, request)
        text = await asyncio.to_thread(self._snapshots.manifest, snapshot_id)
        return Response(200, text.encode(), [JSON])

    async def delete_snapshot(
        self, snapshot_id: SnapshotId, request: AuthorizedRequest
    ) -> Response:
        """Delete a snapshot."""
        await self._require(snapshot_id, request)
        dry_run = dry_run_of(request.query)
        stores: set[str] = set()

        def run(work: UnitOfWork, _: None) -> None:
            store = self._snapshots.remove(work.session, snapshot_id)
            stores.add(store)

        write = Write(
            parse=parse_nothing,
            run=run,
            render=lambda _: deleted_response(dry_run=dry_run),
            dry_run=dry_run,
        )
        response = await self._writes.perform(request, write)
        with suppress(Unavailable):  # the next start sweeps what is left
            for store in stores:
                await asyncio.to_thread(self._snapshots.abandon, store)
        return response

    async def read_snapshot_content(
        self, snapshot_id: SnapshotId, request: AuthorizedRequest
    ) -> StreamingResponse:
        """Return the content of a snapshot as NDJSON."""
        collections = await self._require(snapshot_id, request)
        end_turn = await self._database.begin_stream()
        request.at_end(end_turn)
        chunks = self._snapshots.content(snapshot_id)
        first = await asyncio.to_thread(next, chunks)
        streamed = _streamed(request, collections, first, chunks)
        return StreamingResponse(streamed, media_type=NDJSON_TYPES[0])

    async def verify_snapshot(
        self, snapshot_id: SnapshotId, request: AuthorizedRequest
    ) -> Json:
        """Return whether a snapshot is complete and unaltered."""
        await self._require(snapshot_id, request)
        verify = self._snapshots.verify
        database = self._database
        async with database.job():
            return await database.jobs.run(verify, snapshot_id)

    async def _require(self, snapshot_id: str, request: Request) -> Collections:
        """Return the collections of a snapshot that the caller has to administer, none
        for one who administers everything. Raise ``Forbidden`` unless the caller does,
        whether or not there is a snapshot."""
        if request.access.allows(Level.ADMIN):
            return ()
        collections = await contents_of(self._database, snapshot_id)
        request.access.require_all(Level.ADMIN, collections)
        return collections

    async def _upload(self, request: Request) -> Response:
        """Store an uploaded content: 201, or 200 if the same one is stored
        already."""
        dry_run = dry_run_of(request.query)
        body = await request.spooled("take it of fewer collections")

        def lines() -> Iterable[bytes]:
            return body.lines(MAX_LINE_BYTES)

        def check(manifest: Manifest) -> None:
            request.access.require_all(Level.ADMIN, contents(manifest))

        async def attempt() -> Response:
            # Checked even if the response is stored: an upload changes nothing else.
            put = partial(self._snapshots.put, lines, check, dry_run=dry_run)
            manifest, prepared = await self._database.jobs.run(put)
            if prepared is None or dry_run:
                return json_response(manifest)

            async def parse() -> Prepared:
                return prepared

            write = _keep(request, parse, body.digest, dry_run=False)
            try:
                return await self._writes.perform(request, write)
            finally:
                await asyncio.to_thread(prepared.store.abandon)

        return await retry_on_stale_schema(self._database, attempt)


async def _streamed(
    request: Request, collections: Collections, first: bytes, chunks: Iterable[bytes]
) -> AsyncIterator[bytes]:
    yield first
    iterator = iter(chunks)
    chunk = await asyncio.to_thread(next, iterator, None)
    while chunk is not None:
        await request.admit_again(Level.ADMIN, collections)
        yield chunk
        chunk = await asyncio.to_thread(next, iterator, None)
