"""The showcase: drives a running service over HTTP and tells what happened, every
number checked."""

import contextlib
import tempfile
from pathlib import Path

import httpx
from rich.console import Console

from app.showcase.audit import account
from app.showcase.catalogue import keyboard
from app.showcase.incident import respond
from app.showcase.narrator import Mismatch, Narrator
from app.showcase.report import Report
from app.showcase.tickets import restore_tickets
from persist.cli.client import bearer
from persist.cli.local_service import CannotStart, LocalService, without_choices

TIMEOUT = 30


def run(
    url: str | None, database_url: str | None, key: str | None, *, as_json: bool
) -> bool:
    """Show the service at ``url``, or one of our own on a database, a temporary one
    where none is given, and show it a ``key``; whether everything came out as
    expected."""
    report = Report(Console(soft_wrap=True), as_json)
    failure = None
    try:
        url = (
            _show_running(url, key, report)
            if url
            else _show_own(database_url, key, report)
        )
    except (Mismatch, CannotStart) as error:
        failure = str(error)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        failure = f"the service cannot be reached: {error}"
    report.end(url or "", failure)
    return failure is None


def _show_running(url: str, key: str | None, report: Report) -> str:
    with httpx.Client(timeout=TIMEOUT, headers=bearer(key)) as client:
        _tell(Narrator(client, url, report))
    return url


def _show_own(database_url: str | None, key: str | None, report: Report) -> str:
    with (
        tempfile.TemporaryDirectory(prefix="persist-showcase-") as folder,
        LocalService(
            Path.cwd(), _environment(Path(folder), database_url), Path(folder) / "log"
        ) as service,
        httpx.Client(timeout=TIMEOUT, headers=bearer(key)) as client,
    ):
        narrator = Narrator(client, service.start(), report, alone=database_url is None)
        narrator.restart = service.restart
        _tell(narrator)
        return narrator.url


def _environment(folder: Path, database_url: str | None) -> dict[str, str]:
    return without_choices() | {
        "PERSIST_DATABASE_URL": database_url or f"sqlite:///{folder / 'showcase.db'}",
        "PERSIST_SCHEMAS": str(folder),
        "PERSIST_AUTO_MIGRATE": "false",
        "PERSIST_LOG_LEVEL": "warning",
    }


def _tell(narrator: Narrator) -> None:
    """The whole story. What it made is deleted, however it ends."""
    try:
        keyboard(narrator)
        restore_tickets(narrator)
        respond(narrator, account(narrator))
    except BaseException:
        with contextlib.suppress(Mismatch, httpx.HTTPError):
            narrator.delete_all()
        raise
    narrator.report.chapter("The service as it was")
    narrator.delete_all()
