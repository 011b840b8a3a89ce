"""The service itself: what it is, its health, the meaning of its problems, its
collections and its OpenAPI document."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress

from fastapi.responses import Response, StreamingResponse

from persist.api import query_params, selective_invoke
from persist.api.fastapi_registration import AuthorizedRequest
from persist.api.gateway import MAX_TARGET_BYTES
from persist.api.in_flight import InFlightLimiter
from persist.api.openapi import document_chunks
from persist.api.problems import catalogue, status_of
from persist.api.query_filters import MAX_CONDITIONS
from persist.api.render_threads import in_thread
from persist.api.requests import Limits
from persist.api.transactions.operations import MAX_OPERATIONS
from persist.domain.access import Access, Level, Scope
from persist.domain.entity_type import EntityType
from persist.domain.errors import PROBLEM_CODE, NotFound, Refused, Unavailable
from persist.domain.patch import MAX_OPERATIONS as MAX_PATCH_OPERATIONS
from persist.domain.query_values import MAX_SEARCHED_CHARACTERS
from persist.domain.record import Json
from persist.domain.strict_json import MAX_DEPTH
from persist.domain.undo import MAX_CHANGES
from persist.storage.database import Database
from persist.storage.queries.result_size import PAGE_CHARACTERS

Document = Callable[[Access], list[bytes]]
"""Makes the OpenAPI document that a caller sees."""

MAX_DOCUMENTS_BYTES = 33_554_432
"""What is kept of OpenAPI documents: callers of the same scopes see the same."""


def described_limits(
    limits: Limits, limiter: InFlightLimiter, database: Database
) -> dict[str, float]:
    """Return the limits of one request, and those of one process."""
    used = database.used
    return {
        "target_bytes": MAX_TARGET_BYTES,
        "body_bytes": limits.body,
        "body_depth": MAX_DEPTH,
        "import_bytes": limits.upload,
        "body_timeout_seconds": limits.silence,
        "read_seconds": database.read_seconds,
        "page": query_params.MAX_LIMIT,
        "page_bytes": PAGE_CHARACTERS,
        "affected": selective_invoke.MAX_AFFECTED,
        "patch_operations": MAX_PATCH_OPERATIONS,
        "transaction_operations": MAX_OPERATIONS,
        "undone_changes": MAX_CHANGES,
        "conditions": MAX_CONDITIONS,
        "sort_keys": query_params.MAX_SORT_KEYS,
        "searched_characters": MAX_SEARCHED_CHARACTERS,
        "wait_seconds": query_params.MAX_WAIT_SECONDS,
        "connections": limiter.connections.limit,
        "requests": limiter.requests.limit,
        "waiting": used.writes.limit,
        "reads": used.reads.limit,
        "streams": used.streams.limit,
        "jobs": used.jobs.limit,
        "bodies_bytes": limiter.body_bytes.limit,
        "spooled_bytes": limiter.spooled_bytes.limit,
        "responses_bytes": limiter.response_bytes.limit,
    }


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

    async def describe_service(self, request: AuthorizedRequest) -> Json:
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

    async def ready(self, request: AuthorizedRequest) -> Json:
        """Return whether the service can store and answer. Raises ``Unavailable``."""
        await self._database.health.check()
        with suppress(Unavailable):  # many others wait: no fault of the service
            await self._database.refresh()
        for collection in self._database.catalog.ahead:
            self._database.catalog.get(collection)
        # If keys are required, only administrators may read internal faults.
        if not request.access.allows(Level.ADMIN):
            return {"status": "ok"}
        return {
            "status": "ok",
            "definition_files": self._file_faults,
            "unexpected_errors": self._faults,
        }

    async def read_problem(self, code: str) -> Json:
        """Return the meaning of a problem's code."""
        kind = catalogue().get(code)
        if kind is None and not PROBLEM_CODE.fullmatch(code):
            raise NotFound(f"there is no problem {code[:80]!r}")
        if kind is None:
            kind = Refused
            description = (
                "a command of the collection refused, for a reason that it names"
            )
        else:
            description = " ".join((kind.__doc__ or kind.title).split())
        return {
            "code": code,
            "title": kind.title,
            "status": status_of(kind),
            "description": description,
        }

    async def list_collections(self, request: AuthorizedRequest) -> Json:
        """Return the collections that the caller may read in some workspace."""
        await self._database.refresh()
        catalog = self._database.catalog
        items = [
            described(entity_type)
            for entity_type in catalog
            if request.access.workspaces_of(entity_type.name, catalog.workspaces)
        ]
        return {"items": items}

    async def read_collection(
        self, collection: str, request: AuthorizedRequest
    ) -> Json:
        """Return one collection."""
        await self._database.refresh()
        return described(self._database.catalog.get(collection).type)

    async def read_collection_openapi(
        self, collection: str, request: AuthorizedRequest
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
            server=request.url_path("") or "/",
        )
        return _json_of(await in_thread(lambda: list(chunks)))

    async def read_openapi(self, request: AuthorizedRequest) -> Response:
        """Return the OpenAPI document of what the caller may use."""
        await self._database.refresh()
        key = self._database.catalog.epoch, frozenset(request.access.scopes)
        chunks = self._documents.get(key)
        if chunks is None:
            chunks = await in_thread(lambda: self._document(request.access))
            self._keep(key, chunks)
        return _json_of(chunks)

    def _keep(self, key: tuple[int, frozenset[Scope]], chunks: list[bytes]) -> None:
        kept = sum(map(_size, self._documents.values()))
        if kept + _size(chunks) > MAX_DOCUMENTS_BYTES:
            self._documents.clear()
        self._documents[key] = chunks


def _size(chunks: list[bytes]) -> int:
    return sum(map(len, chunks))


def _json_of(chunks: list[bytes]) -> Response:
    async def sent() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    length = {"content-length": str(_size(chunks))}
    return StreamingResponse(sent(), headers=length, media_type="application/json")


def described(entity_type: EntityType) -> Json:
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
