"""The command `persist check`."""

from collections.abc import Iterator
from typing import Annotated

import typer

from persist.cli.settings_flags import Flags, export, with_flags
from persist.cli.terminal import FAILED
from persist.settings import Settings, load, unknown_variables

SUBJECTS = ("settings", "models", "schemas", "database", "tables")


def add_to(commands: typer.Typer) -> None:
    """Add this command to the command line."""
    commands.command(short_help="Check settings, models and tables.")(
        with_flags("database_url", "models")(check)
    )


def check(
    production: Annotated[
        bool,
        typer.Option("--production", help="Name what is unsafe in production, too."),
    ] = False,
    **flags: str | bool | None,
) -> None:
    """Check the settings, the models, the database and its tables, one line each.

    Nothing is changed. Exit with status 1 where a check fails or a setting is unsafe.
    """
    settings = _check_each(flags)
    if production:
        _check_production(settings)


def _check_each(flags: Flags) -> Settings:
    export(flags)
    results = _results()
    for subject in SUBJECTS:
        try:
            if result := next(results):
                typer.echo(f"ok    {subject:9} {result}")
        except Exception as error:  # noqa: BLE001 - any error is the result of a check
            typer.echo(f"FAIL  {subject:9} {error}")
            raise typer.Exit(FAILED) from None
    return load()


def _results() -> Iterator[str]:
    """Run one check at a time and return what it found, nothing where there was nothing
    to check. Raise what is wrong."""
    from persist.cli import preflight

    settings = load()
    yield "; ".join(unknown_variables()) or "every value can be used"
    types = preflight.entity_types(settings)
    yield (
        ", ".join(
            f"{each.name} at schema version {each.schema_version}" for each in types
        )
        or "none; only registered types are served"
    )
    yield preflight.definition_files(settings)
    database = preflight.database(settings.database_url, create=False)
    yield f"reached {database.address}"
    preflight.compare_tables(database, types)
    yield "as the models say"


def _check_production(settings: Settings) -> None:
    unsafe = _unsafe(settings)
    for sentence in unsafe:
        typer.echo(f"FAIL  unsafe    {sentence}")
    if unsafe:
        raise typer.Exit(FAILED)
    typer.echo("ok    unsafe    nothing was found")


def _unsafe(settings: Settings) -> list[str]:
    """Return what is unsafe in production, one sentence each."""
    from persist.cli import preflight
    from persist.storage.keys import FIRST

    database = preflight.database(settings.database_url)
    found = database.safety_warnings()
    with preflight.keys(database) as stored:
        keys = stored.all()
    if not keys:
        found.append(
            "no key was created: on a loopback host everybody on this machine may do"
            " everything, and on any other host the first start writes an"
            " administrator's key to stderr; run `persist keys create`"
        )
    if any(key.name == FIRST and key.revoked_at is None for key in keys):
        found.append(
            "the first key, which was written to stderr, is in use: create other keys"
            " and revoke it"
        )
    if settings.log_level == "debug":
        found.append(
            "PERSIST_LOG_LEVEL=debug: libraries log the data that passes through them"
        )
    return found
