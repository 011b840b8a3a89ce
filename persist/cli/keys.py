"""CliKeys: `persist keys`, which works on the database itself, a service that runs on
it or not."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from persist.cli.settings_flags import settings, with_flags
from persist.cli.terminal import FAILED, refuse
from persist.domain.access import scope_of

if TYPE_CHECKING:
    from persist.storage.keys import Keys

keys = typer.Typer(
    help=(
        "Make, list and revoke keys. A client shows one as `Authorization: Bearer"
        " <key>`.\n\nWithout a key ever made, a service on a loopback address is open"
        " to this machine. Once one was made, revoked or not, every request takes a"
        " key: within a second, wherever services run on the database."
    ),
    epilog=(
        "\b\nExamples:\n  persist keys create --name ci --scope 'ops-tickets:write'\n "
        " persist keys create --name team-a --scope '*:read' --scope"
        " 'ops-tickets:write@team-a'\n  persist keys revoke ci\n\nA scope is"
        " <collection>:<level> or <collection>:<level>@<workspace>; the collection *"
        " means all.\n\n\b\n  read   records, lists, history, export, changes\n  write "
        " and create, change and delete records, import, run commands, transactions\n "
        " admin  and entity types, snapshots, migrations, workspaces, erasing history"
    ),
    rich_markup_mode=None,
    no_args_is_help=True,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
Name = Annotated[str, typer.Argument(help="The name of a key; `list` tells them.")]


@keys.command(
    short_help="Make a key.",
    epilog=(
        "\b\nExamples:\n  persist keys create --name ci --scope 'ops-tickets:write'\n "
        " persist keys create --name admin --scope '*:admin' --database-url"
        " sqlite:////data/persist.db"
    ),
)
@with_flags("database_url")
def create(
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Its name, which the journal gives as the actor of changes.",
        ),
    ],
    scope: Annotated[
        list[str],
        typer.Option(
            metavar="SCOPE", help="What it allows; may be given several times."
        ),
    ],
    **flags: str | bool | None,
) -> None:
    """Make a key and write it, and nothing else, to standard output.

    It is shown only now: the database keeps its SHA-256.
    """
    from persist.storage.keys import KeyExists

    if not NAME.fullmatch(name):
        refuse(
            f"{name!r} cannot name a key: letters, digits and . _ @ -, at most 63, a"
            " letter or digit first"
        )
    try:
        scopes = [scope_of(text) for text in scope]
    except ValueError as error:
        refuse(error)
    with _keys(flags, made=True) as stored:
        stored.prepare()
        try:
            typer.echo(stored.create(name, scopes))
        except KeyExists:
            refuse(
                f"there is or was a key {name}; names are not given twice, the journal"
                " keeps them",
                FAILED,
            )


@keys.command("list", short_help="List the keys.")
@with_flags("database_url")
def list_(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of lines.")
    ] = False,
    **flags: str | bool | None,
) -> None:
    """List every key that was ever made: its name, its scopes, and since when it opens
    something or nothing any more. The keys themselves are not known here."""
    with _keys(flags) as stored:
        found = stored.all()
    if as_json:
        told = [asdict(key) | {"scopes": key.scopes.split()} for key in found]
        typer.echo(json.dumps(told, indent=2))
        return
    for key in found:
        since = (
            f"revoked {key.revoked_at}" if key.revoked_at else f"made {key.created_at}"
        )
        typer.echo(f"{key.name}  {key.scopes}  {since}")


@keys.command(short_help="Revoke a key.")
@with_flags("database_url")
def revoke(name: Name, **flags: str | bool | None) -> None:
    """Revoke a key: within a second it opens nothing any more.

    Keys are demanded even when the last one is revoked; make another to come in.
    """
    with _keys(flags) as stored:
        if name not in {key.name for key in stored.all()}:
            refuse(f"there is no key {name}; `persist keys list` tells them", FAILED)
        stored.revoke(name)
    typer.echo(f"{name} is revoked")


@contextmanager
def _keys(
    flags: dict[str, str | bool | None], *, made: bool = False
) -> Iterator["Keys"]:
    from persist.cli import preflight

    chosen = settings(flags)
    try:
        with preflight.keys(
            preflight.database(chosen.database_url, made=made)
        ) as stored:
            yield stored
    except preflight.NotReady as error:
        refuse(error, FAILED)
