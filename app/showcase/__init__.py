"""The showcase: a mission over HTTP against a running service, every number checked."""

import contextlib
import tempfile
from pathlib import Path

import httpx
from rich.console import Console

from app.showcase.audit import record_login
from app.showcase.catalogue import sell_keyboard
from app.showcase.incident import respond
from app.showcase.mistakes import take_back
from app.showcase.narrator import Mismatch, Narrator
from app.showcase.report import Report
from app.showcase.tickets import restore_tickets
from persist import logging_config
from persist.cli import preflight
from persist.cli.local_service import CannotStart, LocalService
from persist.client import Client, Problem
from persist.settings import ExplicitSettings

TIMEOUT_SECONDS = 30


def run(
    url: str | None, database_url: str | None, key: str | None, *, as_json: bool
) -> bool:
    """Run the mission. Return whether everything came out as expected.

    Without a ``url``, a local service is started on the database, or on a temporary
    one. The ``key`` is sent to the service at the ``url``.
    """
    report = Report(Console(soft_wrap=True), as_json)
    failure = None
    try:
        if url is not None:
            _visit(url, key, report)
        else:
            _run_own_service(database_url, report)
    except (Mismatch, Problem, CannotStart, preflight.NotReady) as error:
        failure = str(error)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        failure = f"the service cannot be reached: {error}"
    report.end(url or "", failure)
    return failure is None


def _visit(url: str, key: str | None, report: Report) -> None:
    with Client(url, key, timeout_seconds=TIMEOUT_SECONDS) as client:
        client.request("GET", "/health/ready")
        _run_parts(Narrator(client, report))


def _run_own_service(database_url: str | None, report: Report) -> None:
    logging_config.configure("warning")
    with tempfile.TemporaryDirectory(prefix="persist-showcase-") as folder:
        settings = _settings(Path(folder), database_url)
        _create_tables(settings)
        with (
            LocalService(settings) as service,
            service.client(TIMEOUT_SECONDS) as client,
        ):
            narrator = Narrator(client, report, owns_database=database_url is None)
            narrator.restart = service.restart
            _run_parts(narrator)


def _settings(folder: Path, database_url: str | None) -> ExplicitSettings:
    return ExplicitSettings(
        database_url=database_url or f"sqlite:///{folder / 'showcase.db'}",
        models="app.models",
        schemas=str(folder),
        auto_migrate=False,
        log_level="warning",
    )


def _create_tables(settings: ExplicitSettings) -> None:
    """Reach the database first: its errors are reported in one sentence."""
    preflight.database(settings.database_url)


def _run_parts(narrator: Narrator) -> None:
    """Run every part. Delete what they created, also when one fails."""
    try:
        sell_keyboard(narrator)
        restore_tickets(narrator)
        event_version = record_login(narrator)
        respond(narrator, event_version)
        take_back(narrator)
    except BaseException:
        with contextlib.suppress(Mismatch, httpx.HTTPError):
            narrator.delete_all()
        raise
    narrator.report.chapter("Clean up")
    narrator.delete_all()
