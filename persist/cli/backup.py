"""The command `persist backup`, which works while services run."""

from pathlib import Path
from typing import Annotated

import typer

from persist.cli.settings_flags import DatabaseUrl, load_settings
from persist.cli.terminal import FAILED, refuse, spinner


def add_to(commands: typer.Typer) -> None:
    """Add this command to the command line."""
    commands.command(
        short_help="Copy a SQLite database while it is in use.",
        epilog=(
            "\b\nExample:\n  persist backup /backups/monday.db\n\nTo go back to a"
            " backup, stop the service, delete the files next to the database whose"
            " names end in -wal and -shm, replace the database with the backup, and"
            " start the service.\n\nPostgreSQL has its own tools: pg_dump and"
            " pg_basebackup."
        ),
    )(backup)


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write. It must not exist.")],
    database_url: DatabaseUrl = None,
) -> None:
    """Copy the database as it is at one moment: records, history, keys and snapshots.

    Services go on meanwhile. The file appears when the copy is complete and verified.
    """
    from persist.cli import preflight

    settings = load_settings({"database_url": database_url})
    try:
        database = preflight.database(settings.database_url, create=False)
        with spinner("copying"):
            seq = preflight.back_up(database, file)
    except preflight.NotReady as error:
        refuse(error, FAILED)
    typer.echo(f"{file} holds every change up to seq {seq}")
