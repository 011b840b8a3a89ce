"""``python -m app.showcase``: drive a service over HTTP and check what it answers."""

import os
from typing import Annotated

import typer

from app.showcase import run
from persist.cli.terminal import FAILED, refuse
from persist.settings import KEY, read_env_file


def main(
    url: Annotated[
        str | None,
        typer.Option(
            help=(
                "The URL of a running service, which is left as it was. It is sent the"
                " key in PERSIST_KEY. Default: start one for the showcase."
            )
        ),
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            help=(
                "The database of the service that is started, which is left as it was."
                " Default: a temporary SQLite file."
            )
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of prose.")
    ] = False,
) -> None:
    """Drive a service over HTTP and describe what happens; every number is checked.

    Without --url a service is started, and stopped and started again on the way.
    Exit with status 1 where anything is otherwise than it should be.
    """
    if url and database_url:
        refuse(
            "choose --url or --database-url: a running service has a database already"
        )
    read_env_file()
    ok = run(url, database_url, os.environ.get(KEY), as_json=as_json)
    raise typer.Exit(0 if ok else FAILED)


if __name__ == "__main__":
    typer.run(main)
