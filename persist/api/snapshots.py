"""Snapshots over HTTP: taking, listing, verifying, handing out and taking in."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import IO, Any

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from persist.api.documented_bodies import Body
from persist.api.entity_types import sent
from persist.api.fastapi_errors import Asked
from persist.api.query_params import controls, flag, pairs_of
from persist.api.requests import JSON_TYPES, NDJSON_TYPES, Request
from persist.api.responses import Answer, json_answer
from persist.api.write_requests import Writes
from persist.domain.access import Access, Level
from persist.domain.errors import SnapshotNotFound, TooLarge, Unavailable
from persist.domain.snapshot import MAX_LINE_BYTES, Manifest
from persist.storage.catalog import Stale
from persist.storage.database import Database
from persist.storage.snapshots import Prepared, Selection
from persist.storage.unit_of_work import UnitOfWork

ATTEMPTS = 3

_WANTED: dict[str, Any] = {
    "mode": {"enum": ["with_data", "schema_only"], "default": "with_data"},
    "note": {"type": "string", "default": "", "maxLength": 10_000},
}
TAKEN = Body({"note": "before the release"}, **_WANTED)
EVERYTHING = Body(
    {"scope": "all", "note": "before the release"},
    "scope",
    scope={
        "const": "all",
        "description": "For one collection POST /api/{collection}/snapshots.",
    },
    **_WANTED,
)
EVERYTHING["requestBody"]["content"]["application/x-ndjson"] = {
    "schema": {"type": "string", "description": "the content of a snapshot"}
}


async def take(
    database: Database,
    writes: Writes,
    request: Request,
    selection: Selection,
    *,
    scoped: bool = False,
) -> Answer:
    """Take a snapshot of what is selected: 201 and its manifest. ``scoped``: the body
    says of what."""
    dry_run = flag(controls(pairs_of(request.query), ("dry_run",)), "dry_run")
    body = await request.body()
    wanted = (EVERYTHING if scoped else TAKEN).read(body)

    def taken() -> Prepared:
        return database.snapshots.take(
            selection, dry_run=dry_run, mode=wanted["mode"], note=wanted["note"]
        )

    prepared = await asyncio.to_thread(taken)
    if dry_run:
        return json_answer(prepared.manifest)
    return await _kept(writes, request, prepared, body)


async def _kept(
    writes: Writes,
    request: Request,
    prepared: Prepared,
    body: bytes,
) -> Answer:
    """Make a prepared snapshot visible, together with the answer under an
    ``Idempotency-Key``."""

    def operation(work: UnitOfWork) -> Answer:
        if not prepared.keep(work.session):
            raise Stale
        location = f"/snapshots/{prepared.manifest['id']}".encode()
        return json_answer(prepared.manifest, 201, [(b"location", location)])

    try:
        return await writes.perform(request, operation, body=body)
    finally:
        await asyncio.to_thread(prepared.store.abandon)


async def of_collection(
    database: Database, collection: str | None, workspace: str, request: Request
) -> Answer:
    """The manifests of the snapshots that hold a collection of a workspace, or anything
    of it."""
    place = {"workspace": workspace or None} | (
        {"name": collection} if collection else {}
    )
    seen = await _seen(database, request.access)
    return json_answer(
        {
            "items": [
                m
                for m in seen
                if any(place.items() <= c.items() for c in m["collections"])
            ]
        }
    )


async def _seen(database: Database, access: Access) -> list[Manifest]:
    """The manifests of the snapshots a caller may see."""
    manifests = await asyncio.to_thread(database.snapshots.manifests)
    return [
        manifest
        for manifest in manifests
        if access.allows_all(Level.ADMIN, places(manifest))
    ]


def places(manifest: Manifest) -> list[tuple[str, str]]:
    """The collections of a snapshot, each with its workspace: who works with it
    administers them all."""
    return [
        (entry["name"], entry["workspace"] or "") for entry in manifest["collections"]
    ]


async def places_of(database: Database, id: str) -> list[tuple[str, str]]:
    """The places of a snapshot that is here; none where it is not."""
    try:
        return places(await asyncio.to_thread(database.snapshots.manifest, id))
    except SnapshotNotFound:
        return []


async def permit(database: Database, request: Request, id: str) -> None:
    """Raise ``Forbidden`` unless the caller may see a snapshot, whether or not there is
    one."""
    if not request.access.allows(Level.ADMIN):
        request.access.require_all(Level.ADMIN, await places_of(database, id))


def snapshot_router(database: Database, writes: Writes) -> APIRouter:
    """The routes of snapshots."""
    router = APIRouter(tags=["snapshots"], prefix="/snapshots")
    snapshots = database.snapshots

    @router.get("", summary="All snapshots, the newest first")
    async def index(request: Asked) -> dict[str, Any]:
        request.access.require_some(Level.ADMIN)
        return {"items": await _seen(database, request.access)}

    @router.post(
        "",
        summary="Take a snapshot of everything, or upload one",
        openapi_extra=EVERYTHING,
        status_code=201,
    )
    async def create(request: Asked) -> Response:
        request.access.require_some(Level.ADMIN)
        if request.media_type((*JSON_TYPES, *NDJSON_TYPES)) in JSON_TYPES:
            request.access.require(Level.ADMIN)
            return sent(await take(database, writes, request, Selection(), scoped=True))
        return sent(await _uploaded(database, writes, request))

    @router.get("/{id}", summary="The manifest of a snapshot")
    async def read(id: str, request: Asked) -> Manifest:
        await permit(database, request, id)
        return await asyncio.to_thread(snapshots.manifest, id)

    @router.delete("/{id}", summary="Delete a snapshot", status_code=204)
    async def delete(id: str, request: Asked) -> Response:
        await permit(database, request, id)
        dry_run = flag(controls(pairs_of(request.query), ("dry_run",)), "dry_run")
        stores: set[str] = set()

        def operation(work: UnitOfWork) -> Answer:
            stores.add(snapshots.remove(work.session, id))
            return Answer(204, b"", [])

        answer = await writes.perform(request, operation, dry_run=dry_run)
        with suppress(Unavailable):  # what is left then, the next start sweeps
            for store in stores:
                await asyncio.to_thread(snapshots.abandon, store)
        return sent(answer)

    @router.get("/{id}/content", summary="The snapshot itself, as NDJSON")
    async def content(id: str, request: Asked) -> Response:
        await permit(database, request, id)
        pieces = snapshots.content(id)
        first = await asyncio.to_thread(next, pieces)
        return StreamingResponse(_streamed(first, pieces), media_type=NDJSON_TYPES[0])

    @router.post("/{id}/verify", summary="Whether a snapshot is whole and unaltered")
    async def verify(id: str, request: Asked) -> dict[str, Any]:
        await permit(database, request, id)
        return await asyncio.to_thread(snapshots.verify, id)

    return router


async def _streamed(first: bytes, pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    yield first
    iterator = iter(pieces)
    while (piece := await asyncio.to_thread(next, iterator, None)) is not None:
        yield piece


async def _uploaded(database: Database, writes: Writes, request: Request) -> Answer:
    """Keep an uploaded content: 201, or 200 where the same one is here already."""
    dry_run = flag(controls(pairs_of(request.query), ("dry_run",)), "dry_run")

    def check(manifest: Manifest) -> None:
        request.access.require_all(Level.ADMIN, places(manifest))

    announced = request.header(b"content-length") or ""
    _check_size(request, int(announced) if announced.isdigit() else 0)
    with tempfile.TemporaryFile() as spool:
        digest = await _spooled(request, spool)
        for _ in range(ATTEMPTS):
            manifest, prepared = await asyncio.to_thread(
                lambda: database.snapshots.put(_lines(spool), check, dry_run=dry_run)
            )
            if prepared is None or dry_run:
                return json_answer(manifest)
            with suppress(Stale):  # the same id came from somewhere else meanwhile
                return await _kept(writes, request, prepared, digest)
    raise Unavailable("others upload and delete the same snapshot; try again")


async def _spooled(request: Request, spool: IO[bytes]) -> bytes:
    """Put the body on the disk; gives its digest, which stands for it in a
    fingerprint."""
    digest, size = hashlib.sha256(), 0
    async for piece in request.pieces():
        size += len(piece)
        _check_size(request, size)
        digest.update(piece)
        spool.write(piece)
    return digest.digest()


def _check_size(request: Request, size: int) -> None:
    if size > request.limits.upload:
        raise TooLarge(f"a snapshot may have {request.limits.upload:,} bytes here")


def _lines(spool: IO[bytes]) -> Callable[[], Iterable[bytes]]:
    def lines() -> Iterable[bytes]:
        spool.seek(0)
        while line := spool.readline(MAX_LINE_BYTES + 2):
            yield line

    return lines
