"""The application: wiring, nothing else."""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from persist.api import docs
from persist.api.authentication import Keyring, is_loopback
from persist.api.changes import changes_router
from persist.api.collections import CollectionRoutes
from persist.api.entity_types import entity_type_router
from persist.api.fastapi_errors import handle_error
from persist.api.gateway import Gateway
from persist.api.in_flight import InFlightLimiter
from persist.api.metrics import Metrics, metrics_router
from persist.api.migrations import migration_router
from persist.api.openapi import document, document_pieces
from persist.api.requests import Admit, Limits, Request
from persist.api.selective_invoke import invoking_router
from persist.api.service import service_router
from persist.api.snapshots import snapshot_router
from persist.api.transactions.routes import transaction_router
from persist.api.workspaces import workspace_router
from persist.api.write_requests import Writes
from persist.definition_files import DefinitionFiles
from persist.deployment import entity_types
from persist.domain.access import OPEN, Access
from persist.domain.errors import PersistError
from persist.settings import Settings, load
from persist.storage.database import Database

logger = logging.getLogger(__name__)

NAME = "persist"
VERSION = version("persist-service")
TOGETHER = "PERSIST_WORKERS_FOLDER"
"""Where the processes of one service tell each other what they count; ``persist serve``
chooses it."""

REFUSALS = (PersistError, HTTPException, RequestValidationError, Exception)


class Persist(FastAPI):
    """FastAPI behind the front that answers for the collections."""

    front: Gateway
    database: Database

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self.front(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def openapi(self, access: Access = OPEN) -> dict[str, Any]:
        """What a caller may use: every collection's concrete paths beside the ordinary
        routers'."""
        return document(
            self.database.catalog,
            version=VERSION,
            base=super().openapi(),
            access=access,
        )

    def openapi_pieces(self, access: Access) -> list[bytes]:
        """The same as it is sent."""
        base = super().openapi()
        return list(
            document_pieces(
                self.database.catalog, version=VERSION, base=base, access=access
            )
        )


def create_app(
    settings: Settings, together: Path | None = None, *, private: bool = False
) -> Persist:
    """Create the service on its database.

    ``together`` is a folder that all its processes share. A ``private`` service is
    reached by one process of its own user only, and asks for no key.
    Raise what ``deployment.entity_types`` and ``Database`` raise.
    """
    limits = _limits(settings)
    database = _opened(settings)
    writes = Writes(database)
    files = DefinitionFiles(Path(settings.schemas), database)
    traffic = InFlightLimiter(limits.requests, limits.bodies)
    metrics = Metrics(traffic, database, together)
    stopping = asyncio.Event()
    told = {"stopping": stopping, "connections": limits.connections}
    app = _app(_lifespan(database, files, metrics, told, settings.shutdown_seconds))
    app.database = database
    for made in (
        workspace_router,
        invoking_router,
        entity_type_router,
        snapshot_router,
        migration_router,
    ):
        app.include_router(made(database, writes))
    app.include_router(
        service_router(
            NAME, VERSION, limits, database, app.openapi_pieces, files.faults
        )
    )
    for router in (
        docs.router,
        metrics_router(metrics),
        changes_router(database, stopping),
    ):
        app.include_router(router)
    app.include_router(
        transaction_router(database, writes, require_if_match=settings.require_if_match)
    )
    collections = CollectionRoutes(
        database, writes, require_if_match=settings.require_if_match
    )
    app.front = Gateway(
        _admit_everyone if private else _admit(settings, database),
        collections,
        limits,
        traffic,
        super(Persist, app).__call__,
    )
    return app


def _app(lifespan: Any) -> Persist:
    return Persist(
        title="Persist",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        openapi_url=None,
        redoc_url=None,
        exception_handlers=dict.fromkeys(REFUSALS, handle_error),
        # A redirect would name the host and scheme that this process sees.
        redirect_slashes=False,
    )


def _admit(settings: Settings, database: Database) -> Admit:
    return Keyring(database.keys, demanded=not is_loopback(settings.host)).admit


async def _admit_everyone(_: Request) -> Access:
    return OPEN


def _lifespan(
    database: Database,
    files: DefinitionFiles,
    metrics: Metrics,
    told: dict[str, Any],
    seconds: float,
) -> Any:
    """What happens around serving; ``told`` is for the server (``persist.server``)."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        # what start-up made stays; sweeping it again and again costs writes a seventh
        await files.look()
        await asyncio.to_thread(database.snapshots.sweep)
        gc.collect()
        gc.freeze()
        # an answer takes the event loop several turns, each of which waits for a thread
        # that computes
        sys.setswitchinterval(0.001)
        tasks = [
            asyncio.create_task(files.watch()),
            asyncio.create_task(metrics.tell()),
        ]
        yield told
        for task in tasks:
            task.cancel()
        metrics.tell_once()
        await _closed(database, seconds)

    return lifespan


def _opened(settings: Settings) -> Database:
    return Database(
        settings.database_url,
        entity_types(settings),
        auto_migrate=settings.auto_migrate,
        snapshot_every=settings.snapshot_every,
        snapshot_keep=settings.snapshot_keep,
        waiting=settings.max_waiting,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        settings.max_body_bytes,
        settings.max_import_bytes,
        settings.body_timeout_seconds,
        connections=settings.max_connections,
        requests=settings.max_requests,
        bodies=settings.max_bodies_bytes,
        waiting=settings.max_waiting,
    )


async def _closed(database: Database, seconds: float) -> None:
    """Store what waits; a database that does not answer keeps the process no longer
    than that."""
    try:
        await asyncio.wait_for(asyncio.to_thread(database.close), seconds)
    except TimeoutError:
        logger.error("the database did not let go within %g seconds", seconds)
        os._exit(1)


def application() -> FastAPI:
    """The application of this environment, for an ASGI server."""
    together = os.environ.get(TOGETHER)
    return create_app(load(), Path(together) if together else None)
