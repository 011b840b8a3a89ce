"""Migration: how data of an older schema version comes to the current one.

A ``MigrationPlan`` is an ordered chain of steps. Typed entities write theirs in code,
registered types send theirs as data, and the rest of the code treats both alike.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from persist.domain.errors import MigrationFailed
from persist.domain.record import Data, dumps

TABLE_SQL = re.compile(
    r"\s*(ALTER\s+TABLE|CREATE\s+(UNIQUE\s+)?INDEX|DROP\s+INDEX)\s[^;]*;?\s*",
    re.IGNORECASE,
)
"""The SQL that a step may have: it changes the table and no row."""

DATABASES = frozenset(("sqlite", "postgresql"))
"""The databases for which a step may have separate SQL."""

Sql = str | Iterable[str] | Mapping[str, str | Iterable[str]]


class InvalidPlan(ValueError):
    """The steps do not form a plan; the message names the faulty one."""


def unchanged(data: Data) -> Data:
    """Return the data as it is, for steps that only change the table."""
    return data


@dataclass(frozen=True, slots=True)
class MigrationStep:
    """From one schema version to a later one.

    ``data`` takes a copy of a record's data as the old version stored it and returns
    the new data. ``sql`` is the statement or statements that change the table, or a
    mapping of them by database (``sqlite``, ``postgresql``). ``{table}`` is filled in,
    and so are the column types ``{text}``, ``{integer}``, ``{number}``, ``{boolean}``
    and ``{document}``. It runs in place only. Raises ``InvalidPlan`` for other SQL, for
    an unknown database, and for versions that do not go forward.
    """

    from_version: int
    to_version: int
    data: Callable[[Data], Data] = unchanged
    sql: Sql = ()
    description: str = ""
    definition: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        versions = self.from_version, self.to_version
        if (
            any(type(version) is not int for version in versions)
            or not 1 <= versions[0] < versions[1]
        ):
            raise InvalidPlan(
                f"the step {self} does not go forward from schema version 1 or later"
            )
        if not callable(self.data):
            raise InvalidPlan(
                f"the step {self} needs a function over a record's data, not"
                f" {self.data!r}"
            )
        if isinstance(self.sql, Mapping) and (
            unknown := sorted(self.sql.keys() - DATABASES)
        ):
            raise InvalidPlan(
                f"the step {self} has SQL for {', '.join(unknown)}, which no database"
                " is called"
            )
        for statement in self.statements():
            if not TABLE_SQL.fullmatch(statement):
                raise InvalidPlan(
                    f"the step {self} has SQL that is neither ALTER TABLE nor CREATE or"
                    f" DROP INDEX: {statement[:80]}"
                )

    @property
    def only_moves_members(self) -> bool:
        """Whether it is declarative and computes nothing: what it returns is JSON."""
        return bool(self.definition) and not self.definition.get("set")

    def statements(self, database: str | None = None) -> list[str]:
        """Return the SQL for a database, or for all of them."""
        if isinstance(self.sql, Mapping):
            chosen = (
                self.sql.values() if database is None else [self.sql.get(database, ())]
            )
            return [statement for part in chosen for statement in _listed(part)]
        return _listed(self.sql)

    def __str__(self) -> str:
        return f"{self.from_version} to {self.to_version}"


def _listed(sql: str | Iterable[str]) -> list[str]:
    return [sql] if isinstance(sql, str) else list(sql)


class MigrationPlan:
    """The steps by the schema version that they start from.

    ``current`` is the version that the last one leads to. Raises ``InvalidPlan`` if two
    steps start from one version or one leads past ``current``.
    """

    def __init__(
        self, steps: Iterable[MigrationStep] = (), *, current: int | None = None
    ) -> None:
        self.steps = tuple(sorted(steps, key=lambda step: step.from_version))
        self.current = current or max(
            (step.to_version for step in self.steps), default=1
        )
        self._next: dict[int, MigrationStep] = {}
        for step in self.steps:
            if step.to_version > self.current:
                raise InvalidPlan(
                    f"the step {step} leads past the current schema version"
                    f" {self.current}"
                )
            if step.from_version in self._next:
                raise InvalidPlan(
                    f"two steps start from schema version {step.from_version}"
                )
            self._next[step.from_version] = step

    def check_complete(self, current: int) -> None:
        """Raise ``InvalidPlan`` unless every version reaches ``current``.

        These are version 1 and all that a step starts from.
        """
        if self.current != current:
            raise InvalidPlan(
                f"the plan leads to schema version {self.current}, the entity is at"
                f" {current}"
            )
        for version in (1, *(step.from_version for step in self.steps)):
            try:
                self.chain(version)
            except MigrationFailed as error:
                raise InvalidPlan(str(error)) from None

    def chain(self, version: int) -> list[MigrationStep]:
        """Return the steps from ``version`` to the current one.

        Raises ``MigrationFailed`` if there is a gap, or if the version is newer than
        the plan knows.
        """
        if version > self.current:
            raise MigrationFailed(
                f"the data is of schema version {version}, the current one is"
                f" {self.current}: bring the service up to date first"
            )
        chain = []
        while version < self.current:
            step = self._next.get(version)
            if step is None:
                raise MigrationFailed(
                    f"the migration plan has no step from schema version {version};"
                    " add one"
                )
            chain.append(step)
            version = step.to_version
        return chain

    def starts_from(self, version: int) -> bool:
        """Return whether a step starts from a schema version."""
        return version in self._next

    def walk(self, version: int, data: Data) -> Data:
        """Return ``data`` as the current schema version has it, not yet validated.

        Raises ``MigrationFailed`` naming the step that raised or returned no object.
        """
        for step in self.chain(version):
            data = apply(step, data)
        return data


def apply(step: MigrationStep, data: Data) -> Data:
    """Apply one step to one record's data. Raises ``MigrationFailed``."""
    try:
        changed = step.data(data)
    except MigrationFailed:
        raise
    except (Exception, SystemExit) as error:
        raise MigrationFailed(
            f"the step {step} raised {type(error).__name__}: {error}"
        ) from error
    if step.only_moves_members:
        return changed
    if not isinstance(changed, dict):
        raise MigrationFailed(
            f"the step {step} returned {type(changed).__name__}, not an object"
        )
    try:
        dumps(changed).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise MigrationFailed(
            f"the step {step} returned what is not JSON: {error}"
        ) from error
    return changed
