"""The command line: ``persist``."""

import errno
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from persist import logging_config
from persist.cli import (
    backup,
    check,
    console_link,
    history,
    init,
    journal,
    keys,
    makemigration,
    migrate,
    serve,
    snapshots,
    trash,
)
from persist.cli.settings_flags import load_settings
from persist.cli.temporary_folder import temporary_folder
from persist.cli.terminal import refuse

commands = typer.Typer(
    help=(
        "Plain classes become durable, versioned, audited REST collections. "
        "Start with `persist serve`, then open http://127.0.0.1:8000/docs."
    ),
    rich_markup_mode=None,  # its tables cut off the names of variables
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line."""
    # Processes that are started must not import the engine's modules from a folder
    # that happens to be the current one.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    try:
        commands()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.exit(f"persist: {error.strerror}")


@commands.callback(invoke_without_command=True)
def _version(
    show: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    if show:
        typer.echo(f"persist {version('persist-service')}")
        raise typer.Exit


@commands.command(short_help="Print the OpenAPI document.")
def openapi(
    output: Annotated[
        Path | None, typer.Option(help="File to write. Default: standard output.")
    ] = None,
) -> None:
    """Print the OpenAPI document of this deployment's typed collections."""
    from persist.cli import preflight

    settings = load_settings({})
    logging_config.configure("warning")
    # The application needs a database. Its document is the same on any.
    with temporary_folder() as folder:
        url = f"sqlite:///{folder}/openapi.db"
        chosen = settings.model_copy(update={"database_url": url})
        try:
            document = preflight.application(chosen).openapi()
        except preflight.NotReady as error:
            refuse(error)
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        refuse(error)


init.add_to(commands)
serve.add_to(commands)
migrate.add_to(commands)
makemigration.add_to(commands)
check.add_to(commands)
commands.add_typer(keys.keys, name="keys", short_help="Create and revoke keys.")
console_link.add_to(commands)
snapshots.add_to(commands)
history.add_to(commands)
journal.add_to(commands)
trash.add_to(commands)
backup.add_to(commands)
