"""The command `persist makemigration`."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from persist.cli.plan_file import CannotEdit, PlanFile
from persist.cli.settings_flags import load_settings, with_flags
from persist.cli.terminal import FAILED, refuse
from persist.domain.entity_type import EntityType
from persist.domain.record import Json
from persist.domain.suggestions import nearest
from persist.settings import Settings
from persist.storage.migrations.class_comparison import ClassChanges

FOLDER = Path("migrations")


def add_to(commands: typer.Typer) -> None:
    """Add this command to the command line."""
    commands.command(
        short_help="Write the migration step that a changed class needs.",
        epilog=(
            "\b\nExamples:\n  persist makemigration tickets\n  persist makemigration"
            " tickets --rename note:remark --default priority=3 --no-input"
        ),
    )(with_flags("database_url", "models")(makemigration))


def makemigration(
    name: Annotated[str, typer.Argument(help="The collection of the class.")],
    rename: Annotated[
        list[str] | None,
        typer.Option(help="A field that has a new name.", metavar="OLD:NEW"),
    ] = None,
    default: Annotated[
        list[str] | None,
        typer.Option(
            help="The value of a new field in stored records.",
            metavar="FIELD=JSON",
        ),
    ] = None,
    no_input: Annotated[
        bool, typer.Option("--no-input", help="Ask nothing; use what is proposed.")
    ] = False,
    **flags: str | bool | None,
) -> None:
    """Write the migration step that a changed class needs.

    The class is compared with what the database recorded for its schema version. The
    step, with its SQL and a function over a record's data, is added to the plan of the
    class, or to a new file in migrations/. It is a proposal: read it and edit it.
    """
    from persist.cli import preflight

    settings = load_settings(flags)
    ask = not no_input and sys.stdin.isatty()
    try:
        entity_type, changes = _changes(settings, name)
        renames = _renames(changes, rename or [], ask=ask)
        defaults = _defaults(changes, default or [], set(renames.values()), ask=ask)
        _write(entity_type, changes, renames, defaults)
    except (preflight.NotReady, CannotEdit) as error:
        refuse(error, FAILED)


def _changes(settings: Settings, name: str) -> tuple[EntityType, ClassChanges]:
    from persist.cli import preflight

    types = {each.name: each for each in preflight.entity_types(settings)}
    if name not in types:
        near = nearest(name, types)
        known = ", ".join(types) or "none"
        hint = f"did you mean {near}?" if near else f"the classes have: {known}"
        raise preflight.NotReady(f"no class has the collection {name!r}; {hint}")
    database = preflight.database(settings.database_url, create=False)
    return types[name], preflight.class_changes(database, types[name])


def _renames(
    changes: ClassChanges, given: Iterable[str], *, ask: bool
) -> dict[str, str]:
    """Return the new names of fields by their old ones."""
    removed = changes.removed()
    added = changes.added()
    renames = {}
    for text in given:
        old, _, new = text.partition(":")
        if old not in removed or new not in added:
            refuse(
                f"--rename {text}: write OLD:NEW, where OLD is a field taken out"
                f" ({_listed(removed)}) and NEW a new one ({_listed(added)})"
            )
        renames[old] = new
    return _asked_renames(changes, renames) if ask else renames


def _asked_renames(changes: ClassChanges, renames: dict[str, str]) -> dict[str, str]:
    """Return the renames with those that the user confirms."""
    found = dict(renames)
    for old, new in changes.similar():
        if old in found or new in found.values():
            continue
        if typer.confirm(f"Was {old} renamed to {new}?", default=False):
            found[old] = new
    return found


def _listed(members: list[str]) -> str:
    return ", ".join(members) or "none"


def _defaults(
    changes: ClassChanges, given: Iterable[str], renamed: set[str], *, ask: bool
) -> Json:
    """Return the values of new fields in stored records."""
    added = changes.added()
    defaults: Json = {}
    for text in given:
        member, _, value = text.partition("=")
        if member not in added:
            refuse(f"--default {text}: {member} is not a new field of the class")
        defaults[member] = _json(value, f"--default {text}")
    for member in added if ask else ():
        if member in defaults or member in renamed:
            continue
        proposed = json.dumps(changes.proposed_default(member), ensure_ascii=False)
        question = f"Value of {member} in stored records, as JSON"
        value = typer.prompt(question, default=proposed)
        defaults[member] = _json(value, question)
    return defaults


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        refuse(f"{where}: {text!r} is not JSON; text has double quotes")


def _write(
    entity_type: EntityType,
    changes: ClassChanges,
    renames: dict[str, str],
    defaults: Json,
) -> None:
    if not changes.changes:
        typer.echo(
            f"{entity_type.name}: nothing changed since schema version"
            f" {changes.stored_version} that needs a step"
        )
        return
    step = changes.step(renames, defaults)
    if entity_type.plan.starts_from(step.from_version):
        refuse(
            f"the plan of {entity_type.name} has a step from schema version"
            f" {step.from_version} already; edit it",
            FAILED,
        )
    plan = PlanFile.of(entity_type, FOLDER)
    plan.add(step)
    typer.echo(f"{plan.path}: the step {step.from_version} to {step.to_version}")
    for statement in step.sql:
        typer.echo(f"  {statement}")
    typer.echo(
        f'Edit it, then write @entity("{entity_type.name}",'
        f" schema_version={step.to_version}, plan={plan.expression}) above the class,"
        " and try it: persist migrate --dry-run"
    )
