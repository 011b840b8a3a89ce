"""Migration: how data of an older schema version comes to the current one.

A ``MigrationPlan`` is an ordered chain of steps; typed entities write theirs in code, registered
ones bring theirs as data, and nobody else can tell which.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.domain.errors import MigrationFailed
from app.domain.record import Data


class InvalidPlan(ValueError):
    """The steps are no plan; the message names the faulty one."""


@dataclass(frozen=True, slots=True)
class MigrationStep:
    """From one schema version to a later one. ``transform`` takes its own copy of the data and
    gives the new data; ``definition`` is a declarative step as it was written."""

    from_version: int
    to_version: int
    transform: Callable[[Data], Data]
    description: str = ""
    definition: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return f"{self.from_version} to {self.to_version}"


class MigrationPlan:
    """The steps by the version they start from. Raises ``InvalidPlan`` where a version has two
    steps, a step does not go forward, or one leads past ``current``."""

    def __init__(self, current: int, steps: Iterable[MigrationStep] = ()) -> None:
        self.current = current
        self.steps = tuple(sorted(steps, key=lambda step: step.from_version))
        self._next: dict[int, MigrationStep] = {}
        for step in self.steps:
            if step.from_version < 1 or step.to_version <= step.from_version:
                raise InvalidPlan(f"the step {step} does not go forward from version 1 or later")
            if step.to_version > current:
                raise InvalidPlan(f"the step {step} leads past the current schema version {current}")
            if step.from_version in self._next:
                raise InvalidPlan(f"two steps start from version {step.from_version}")
            self._next[step.from_version] = step

    def chain(self, version: int) -> list[MigrationStep]:
        """The steps from ``version`` to the current one. Raises ``MigrationFailed`` where there is
        a gap, or where the version is newer than the plan knows."""
        if version > self.current:
            raise MigrationFailed(
                f"the data is of schema version {version}, the current one is {self.current}: "
                "bring the service up to date first"
            )
        chain = []
        while version < self.current:
            step = self._next.get(version)
            if step is None:
                raise MigrationFailed(f"the migration plan has no step from schema version {version}; add one")
            chain.append(step)
            version = step.to_version
        return chain

    def walk(self, version: int, data: Data) -> Data:
        """``data`` of a schema version as the current one has it, not yet validated."""
        for step in self.chain(version):
            data = step.transform(data)
        return data
