"""The application: wiring, nothing else."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from app.api import docs
from app.api.collections import CollectionRoutes
from app.api.entity_types import entity_type_router
from app.api.framework import handle_error
from app.api.front import Front
from app.api.migrations import migration_router
from app.api.openapi import document
from app.api.requests import Limits
from app.api.service import service_router
from app.api.snapshots import snapshot_router
from app.api.writes import Writes
from app.definition_files import DefinitionFiles
from app.domain.errors import PersistError
from app.entity_types.registry import load_models
from app.settings import Settings, load
from app.storage.database import Database

NAME = "persist"
VERSION = version(NAME)
REFUSALS = (PersistError, HTTPException, RequestValidationError, Exception)


class Persist(FastAPI):
    """FastAPI behind the front that answers for the collections."""

    front: Front
    database: Database

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self.front(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Every collection's concrete paths beside the ordinary routers'."""
        return document(self.database.catalog, version=VERSION, base=super().openapi())


def create_app(settings: Settings) -> FastAPI:
    """The service on its database. Raises what ``load_models`` and ``Database`` raise."""
    limits = Limits(settings.max_body_bytes, settings.max_import_bytes, settings.body_timeout_seconds)
    database = _opened(settings)
    writes = Writes(database)
    files = DefinitionFiles(Path(settings.schemas), database)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # what start-up made stays; sweeping it again and again costs writes a seventh
        await files.look()
        await database.in_thread(database.snapshots.sweep)
        gc.collect()
        gc.freeze()
        watching = asyncio.create_task(files.watch())
        yield
        watching.cancel()
        await asyncio.to_thread(database.close)

    app = Persist(
        title="Persist",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        openapi_url=None,
        redoc_url=None,
        exception_handlers=dict.fromkeys(REFUSALS, handle_error),
    )
    app.database = database
    app.include_router(service_router(NAME, VERSION, limits, database, app.openapi, files.faults))
    app.include_router(docs.router)
    app.include_router(entity_type_router(database, writes))
    app.include_router(snapshot_router(database, writes))
    app.include_router(migration_router(database, writes))
    collections = CollectionRoutes(database, writes, require_if_match=settings.require_if_match)
    app.front = Front(collections, limits, super(Persist, app).__call__)
    return app


def _opened(settings: Settings) -> Database:
    return Database(
        settings.database_url,
        load_models(settings.models),
        auto_migrate=settings.auto_migrate,
        snapshot_every=settings.snapshot_every,
        snapshot_keep=settings.snapshot_keep,
    )


def application() -> FastAPI:
    """The application of this environment, for an ASGI server."""
    return create_app(load())
