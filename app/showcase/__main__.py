"""``python -m app.showcase``: drive a service over HTTP and check what it answers."""

import os
from contextlib import nullcontext
from typing import Annotated

import typer

from app.showcase import run
from persist.cli.service import lent_key
from persist.cli.terminal import FAILED, refuse
from persist.settings import KEY


def main(
    url: Annotated[
        str | None,
        typer.Option(
            help=(
                "A running service to show, left as it was found; it is sent the key in"
                " PERSIST_KEY. "
                "Default: one of its own."
            )
        ),
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            help=(
                "The database of its own service, left as it was found. Default: a"
                " temporary SQLite file."
            )
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of prose.")
    ] = False,
) -> None:
    """Drive a service over HTTP and describe what happens; every number is checked.

    Without --url a service is started on a free port, stopped and started again on the
    way. Exit status 1 if anything came out otherwise than it should.
    """
    if url and database_url:
        refuse(
            "choose --url or --database-url: a running service has a database already"
        )
    lent = (
        lent_key(database_url, made=True)
        if database_url
        else nullcontext(os.environ.get(KEY))
    )
    with lent as key:
        raise typer.Exit(0 if run(url, database_url, key, as_json=as_json) else FAILED)


if __name__ == "__main__":
    typer.run(main)
