"""An entity class compared with what the database recorded for its schema version."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex

from persist.domain.entity_type import EntityType
from persist.domain.record import Json, canonical_text
from persist.domain.schema_changes import Kind, SchemaChange, schema_changes
from persist.entity_types.class_check import location
from persist.storage.dialect import Dialect
from persist.storage.layout import Layout, indexes_by_name, layout_of
from persist.storage.migrations.step_proposal import Proposal, ProposedStep, add_column
from persist.storage.migrations.table_versions import (
    ENVELOPE_AND_WORKSPACE,
    Recorded,
    has_column_type,
    recorded_layout,
    recorded_version,
    stored_version,
    update_recorded,
)

LISTED_RECORDS = 10
"""Records that a message names."""

DIGEST_INDEX = re.compile(r".{1,38}0_[0-9a-f]{20}")
"""The name of an index whose own name would be too long or unsafe."""


@dataclass(frozen=True)
class Comparison:
    """What differs between a class and its table at the same schema version.

    ``faults`` stop the start. ``missing`` and ``stale`` indexes are made and dropped
    without a new version.
    """

    layout: Layout
    recorded: Recorded
    faults: tuple[str, ...] = ()
    missing: tuple[sa.Index, ...] = ()
    stale: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the collection."""
        return self.layout.type.name

    @property
    def is_recorded(self) -> bool:
        """Whether the recorded schema is that of the class."""
        return canonical_text(self.recorded.definition) == canonical_text(
            Recorded.of(self.layout.type).definition
        )

    def differences(self) -> list[str]:
        """Return a sentence for each difference."""
        if self.faults:
            return list(self.faults)
        made = [
            f"{self.name}: the index {index.name} is missing" for index in self.missing
        ]
        dropped = [
            f"{self.name}: the index {name} is no longer used" for name in self.stale
        ]
        return [*made, *dropped]


def compare(
    connection: sa.Connection, dialect: Dialect, entity_type: EntityType
) -> Comparison:
    """Compare a class with its table, whose schema version is that of the class."""
    layout = layout_of(entity_type, dialect)
    recorded = recorded_version(connection, entity_type.name)
    if not sa.inspect(connection).has_table(layout.table.name):
        missing_table = f"{entity_type.name}: the table {layout.table.name} is missing"
        return Comparison(layout, recorded, (missing_table,))
    present = own_indexes(connection, layout)
    expected = indexes_by_name(layout.table)
    missing = [index for name, index in expected.items() if name not in present]
    stale = sorted(present - expected.keys())
    return Comparison(
        layout,
        recorded,
        tuple(_faults(connection, layout, recorded, missing)),
        tuple(missing),
        tuple(stale),
    )


def update_indexes(connection: sa.Connection, comparison: Comparison) -> None:
    """Create and drop indexes as the class demands, and record its schema."""
    for name in comparison.stale:
        connection.exec_driver_sql(f'DROP INDEX "{name}"')
    for index in comparison.missing:
        connection.execute(CreateIndex(index))
    if not comparison.is_recorded:
        update_recorded(connection, comparison.layout.type)


def own_indexes(connection: sa.Connection, layout: Layout) -> set[str]:
    """Return the indexes of the table that the service made."""
    table = layout.table.name
    # SQLAlchemy does not list indexes over expressions on every database.
    found = connection.exec_driver_sql(layout.dialect.index_names, (table,))
    names = {str(row[0]) for row in found}
    prefixes = (f"{table}_unique_", f"{table}_index_")
    return {
        name
        for name in names
        if name.startswith(prefixes) or DIGEST_INDEX.fullmatch(name)
    }


def _faults(
    connection: sa.Connection,
    layout: Layout,
    recorded: Recorded,
    missing: list[sa.Index],
) -> Iterator[str]:
    changes = schema_changes(recorded.schema, layout.type.schema)
    if not recorded.is_comparable:
        old = recorded_layout(
            layout.dialect, layout.type.name, layout.type.schema_version, recorded
        )
        changes = [change for change in changes if _is_moved(change, old, layout)]
    if changes:
        yield _needs_version(layout, recorded, changes)
        return
    columns = column_faults(connection, layout)
    if columns:
        yield f"{location(layout.type)}: {columns[0]}"
        return
    for index in missing:
        if index.unique and (found := duplicates(connection, layout, index)):
            yield f"{location(layout.type)}, {found}"


def _is_moved(change: SchemaChange, old: Layout, new: Layout) -> bool:
    """Return whether the value of a member is stored in another form now."""
    if change.kind is not Kind.CHANGED:
        return False
    columns = old.columns[change.member], new.columns[change.member]
    return columns[0].type is not columns[1].type


def _needs_version(
    layout: Layout, recorded: Recorded, changes: list[SchemaChange]
) -> str:
    """Return the sentence that says which step to write."""
    entity_type = layout.type
    version = layout.type.schema_version
    old = recorded_layout(layout.dialect, entity_type.name, version, recorded)
    step = Proposal(old, layout).step(changes, version + 1)
    fields = "; ".join(f"field {change.member}: {change.reason}" for change in changes)
    return (
        f"{location(entity_type)}, {fields}. Raise schema_version from {version} to"
        f" {version + 1} and add the step to its plan: {step.inline()}; `persist"
        f" makemigration {entity_type.name}` writes it"
    )


def column_faults(connection: sa.Connection, layout: Layout) -> list[str]:
    """Return a sentence for each column that is not as the class says."""
    table = layout.table.name
    present: Json = {
        column["name"]: column for column in sa.inspect(connection).get_columns(table)
    }
    faults = [
        fault
        for member, column in layout.columns.items()
        if (fault := _column_fault(layout, member, present.get(column.name)))
    ]
    known = {column.name for column in layout.columns.values()}
    faults += [
        f"the table {table} has a column {name} that the class does not have; drop it"
        f' by ALTER TABLE {{table}} DROP COLUMN "{name}"'
        for name in present
        if name not in known and name not in ENVELOPE_AND_WORKSPACE
    ]
    return faults


def _column_fault(layout: Layout, member: str, present: Any) -> str | None:
    column = layout.columns[member]
    field = layout.type.fields[member]
    sql = add_column(layout, member)
    if present is None:
        return f"field {member}: the table has no column {column.name}; write {sql}"
    if not has_column_type(layout.dialect, present["type"], field.type):
        reason = f"its column is of the type {present['type']}"
    elif present["nullable"] and not column.nullable:
        reason = "its column may be null"
    elif column.nullable and not present["nullable"]:
        reason = "its column may not be null"
    else:
        return None
    return (
        f"field {member}: {reason}, which the class contradicts; write {sql}, after"
        f" DROP COLUMN {column.name} where the column is an older one (the step's"
        " function writes the values)"
    )


def duplicates(
    connection: sa.Connection, layout: Layout, index: sa.Index
) -> str | None:
    """Return which records have one value where the class wants unique ones, or
    None."""
    table = layout.table
    expressions: list[sa.ColumnElement[Any]] = [
        each for each in index.expressions if not isinstance(each, str)
    ]
    named = [each.label(f"value_{n}") for n, each in enumerate(expressions)]
    values = [each.element for each in named if each.element is not table.c.workspace]
    groups = (
        sa.select(*named)
        .where(*(value.is_not(None) for value in values))
        .group_by(*expressions)
        .having(sa.func.count() > 1)
        .subquery()
    )
    same = [each.element == groups.c[each.name] for each in named]
    found = connection.execute(
        sa.select(table.c.id)
        .join(groups, sa.and_(*same))
        .order_by(*expressions, table.c.id)
        .limit(LISTED_RECORDS)
    )
    ids = [row[0] for row in found]
    if not ids:
        return None
    members = [
        member
        for member, column in layout.columns.items()
        if column in index.columns.values()
    ]
    return (
        f"field {' and '.join(members)}: it is to be unique, and records have the same"
        f" value: {', '.join(ids)}; change them, or raise schema_version and make the"
        " values distinct in the function of a step"
    )


@dataclass(frozen=True)
class ClassChanges:
    """What changed in a class since the schema version of its table."""

    old: Layout
    new: Layout
    changes: list[SchemaChange]

    @property
    def stored_version(self) -> int:
        """The schema version of the table."""
        return self.old.type.schema_version

    def removed(self) -> list[str]:
        """Return the members that were taken out."""
        return self._members(Kind.REMOVED)

    def added(self) -> list[str]:
        """Return the members that are new."""
        return self._members(Kind.ADDED)

    def _members(self, kind: Kind) -> list[str]:
        return [change.member for change in self.changes if change.kind is kind]

    def similar(self) -> Iterator[tuple[str, str]]:
        """Yield each pair of a member taken out and a new one of the same type."""
        before = self.old.type.fields
        after = self.new.type.fields
        for old, new in itertools.product(self.removed(), self.added()):
            if before[old].type is after[new].type:
                yield old, new

    def proposed_default(self, member: str) -> object:
        """Return a value of a new member for stored records."""
        return Proposal(self.old, self.new).default(member)

    def step(
        self, renames: Mapping[str, str], defaults: Mapping[str, Any]
    ) -> ProposedStep:
        """Return the step to the next version, or to that of the class if it is
        higher."""
        version = max(self.stored_version + 1, self.new.type.schema_version)
        proposal = Proposal(self.old, self.new, renames, defaults)
        return proposal.step(self.changes, version)


def class_changes(
    connection: sa.Connection, dialect: Dialect, entity_type: EntityType
) -> ClassChanges | None:
    """Return what changed in a class since the schema version of its table.

    None if the database does not know the class.
    """
    version = stored_version(connection, entity_type.name)
    if version is None:
        return None
    recorded = recorded_version(connection, entity_type.name)
    old = recorded_layout(dialect, entity_type.name, version, recorded)
    new = layout_of(entity_type, dialect)
    changes = [
        change
        for change in schema_changes(recorded.schema, entity_type.schema)
        if recorded.is_comparable
        or change.kind is not Kind.CHANGED
        or _is_moved(change, old, new)
    ]
    return ClassChanges(old, new, changes)
