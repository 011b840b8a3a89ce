"""The command line: ``persist``."""

import inspect
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic.fields import FieldInfo

from app import logs
from app.settings import InvalidSettings, Settings, load, unknown_variables, variable

REFUSED = 2  # what a shell calls a misuse
METAVARS: dict[Any, str | None] = {bool: None, int: "INTEGER", float: "SECONDS"}
commands = typer.Typer(
    help="Plain classes become durable, versioned, audited REST collections. "
    "Start with `persist serve`, then open http://127.0.0.1:8000/docs.",
    rich_markup_mode=None,  # its tables cut off the names of variables
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; modules in the current folder can be named in PERSIST_MODELS."""
    # At the end: a folder called "app" here must not hide this package.
    sys.path.append(str(Path.cwd()))
    commands()


@commands.callback(invoke_without_command=True)
def _version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if show:
        typer.echo(f"persist {version('persist')}")
        raise typer.Exit


def _with_a_flag_per_setting(command: Callable[..., None]) -> Callable[..., None]:
    options = [_option(name, field) for name, field in Settings.model_fields.items()]
    command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    return command


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    """The flag of a setting; it takes text, so that the setting alone judges it."""
    dashed, switch = name.replace("_", "-"), field.annotation is bool
    option = typer.Option(
        f"--{dashed}/--no-{dashed}" if switch else f"--{dashed}",
        help=f"{field.description} [{variable(name)}, default {str(field.default).lower()}]",
        metavar=METAVARS.get(field.annotation, "TEXT"),
        show_default=False,
    )
    annotation: Any = Annotated[bool | None if switch else str | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


@commands.command()
@_with_a_flag_per_setting
def serve(**flags: str | bool | None) -> None:
    """Serve the collections over HTTP until a signal.

    Every setting is an environment variable, and a flag that overrides it.
    """
    _export(flags)
    settings = _settings()
    logs.configure(settings.log_level)
    _serve(settings)


def _serve(settings: Settings) -> None:
    from app import checks, server
    from app.main import create_app

    try:
        _prepare(settings)
        bound = server.listen(settings.host, settings.port)
    except (checks.NotReady, server.CannotListen) as error:
        _refuse(error)
    log, announce = logs.configuration(settings.log_level), _announcement(server.address(bound))
    if settings.workers == 1:
        served = server.serve(create_app(settings), bound, log=log, announce=announce)
    else:
        served = server.serve_in_processes(
            "app.main:application", bound, workers=settings.workers, log=log, announce=announce
        )
    raise typer.Exit(0 if served else 1)


def _prepare(settings: Settings) -> None:
    """Here rather than in each process that will serve: what is wrong is said once."""
    from app import checks

    types = checks.entity_types(settings.models)
    database = checks.database(settings.database_url)
    checks.prepare_tables(database, types, auto_migrate=settings.auto_migrate)


@commands.command()
def showcase(
    url: Annotated[
        str | None,
        typer.Option(help="A running service to show, left as it was found. Default: one of its own."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of prose.")
    ] = False,
) -> None:
    """Drive a service over HTTP and tell what happened; every number is checked.

    Without --url a service is started on a temporary database and a free port, stopped and started
    again on the way. Exit status 1 where anything came out otherwise than it should.
    """
    from app.showcase import run

    raise typer.Exit(0 if run(url, as_json=as_json) else 1)


@commands.command()
def check() -> None:
    """Check the settings, the models, the database and its tables, a line each.

    Changes nothing. Exit status 1 where one of them fails.
    """
    findings = _findings()
    for subject in ("settings", "models", "database", "tables"):
        try:
            typer.echo(f"ok    {subject:9} {next(findings)}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was asked for
            typer.echo(f"FAIL  {subject:9} {error}")
            raise typer.Exit(1) from None


def _findings() -> Iterator[str]:
    from app import checks

    settings = load()
    yield "; ".join(unknown_variables()) or "every value can be used"
    types = checks.entity_types(settings.models)
    yield ", ".join(f"{type.name} at schema version {type.schema_version}" for type in types)
    dialect = checks.database(settings.database_url)
    yield f"reached {checks.without_secrets(settings.database_url)}"
    checks.compare_tables(dialect, types)
    yield "as the models say"


@commands.command()
def openapi(
    output: Annotated[Path | None, typer.Option(help="File to write; default: standard output.")] = None,
) -> None:
    """Print the OpenAPI document of this deployment's collections."""
    from app import checks
    from app.main import create_app

    settings = _settings()
    try:
        checks.entity_types(settings.models)
    except checks.NotReady as error:
        _refuse(error)
    # The application opens its database; the document is the same on any.
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/openapi.db"
        document = create_app(settings.model_copy(update={"database_url": url})).openapi()
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def _export(flags: dict[str, Any]) -> None:
    """Flags become environment variables, which the processes of ``--workers`` read as well."""
    for name, value in flags.items():
        if value is not None:
            os.environ[variable(name)] = str(value)


def _settings() -> Settings:
    for warning in unknown_variables():
        typer.echo(f"warning: {warning}", err=True)
    try:
        return load()
    except InvalidSettings as error:
        _refuse(error)


def _announcement(url: str) -> Callable[[], None]:
    def announce() -> None:
        typer.echo(f"persist answers on {url} (documentation: {url}/docs)")
        sys.stdout.flush()

    return announce


def _refuse(error: Exception) -> NoReturn:
    for line in str(error).splitlines():
        typer.echo(f"persist: {line}", err=True)
    raise typer.Exit(REFUSED)


if __name__ == "__main__":
    main()
