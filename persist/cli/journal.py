"""The command `persist journal`, which works while services run."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from persist.cli.settings_flags import DatabaseUrl, load_settings
from persist.cli.terminal import FAILED, record_progress, refuse
from persist.domain.record import Json
from persist.domain.wording import counted

LONGEST_QUOTE = 80
"""Characters of a wrong value that are quoted in a message."""

journal = typer.Typer(
    help=(
        "Trim the journal of changes, so that it does not grow without end. Services go"
        " on meanwhile.\n\nTrimmed changes are deleted: their revisions can no longer"
        " be read, histories begin later, and a client that follows the changes from"
        " an earlier seq gets 410 `changes-gone` with `first_seq` and has to read the"
        " collections again. Records stay as they are, and no revision number is used"
        " twice. To erase the changes of one record, DELETE its history over HTTP."
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
    """Add this command to the command line."""
    commands.add_typer(
        journal, name="journal", short_help="Trim and verify the journal."
    )


@journal.command(
    short_help="Delete the oldest changes.",
    epilog="\b\nExample:\n  persist journal trim --before 2026-10-01",
)
def trim(
    before: Annotated[
        str,
        typer.Option(
            metavar="TIME|SEQ",
            help=(
                "The first change to keep: a day, a time (UTC if it names no zone),"
                " or a seq."
            ),
        ),
    ],
    database_url: DatabaseUrl = None,
) -> None:
    """Delete the changes before a time or a seq, a thousand in each transaction.

    The command can be stopped and run again.
    """
    from persist.cli import preflight

    settings = load_settings({"database_url": database_url})
    moment = _moment(before)
    try:
        database = preflight.database(settings.database_url, create=False)
        with record_progress(typer.echo, "changes") as on_progress:
            deleted, first = preflight.trim_journal(database, moment, on_progress)
    except preflight.NotReady as error:
        refuse(error, FAILED)
    changes = counted(deleted, "change")
    typer.echo(f"{changes} deleted; the journal begins at seq {first}")


@journal.command(
    short_help="Verify that no change was altered.",
    epilog=(
        "\b\nExample:\n  curl -s http://127.0.0.1:8000/changes/head > head.json\n"
        "  persist journal verify --head head.json"
    ),
)
def verify(
    head: Annotated[
        Path | None,
        typer.Option(
            help="A file with an earlier answer of GET /changes/head, which must still"
            " be one of the seals."
        ),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(
            help="A file with the public key, in PEM or base64, with which that answer"
            " must be signed."
        ),
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Recompute the hash of every change and every seal.

    Exit status 1 if the journal was altered, and the first change or seal that does not
    fit is named. Exit status 2 if the noted head is older than the trimmed journal.
    """
    from persist.cli import preflight

    settings = load_settings({"database_url": database_url})
    noted = None if head is None else _noted_head(head)
    if public_key is not None:
        _check_signature(noted, public_key)
    try:
        database = preflight.database(settings.database_url, create=False)
        with record_progress(typer.echo, "changes") as on_progress:
            verified = preflight.verify_journal(database, noted, on_progress)
    except preflight.HeadTooOld as error:
        refuse(error)
    except preflight.NotReady as error:
        refuse(error, FAILED)
    changes = counted(verified.changes, "change")
    last = (
        "" if verified.last_seal is None else f"; the head is {verified.last_seal.hash}"
    )
    typer.echo(f"{changes} verified{last}")


def _check_signature(noted: Json | None, public_key: Path) -> None:
    """End the command unless the noted head is signed with a key."""
    from persist.api.journal_key import UnusableKey, is_signed

    if noted is None:
        refuse("--public-key checks the signature of the head that --head names")
    try:
        has_signed = is_signed(noted["hash"], noted["signature"], public_key)
    except UnusableKey as error:
        refuse(error)
    if not has_signed:
        refuse("the noted head is not signed with this key", FAILED)


def _noted_head(file: Path) -> dict[str, object]:
    try:
        noted = json.loads(file.read_text(encoding="utf-8"))
        return {
            "seq": int(noted["seq"]),
            "hash": str(noted["hash"]),
            "signature": str(noted.get("signature", "")),
        }
    except (OSError, ValueError, KeyError, TypeError):
        refuse(f"--head takes a file with an answer of GET /changes/head, not {file}")


def _moment(text: str) -> int | datetime:
    """Return a seq, or a time with its zone."""
    if re.fullmatch(r"\d{1,18}", text, re.ASCII):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        refuse(
            "--before takes a seq such as 250000 or a time such as"
            f" 2026-11-22T17:00:00Z, not {text[:LONGEST_QUOTE]!r}"
        )
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
