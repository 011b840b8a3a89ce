"""The settings of a command: environment variables, and flags that override them."""

import inspect
import os
from collections.abc import Callable
from typing import Annotated

import typer
from pydantic.fields import FieldInfo

from persist.cli.terminal import refuse
from persist.settings import (
    InvalidSettings,
    Settings,
    ignored_lines,
    load,
    unknown_variables,
    variable,
)

METAVARS: dict[object, str | None] = {bool: None, int: "INTEGER", float: "SECONDS"}
ALL = tuple(Settings.model_fields)
Flags = dict[str, str | bool | None]

DatabaseUrl = Annotated[
    str | None,
    typer.Option(help="The database to work on. [PERSIST_DATABASE_URL]"),
]


def with_flags(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command that takes ``**flags`` a flag for each of these settings."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        parameters = [
            parameter
            for parameter in inspect.signature(command).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        parameters += [_flag(name, Settings.model_fields[name]) for name in names]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    return decorate


def _flag(name: str, field: FieldInfo) -> inspect.Parameter:
    """Return the flag of a setting. It takes text, which the setting validates."""
    dashed = name.replace("_", "-")
    is_switch = field.annotation is bool
    option = typer.Option(
        f"--{dashed}/--no-{dashed}" if is_switch else f"--{dashed}",
        help=f"{field.description} [{variable(name)}, default {_default(field)}]",
        metavar=METAVARS.get(field.annotation, "TEXT"),
        show_default=False,
    )
    annotation: object = Annotated[bool | None if is_switch else str | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _default(field: FieldInfo) -> str:
    return str(field.default).lower()


def export(flags: Flags) -> None:
    """Set the environment variables of flags, for processes that are started too."""
    for name, value in flags.items():
        if value is not None:
            os.environ[variable(name)] = str(value)


def load_settings(flags: Flags) -> Settings:
    """Return the settings of this command. End it if a value cannot be used."""
    export(flags)
    try:
        settings = load()
    except InvalidSettings as error:
        refuse(error)
    for warning in (*ignored_lines(), *unknown_variables()):
        typer.echo(f"warning: {warning}", err=True)
    return settings
