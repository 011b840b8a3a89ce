"""CliService: the service a command works on, a running one or one it starts for as
long as it takes."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import typer

from persist.cli.client import Refused, ServiceClient, connected
from persist.cli.local_service import CannotStart, LocalService
from persist.cli.settings_flags import settings
from persist.cli.terminal import FAILED, refuse, waiting
from persist.settings import KEY

Url = Annotated[
    str | None,
    typer.Option(
        help=(
            "A running service, shown the key in PERSIST_KEY. Default: one of its own,"
            " on the database."
        )
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(help="The database, where there is no --url. [PERSIST_DATABASE_URL]"),
]


@contextmanager
def service_at(
    url: str | None, database_url: str | None, *, made: bool = False
) -> Iterator[ServiceClient]:
    """A running service, or one of our own; ``made``: on a database file that is not
    there yet, too."""
    try:
        if url is not None:
            with connected(url, os.environ.get(KEY)) as service:
                yield service
        else:
            with _own(database_url, made=made) as service:
                yield service
    except (Refused, CannotStart) as error:
        refuse(error, FAILED)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        refuse(f"the service cannot be reached: {error}", FAILED)
    except OSError as error:
        refuse(error, FAILED)


@contextmanager
def _own(database_url: str | None, *, made: bool) -> Iterator[ServiceClient]:
    """A service that does nothing of its own accord: no migration, no registration, no
    snapshot."""
    chosen = settings({"database_url": database_url})
    with (
        lent_key(chosen.database_url, made=made) as key,
        tempfile.TemporaryDirectory(prefix="persist-") as folder,
    ):
        environment = os.environ | {
            "PERSIST_DATABASE_URL": chosen.database_url,
            "PERSIST_HOST": "127.0.0.1",
            "PERSIST_WORKERS": "1",
            "PERSIST_AUTO_MIGRATE": "false",
            "PERSIST_SCHEMAS": folder,
            "PERSIST_SNAPSHOT_EVERY": "0",
            "PERSIST_MAX_IMPORT_BYTES": str(2**62),  # nobody else can reach it
            "PERSIST_LOG_LEVEL": "warning",
        }
        with LocalService(Path.cwd(), environment, Path(folder) / "service.log") as own:
            with waiting("starting a service"):
                url = own.start()
            with connected(url, key) as service:
                yield service


@contextmanager
def lent_key(database_url: str, *, made: bool) -> Iterator[str | None]:
    """A key for a service of our own, as long as the block goes on; None where none is
    demanded."""
    from persist.cli import preflight

    try:
        with (
            preflight.keys(preflight.database(database_url, made=made)) as keys,
            keys.lent() as key,
        ):
            yield key
    except preflight.NotReady as error:
        refuse(error)
