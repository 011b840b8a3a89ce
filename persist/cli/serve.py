"""The command `persist serve`."""

import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer

from persist import deployment, logging_config
from persist.api.routes import CONSOLE, DOCS
from persist.cli.owned_folder import owned_folder
from persist.cli.settings_flags import ALL, load_settings, with_flags
from persist.cli.terminal import FAILED, record_progress, refuse
from persist.settings import Settings

if TYPE_CHECKING:
    from persist.domain.entity_type import EntityType

logger = logging.getLogger("persist.cli")


def add_to(commands: typer.Typer) -> None:
    """Add this command to the command line."""
    commands.command()(with_flags(*ALL)(serve))


def serve(**flags: str | bool | None) -> None:
    """Serve the collections over HTTP until a signal.

    Every setting is an environment variable, and a flag that overrides it.
    """
    settings = load_settings(flags)
    logging_config.configure(settings.log_level)
    bound = _prepare(settings)
    _allow_connections(settings)
    raise typer.Exit(0 if _serve(settings, bound) else FAILED)


def _prepare(settings: Settings) -> socket.socket:
    """Check everything once, before the processes that serve are started."""
    from persist import server
    from persist.cli import preflight

    try:
        types = preflight.entity_types(settings)
        # Before a database file is created: a start that fails leaves none.
        bound = server.listen(settings.host, settings.port)
        _prepare_tables(settings, types)
        _create_first_key(settings)
    except preflight.NoDatabase as error:
        refuse(error, FAILED)
    except preflight.NotReady as error:
        refuse(error)
    except server.CannotListen as error:
        refuse(f"PERSIST_HOST, PERSIST_PORT: {error}")
    if not types:
        logger.info(deployment.NO_MODELS)
    return bound


def _prepare_tables(settings: Settings, types: "list[EntityType]") -> None:
    from persist.cli import preflight

    database = preflight.database(settings.database_url)
    with record_progress(logger.info) as on_progress:
        preflight.prepare_tables(
            database,
            types,
            auto_migrate=settings.auto_migrate,
            on_progress=on_progress,
        )
    # What one process need not fear is left to `persist check`.
    harmless = database.safety_warnings(1)
    for warning in database.safety_warnings(settings.workers):
        if warning not in harmless:
            logger.warning(warning)


def _create_first_key(settings: Settings) -> None:
    """Create a first key if other machines reach the service and there is none.

    It is written to stderr rather than to the log, which other people read.
    """
    from persist.api.authentication import is_loopback
    from persist.cli import preflight

    if is_loopback(settings.host):
        return
    with preflight.keys(preflight.database(settings.database_url)) as keys:
        key = keys.create_first()
    if key is not None:
        typer.echo(
            "persist: the first key, named first, with the scope *:admin, displayed"
            f" only now:\n{key}",
            err=True,
        )


def _allow_connections(settings: Settings) -> None:
    from persist import server

    if not server.allow_files(settings.max_connections):
        logger.warning(
            "the system allows too few open files for PERSIST_MAX_CONNECTIONS"
            " (ulimit -n)"
        )


def _serve(settings: Settings, bound: socket.socket) -> bool:
    from persist import server
    from persist.api.metrics import MULTIPROCESS_FOLDER
    from persist.application import create_app

    options: Any = {
        "seconds": settings.shutdown_seconds,
        "log": logging_config.configuration(settings.log_level),
        "announce": _announcement(server.address(bound), settings),
    }
    if settings.workers == 1:
        return server.serve(create_app(settings), bound, **options)
    deployment.forget_current_folder()
    with owned_folder() as folder:
        os.environ[MULTIPROCESS_FOLDER] = folder
        return server.serve_in_processes(
            "persist.application:application",
            bound,
            workers=settings.workers,
            **options,
        )


def _announcement(url: str, settings: Settings) -> Callable[[], None]:
    pages = f"documentation: {url}{DOCS}"
    if settings.console:
        pages = f"console: {url}{CONSOLE}, {pages}"

    def announce() -> None:
        typer.echo(f"persist answers on {url} ({pages})")
        sys.stdout.flush()

    return announce
