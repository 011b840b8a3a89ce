"""The service itself: what it is, its health, the meaning of its problems, its
collections and its OpenAPI document."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

from fastapi.responses import Response, StreamingResponse

from persist.api.openapi import document_chunks
from persist.api.problems import catalogue, status_of
from persist.api.routers import Asked
from persist.domain.access import Access, Level, Scope
from persist.domain.entity_type import EntityType
from persist.domain.errors import NotFound, Refused, Unavailable
from persist.storage.database import Database

Document = Callable[[Access], list[bytes]]
"""Makes the OpenAPI document that a caller sees."""

MAX_DOCUMENTS = 16
"""OpenAPI documents that are kept: callers of the same scopes see the same."""


class ServiceRoutes:
    """The handlers of the routes that are about no single collection.

    ``limits`` are those that ``/`` shows. ``file_faults`` are those of definition files
    by file name, ``faults`` are unexpected errors by where they happened.
    """

    def __init__(
        self,
        name: str,
        version: str,
        limits: Mapping[str, float],
        database: Database,
        document: Document,
        file_faults: Mapping[str, str],
        faults: Mapping[str, str],
    ) -> None:
        self._name = name
        self._version = version
        self._limits = limits
        self._database = database
        self._document = document
        self._file_faults = file_faults
        self._faults = faults
        self._documents: dict[tuple[int, frozenset[Scope]], list[bytes]] = {}

    async def describe_service(self, request: Asked) -> dict[str, Any]:
        """Return the name, version, links and limits of the service."""
        return {
            "name": self._name,
            "version": self._version,
            "links": {
                "collections": "/collections",
                "docs": "/docs",
                "openapi": "/openapi.json",
                "health": "/health/ready",
                "metrics": "/metrics",
                "changes": "/changes",
            },
            "limits": self._limits,
        }

    async def live(self) -> dict[str, str]:
        """Return that the process answers."""
        return {"status": "ok"}

    async def ready(self, request: Asked) -> dict[str, Any]:
        """Return whether the service can store and answer. Raises ``Unavailable``."""
        await self._database.health.check()
        with suppress(Unavailable):  # many others wait: no fault of the service
            await self._database.refresh()
        for collection in self._database.catalog.ahead:
            self._database.catalog.get(collection)
        # Where keys are demanded, only administrators read what is wrong inside.
        if not request.access.allows(Level.ADMIN):
            return {"status": "ok"}
        return {
            "status": "ok",
            "definition_files": self._file_faults,
            "unexpected_errors": self._faults,
        }

    async def read_problem(self, code: str) -> dict[str, Any]:
        """Return the meaning of a problem's code."""
        kind = catalogue().get(code)
        if kind is None and not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", code):
            raise NotFound(f"there is no problem {code[:80]!r}")
        if kind is None:
            kind = Refused
            description = "a command of the collection refused, for a reason of its own"
        else:
            description = " ".join((kind.__doc__ or kind.title).split())
        return {
            "code": code,
            "title": kind.title,
            "status": status_of(kind),
            "description": description,
        }

    async def list_collections(self, request: Asked) -> dict[str, Any]:
        """Return the collections that the caller may read in some workspace."""
        await self._database.refresh()
        items = [
            described(entity_type)
            for entity_type in self._database.catalog
            if request.access.allows_somewhere(Level.READ, entity_type.name)
        ]
        return {"items": items}

    async def read_collection(self, collection: str, request: Asked) -> dict[str, Any]:
        """Return one collection."""
        await self._database.refresh()
        return described(self._database.catalog.get(collection).type)

    async def read_collection_openapi(
        self, collection: str, request: Asked
    ) -> Response:
        """Return the OpenAPI document of one collection."""
        await self._database.refresh()
        entity_type = self._database.catalog.get(collection).type
        chunks = document_chunks(
            [entity_type],
            version=self._version,
            title=f"Persist: {entity_type.name}",
            access=request.access,
            workspaces=self._database.catalog.workspaces,
            server=request.address("") or "/",
        )
        return _json_of(await asyncio.to_thread(list, chunks))

    async def read_openapi(self, request: Asked) -> Response:
        """Return the OpenAPI document of what the caller may use."""
        await self._database.refresh()
        key = self._database.catalog.epoch, frozenset(request.access.scopes)
        chunks = self._documents.get(key)
        if chunks is None:
            chunks = await asyncio.to_thread(self._document, request.access)
            if len(self._documents) >= MAX_DOCUMENTS:
                self._documents.clear()
            self._documents[key] = chunks
        return _json_of(chunks)


def _json_of(chunks: list[bytes]) -> Response:
    async def sent() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    length = {"content-length": str(sum(map(len, chunks)))}
    return StreamingResponse(sent(), headers=length, media_type="application/json")


def described(entity_type: EntityType) -> dict[str, Any]:
    """Return a collection as clients see it."""
    return {
        "name": entity_type.name,
        "kind": entity_type.kind.value,
        "description": entity_type.description,
        "schema_version": entity_type.schema_version,
        "schema": entity_type.schema,
        "commands": sorted(entity_type.commands),
        "unique": entity_type.unique,
        "indexes": entity_type.indexes,
    }
