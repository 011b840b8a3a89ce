"""The command `persist migrate`."""

from typing import Annotated

import typer

from persist.cli.settings_flags import load_settings, with_flags
from persist.cli.terminal import FAILED, record_progress, refuse
from persist.domain.wording import counted
from persist.settings import Settings

UP_TO_DATE = "every table is at the schema version of the code"


def add_to(commands: typer.Typer) -> None:
    """Add this command to the command line."""
    commands.command(
        short_help="Migrate tables to the current schema version.",
        epilog=(
            "\b\nExamples:\n  persist migrate --dry-run\n  persist migrate"
            " --database-url postgresql://me@db/shop\n\n`persist serve` does the same"
            " at start. With PERSIST_AUTO_MIGRATE=false it does not start if a"
            " table is of an older schema version."
        ),
    )(with_flags("database_url", "models")(migrate))


def migrate(
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help=(
                "Print the steps and their SQL, run them and take them back. Other"
                " writes wait until it ends."
            ),
        ),
    ] = False,
    **flags: str | bool | None,
) -> None:
    """Migrate tables of older schema versions, one step of their plan at a time.

    Every record passes the step's function while processes of an older release read
    and write, and fills a copy of the table that the step's SQL has changed. One
    transaction then puts the copy in place of the table, stores one change for each
    record, and records the schema version. A step that fails changes nothing.
    """
    from persist.cli import preflight

    settings = load_settings(flags)
    try:
        if dry_run:
            _rehearse(settings)
        else:
            _migrate(settings)
    except preflight.NotReady as error:
        refuse(error, FAILED)


def _migrate(settings: Settings) -> None:
    from persist.cli import preflight

    types = preflight.entity_types(settings)
    database = preflight.database(settings.database_url)
    with record_progress(typer.echo) as on_progress:
        done = preflight.prepare_tables(
            database, types, auto_migrate=True, on_progress=on_progress
        )
    for work in done:
        typer.echo(f"{work.type.name} is at schema version {work.type.schema_version}")
    replaced = preflight.update_indexes(database, types)
    for name in replaced:
        typer.echo(f"the indexes of {name} were replaced")
    if not done and not replaced:
        typer.echo(UP_TO_DATE)


def _rehearse(settings: Settings) -> None:
    from persist.cli import preflight

    types = preflight.entity_types(settings)
    database = preflight.database(settings.database_url, create=False)
    pending = preflight.pending_migrations(database, types)
    for work in pending:
        typer.echo(
            f"{work.type.name}: schema version {work.stored_version} to"
            f" {work.type.schema_version}, {counted(work.rows, 'record')}"
        )
        for step in work.steps:
            typer.echo(f"  {step}: {step.description}".removesuffix(": "))
            for statement in preflight.step_sql(database, work, step):
                typer.echo(f"    {statement}")
    indexes = preflight.rehearse_migrations(database, types)
    for sentence in indexes:
        typer.echo(sentence)
    typer.echo("nothing was changed" if pending or indexes else UP_TO_DATE)
