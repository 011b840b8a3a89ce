"""The showcase: drives a running service over HTTP and tells what happened, every number checked."""

import tempfile
import uuid
from pathlib import Path

import httpx
from rich.console import Console

from app.showcase.report import Report
from app.showcase.service import CannotStart, Service
from app.showcase.story import Mismatch, Narrator, keyboard

TIMEOUT = 30


def run(url: str | None, *, as_json: bool) -> bool:
    """Show the service at ``url``, or one of our own; whether everything came out as expected."""
    report = Report(Console(soft_wrap=True), as_json)
    failure = None
    try:
        url = _show_running(url, report) if url else _show_own(report)
    except (Mismatch, CannotStart) as error:
        failure = str(error)
    except httpx.HTTPError as error:
        failure = f"the service cannot be reached: {error}"
    report.end(url or "", failure)
    return failure is None


def _show_running(url: str, report: Report) -> str:
    with httpx.Client(timeout=TIMEOUT) as client:
        keyboard(Narrator(client, url, report), f"KB-01-{uuid.uuid4().hex[:8]}", restart=None)
    return url


def _show_own(report: Report) -> str:
    with (
        tempfile.TemporaryDirectory(prefix="persist-showcase-") as folder,
        Service(Path(folder)) as service,
        httpx.Client(timeout=TIMEOUT) as client,
    ):
        narrator = Narrator(client, service.start(), report)
        keyboard(narrator, "KB-01", service.restart)
        return narrator.url
