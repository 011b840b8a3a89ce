"""The command `persist keys`, which works on the database itself."""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from persist.cli.settings_flags import Flags, load_settings, with_flags
from persist.cli.terminal import FAILED, refuse
from persist.domain.access import EVERY, Scope, scope_of
from persist.domain.suggestions import did_you_mean

if TYPE_CHECKING:
    from persist.storage.access.keys import Keys, StoredKey

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")

keys = typer.Typer(
    help=(
        "Create, list and revoke keys. A client sends one as `Authorization: Bearer"
        " <key>`.\n\nUntil the first key is created, a service on a loopback address"
        " answers every request of this machine. From then on every request needs a"
        " key, also after the last key is revoked. Running services follow within a"
        " second."
    ),
    epilog=(
        "\b\nExamples:\n  persist keys create --name ci --scope 'ops-tickets:write'\n "
        " persist keys create --name team-a --scope '*:read' --scope"
        " 'ops-tickets:write@team-a'\n  persist keys revoke ci\n\nA scope is"
        " <collection>:<level> or <collection>:<level>@<workspace>; the collection *"
        " means all. Each level includes those before it:\n\n\b\n"
        "  read   records, lists, history, export, changes\n"
        "  write  create, change and delete records, import, commands, transactions\n"
        "  admin  entity types, snapshots, migrations, workspaces, erasing history"
    ),
    rich_markup_mode=None,
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The name of a key; see `list`.")]


@keys.command(
    short_help="Create a key.",
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
        typer.Option(metavar="NAME", help="Its name: the actor of its changes."),
    ],
    scope: Annotated[
        list[str],
        typer.Option(metavar="SCOPE", help="What it allows. Repeat it for several."),
    ],
    **flags: str | bool | None,
) -> None:
    """Create a key and write it to standard output.

    It is displayed only once: the database stores its SHA-256 only.
    """
    from persist.storage.access.keys import KeyExists

    if not NAME.fullmatch(name):
        refuse(
            f"{name!r} cannot name a key: use letters, digits and . _ @ -, at most 63,"
            " and begin with a letter or digit"
        )
    try:
        scopes = [scope_of(text) for text in scope]
    except ValueError as error:
        refuse(error)
    with _keys(flags, create=True) as stored:
        stored.prepare()
        was_open = not stored.all()
        try:
            key = stored.create(name, scopes)
        except KeyExists:
            refuse(f"a key {name} is in use; revoke it first", FAILED)
        collections = stored.collections()
        workspaces = stored.workspaces()
    typer.echo(key.secret)
    for sentence in _notices(name, key.name, was_open=was_open):
        typer.echo(f"persist: {sentence}", err=True)
    for sentence in _unknown_names(scopes, collections, workspaces):
        typer.echo(f"warning: {sentence}", err=True)


def _notices(name: str, stored_name: str, *, was_open: bool) -> Iterator[str]:
    if stored_name != name:
        yield (
            f"the journal names it {stored_name}, because an earlier key {name} was"
            " revoked"
        )
    if was_open:
        yield (
            "this is the first key: from now on every request needs a key, on this"
            " machine too"
        )


def _unknown_names(
    scopes: Iterable[Scope], collections: Collection[str], workspaces: Collection[str]
) -> Iterator[str]:
    for scope in scopes:
        if scope.workspace is not None and scope.workspace not in workspaces:
            hint = did_you_mean(scope.workspace, workspaces)
            yield f"there is no workspace {scope.workspace!r} yet{hint}"
        if scope.collection != EVERY and scope.collection not in collections:
            hint = did_you_mean(scope.collection, collections)
            yield f"there is no collection {scope.collection!r} yet{hint}"


@keys.command("list", short_help="List the keys.")
@with_flags("database_url")
def list_(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of lines.")
    ] = False,
    **flags: str | bool | None,
) -> None:
    """List every key with its name, its scopes, and when it was created or revoked.

    The keys themselves are not stored.
    """
    with _keys(flags) as stored:
        found = stored.all()
    if as_json:
        listed = [asdict(key) | {"scopes": key.scopes.split()} for key in found]
        typer.echo(json.dumps(listed, indent=2))
        return
    for key in found:
        typer.echo(f"{key.name}  {key.scopes}  {_since(key)}")


def _since(key: "StoredKey") -> str:
    if key.revoked_at:
        return f"revoked {key.revoked_at}"
    return f"created {key.created_at}"


@keys.command(short_help="Revoke a key.")
@with_flags("database_url")
def revoke(name: Name, **flags: str | bool | None) -> None:
    """Revoke a key. Within a second no service accepts it.

    Services go on asking for a key, also when the last one is revoked.
    """
    with _keys(flags) as stored:
        stored_name = stored.revoke(name)
        is_known = any(key.is_named(name) for key in stored.all())
    if not is_known:
        refuse(f"there is no key {name}; see `persist keys list`", FAILED)
    typer.echo(f"{stored_name or name} is revoked")


@contextmanager
def _keys(flags: Flags, *, create: bool = False) -> Iterator["Keys"]:
    from persist.cli import preflight

    settings = load_settings(flags)
    try:
        database = preflight.database(settings.database_url, create=create)
        with preflight.keys(database) as stored:
            yield stored
    except preflight.NotReady as error:
        refuse(error, FAILED)
