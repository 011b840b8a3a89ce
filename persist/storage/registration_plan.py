"""Decisions: what a definition asks for, given the versions there are.

Only the schema decides the version; commands, indexes and unique constraints change in
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
from persist.storage.definitions import StoredDefinition, plan_steps

logger = logging.getLogger(__name__)


class Source(Enum):
    """Where a definition comes from. A file takes a type back to an earlier schema only
    under a higher number: two replicas with different files would change it to and
    fro."""

    CLIENT = "client"
    FILE = "file"


class Act(Enum):
    """What a registration does."""

    CREATE = "create"
    EVOLVE = "evolve"
    AMEND = "amend"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Decision:
    """What has to be done, given the versions there are. ``target`` is the version to
    be."""

    act: Act
    versions: Sequence[StoredDefinition]
    target: StoredDefinition

    @property
    def current(self) -> StoredDefinition | None:
        """The current version before it."""
        return next((version for version in self.versions if version.current), None)


def decide(
    name: str, definition: Any, versions: Sequence[StoredDefinition], source: Source
) -> Decision:
    """What a definition asks for. Raises ``InvalidSchema``, ``MigrationRequired``."""
    normal, asked = normal_form(definition), definition.get("schema_version")
    alone = isinstance(definition.get("migration"), dict)
    current = next((version for version in versions if version.current), None)
    if current is None:
        last = versions[-1].schema_version if versions else 0
        number = max(asked or 1, last + 1)
        return Decision(
            Act.CREATE,
            versions,
            _target(name, number, normal, last or number - 1, versions, alone=alone),
        )
    if _is_outdated(normal, asked, current, versions, source):
        return Decision(Act.NOTHING, versions, current)
    if canonical_text(normal["schema"]) == canonical_text(current.definition["schema"]):
        amended = {
            **current.definition,
            **{key: normal[key] for key in ("commands", "unique", "indexes")},
        }
        act = (
            Act.NOTHING
            if canonical_text(amended) == canonical_text(current.definition)
            else Act.AMEND
        )
        return Decision(act, versions, replace(current, definition=amended))
    number = asked or current.schema_version + 1
    if number == current.schema_version:
        raise MigrationRequired(
            f"schema version {asked} of {name} has another schema; raise schema_version"
        )
    return Decision(
        Act.EVOLVE,
        versions,
        _target(name, number, normal, current.schema_version, versions, alone=alone),
    )


def _is_outdated(
    normal: Mapping[str, Any],
    asked: int | None,
    current: StoredDefinition,
    versions: Iterable[StoredDefinition],
    source: Source,
) -> bool:
    """Whether a definition is one that the type has left behind; the log says so."""
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
    alone: bool,
) -> StoredDefinition:
    """The version to be: a migration without numbers, which stands ``alone``, leads
    from the version before to it. Raises ``InvalidSchema`` where a list of steps leaves
    a gap."""
    steps = [{"from": before, "to": number, **step} for step in normal["steps"]]
    for index, step in enumerate(
        steps
    ):  # where the client wrote it; the plan numbers those of all versions
        step_of(step, ("migration",) if alone else ("migration", index))
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
        _check_way(index, start, leads, number)


def _check_way(index: int, version: int, leads: Mapping[int, int], number: int) -> None:
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
