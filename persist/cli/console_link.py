"""The command `persist console`, which works on the database itself."""

from typing import TYPE_CHECKING, Annotated

import typer

from persist.api.routes import CONSOLE
from persist.cli.settings_flags import load_settings, with_flags
from persist.cli.terminal import FAILED, refuse
from persist.settings import Settings

if TYPE_CHECKING:
    from persist.storage.access.keys import StoredKey
    from persist.storage.dialect import Dialect

REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound
"""Where this machine reaches a service that listens on every address."""


def add_to(commands: typer.Typer) -> None:
    """Add this command to the command line."""
    flags = with_flags("database_url", "host", "port")
    commands.command(short_help="Print a link to the console.")(flags(console))


def console(
    key: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The key whose session the link begins. Default: the only one.",
        ),
    ] = None,
    **flags: str | bool | None,
) -> None:
    """Print a link that opens the console of the service on this machine.

    If a key is needed, the link has a code that begins a session of a key. It can be
    used once, within a minute.
    """
    settings = load_settings(flags)
    if not settings.console:
        refuse("the console is switched off by PERSIST_CONSOLE=false")
    address = _address(settings)
    code = _code(settings, key)
    typer.echo(f"{address}#code={code}" if code else address)


def _address(settings: Settings) -> str:
    host = REACHED_AT.get(settings.host, settings.host)
    if ":" in host:
        host = f"[{host}]"
    return f"http://{host}:{settings.port}{settings.root_path}{CONSOLE}"


def _code(settings: Settings, name: str | None) -> str | None:
    """Return a new code of the chosen key, None if no key is needed."""
    from persist.api.authentication import is_loopback
    from persist.cli import preflight

    try:
        database = preflight.database(settings.database_url, create=False)
        with preflight.keys(database) as stored:
            found = stored.all()
            if not found and name is None and is_loopback(settings.host):
                return None
            return _created(database, _chosen_key(found, name))
    except preflight.NotReady as error:
        refuse(error, FAILED)


def _created(database: "Dialect", key: "StoredKey") -> str:
    from persist.storage.access.sessions import create_code

    return create_code(database, key.name)


def _chosen_key(keys: "list[StoredKey]", name: str | None) -> "StoredKey":
    """Return the active key of a name, or the only one."""
    active = [key for key in keys if key.is_active]
    meant = active if name is None else [key for key in active if key.is_named(name)]
    if len(meant) != 1:
        refuse(_reason(active, name), FAILED)
    return meant[0]


def _reason(active: "list[StoredKey]", name: str | None) -> str:
    """Return why no key can be chosen."""
    if name is not None:
        return f"there is no key {name}; see `persist keys list`"
    if not active:
        return "there is no key; `persist keys create` creates one"
    names = ", ".join(key.name for key in active)
    return f"choose a key with --key: {names}"
