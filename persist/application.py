"""The application: its parts, made and connected."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Lifespan, Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE

from persist import deployment
from persist.api import routes
from persist.api.authentication import Keyring, is_loopback
from persist.api.changes import ChangeRoutes
from persist.api.collections import CollectionRoutes
from persist.api.console import ConsoleRoutes
from persist.api.cross_origin import CrossOriginPolicy
from persist.api.docs import DocsRoutes
from persist.api.entity_types import EntityTypeRoutes
from persist.api.fastapi_errors import handle_error
from persist.api.fastapi_registration import add_routes
from persist.api.gateway import Gateway
from persist.api.in_flight import InFlightLimiter
from persist.api.journal_key import JournalKey
from persist.api.metrics import Metrics, MetricsRoutes
from persist.api.migrations import MigrationRoutes
from persist.api.openapi import document, document_chunks
from persist.api.openapi.shared import refuses_parameters
from persist.api.requests import Limits, Request, RequestPolicy, client_disconnected
from persist.api.seals import SealRoutes
from persist.api.service import ServiceRoutes, described_limits
from persist.api.sessions import Environment, SessionRoutes
from persist.api.snapshots import SnapshotRoutes
from persist.api.transactions import routes as transactions
from persist.api.undo import UndoRoutes
from persist.api.workspaces import WorkspaceRoutes
from persist.api.write_requests import Writes
from persist.deployment.definition_files import DefinitionFiles
from persist.domain.access import OPEN, Access
from persist.domain.entity_type import EntityType
from persist.domain.errors import PersistError
from persist.server import interpreter
from persist.server.background_tasks import BackgroundTasks
from persist.settings import Settings, load, split_origins
from persist.storage.database import Database
from persist.storage.dialect import dialect_of
from persist.storage.migrations.database_schema import prepare
from persist.storage.migrations.next_tables import drop_unused_tables
from persist.storage.sharing.capacity import Capacity

logger = logging.getLogger(__name__)

NAME = "persist"

VERSION = version("persist-service")
HANDLED = (PersistError, HTTPException, RequestValidationError, Exception)

RoutesWithHandlers = tuple[Sequence[routes.Route], object]
"""Routes, and the object that has a method for each of their operations."""


class Persist(FastAPI):
    """The ASGI application: FastAPI behind the gateway, which answers requests to
    collections."""

    gateway: Gateway
    database: Database
    server: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.gateway(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def openapi(self, access: Access = OPEN) -> dict[str, Any]:
        """Return the OpenAPI document of what a caller may use."""
        return document(
            self.database.catalog,
            version=VERSION,
            with_service=True,
            access=access,
            workspaces=self.database.catalog.workspaces,
        )

    def openapi_chunks(self, access: Access) -> list[bytes]:
        """Return the document as JSON, in chunks."""
        return list(
            document_chunks(
                self.database.catalog,
                version=VERSION,
                with_service=True,
                access=access,
                workspaces=self.database.catalog.workspaces,
                server=self.server,
            )
        )


def create_app(
    settings: Settings,
    *,
    private: bool = False,
    prepared: Sequence[EntityType] | None = None,
) -> Persist:
    """Return the service on its database.

    A ``private`` service can be reached by one process of the same user only, and asks
    for no key. ``prepared`` are the typed entities if they are compiled and their
    tables are prepared already. Raises what ``deployment.entity_types`` and
    ``storage.migrations.database_schema.prepare`` raise.
    """
    limits = _limits(settings)
    database = _database(settings, prepared)
    writes = Writes(database)
    files = DefinitionFiles(
        Path(settings.schemas),
        database,
        required="schemas" in settings.model_fields_set,
    )
    limiter = InFlightLimiter(
        connections=settings.max_connections,
        requests=settings.max_requests,
        body_bytes=settings.max_bodies_bytes,
        spooled_bytes=settings.max_spooled_bytes,
        response_bytes=settings.max_responses_bytes,
    )
    metrics = Metrics(limiter, database)
    stopping = asyncio.Event()
    # The state that the server reads (persist.server).
    state = {
        "stopping": stopping,
        "connections": limiter.connections,
        "refused_connections": limiter.refused_connections,
    }
    faults: dict[str, str] = {}
    tasks = BackgroundTasks(faults)
    lifespan = _lifespan(
        database,
        files,
        metrics,
        tasks,
        state,
        settings,
        is_idle=lambda: not limiter.requests.taken,
    )
    app = _fastapi(lifespan)
    app.database = database
    app.server = settings.root_path or "/"
    service = ServiceRoutes(
        NAME,
        VERSION,
        described_limits(limits, limiter, database),
        database,
        app.openapi_chunks,
        files.faults,
        faults,
    )
    keyring = Keyring(database.credentials, required=not is_loopback(settings.host))
    environment = Environment(settings.console_name, settings.console_color)
    sessions = SessionRoutes(database, keyring, environment)
    workspaces = WorkspaceRoutes(database, writes)
    required = settings.require_if_match
    handlers: list[RoutesWithHandlers] = [
        *_handlers_of_data(database, writes, workspaces, required),
        (routes.SERVICE_ROUTES, service),
        (routes.SESSION_ROUTES, sessions),
        (routes.METRICS_ROUTES, MetricsRoutes(metrics)),
        (routes.CHANGE_ROUTES, ChangeRoutes(database, stopping)),
        (routes.UNDO_ROUTES, UndoRoutes(database, writes)),
        (routes.SEAL_ROUTES, SealRoutes(database, _journal_key(settings))),
        (routes.PAGE_ROUTES, DocsRoutes()),
    ]
    landing_page = routes.DOCS
    if settings.console:
        landing_page = routes.CONSOLE
        handlers.append((routes.CONSOLE_ROUTES, ConsoleRoutes(settings.root_path)))
    for declared, handler in handlers:
        add_routes(app, declared, handler, refuses_parameters)
    collections = CollectionRoutes(
        database, writes, workspaces, require_if_match=required
    )
    policy = RequestPolicy(
        limits,
        limiter,
        database.loop_turns,
        Everyone() if private else keyring,
        settings.root_path,
        faults,
    )
    app.gateway = Gateway(
        policy,
        collections,
        metrics,
        CrossOriginPolicy(split_origins(settings.cors_origins), landing_page),
        super(Persist, app).__call__,
    )
    return app


def _handlers_of_data(
    database: Database,
    writes: Writes,
    workspaces: WorkspaceRoutes,
    require_if_match: bool,
) -> Iterator[RoutesWithHandlers]:
    """Yield the routes that read and write the database."""
    yield routes.WORKSPACE_ROUTES, workspaces
    yield routes.ENTITY_TYPE_ROUTES, EntityTypeRoutes(database, writes)
    yield routes.SNAPSHOT_ROUTES, SnapshotRoutes(database, writes)
    yield routes.MIGRATION_ROUTES, MigrationRoutes(database, writes)
    yield (
        routes.TRANSACTION_ROUTES,
        transactions.TransactionRoutes(
            database, writes, require_if_match=require_if_match
        ),
    )


def _fastapi(lifespan: Lifespan[FastAPI]) -> Persist:
    return Persist(
        title="Persist",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        openapi_url=None,
        redoc_url=None,
        exception_handlers=dict.fromkeys(HANDLED, handle_error),
        # A redirect would name the host and scheme that this process sees.
        redirect_slashes=False,
    )


class Everyone:
    """Admits every caller to everything."""

    def admit_at_once(self, _: Request) -> Access:
        return OPEN

    async def admit(self, _: Request) -> Access:
        return OPEN


def _lifespan(
    database: Database,
    files: DefinitionFiles,
    metrics: Metrics,
    tasks: BackgroundTasks,
    state: dict[str, Any],
    settings: Settings,
    is_idle: Callable[[], bool],
) -> Lifespan[FastAPI]:
    """Return the context manager that FastAPI enters before it serves."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        # Before the first request: a client that waits for readiness finds the types.
        await files.look()
        # A process that was killed may have left a snapshot that nothing refers to.
        await asyncio.to_thread(database.snapshots.sweep)
        # So it may have left a table that it filled.
        await asyncio.to_thread(drop_unused_tables, database.dialect)
        interpreter.tune()
        tasks.start("definition files", files.watch)
        tasks.start("metrics", metrics.refresh)
        tasks.start("maintenance", database.maintenance.run)
        tasks.start("memory", partial(interpreter.release_memory, is_idle))
        yield state
        await tasks.stop()
        metrics.observe()
        await _close(database, settings.shutdown_seconds)

    return lifespan


def _database(settings: Settings, prepared: Sequence[EntityType] | None) -> Database:
    types = prepared
    if types is None:
        types = deployment.entity_types(settings)
        dialect = dialect_of(settings.database_url)
        prepare(dialect, types, auto_migrate=settings.auto_migrate)
    return Database(
        settings.database_url,
        types,
        auto_migrate=settings.auto_migrate,
        snapshot_every=settings.snapshot_every,
        snapshot_keep=settings.snapshot_keep,
        capacity=Capacity(
            settings.max_waiting, settings.max_streams, settings.max_read_seconds
        ),
        client_disconnected=client_disconnected,
    )


def _journal_key(settings: Settings) -> JournalKey | None:
    return JournalKey(Path(settings.journal_key)) if settings.journal_key else None


def _limits(settings: Settings) -> Limits:
    return Limits(
        settings.max_body_bytes,
        settings.max_import_bytes,
        settings.body_timeout_seconds,
    )


async def _close(database: Database, seconds: float) -> None:
    """Store the waiting writes, and close the database; end the process if that takes
    longer than ``seconds``."""
    try:
        await asyncio.wait_for(asyncio.to_thread(database.close), seconds)
    except TimeoutError:
        logger.error("the database did not close within %g seconds", seconds)
        # A thread that waits for the database would keep the process from ending.
        os._exit(1)


def application() -> FastAPI:
    """Return the application of this environment, for an ASGI server.

    If it cannot start the process ends with the status by which uvicorn knows that
    another attempt would fail too.
    """
    try:
        return create_app(load())
    except Exception:
        logger.exception("the service cannot start")
        sys.exit(STARTUP_FAILURE)
