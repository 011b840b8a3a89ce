"""Registration plan: what a definition asks for, given the versions that exist.

Only the schema decides the version. Commands, indexes and unique constraints change in
place.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from persist.domain.errors import MigrationRequired
from persist.domain.record import canonical_text
from persist.entity_types.definition import normal_form, refuse
from persist.entity_types.from_schema import step_of
from persist.storage.definitions import StoredDefinition, current_of, plan_steps

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
    """What has to be done; ``target`` is the version that results."""

    action: Action
    versions: Sequence[StoredDefinition]
    target: StoredDefinition

    @property
    def current(self) -> StoredDefinition | None:
        """The current version before it."""
        return current_of(self.versions)


def plan_registration(
    name: str, definition: Any, versions: Sequence[StoredDefinition], source: Source
) -> RegistrationPlan:
    """Return what a definition asks for.

    Raises ``InvalidSchema`` and ``MigrationRequired``.
    """
    normal = normal_form(definition)
    asked = definition.get("schema_version")
    unnumbered = isinstance(definition.get("migration"), dict)
    current = current_of(versions)
    if current is None:
        last = versions[-1].schema_version if versions else 0
        number = max(asked or 1, last + 1)
        return RegistrationPlan(
            Action.CREATE,
            versions,
            _target(
                name,
                number,
                normal,
                last or number - 1,
                versions,
                unnumbered=unnumbered,
            ),
        )
    if _is_outdated(normal, asked, current, versions, source):
        return RegistrationPlan(Action.NOTHING, versions, current)
    if canonical_text(normal["schema"]) == canonical_text(current.definition["schema"]):
        amended = {
            **current.definition,
            **{key: normal[key] for key in ("commands", "unique", "indexes")},
        }
        equal = canonical_text(amended) == canonical_text(current.definition)
        action = Action.NOTHING if equal else Action.AMEND
        return RegistrationPlan(action, versions, replace(current, definition=amended))
    number = asked or current.schema_version + 1
    if number == current.schema_version:
        raise MigrationRequired(
            f"schema version {asked} of {name} has another schema; raise schema_version"
        )
    return RegistrationPlan(
        Action.EVOLVE,
        versions,
        _target(
            name,
            number,
            normal,
            current.schema_version,
            versions,
            unnumbered=unnumbered,
        ),
    )


def _is_outdated(
    normal: Mapping[str, Any],
    asked: int | None,
    current: StoredDefinition,
    versions: Iterable[StoredDefinition],
    source: Source,
) -> bool:
    """Return whether a definition is of an earlier version, and log it."""
    name, number = current.name, current.schema_version
    if asked is not None:
        if asked < number:
            logger.warning(
                "%s: schema version %d is older than the current %d",
                name,
                asked,
                number,
            )
        return asked < number
    text = canonical_text(normal["schema"])
    earlier = [
        canonical_text(version.definition["schema"])
        for version in versions
        if not version.current
    ]
    left = text in earlier and text != canonical_text(current.definition["schema"])
    if left and source is Source.FILE:
        logger.warning(
            "%s: the file holds the schema of an earlier version; it is left alone",
            name,
        )
    return left and source is Source.FILE


def _target(
    name: str,
    number: int,
    normal: dict[str, Any],
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
    for index, step in enumerate(
        steps
    ):  # where the client wrote it; the plan numbers those of all versions
        step_of(step, ("migration",) if unnumbered else ("migration", index))
    if before and not any(step["from"] == before for step in steps) and versions:
        steps.append({"from": before, "to": number})
    definition = {**normal, "steps": [step for step in steps if step["from"] >= 1]}
    table = next((version.table_name for version in versions if version.current), "")
    every = plan_steps(
        [*(version.definition["steps"] for version in versions), definition["steps"]]
    )
    _check_chain(definition["steps"], every, number)
    return StoredDefinition(name, number, "", definition, table, steps=every)


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
