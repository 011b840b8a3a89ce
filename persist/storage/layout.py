"""Layout: how the records of an entity type lie in their table.

A typed entity has a column for each member, a registered type one document.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import Grouping

from persist.domain.entity_type import EntityType, Kind, Paths
from persist.domain.errors import UniqueViolation, Violation, pointer
from persist.domain.field import STORED_ENVELOPE, Field, FieldType
from persist.domain.record import Record, dumps
from persist.storage.column_names import (
    column_names,
    index_name,
    is_unique_index,
)
from persist.storage.dialect import Dialect, TableWriter
from persist.storage.dialect.columns import (
    COLUMN_TYPES,
    DOCUMENT,
    INTEGER,
    KEYWORDS,
    TEXT,
)
from persist.storage.queries.record_source import RecordSource
from persist.storage.reads.past_records import PastRecords, past_records
from persist.storage.sql import (
    Compiled,
    Row,
    SqlExpression,
    SqlText,
    StatementCache,
)
from persist.storage.tables import METADATA

RESERVED_TABLES = KEYWORDS | METADATA.tables.keys()
"""Names that a collection's table cannot have."""

DOCUMENT_TABLE = re.compile(r"document_\d+")
"""Names of the tables of registered types."""

GENERATED_TABLES = re.compile(rf"{DOCUMENT_TABLE.pattern}|(sqlite|pg)_.*")
"""Names of the tables of registered types, and of the databases' own tables."""

ENVELOPE_COLUMNS = tuple(STORED_ENVELOPE)
"""The columns of the envelope, in the order of a row that is read."""


@dataclass(frozen=True)
class Layout(RecordSource):
    """The table of an entity type, with its statements.

    ``data_of`` returns the data columns of a record.
    """

    table: sa.Table
    data_of: Callable[[Record], Row]

    @cached_property
    def by_key(self) -> Compiled:
        """Select a record of a workspace by ``id``."""
        of_id = self.table.c.id == sa.bindparam("id")
        return self.dialect.compile(self._read.where(of_id))

    @cached_property
    def by_ids(self) -> Compiled:
        """Select the records of a workspace that have one of ``ids``."""
        return self.dialect.compile(self._read_some)

    @cached_property
    def by_ids_locked(self) -> Compiled:
        """Select records as ``by_ids`` and lock them, in the order of their ids."""
        # Rows are locked in the order in which they are returned.
        ordered = self._read_some.order_by(self.table.c.id)
        return self.dialect.compile(self.dialect.for_update(ordered))

    @cached_property
    def writer(self) -> TableWriter:
        """Writes rows of the table."""
        return self.dialect.table_writer(self.table)

    @property
    def _read(self) -> sa.Select[Any]:
        in_workspace = self.table.c.workspace == sa.bindparam("workspace")
        return sa.select(*self.selected).where(in_workspace)

    @property
    def _read_some(self) -> sa.Select[Any]:
        return self._read.where(self.dialect.one_of(self.table.c.id, "ids"))

    @cached_property
    def past(self) -> PastRecords:
        """The records of earlier moments."""
        return past_records(self)

    @cached_property
    def unique(self) -> Mapping[str, Paths]:
        """The paths of each unique index, by all that databases call it in errors."""
        named: dict[str, Paths] = {}
        for paths in self.type.unique:
            keys = [self.distinct(field) for field in _fields(self, paths)]
            # An index of an earlier release stays if its values are no longer unique.
            for name in (
                index_name(self.table.name, "unique", paths),
                _index_name(self, "unique", paths, keys),
            ):
                named[name] = paths
                # SQLite names an index with an expression in this way.
                named[f"index '{name}'"] = paths
            columns = self._columns_of_unique(paths)
            if columns is not None:
                # SQLite names the columns of an index that is over columns only.
                names = [f"{self.table.name}.{column.name}" for column in columns]
                named[", ".join(names)] = paths
        return named

    def _columns_of_unique(self, paths: Paths) -> list[sa.Column[Any]] | None:
        """Return the columns of a unique index; None if one of its keys is an
        expression."""
        columns = [self.table.c.workspace]
        for field in _fields(self, paths):
            key = self.distinct(field)
            if not isinstance(key, sa.Column):
                return None
            columns.append(key)
        return columns

    def row(self, record: Record) -> Row:
        """Return a record as a row of the table."""
        return (
            record.workspace,
            record.id,
            record.revision,
            record.schema_version,
            record.created_at,
            record.updated_at,
            *self.data_of(record),
        )

    def record(self, workspace: str, row: Row) -> Record:
        """Return a row that was read as a record."""
        (
            record_id,
            revision,
            schema_version,
            created_at,
            updated_at,
            text,
        ) = row[:6]
        return Record(
            record_id,
            self.type.name,
            workspace,
            revision,
            schema_version,
            created_at,
            updated_at,
            text,
        )


def unique_violation(
    layouts: Iterable[Layout],
    constraint: str,
) -> UniqueViolation | None:
    """Return the refusal for a violated constraint.

    None if it is a key of the service's own.
    """
    known = {layout.type.name: layout for layout in layouts}
    for layout in known.values():
        paths = layout.unique.get(constraint)
        if paths is not None:
            return _value_taken(layout, paths)
    for layout in known.values():
        # A replica of another release may have given the index another name.
        if is_unique_index(constraint, layout.table.name):
            groups = layout.type.unique
            return _value_taken(layout, groups[0] if len(groups) == 1 else ())
    return None


def _value_taken(layout: Layout, paths: Paths) -> UniqueViolation:
    """Return the refusal of a value that another record has; without paths it is not
    known which of the unique ones."""
    errors = [
        Violation(pointer(field.path), "another record has this value")
        for field in _fields(layout, paths)
    ]
    named = " and ".join(paths) or "one of its unique members"
    return UniqueViolation(
        f"another record of {layout.type.name} has this value of {named}",
        errors=errors,
    )


def layout_of(
    entity_type: EntityType,
    dialect: Dialect,
    *,
    table_name: str = "",
    metadata: sa.MetaData | None = None,
) -> Layout:
    """Return the layout of an entity type; its table joins ``metadata``.

    The table of a registered type has the generated ``table_name``. That of a typed
    entity has it while it is filled.
    """
    # Separate metadata: the same collection has another table at another version.
    metadata = metadata or sa.MetaData()
    if entity_type.kind is Kind.REGISTERED:
        return _document_layout(entity_type, dialect, table_name, metadata)
    return _column_layout(
        entity_type, dialect, table_name or _table_name(entity_type), metadata
    )


def _document_layout(
    entity_type: EntityType,
    dialect: Dialect,
    table_name: str,
    metadata: sa.MetaData,
) -> Layout:
    """Return the layout of a registered type: the data is one document."""
    document = sa.Column("data", DOCUMENT, nullable=False)
    table = sa.Table(table_name, metadata, *_envelope(), document)

    def data_of(record: Record) -> Row:
        return (record.text,)

    text = dialect.column_json(document, FieldType.OBJECT)
    return _layout(entity_type, table, {}, data_of, text, dialect)


def _add_indexes(layout: Layout) -> None:
    """Add the indexes of a type to its table.

    Every index is led by the workspace. One that is not unique ends with the id, so
    that it also serves the order of a page.
    """
    table = layout.table
    for paths in dict.fromkeys(layout.type.unique):
        keys = [layout.distinct(field) for field in _fields(layout, paths)]
        name = _index_name(layout, "unique", paths, keys)
        sa.Index(name, table.c.workspace, *map(_in_index, keys), unique=True)
    for paths in dict.fromkeys(layout.type.indexes):
        keys = [layout.indexed(field) for field in _fields(layout, paths)]
        name = _index_name(layout, "index", paths, keys)
        sa.Index(name, table.c.workspace, *map(_in_index, keys), table.c.id)


def indexes_by_name(table: sa.Table) -> dict[str, sa.Index]:
    """Return the indexes of a table by name, in the order of names."""
    named = {str(index.name): index for index in table.indexes}
    return dict(sorted(named.items()))


def _in_index(key: SqlExpression) -> SqlExpression:
    """Return a key as an index has it: PostgreSQL takes CASE in parentheses only."""
    return Grouping(key) if isinstance(key, sa.Case) else key


def _fields(layout: Layout, paths: Paths) -> list[Field]:
    """Return the fields that the paths of an index name.

    A class names members as they are, a definition writes paths.
    """
    members = layout.type.fields if layout.columns else {}
    found: list[Field] = []
    for path in paths:
        field = members.get(path) or layout.type.field_named(path)
        if field is not None:
            found.append(field)
    return found


def _column_layout(
    entity_type: EntityType,
    dialect: Dialect,
    table_name: str,
    metadata: sa.MetaData,
) -> Layout:
    """Return the layout of a typed entity: every member has a column."""
    fields = entity_type.fields
    names = column_names(fields)
    columns = {}
    for name, field in fields.items():
        columns[name] = _column(field, names[name])
    # Found once: most columns take the value as it is.
    converters = [
        (position, convert)
        for position, field in enumerate(fields.values())
        if (convert := _converter(field)) is not None
    ]
    table = sa.Table(
        table_name,
        metadata,
        *_envelope(),
        *columns.values(),
    )

    def data_of(record: Record) -> Row:
        # Most records were validated a moment ago.
        data = record.parsed or record.data
        values = list(map(data.get, fields))
        for position, convert in converters:
            values[position] = convert(values[position])
        return tuple(values)

    text = _object_json(dialect, fields, columns)
    return _layout(entity_type, table, columns, data_of, text, dialect)


def _table_name(entity_type: EntityType) -> str:
    """Return the name of a typed entity's table.

    A name that means something to a database, or is a table of the service's own, gets
    an underscore in front: no collection's name begins with one.
    """
    name = entity_type.name.replace("-", "_")
    if name in RESERVED_TABLES or GENERATED_TABLES.fullmatch(name):
        return f"_{name}"
    return name


def _layout(
    entity_type: EntityType,
    table: sa.Table,
    columns: Mapping[str, sa.Column[Any]],
    data_of: Callable[[Record], Row],
    data: SqlText,
    dialect: Dialect,
) -> Layout:
    envelope = [table.c[name] for name in ENVELOPE_COLUMNS]
    layout = Layout(
        type=entity_type,
        table=table,
        columns=columns,
        data_of=data_of,
        selected=(*envelope, data.label("data_text")),
        dialect=dialect,
        statements=StatementCache(dialect),
    )
    _add_indexes(layout)
    return layout


def _envelope() -> list[sa.Column[Any]]:
    return [
        sa.Column("workspace", TEXT, primary_key=True),
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("revision", INTEGER, nullable=False),
        sa.Column("schema_version", INTEGER, nullable=False),
        sa.Column("created_at", TEXT, nullable=False),
        sa.Column("updated_at", TEXT, nullable=False),
    ]


def _column(field: Field, name: str) -> sa.Column[Any]:
    column_type = COLUMN_TYPES.get(field.type, DOCUMENT)
    return sa.Column(name, column_type, nullable=field.nullable)


def _index_name(
    layout: Layout,
    kind: str,
    paths: Paths,
    keys: Sequence[SqlExpression],
) -> str:
    """Return the name of an index over ``keys``, or that of one over members."""
    compile_key = layout.dialect.compile
    written = [compile_key(key).text for key in keys]
    members = [layout.member(field) for field in _fields(layout, paths)]
    plain = [compile_key(member).text for member in members]
    # Earlier releases looked for another member if a name has a percent sign.
    is_computed = written != plain or any("%" in path for path in paths)
    computed = written if is_computed else []
    return index_name(layout.table.name, kind, paths, computed)


def _converter(field: Field) -> Callable[[Any], Any] | None:
    """Return the function that makes a column's value from a member's; None if both
    are the same."""
    if field.type is FieldType.NUMBER:
        return _float
    if field.type in COLUMN_TYPES:
        return None
    return _document


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _document(value: object) -> str | None:
    return None if value is None else dumps(value)


def _object_json(
    dialect: Dialect,
    fields: Mapping[str, Field],
    columns: Mapping[str, sa.Column[Any]],
) -> SqlText:
    """Return the SQL that writes all members as one JSON object."""
    parts: list[str | SqlText] = ["{"]
    for position, (name, column) in enumerate(columns.items()):
        separator = "," if position else ""
        parts.append(f"{separator}{dumps(name)}:")
        parts.append(dialect.column_json(column, fields[name].type))
    return dialect.concatenate(*parts, "}")
