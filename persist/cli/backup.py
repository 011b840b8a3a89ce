"""CliBackup: `persist backup`, beside the services that use the database."""

from pathlib import Path
from typing import Annotated

import typer

from persist.cli.service import DatabaseUrl
from persist.cli.settings_flags import settings
from persist.cli.terminal import FAILED, refuse, waiting


def add_to(commands: typer.Typer) -> None:
    """Make this command part of the command line."""
    commands.command(
        short_help="Copy a SQLite database while it is in use.",
        epilog=(
            "\b\nExample:\n  persist backup /backups/monday.db\n\nTo go back to it, end"
            " the service, put the file in place of the database, remove the files"
            " beside it whose names end in -wal and -shm, and start the"
            " service.\n\nPostgreSQL is backed up by its own tools, pg_dump or"
            " pg_basebackup."
        ),
    )(backup)


def backup(
    file: Annotated[
        Path, typer.Argument(help="The file to write, which is not there yet.")
    ],
    database_url: DatabaseUrl = None,
) -> None:
    """Copy the database as it is at one moment, history, keys and snapshots included.

    Services go on meanwhile. The file appears when the copy is whole and was read once
    over.
    """
    from persist.cli import preflight

    chosen = settings({"database_url": database_url})
    try:
        dialect = preflight.database(chosen.database_url, made=False)
        with waiting("copying"):
            seq = preflight.back_up(dialect, file)
    except preflight.NotReady as error:
        refuse(error, FAILED)
    typer.echo(f"{file} holds every change up to seq {seq}")
