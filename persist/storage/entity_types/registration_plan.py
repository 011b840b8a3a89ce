"""Registration plan: what a definition asks for, given the versions that exist.

Only the schema decides the version. Commands, indexes and unique constraints change in
place.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from persist.domain.errors import MigrationRequired, Violation
from persist.domain.record import canonical_text
from persist.entity_types.definition import normal_form, refuse, source_of
from persist.entity_types.from_schema import (
    Schemas,
    admit_definition,
    check_commands,
    check_expressions,
    check_members,
    check_results,
)
from persist.entity_types.json_schema.conversion import has_same_meaning
from persist.storage.entity_types.definitions import (
    StoredDefinition,
    current_of,
    plan_steps,
)

logger = logging.getLogger(__name__)


class Source(Enum):
    """Where a definition comes from.

    A file takes a type back to an earlier schema only under a higher version number:
    two replicas with different files would otherwise change it back and forth.
    """

    CLIENT = "client"
    FILE = "file"


class Action(Enum):
    """What a registration does."""

    CREATE = "create"
    EVOLVE = "evolve"
    AMEND = "amend"
    NOTHING = "nothing"


@dataclass(frozen=True)
class RegistrationPlan:
    """What a registration has to do; ``target`` is the resulting version.

    ``schemas`` are its compiled schemas if they are known, ``warnings`` are for its
    author.
    """

    action: Action
    versions: Sequence[StoredDefinition]
    target: StoredDefinition
    schemas: Schemas | None = None
    warnings: Sequence[Violation] = ()

    @property
    def current(self) -> StoredDefinition | None:
        """The current version before it."""
        return current_of(self.versions)


def plan_registration(
    name: str, definition: object, versions: Sequence[StoredDefinition], source: Source
) -> RegistrationPlan:
    """Return what a registration of a definition has to do.

    Raises ``InvalidSchema`` and ``MigrationRequired``.
    """
    normal = normal_form(definition)
    current = current_of(versions)
    # The cheap question first: files are read again at every start.
    if current is not None and _as_sent(current.definition) == _as_sent(normal):
        return RegistrationPlan(Action.NOTHING, versions, current)
    admitted = admit_definition(normal)
    check_commands(admitted)
    plan = _planned(name, definition, admitted.definition, versions, source)
    return replace(plan, schemas=admitted.schemas, warnings=admitted.warnings)


def _planned(
    name: str,
    definition: Any,
    normal: Mapping[str, object],
    versions: Sequence[StoredDefinition],
    source: Source,
) -> RegistrationPlan:
    asked = definition.get("schema_version")
    unnumbered = isinstance(definition.get("migration"), dict)
    current = current_of(versions)
    if current is None:
        last = versions[-1].schema_version if versions else 0
        # The versions of a deleted type go on counting: a snapshot may have them.
        number = max(asked or 1, last + 1)
        before = last or number - 1
        target = _target(name, number, normal, before, versions, unnumbered=unnumbered)
        return RegistrationPlan(Action.CREATE, versions, target)
    if _is_outdated(normal, asked, current, versions, source):
        return RegistrationPlan(Action.NOTHING, versions, current)
    if has_same_meaning(normal["schema"], current.definition["schema"]):
        return _amendment(normal, current, versions)
    number = asked or current.schema_version + 1
    if number == current.schema_version:
        raise MigrationRequired(
            f"schema version {asked} of {name} has another schema; raise schema_version"
        )
    before = current.schema_version
    target = _target(name, number, normal, before, versions, unnumbered=unnumbered)
    return RegistrationPlan(Action.EVOLVE, versions, target)


def _amendment(
    normal: Mapping[str, Any],
    current: StoredDefinition,
    versions: Sequence[StoredDefinition],
) -> RegistrationPlan:
    """Return the plan for a definition whose schema means the same as the current."""
    amended = {**normal, "steps": current.definition["steps"]}
    is_equal = canonical_text(amended) == canonical_text(current.definition)
    action = Action.NOTHING if is_equal else Action.AMEND
    steps = plan_steps(version.definition["steps"] for version in versions)
    target = replace(current, definition=amended, steps=steps)
    return RegistrationPlan(action, versions, target)


def _as_sent(definition: Mapping[str, object]) -> str:
    """Return a definition as its author wrote it, without its migration."""
    sent = {**definition, "schema": source_of(definition)}
    return canonical_text(
        {key: sent[key] for key in sent if key not in ("source_schema", "steps")}
    )


def _is_outdated(
    normal: Mapping[str, object],
    asked: int | None,
    current: StoredDefinition,
    versions: Iterable[StoredDefinition],
    source: Source,
) -> bool:
    """Return whether a definition is of an earlier version, and log it."""
    name = current.name
    number = current.schema_version
    if asked is not None:
        if asked < number:
            logger.warning(
                "%s: schema version %d is older than the current %d",
                name,
                asked,
                number,
            )
        return asked < number
    if source is not Source.FILE:
        return False
    schema = normal["schema"]
    left = not has_same_meaning(schema, current.definition["schema"]) and any(
        has_same_meaning(schema, version.definition["schema"])
        for version in versions
        if not version.current
    )
    if left:
        logger.warning(
            "%s: the file holds the schema of an earlier version; it is not applied",
            name,
        )
    return left


def _target(
    name: str,
    number: int,
    normal: Mapping[str, Any],
    before: int,
    versions: Sequence[StoredDefinition],
    *,
    unnumbered: bool,
) -> StoredDefinition:
    """Return the version that results.

    An ``unnumbered`` migration leads to it from the version before. Raises
    ``InvalidSchema`` if a list of steps leaves a gap.
    """
    steps = [{"from": before, "to": number, **step} for step in normal["steps"]]
    _check_steps(steps, versions, number, normal["schema"], unnumbered=unnumbered)
    has_first_step = any(step["from"] == before for step in steps)
    # Every version leads to the next one, so that older data always has a way.
    if before and versions and not has_first_step:
        steps.append({"from": before, "to": number})
    definition = {**normal, "steps": steps}
    table = next((version.table_name for version in versions if version.current), "")
    every = plan_steps(
        [*(version.definition["steps"] for version in versions), definition["steps"]]
    )
    _check_chain(definition["steps"], every, number)
    return StoredDefinition(name, number, "", definition, table, steps=every)


def _check_steps(
    steps: Sequence[Mapping[str, Any]],
    versions: Iterable[StoredDefinition],
    number: int,
    schema: Mapping[str, Any],
    *,
    unnumbered: bool,
) -> None:
    """Raise ``InvalidSchema`` if a step has a fault, whatever the other steps are.

    The last one leads to ``schema``, that of version ``number``.
    """
    schema_of = {
        version.schema_version: version.definition["schema"] for version in versions
    }
    for index, step in enumerate(steps):
        # where the client wrote it; the plan numbers the steps of all versions
        location = ("migration",) if unnumbered else ("migration", index)
        check_expressions(step, location)
        start = step["from"]
        if start in schema_of:
            check_members(step, schema_of[start], location)
            if step["to"] == number:
                check_results(step, schema, location)


def _check_chain(
    own: Sequence[Mapping[str, Any]], every: Iterable[Mapping[str, Any]], number: int
) -> None:
    """Raise ``InvalidSchema`` unless each of a definition's own steps leads on to its
    version."""
    leads = {step["from"]: step["to"] for step in every}
    starts = [step["from"] for step in own]
    for index, start in enumerate(starts):
        if starts.index(start) != index:
            raise refuse(
                ("migration", index), f"two steps start from schema version {start}"
            )
        _check_path(index, start, leads, number)


def _check_path(
    index: int, version: int, leads: Mapping[int, int], number: int
) -> None:
    while version < number:
        if version not in leads:
            raise refuse(
                ("migration", index), f"no step leads on from schema version {version}"
            )
        version = leads[version]
    if version > number:
        raise refuse(
            ("migration", index), f"the steps lead past schema version {number}"
        )
