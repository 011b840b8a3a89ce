"""Layout: how the records of an entity type lie in their table.

A typed entity has a column for each member, a registered type one document.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from persist.domain.entity_type import EntityType, Kind, Paths
from persist.domain.errors import UniqueViolation, Violation, pointer
from persist.domain.field import Field, FieldType, Path
from persist.domain.field_types import FORM_TYPES, json_type_of
from persist.domain.record import Record, dumps
from persist.storage.column_names import column_names, index_name
from persist.storage.dialect import Dialect, ElementTest, TableWriter
from persist.storage.dialect.columns import (
    COLUMN_TYPES,
    DOCUMENT,
    INTEGER,
    KEYWORDS,
    TEXT,
)
from persist.storage.sql import (
    Compiled,
    Row,
    SqlCondition,
    SqlExpression,
    SqlText,
    StatementCache,
    constant,
)
from persist.storage.tables import METADATA

RESERVED_TABLES = KEYWORDS | METADATA.tables.keys()
"""Names that a collection's table cannot have."""

GENERATED_TABLES = re.compile(r"document_\d+|(sqlite|pg)_.*")
"""Names of the tables of registered types, and of the databases' own tables."""

ENVELOPE_COLUMNS = ("id", "revision", "schema_version", "created_at", "updated_at")


@dataclass(frozen=True)
class Layout:
    """The table of an entity type, with its statements.

    ``data_of`` returns the data columns of a record. ``columns`` has the columns of the
    members, for a typed entity. A row that is read is (the envelope columns…, the data
    as JSON text). ``statements`` caches those of queries.
    """

    type: EntityType
    table: sa.Table
    columns: Mapping[str, sa.Column[Any]]
    data_of: Callable[[Record], Row]
    selected: tuple[SqlExpression, ...]
    by_key: Compiled
    by_ids: Compiled
    by_ids_locked: Compiled
    writer: TableWriter
    dialect: Dialect
    statements: StatementCache

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
                named[f"index '{name}'"] = paths
            columns = self._columns_of_unique(paths)
            if columns is not None:
                # SQLite names the columns of an index that is over columns only.
                names = [f"{self.table.name}.{column.name}" for column in columns]
                named[", ".join(names)] = paths
        return named

    def _columns_of_unique(self, paths: Paths) -> list[sa.Column[Any]] | None:
        """Return the columns of a unique index; None if one of its keys is none."""
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

    def member(
        self,
        field: Field,
        compared_as: FieldType | None = None,
    ) -> SqlExpression:
        """Return the SQL of a member, as ``compared_as`` where its type is open."""
        document, path = self._location(field)
        if document is None:
            return self._column(field)
        is_open = field.type is FieldType.ANY and compared_as is not None
        if field.certain and not is_open:
            return self.dialect.member(document, path, field.type)
        kind = _kind(field, compared_as) or FieldType.STRING
        if kind is FieldType.INTEGER:
            kind = FieldType.NUMBER  # elsewhere it may have a fraction
        return self.dialect.open_member(document, path, kind)

    def key(
        self,
        field: Field,
        compared_as: FieldType | None = None,
        *,
        normalized: bool = True,
    ) -> SqlExpression:
        """Return what is compared of a member, as ``compared_as`` if its type is open.

        It is null where the value is of another type. Without ``normalized`` it can be
        compared with that of a member that is not stored in normal form.
        """
        member = self.member(field, compared_as)
        if normalized and field.normalized:
            return member
        kind = _kind(field, compared_as)
        if kind is None:
            return member
        key = self.dialect.comparable(kind, member)
        guard = None if field.certain else self.guard(field, kind)
        if guard is None:
            return key
        return sa.case((guard, key))

    def may_lack_key(self, field: Field) -> bool:
        """Return whether ``key`` may be null."""
        has_form = field.type in FORM_TYPES and not field.normalized
        return field.nullable or has_form

    def guard(self, field: Field, compared_as: FieldType) -> SqlCondition | None:
        """Return the test that a member of several types has one of them.

        None where only one is possible.
        """
        document, path = self._location(field)
        is_single = field.certain and field.type is not FieldType.ANY
        if document is None or is_single or compared_as is FieldType.ANY:
            return None
        json_type = self.dialect.json_type(document, path)
        return json_type == constant(json_type_of(compared_as))

    def list_length(self, field: Field) -> sa.ColumnElement[int]:
        """Return the number of elements of a list."""
        document, path = self._document(field)
        return self.dialect.list_length(document, path)

    def has_element(self, field: Field, test: ElementTest) -> SqlCondition:
        """Return whether an element of a list passes a test."""
        document, path = self._document(field)
        return self.dialect.has_element(document, path, test)

    def indexed(self, field: Field) -> SqlExpression:
        """Return what an index over a member contains: text where its type is open."""
        return self.key(field, FieldType.STRING)

    def distinct(self, field: Field) -> SqlExpression:
        """Return what a unique index over a member contains.

        It is null for null and absent, which never collide.
        """
        document, path = self._location(field)
        if document is None or (field.certain and field.type in COLUMN_TYPES):
            return self.key(field)
        text = self.dialect.canonical_json(document, path)
        return sa.func.nullif(text, constant("null"))

    def is_null(self, field: Field) -> SqlCondition:
        """Return whether a member is null or absent."""
        document, path = self._location(field)
        if document is None:
            column = self._column(field)
            return column.is_(None)
        if field.certain and field.type in COLUMN_TYPES:
            member = self.dialect.member(document, path, field.type)
            return member.is_(None)
        null = constant("null")
        json_type = self.dialect.json_type(document, path)
        return sa.func.coalesce(json_type, null) == null

    def _document(self, field: Field) -> tuple[SqlExpression, Path]:
        """Return the document that holds a list or an object, and its path there."""
        document, path = self._location(field)
        assert document is not None
        return document, path

    def _column(self, field: Field) -> SqlExpression:
        name = field.path[0]
        columns = self.table.c if field.envelope else self.columns
        return columns[name]

    def _location(self, field: Field) -> tuple[SqlExpression | None, Path]:
        """Return the document that a member lies in and its path there.

        The document is None if the member has a column of its own.
        """
        if field.envelope:
            return None, ()
        column = self.columns.get(field.path[0])
        if column is None:
            return self.table.c.data, field.path
        if len(field.path) == 1 and field.type in COLUMN_TYPES:
            return None, ()
        return column, field.path[1:]


def unique_violation(
    layouts: Iterable[Layout],
    constraint: str,
) -> UniqueViolation | None:
    """Return the refusal for a violated constraint.

    None if it is a key of the service's own.
    """
    for layout in layouts:
        paths = layout.unique.get(constraint)
        if paths is None:
            continue
        errors = [
            Violation(pointer(field.path), "another record has this value")
            for field in _fields(layout, paths)
        ]
        named = " and ".join(paths)
        return UniqueViolation(
            f"another record of {layout.type.name} has this value of {named}",
            errors=errors,
        )
    return None


def _kind(field: Field, compared_as: FieldType | None) -> FieldType | None:
    """Return as what type a member is compared; None if that is open."""
    return compared_as if field.type is FieldType.ANY else field.type


def layout_of(
    entity_type: EntityType,
    dialect: Dialect,
    *,
    table_name: str = "",
    metadata: sa.MetaData | None = None,
) -> Layout:
    """Return the layout of an entity type; its table joins ``metadata``.

    The table of a registered type has the generated ``table_name``.
    """
    metadata = metadata or sa.MetaData()
    if entity_type.kind is Kind.REGISTERED:
        return _document_layout(entity_type, dialect, table_name, metadata)
    return _column_layout(entity_type, dialect, metadata)


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
    layout = _layout(entity_type, table, {}, data_of, text, dialect)
    _add_indexes(layout)
    return layout


def _add_indexes(layout: Layout) -> None:
    """Add the indexes of a type to its table.

    Every index is led by the workspace. One that is not unique ends with the id, so
    that it also serves the order of a page.
    """
    table = layout.table
    for paths in dict.fromkeys(layout.type.unique):
        keys = [layout.distinct(field) for field in _fields(layout, paths)]
        name = _index_name(layout, "unique", paths, keys)
        sa.Index(name, table.c.workspace, *keys, unique=True)
    for paths in dict.fromkeys(layout.type.indexes):
        keys = [layout.indexed(field) for field in _fields(layout, paths)]
        name = _index_name(layout, "index", paths, keys)
        sa.Index(name, table.c.workspace, *keys, table.c.id)


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
    metadata: sa.MetaData,
) -> Layout:
    """Return the layout of a typed entity: every member has a column."""
    fields = entity_type.fields
    names = column_names(fields)
    columns = {}
    for name, field in fields.items():
        columns[name] = _column(field, names[name])
    converters = [(name, _converter(field)) for name, field in fields.items()]
    table = sa.Table(
        _table_name(entity_type),
        metadata,
        *_envelope(),
        *columns.values(),
    )

    def data_of(record: Record) -> Row:
        data = record.parsed or json.loads(record.text)
        return tuple([convert(data.get(name)) for name, convert in converters])

    text = _object_json(dialect, fields, columns)
    layout = _layout(entity_type, table, columns, data_of, text, dialect)
    _add_indexes(layout)
    return layout


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
    selected = (*envelope, data.label("data_text"))
    in_workspace = table.c.workspace == sa.bindparam("workspace")
    read = sa.select(*selected).where(in_workspace)
    by_key = read.where(table.c.id == sa.bindparam("id"))
    by_ids = read.where(dialect.one_of(table.c.id, "ids"))
    by_ids_locked = dialect.for_update(by_ids.order_by(table.c.id))
    return Layout(
        type=entity_type,
        table=table,
        columns=columns,
        data_of=data_of,
        selected=selected,
        by_key=dialect.compile(by_key),
        by_ids=dialect.compile(by_ids),
        by_ids_locked=dialect.compile(by_ids_locked),
        writer=dialect.table_writer(table),
        dialect=dialect,
        statements=StatementCache(dialect),
    )


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
    # Earlier releases looked for another member where a name has a percent sign.
    is_computed = written != plain or any("%" in path for path in paths)
    computed = written if is_computed else []
    return index_name(layout.table.name, kind, paths, computed)


def _converter(field: Field) -> Callable[[Any], Any]:
    """Return what makes a column's value of a member's."""
    if field.type is FieldType.NUMBER:
        return _float
    if field.type in COLUMN_TYPES:
        return lambda value: value
    return _document


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _document(value: Any) -> str | None:
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
