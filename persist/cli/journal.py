"""CliJournal: `persist journal`, on a database, beside the services that use it."""

import re
from datetime import UTC, datetime
from typing import Annotated

import typer

from persist.cli.service import DatabaseUrl
from persist.cli.settings_flags import settings
from persist.cli.terminal import FAILED, records_done, refuse

journal = typer.Typer(
    help=(
        "Cut the journal of changes, so that it does not grow for ever. Services may go"
        " on meanwhile.\n\nWhat is cut is gone: past revisions can no longer be read,"
        " histories begin later, and who follows the changes from before gets 410"
        " `changes-gone` with `first_seq` and has to read the collections anew. Records"
        " stay as they are, and no revision is ever given twice. To take the data out"
        " of one record's changes, DELETE its history over HTTP."
    ),
    epilog=(
        "\b\nExamples:\n  persist journal trim --before 2026-10-01\n  persist journal"
        " trim --before 2026-11-22T17:00:00Z --database-url postgresql://me@db/shop\n "
        " persist journal trim --before 250000"
    ),
    rich_markup_mode=None,
    no_args_is_help=True,
)


def add_to(commands: typer.Typer) -> None:
    """Make these commands part of the command line."""
    commands.add_typer(
        journal, name="journal", short_help="Cut the journal of changes."
    )


@journal.callback()
def _group() -> None:
    pass


@journal.command(
    short_help="Cut off the oldest changes.",
    epilog="\b\nExample:\n  persist journal trim --before 2026-10-01",
)
def trim(
    before: Annotated[
        str,
        typer.Option(
            metavar="TIME|SEQ",
            help=(
                "The first change that stays: a day, a time (UTC where it says nothing"
                " else), or a seq."
            ),
        ),
    ],
    database_url: DatabaseUrl = None,
) -> None:
    """Cut off the changes before a time or a seq, a thousand at once. It can be stopped
    and run again."""
    from persist.cli import preflight

    chosen = settings({"database_url": database_url})
    moment = _moment(before)
    try:
        dialect = preflight.database(chosen.database_url, made=False)
        with records_done(typer.echo, "changes") as told:
            gone, first = preflight.trim_journal(dialect, moment, told)
    except preflight.NotReady as error:
        refuse(error, FAILED)
    typer.echo(f"{gone:,} changes are gone; the journal begins at seq {first}")


def _moment(text: str) -> int | datetime:
    """A seq, or a time with its zone."""
    if re.fullmatch(r"\d{1,18}", text, re.ASCII):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        refuse(
            "--before takes a seq such as 250000 or a time such as"
            f" 2026-11-22T17:00:00Z, not {text[:80]!r}"
        )
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
