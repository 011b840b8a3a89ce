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
from persist.cli.settings_flags import ALL, load_settings, with_flags
from persist.cli.temporary_folder import temporary_folder
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
    bound = _listen(settings)
    _allow_connections(settings)
    run = _serve if settings.workers == 1 else _supervise
    raise typer.Exit(0 if run(settings, bound) else FAILED)


def _listen(settings: Settings) -> socket.socket:
    """Bind the address, before a database file is created: a start that fails leaves
    none."""
    from persist import server

    try:
        return server.listen(settings.host, settings.port)
    except server.CannotListen as error:
        refuse(f"PERSIST_HOST, PERSIST_PORT: {error}")


def _prepare(settings: Settings) -> "list[EntityType]":
    """Check everything once, before the processes that serve are started. Return the
    typed entities."""
    from persist.cli import preflight

    try:
        types = preflight.entity_types(settings)
        _prepare_tables(settings, types)
        _create_first_key(settings)
    except preflight.NoDatabase as error:
        refuse(error, FAILED)
    except preflight.NotReady as error:
        refuse(error)
    if not types:
        logger.info(deployment.NO_MODELS)
    return types


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
    # Warnings that do not concern the number of processes are left to `persist check`.
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
            'persist: created the first key, named "first", with the scope *:admin. It'
            f" is displayed only once:\n{key}",
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
    """Serve in this process. Return False if the application could not start."""
    from persist import server
    from persist.application import create_app

    application = create_app(settings, prepared=_prepare(settings))
    return server.serve(application, bound, **_options(settings, bound))


def _supervise(settings: Settings, bound: socket.socket) -> bool:
    """Serve in several processes. Return False if one could not start."""
    from persist import server
    from persist.api.metrics import MULTIPROCESS_FOLDER
    from persist.application import application

    def prepare() -> None:
        try:
            _prepare(settings)
        except typer.Exit as refused:
            sys.exit(refused.exit_code)

    # This process does not import the deployment (``Supervisor``).
    status = server.run_in_process(prepare)
    if status:
        raise typer.Exit(status)
    with temporary_folder() as folder:
        os.environ[MULTIPROCESS_FOLDER] = folder
        return server.serve_in_processes(
            application, bound, workers=settings.workers, **_options(settings, bound)
        )


def _options(settings: Settings, bound: socket.socket) -> dict[str, Any]:
    from persist import server

    return {
        "seconds": settings.shutdown_seconds,
        "log": logging_config.configuration(settings.log_level),
        "announce": _announcement(server.address(bound), settings),
    }


def _announcement(url: str, settings: Settings) -> Callable[[], None]:
    pages = f"documentation: {url}{DOCS}"
    if settings.console:
        pages = f"console: {url}{CONSOLE}, {pages}"

    def announce() -> None:
        typer.echo(f"persist answers on {url} ({pages})")
        sys.stdout.flush()

    return announce
