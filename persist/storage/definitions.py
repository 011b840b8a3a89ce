"""Definitions: every schema version of every registered entity type, and the declared
workspaces, as rows."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from persist.domain.entity_type import Kind
from persist.domain.record import dumps
from persist.domain.workspace import Workspaces
from persist.storage.dialect import Dialect
from persist.storage.sql import Compiled, Cursor, Row
from persist.storage.tables import DEFINITIONS, REGISTRY_HEAD, WORKSPACES


@dataclass(frozen=True)
class StoredDefinition:
    """A version of a registered type: its definition in normal form, where its records
    lie, and the ``steps`` of its plan (its own, and those of earlier versions where it
    has none)."""

    name: str
    schema_version: int
    at: str
    definition: Mapping[str, Any]
    table_name: str
    current: bool = True
    steps: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class DefinitionStatements:
    """The statements of definitions, written once for a dialect."""

    epoch: Compiled
    raise_epoch: Compiled
    next_table: Compiled
    all: Compiled
    typed: Compiled
    of_name: Compiled
    insert: Compiled
    retire: Compiled
    readmit: Compiled
    update: Compiled
    workspaces: Compiled
    withdraw: Compiled
    declare: Compiled


def definition_statements(dialect: Dialect) -> DefinitionStatements:
    """Write the statements of definitions."""
    columns = [
        DEFINITIONS.c[name]
        for name in (
            "name",
            "schema_version",
            "at",
            "definition",
            "table_name",
            "current",
        )
    ]
    rows = sa.select(*columns).where(
        DEFINITIONS.c.kind == sa.literal_column(f"'{Kind.REGISTERED.value}'", sa.Text())
    )
    rows = rows.order_by(DEFINITIONS.c.name, DEFINITIONS.c.schema_version)
    named = DEFINITIONS.c.name == sa.bindparam("type_name")
    versioned = DEFINITIONS.c.schema_version == sa.bindparam("version")
    one: sa.ColumnElement[int] = sa.literal_column("1", sa.Integer())
    documents = REGISTRY_HEAD.c.documents
    values = {
        column.name: sa.bindparam(column.name, type_=column.type)
        for column in DEFINITIONS.columns
    }
    return DefinitionStatements(
        epoch=dialect.compile(sa.select(REGISTRY_HEAD.c.epoch)),
        raise_epoch=dialect.compile(
            sa.update(REGISTRY_HEAD).values(epoch=REGISTRY_HEAD.c.epoch + one)
        ),
        next_table=dialect.compile(
            sa.update(REGISTRY_HEAD)
            .values(documents=documents + one)
            .returning(documents)
        ),
        all=dialect.compile(rows),
        typed=dialect.compile(
            sa.select(DEFINITIONS.c.name, DEFINITIONS.c.schema_version).where(
                DEFINITIONS.c.kind
                == sa.literal_column(f"'{Kind.TYPED.value}'", sa.Text()),
                DEFINITIONS.c.current,
            )
        ),
        of_name=dialect.compile(rows.where(named)),
        insert=dialect.compile(sa.insert(DEFINITIONS).values(values)),
        retire=dialect.compile(
            sa.update(DEFINITIONS).where(named).values(current=sa.false())
        ),
        readmit=dialect.compile(
            sa.update(DEFINITIONS)
            .where(named, versioned)
            .values(
                current=sa.true(), table_name=sa.bindparam("new_table", type_=sa.Text())
            )
        ),
        update=dialect.compile(
            sa.update(DEFINITIONS)
            .where(named, versioned)
            .values(
                definition=sa.bindparam(
                    "new_definition", type_=DEFINITIONS.c.definition.type
                )
            )
        ),
        workspaces=dialect.compile(
            sa.select(WORKSPACES.c.name, WORKSPACES.c.collections)
        ),
        withdraw=dialect.compile(
            sa.delete(WORKSPACES).where(WORKSPACES.c.name == sa.bindparam("workspace"))
        ),
        declare=dialect.compile(
            sa.insert(WORKSPACES).values(
                {
                    column.name: sa.bindparam(column.name, type_=column.type)
                    for column in WORKSPACES.columns
                }
            )
        ),
    )


class Definitions:
    """The definitions inside a transaction."""

    def __init__(
        self, statements: DefinitionStatements, cursor: Cursor, now: str = ""
    ) -> None:
        self._statements = statements
        self._cursor = cursor
        self._now = now

    def epoch(self) -> int:
        """How often the definitions changed."""
        return int(self._run(self._statements.epoch).fetchall()[0][0])

    def current(self) -> list[StoredDefinition]:
        """The current definition of every registered type."""
        versions = map(_stored, self._run(self._statements.all).fetchall())
        found = [
            _with_steps(list(group))
            for _, group in groupby(versions, key=lambda version: version.name)
        ]
        return [version for version in found if version is not None]

    def typed(self) -> dict[str, int]:
        """The schema version of each typed entity's table."""
        return dict(self._run(self._statements.typed).fetchall())

    def versions(self, name: str) -> list[StoredDefinition]:
        """Every version a name ever had, the first one first."""
        return [
            _stored(row)
            for row in self._run(self._statements.of_name, type_name=name).fetchall()
        ]

    def add(
        self,
        name: str,
        schema_version: int,
        definition: Mapping[str, Any],
        table_name: str,
    ) -> None:
        """Make a definition the current one of its name."""
        self._run(self._statements.retire, type_name=name)
        self._run(
            self._statements.insert,
            name=name,
            schema_version=schema_version,
            kind=Kind.REGISTERED.value,
            current=True,
            at=self._now,
            definition=dumps(definition),
            table_name=table_name,
        )
        self._run(self._statements.raise_epoch)

    def amend(
        self, name: str, schema_version: int, definition: Mapping[str, Any]
    ) -> None:
        """Change what a version's schema does not decide: commands, indexes."""
        self._run(
            self._statements.update,
            type_name=name,
            version=schema_version,
            new_definition=dumps(definition),
        )
        self._run(self._statements.raise_epoch)

    def retire(self, name: str) -> None:
        """Leave a name without a current version; it goes on counting."""
        self._run(self._statements.retire, type_name=name)
        self._run(self._statements.raise_epoch)

    def readmit(self, name: str, schema_version: int, table_name: str) -> None:
        """Make a version of a retired name the current one again."""
        self._run(self._statements.retire, type_name=name)
        self._run(
            self._statements.readmit,
            type_name=name,
            version=schema_version,
            new_table=table_name,
        )
        self._run(self._statements.raise_epoch)

    def workspaces(self) -> Workspaces:
        """The declared workspaces."""
        rows = self._run(self._statements.workspaces).fetchall()
        return {name: tuple(json.loads(collections)) for name, collections in rows}

    def declare(self, workspace: str, collections: Iterable[str]) -> None:
        """Have a workspace hold these collections and no others."""
        self.withdraw(workspace)
        self._run(
            self._statements.declare,
            name=workspace,
            collections=dumps(sorted(collections)),
        )

    def withdraw(self, workspace: str) -> None:
        """Take a workspace away."""
        self._run(self._statements.withdraw, workspace=workspace)
        self._run(self._statements.raise_epoch)

    def next_table(self) -> str:
        """A table name that was never used."""
        return f"document_{self._run(self._statements.next_table).fetchall()[0][0]}"

    def _run(self, statement: Compiled, **values: Any) -> Any:
        return self._cursor.execute(statement.text, statement.arguments(values))


def _stored(row: Row) -> StoredDefinition:
    name, schema_version, at, definition, table_name, current = row
    return StoredDefinition(
        name, schema_version, at, _parsed(definition), table_name, bool(current)
    )


@lru_cache(maxsize=4_096)
def _parsed(definition: str) -> Mapping[str, Any]:
    """One value for one text: a refresh reads all definitions, of which one has
    changed."""
    parsed: Mapping[str, Any] = json.loads(definition)
    return parsed


def _with_steps(versions: list[StoredDefinition]) -> StoredDefinition | None:
    current = next((version for version in versions if version.current), None)
    if current is None:
        return None
    steps = plan_steps(version.definition["steps"] for version in versions)
    return StoredDefinition(
        current.name,
        current.schema_version,
        current.at,
        current.definition,
        current.table_name,
        steps=steps,
    )


def plan_steps(
    versions: Iterable[Iterable[Mapping[str, Any]]],
) -> tuple[Mapping[str, Any], ...]:
    """The steps of all versions; where two start from one version the later
    definition's counts."""
    by_start = {step["from"]: step for steps in versions for step in steps}
    return tuple(by_start.values())
