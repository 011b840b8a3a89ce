"""The command `persist check`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from persist.cli.settings_flags import Flags, export, with_flags
from persist.cli.terminal import FAILED
from persist.settings import (
    InvalidSettings,
    Settings,
    ignored_lines,
    load,
    unknown_variables,
)

if TYPE_CHECKING:
    from persist.domain.entity_type import EntityType
    from persist.storage.dialect import Dialect

Result = TypeVar("Result")


def add_to(commands: typer.Typer) -> None:
    """Add this command to the command line."""
    commands.command(short_help="Check settings, models, definitions and tables.")(
        with_flags("database_url", "models", "schemas")(check)
    )


def check(
    production: Annotated[
        bool,
        typer.Option("--production", help="Name what is unsafe in production, too."),
    ] = False,
    **flags: str | bool | None,
) -> None:
    """Check the settings, the models, the definition files, the database and its
    tables, one line each.

    Nothing is changed. Exit with status 1 if a check fails or a setting is unsafe.
    """
    report = Report()
    settings = _check_settings(report, flags)
    _check_deployment(report, settings)
    if production and not report.has_failures:
        _check_production(report, settings)
    raise typer.Exit(FAILED if report.has_failures else 0)


class Report:
    """The lines of a check."""

    def __init__(self) -> None:
        self.has_failures = False

    def fail(self, subject: str, reason: object) -> None:
        """Print a line for something that is wrong."""
        self.has_failures = True
        typer.echo(f"FAIL  {subject:11} {reason}")

    def run(self, subject: str, function: Callable[[], Result]) -> Result | None:
        """Run a check and return its result. Print a line and return None on error."""
        try:
            return function()
        except Exception as error:  # noqa: BLE001 - any error is the result of a check
            self.fail(subject, error)
            return None

    def ok(self, subject: str, sentence: str) -> None:
        """Print a line for something that is right."""
        typer.echo(f"ok    {subject:11} {sentence}")


def _check_settings(report: Report, flags: Flags) -> Settings:
    export(flags)
    try:
        settings = load()
    except InvalidSettings as error:
        report.fail("settings", error)
        raise typer.Exit(FAILED) from None
    faults = [*ignored_lines(), *unknown_variables()]
    for sentence in faults:
        report.fail("settings", sentence)
    if not faults:
        report.ok("settings", "every value can be used")
    return settings


def _check_deployment(report: Report, settings: Settings) -> None:
    types = _check_models(report, settings)
    _check_definitions(report, settings)
    database = _check_database(report, settings)
    if types is not None and database is not None:
        _check_tables(report, database, types)


def _check_models(report: Report, settings: Settings) -> "list[EntityType] | None":
    from persist.cli import preflight

    types = report.run("models", lambda: preflight.entity_types(settings))
    if types is not None:
        names = [
            f"{each.name} at schema version {each.schema_version}" for each in types
        ]
        served = ", ".join(names) or "none; only registered types are served"
        report.ok("models", served)
    return types


def _check_database(report: Report, settings: Settings) -> "Dialect | None":
    from persist.cli import preflight

    url = settings.database_url
    database = report.run("database", lambda: preflight.database(url, create=False))
    if database is not None:
        report.ok("database", f"reached {database.address}")
    return database


def _check_tables(
    report: Report, database: "Dialect", types: "list[EntityType]"
) -> None:
    from persist.cli import preflight

    found = report.run("tables", lambda: preflight.differences(database, types))
    if found == []:
        report.ok("tables", "as the models say")
    for difference in found or []:
        report.fail("tables", difference)


def _check_definitions(report: Report, settings: Settings) -> None:
    from persist.cli import preflight

    faults = preflight.definition_faults(settings)
    for name, fault in faults.items():
        report.fail("definitions", f"{name}: {fault}")
    if not faults:
        report.ok("definitions", f"every file in {settings.schemas} can be registered")


def _check_production(report: Report, settings: Settings) -> None:
    unsafe = _unsafe(settings)
    for sentence in unsafe:
        report.fail("unsafe", sentence)
    if not unsafe:
        report.ok("unsafe", "nothing was found")


def _unsafe(settings: Settings) -> list[str]:
    """Return what is unsafe in production, one sentence each."""
    from persist.cli import preflight
    from persist.storage.access.keys import FIRST

    database = preflight.database(settings.database_url, create=False)
    found = database.safety_warnings(settings.workers)
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
