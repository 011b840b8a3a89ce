"""Definitions: every schema version of every registered entity type, as rows."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from persist.domain.bounded_cache import bounded_cache
from persist.domain.entity_type import Kind
from persist.domain.record import dumps
from persist.storage.dialect import Dialect
from persist.storage.sql import Row, Session, Statement, constant
from persist.storage.tables import DEFINITIONS, REGISTRY_HEAD

CACHED_CHARACTERS = 8_388_608
"""Characters of definitions that are kept parsed."""

ONE: sa.ColumnElement[int] = sa.literal_column("1", sa.Integer())


@bounded_cache(CACHED_CHARACTERS, len)
def _parsed(text: str) -> Mapping[str, Any]:
    """Return a definition. A cache: when definitions are read again, most texts are
    unchanged."""
    parsed: Mapping[str, Any] = json.loads(text)
    return parsed


@dataclass(frozen=True)
class StoredDefinition:
    """A schema version of a registered type.

    ``definition`` is in normal form. ``table_name`` is the table of its records.
    ``steps`` is its migration plan: its own steps, and those of earlier versions from
    where it has none.
    """

    name: str
    schema_version: int
    at: str
    definition: Mapping[str, Any]
    table_name: str
    current: bool = True
    steps: tuple[Mapping[str, Any], ...] = ()


_OF_NAME = DEFINITIONS.c.name == sa.bindparam("type_name")
_OF_VERSION = DEFINITIONS.c.schema_version == sa.bindparam("version")

EPOCH = Statement(sa.select(REGISTRY_HEAD.c.epoch))
"""Select how often definitions and workspaces changed."""

RAISE_EPOCH = Statement(
    sa.update(REGISTRY_HEAD).values(epoch=REGISTRY_HEAD.c.epoch + ONE)
)
"""Count a change of the definitions or workspaces."""

NEXT_TABLE = Statement(
    sa.update(REGISTRY_HEAD)
    .values(documents=REGISTRY_HEAD.c.documents + ONE)
    .returning(REGISTRY_HEAD.c.documents)
)
"""Take the number of the next document table."""

_VERSIONS = (
    sa.select(
        DEFINITIONS.c.name,
        DEFINITIONS.c.schema_version,
        DEFINITIONS.c.at,
        DEFINITIONS.c.definition,
        DEFINITIONS.c.table_name,
        DEFINITIONS.c.current,
    )
    .where(DEFINITIONS.c.kind == constant(Kind.REGISTERED.value))
    .order_by(DEFINITIONS.c.name, DEFINITIONS.c.schema_version)
)

ALL_VERSIONS = Statement(_VERSIONS)
"""Select every version of every registered type, by name and version."""

VERSIONS_OF_NAME = Statement(_VERSIONS.where(_OF_NAME))
"""Select every version of one registered type, the first one first."""

TYPED_VERSIONS = Statement(
    sa.select(DEFINITIONS.c.name, DEFINITIONS.c.schema_version).where(
        DEFINITIONS.c.kind == constant(Kind.TYPED.value), DEFINITIONS.c.current
    )
)
"""Select the schema version of each typed entity's table."""

INSERT_DEFINITION = Statement(
    sa.insert(DEFINITIONS).values(
        {
            column.name: sa.bindparam(column.name, type_=column.type)
            for column in DEFINITIONS.columns
        }
    )
)
"""Add a version."""

RETIRE = Statement(sa.update(DEFINITIONS).where(_OF_NAME).values(current=sa.false()))
"""Leave a name without a current version."""

REACTIVATE = Statement(
    sa.update(DEFINITIONS)
    .where(_OF_NAME, _OF_VERSION)
    .values(current=sa.true(), table_name=sa.bindparam("new_table", type_=sa.Text()))
)
"""Make a version current, with records in another table."""

REPLACE_DEFINITION = Statement(
    sa.update(DEFINITIONS)
    .where(_OF_NAME, _OF_VERSION)
    .values(
        definition=sa.bindparam("new_definition", type_=DEFINITIONS.c.definition.type)
    )
)
"""Change the definition of a version in place."""


class Definitions:
    """The definitions inside a transaction; each change raises the epoch."""

    def __init__(self, session: Session[Dialect], now: str = "") -> None:
        self._session = session
        self._now = now

    def epoch(self) -> int:
        """Return how often definitions and workspaces changed."""
        return int(self._session.value(EPOCH))

    def current(self) -> list[StoredDefinition]:
        """Return the current definition of every registered type."""
        versions = map(_stored, self._session.rows(ALL_VERSIONS))
        found = [
            _with_steps(list(group))
            for _, group in groupby(versions, key=lambda version: version.name)
        ]
        return [version for version in found if version is not None]

    def typed(self) -> dict[str, int]:
        """Return the schema version of each typed entity's table."""
        return dict(self._session.rows(TYPED_VERSIONS))

    def versions(self, name: str) -> list[StoredDefinition]:
        """Return every version that a name ever had, the first one first."""
        rows = self._session.rows(VERSIONS_OF_NAME, type_name=name)
        return [_stored(row) for row in rows]

    def add(
        self,
        name: str,
        schema_version: int,
        definition: Mapping[str, Any],
        table_name: str,
    ) -> None:
        """Add a version and make it the current one of its name."""
        self._session.run(RETIRE, type_name=name)
        self._session.run(
            INSERT_DEFINITION,
            name=name,
            schema_version=schema_version,
            kind=Kind.REGISTERED.value,
            current=True,
            at=self._now,
            definition=dumps(definition),
            table_name=table_name,
        )
        self.raise_epoch()

    def amend(
        self, name: str, schema_version: int, definition: Mapping[str, object]
    ) -> None:
        """Change what the schema does not decide: commands, indexes."""
        self._session.run(
            REPLACE_DEFINITION,
            type_name=name,
            version=schema_version,
            new_definition=dumps(definition),
        )
        self.raise_epoch()

    def retire(self, name: str) -> None:
        """Leave a name without a current version; its versions go on counting."""
        self._session.run(RETIRE, type_name=name)
        self.raise_epoch()

    def reactivate(self, name: str, schema_version: int, table_name: str) -> None:
        """Make a version of a retired name the current one again."""
        self._session.run(RETIRE, type_name=name)
        self._session.run(
            REACTIVATE, type_name=name, version=schema_version, new_table=table_name
        )
        self.raise_epoch()

    def raise_epoch(self) -> None:
        """Have every process load the definitions and workspaces again."""
        self._session.run(RAISE_EPOCH)

    def next_table(self) -> str:
        """Return a table name that was never used."""
        number = self._session.rows(NEXT_TABLE)[0][0]
        return f"document_{number}"


def _stored(row: Row) -> StoredDefinition:
    name, schema_version, at, definition, table_name, current = row
    return StoredDefinition(
        name, schema_version, at, _parsed(definition), table_name, bool(current)
    )


def _with_steps(versions: list[StoredDefinition]) -> StoredDefinition | None:
    current = current_of(versions)
    if current is None:
        return None
    steps = plan_steps(version.definition["steps"] for version in versions)
    return replace(current, current=True, steps=steps)


def current_of(versions: Iterable[StoredDefinition]) -> StoredDefinition | None:
    """Return the current one of a name's versions, None for a deleted type."""
    for version in versions:
        if version.current:
            return version
    return None


def plan_steps(
    versions: Iterable[Iterable[Mapping[str, object]]],
) -> tuple[Mapping[str, Any], ...]:
    """Return the steps of all versions.

    Of two steps that start from one version the later definition's counts.
    """
    by_start = {step["from"]: step for steps in versions for step in steps}
    return tuple(by_start.values())
