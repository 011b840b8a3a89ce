"""The command line: ``persist``."""

import json
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from persist import logging_config
from persist.cli import backup, journal, keys, snapshots
from persist.cli.settings_flags import ALL, export, settings, with_flags
from persist.cli.terminal import FAILED, records_done, refuse
from persist.settings import Settings, load, unknown_variables

logger = logging.getLogger("persist.cli")
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
    """Run the command line; modules in the current folder can be named in
    PERSIST_MODELS."""
    # At the end: a folder called "app" here must not hide this package.
    sys.path.append(str(Path.cwd()))
    commands()


@commands.callback(invoke_without_command=True)
def _version(
    show: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    if show:
        typer.echo(f"persist {version('persist-service')}")
        raise typer.Exit


@commands.command()
@with_flags(*ALL)
def serve(**flags: str | bool | None) -> None:
    """Serve the collections over HTTP until a signal.

    Every setting is an environment variable, and a flag that overrides it.
    """
    chosen = settings(flags)
    logging_config.configure(chosen.log_level)
    _serve(chosen)


def _serve(settings: Settings) -> None:
    from persist import server
    from persist.cli import preflight

    try:
        # Here rather than in each process that will serve: what is wrong is said once.
        _prepare(settings, logger.info, auto_migrate=settings.auto_migrate)
        bound = server.listen(settings.host, settings.port)
        _make_first_key(settings)
    except preflight.NoDatabase as error:
        refuse(error, FAILED)
    except server.CannotListen as error:
        refuse(f"PERSIST_HOST, PERSIST_PORT: {error}")
    except preflight.NotReady as error:
        refuse(error)
    if not server.allow_files(settings.max_connections):
        logger.warning(
            "the system allows too few open files for PERSIST_MAX_CONNECTIONS"
            " (ulimit -n)"
        )
    raise typer.Exit(0 if _served(settings, bound) else FAILED)


def _served(settings: Settings, bound: socket.socket) -> bool:
    from persist import server
    from persist.application import TOGETHER, create_app

    manner: Any = {
        "seconds": settings.shutdown_seconds,
        "log": logging_config.configuration(settings.log_level),
        "announce": _announcement(server.address(bound)),
    }
    if settings.workers == 1:
        return server.serve(create_app(settings), bound, **manner)
    with tempfile.TemporaryDirectory(prefix="persist-") as os.environ[TOGETHER]:
        factory = "persist.application:application"
        return server.serve_in_processes(
            factory, bound, workers=settings.workers, **manner
        )


def _make_first_key(settings: Settings) -> None:
    """Where others can reach the service, somebody must hold a key; past the log, which
    others read."""
    from persist.api.authentication import is_loopback
    from persist.cli import preflight

    if is_loopback(settings.host):
        return
    with preflight.keys(preflight.database(settings.database_url)) as keys:
        made = keys.create_first()
    if made is not None:
        typer.echo(
            "persist: the first key, named first, with the scope *:admin, shown only"
            f" now:\n{made}",
            err=True,
        )


def _prepare(
    settings: Settings, say: Callable[[str], None], *, auto_migrate: bool
) -> Any:
    from persist.cli import preflight

    types = preflight.entity_types(settings.models)
    database = preflight.database(settings.database_url)
    with records_done(say) as told:
        return preflight.prepare_tables(
            database, types, auto_migrate=auto_migrate, progress=told
        )


@commands.command(
    short_help="Bring tables up to date.",
    epilog=(
        "\b\nExamples:\n  persist migrate --dry-run\n  persist migrate --database-url"
        " postgresql://me@db/shop\n\n`persist serve` does the same at start, unless"
        " PERSIST_AUTO_MIGRATE is false: then it refuses to start on tables that are"
        " behind."
    ),
)
@with_flags("database_url", "models")
def migrate(
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Change nothing; tell the steps and their SQL."),
    ] = False,
    **flags: str | bool | None,
) -> None:
    """Bring the tables of older schema versions up to date, a step of their plan after
    the other.

    A step is one transaction: the SQL that changes the table, every record through the
    step's function, a change in the journal for each, and the schema version. What
    stops it is undone.
    """
    from persist.cli import preflight

    chosen = settings(flags)
    try:
        if dry_run:
            _rehearse(chosen)
            return
        done = _prepare(chosen, typer.echo, auto_migrate=True)
    except preflight.NotReady as error:
        refuse(error, FAILED)
    for work in done:
        typer.echo(f"{work.type.name} is at schema version {work.type.schema_version}")
    if not done:
        typer.echo("every table is at the schema version of the code")


def _rehearse(settings: Settings) -> None:
    from persist.cli import preflight

    types = preflight.entity_types(settings.models)
    database = preflight.database(settings.database_url, made=False)
    behind = preflight.tables_behind(database, types)
    for work in behind:
        typer.echo(
            f"{work.type.name}: schema version {work.stored_version} to"
            f" {work.type.schema_version}, {work.rows:,} records"
        )
        for step in work.steps:
            typer.echo(f"  {step}: {step.description}".removesuffix(": "))
            for statement in work.sql(database, step):
                typer.echo(f"    {statement}")
    typer.echo(
        "nothing was changed"
        if behind
        else "every table is at the schema version of the code"
    )


@commands.command(short_help="Check settings, models and tables.")
@with_flags("database_url", "models")
def check(
    production: Annotated[
        bool,
        typer.Option(
            "--production", help="Name what is unsafe in these settings, too."
        ),
    ] = False,
    **flags: str | bool | None,
) -> None:
    """Check the settings, the models, the database and its tables, a line each.

    Changes nothing. Exit status 1 where one of them fails, or something is unsafe.
    """
    export(flags)
    findings = _findings()
    for subject in ("settings", "models", "database", "tables"):
        try:
            typer.echo(f"ok    {subject:9} {next(findings)}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was asked for
            typer.echo(f"FAIL  {subject:9} {error}")
            raise typer.Exit(FAILED) from None
    if production:
        unsafe = _unsafe(load())
        for sentence in unsafe:
            typer.echo(f"FAIL  unsafe    {sentence}")
        if unsafe:
            raise typer.Exit(FAILED)
        typer.echo("ok    unsafe    nothing was found")


def _unsafe(settings: Settings) -> list[str]:
    """What is unsafe in production, a sentence each."""
    from persist.cli import preflight
    from persist.storage.keys import FIRST

    database = preflight.database(settings.database_url)
    found = database.safety_warnings()
    with preflight.keys(database) as keys:
        made = keys.all()
    if not made:
        found.append(
            "no key was ever made: on a loopback host whoever is on this machine may do"
            " everything, on any other the first start writes a key for everything to"
            " stderr: `persist keys create`"
        )
    if any(key.name == FIRST and key.revoked_at is None for key in made):
        found.append(
            "the first key, which stderr has shown, is in use: make others, revoke it"
        )
    if settings.models == Settings.model_fields["models"].default:
        found.append(
            "PERSIST_MODELS is not set: the collections of the examples are served"
        )
    if settings.log_level == "debug":
        found.append(
            "PERSIST_LOG_LEVEL=debug: libraries log what passes through them, data too"
        )
    return found


def _findings() -> Iterator[str]:
    from persist.cli import preflight

    settings = load()
    yield "; ".join(unknown_variables()) or "every value can be used"
    types = preflight.entity_types(settings.models)
    yield ", ".join(
        f"{type.name} at schema version {type.schema_version}" for type in types
    )
    dialect = preflight.database(settings.database_url, made=False)
    yield f"reached {dialect.address}"
    preflight.compare_tables(dialect, types)
    yield "as the models say"


@commands.command(short_help="Print the OpenAPI document.")
def openapi(
    output: Annotated[
        Path | None, typer.Option(help="File to write; default: standard output.")
    ] = None,
) -> None:
    """Print the OpenAPI document of this deployment's collections."""
    from persist.application import create_app
    from persist.cli import preflight

    chosen = settings({})
    try:
        preflight.entity_types(chosen.models)
    except preflight.NotReady as error:
        refuse(error)
    # The application opens its database; the document is the same on any.
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/openapi.db"
        document = create_app(chosen.model_copy(update={"database_url": url})).openapi()
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def _announcement(url: str) -> Callable[[], None]:
    def announce() -> None:
        typer.echo(f"persist answers on {url} (documentation: {url}/docs)")
        sys.stdout.flush()

    return announce


commands.add_typer(keys.keys, name="keys", short_help="Make and revoke keys.")
snapshots.add_to(commands)
journal.add_to(commands)
backup.add_to(commands)
