"""CliSettings: the settings of a command, from the environment and from the flags that
override it."""

import inspect
import os
from collections.abc import Callable, Collection
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from persist.cli.terminal import refuse
from persist.settings import (
    InvalidSettings,
    Settings,
    load,
    unknown_variables,
    variable,
)

METAVARS: dict[Any, str | None] = {bool: None, int: "INTEGER", float: "SECONDS"}
ALL = tuple(Settings.model_fields)


def with_flags(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command that takes ``**flags`` a flag for each of these settings."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command).parameters.values()
        options = [_option(name, Settings.model_fields[name]) for name in names]
        explicit = [
            each for each in own if each.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        command.__signature__ = inspect.Signature([*explicit, *options])  # type: ignore[attr-defined]
        return command

    return decorate


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    """The flag of a setting; it takes text, so that the setting alone judges it."""
    dashed, switch = name.replace("_", "-"), field.annotation is bool
    option = typer.Option(
        f"--{dashed}/--no-{dashed}" if switch else f"--{dashed}",
        help=(
            f"{field.description} [{variable(name)}, default"
            f" {str(field.default).lower()}]"
        ),
        metavar=METAVARS.get(field.annotation, "TEXT"),
        show_default=False,
    )
    annotation: Any = Annotated[bool | None if switch else str | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def export(flags: dict[str, Any], names: Collection[str] = ALL) -> None:
    """Flags become environment variables, which processes that are started read as
    well."""
    for name in names:
        if flags.get(name) is not None:
            os.environ[variable(name)] = str(flags[name])


def settings(flags: dict[str, Any]) -> Settings:
    """The settings of this command. Ends it where a value cannot be used."""
    export(flags)
    for warning in unknown_variables():
        typer.echo(f"warning: {warning}", err=True)
    try:
        return load()
    except InvalidSettings as error:
        refuse(error)
