"""The service itself: what it is, whether it is well, what its problems mean, its
collections."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from persist.api import patches, query_params, selective_invoke
from persist.api.changes import LONGEST_WAIT
from persist.api.fastapi_errors import Asked
from persist.api.gateway import TARGET
from persist.api.openapi import document_pieces
from persist.api.problems import catalogue, status_of
from persist.api.requests import Limits
from persist.api.transactions.operations import OPERATIONS
from persist.domain.access import Access, Level, Scope
from persist.domain.entity_type import EntityType
from persist.domain.errors import NotFound, Refused, Unavailable
from persist.domain.strict_json import DEPTH
from persist.storage.database import Database

Document = Callable[[Access], list[bytes]]

DOCUMENTS = 16
"""OpenAPI documents that are kept: callers of the same scopes see the same."""


def service_router(  # noqa: C901 - a list of routes
    name: str,
    version: str,
    limits: Limits,
    database: Database,
    document: Document,
    faults: Mapping[str, str],
) -> APIRouter:
    """The routes around the collections. ``document`` makes the OpenAPI document that a
    caller sees, ``faults`` are those of definition files."""
    router = APIRouter(tags=["service"])
    documents: dict[tuple[int, frozenset[Scope]], list[bytes]] = {}

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Asked) -> Response:
        await database.refresh()
        seen = database.catalog.epoch, frozenset(request.access.scopes)
        if (made := documents.get(seen)) is None:
            made = await asyncio.to_thread(document, request.access)
            if len(documents) >= DOCUMENTS:
                documents.clear()
            documents[seen] = made
        return _json_of(made)

    @router.get("/", summary="What this service is")
    async def root() -> dict[str, Any]:
        return {
            "name": name,
            "version": version,
            "links": {
                "collections": "/collections",
                "docs": "/docs",
                "openapi": "/openapi.json",
                "health": "/health/ready",
                "metrics": "/metrics",
                "changes": "/changes",
            },
            "limits": told_limits(limits),
        }

    @router.get("/health/live", summary="Whether the process answers")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/health/ready", summary="Whether the service can store and answer")
    async def ready(request: Asked) -> dict[str, Any]:
        await database.health.check()
        with suppress(Unavailable):  # too many others wait: no fault of the service
            await database.refresh()
        for collection in database.catalog.ahead:
            database.catalog.get(collection)
        # Where keys are demanded, what is wrong with which file is nothing for whoever
        # comes along.
        seen = (
            {"definition_files": faults} if request.access.allows(Level.ADMIN) else {}
        )
        return {"status": "ok", **seen}

    @router.get("/problems/{code}", summary="What a problem means")
    async def problem_type(code: str) -> dict[str, Any]:
        kind = catalogue().get(code)
        if kind is None and not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", code):
            raise NotFound(f"there is no problem {code[:80]!r}")
        if kind is None:
            kind, told = (
                Refused,
                "a command of the collection refused, for a reason of its own",
            )
        else:
            told = " ".join((kind.__doc__ or kind.title).split())
        return {
            "code": code,
            "title": kind.title,
            "status": status_of(kind),
            "description": told,
        }

    @router.get("/collections", summary="All collections")
    async def collections(request: Asked) -> dict[str, Any]:
        await database.refresh()
        seen = [
            type
            for type in database.catalog
            if request.access.allows(Level.READ, type.name)
        ]
        return {"items": [described(type) for type in seen]}

    @router.get("/collections/{collection}", summary="One collection")
    async def collection(collection: str, request: Asked) -> dict[str, Any]:
        request.access.require(Level.READ, collection)
        await database.refresh()
        return described(database.catalog.get(collection).type)

    @router.get(
        "/collections/{collection}/openapi.json",
        summary="The OpenAPI document of one collection",
    )
    async def collection_openapi(collection: str, request: Asked) -> Response:
        request.access.require(Level.READ, collection)
        await database.refresh()
        type = database.catalog.get(collection).type
        title = f"Persist: {type.name}"
        pieces = document_pieces(
            [type], version=version, title=title, access=request.access
        )
        return _json_of(await asyncio.to_thread(list, pieces))

    return router


def _json_of(pieces: list[bytes]) -> Response:
    async def sent() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    length = {"content-length": str(sum(map(len, pieces)))}
    return StreamingResponse(sent(), headers=length, media_type="application/json")


def told_limits(limits: Limits) -> dict[str, float]:
    """What a request may be, and what one process takes on at once."""
    return {
        "target_bytes": TARGET,
        "body_bytes": limits.body,
        "body_depth": DEPTH,
        "import_bytes": limits.upload,
        "body_timeout_seconds": limits.silence,
        "page": query_params.MOST,
        "affected": selective_invoke.MOST,
        "patch_operations": patches.OPERATIONS,
        "transaction_operations": OPERATIONS,
        "wait_seconds": LONGEST_WAIT,
        "connections": limits.connections,
        "requests": limits.requests,
        "waiting": limits.waiting,
        "bodies_bytes": limits.bodies,
    }


def described(type: EntityType) -> dict[str, Any]:
    """A collection as clients see it."""
    return {
        "name": type.name,
        "kind": type.kind.value,
        "description": type.description,
        "schema_version": type.schema_version,
        "schema": type.schema,
        "commands": sorted(type.commands),
        "unique": type.unique,
        "indexes": type.indexes,
    }
