"""Layout: how the records of an entity type lie in their table. ``layout_of`` is the
only place that asks whether a type is typed or registered."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from persist.domain.entity_type import EntityType, Kind, Paths
from persist.domain.errors import UniqueViolation, Violation
from persist.domain.field import Field, FieldType
from persist.domain.record import Record, dumps
from persist.storage.column_names import LENGTH, column_names
from persist.storage.dialect import Dialect, TableWriter
from persist.storage.dialect.columns import (
    COLUMN_TYPES,
    DOCUMENT,
    INTEGER,
    KEYWORDS,
    TEXT,
)
from persist.storage.sql import Compiled, Row
from persist.storage.tables import METADATA

TAKEN = KEYWORDS | METADATA.tables.keys()
GENERATED = re.compile(r"document_\d+|(sqlite|pg)_.*")

PLAIN = re.compile("[a-z_][a-z0-9_.]*")
"""Names of members that may be part of the name of an index."""

ENVELOPE_COLUMNS = ("id", "revision", "schema_version", "created_at", "updated_at")


@dataclass(frozen=True)
class Layout:
    """The table of an entity type and its statements, written once.

    ``data_of`` gives the data columns of a row; ``columns`` maps each field that has a
    column of its own. A row that is read is (the envelope columns…, data as JSON text).
    """

    type: EntityType
    table: sa.Table
    columns: Mapping[str, sa.Column[Any]]
    data_of: Callable[[Record], Row]
    selected: tuple[sa.ColumnElement[Any], ...]
    by_key: Compiled
    by_ids: Compiled
    by_ids_locked: Compiled
    writer: TableWriter
    dialect: Dialect
    compiled: dict[Any, Compiled] = field(default_factory=dict)

    @cached_property
    def unique(self) -> Mapping[str, Paths]:
        """The paths of each unique index, by what the databases call it when it is
        violated."""
        named: dict[str, Paths] = {}
        for paths in self.type.unique:
            name = _index_name(self.table, "unique", paths)
            named[name] = named[f"index '{name}'"] = paths
            if self.columns:
                columns = [
                    self.table.c.workspace,
                    *(self.columns[path] for path in paths),
                ]
                named[
                    ", ".join(f"{self.table.name}.{column.name}" for column in columns)
                ] = paths
        return named

    def row(self, record: Record) -> Row:
        """A record as a row of the table."""
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
        """A row that was read as a record."""
        id, revision, schema_version, created_at, updated_at, text = row[:6]
        return Record(
            id,
            self.type.name,
            workspace,
            revision,
            schema_version,
            created_at,
            updated_at,
            text,
        )

    def member(
        self, field: Field, type: FieldType | None = None
    ) -> sa.ColumnElement[Any]:
        """The SQL of a member, as ``type`` where the field's own is open."""
        document, path = self._place(field)
        if document is None:
            return (
                self.columns[field.path[0]]
                if not field.envelope
                else self.table.c[field.path[0]]
            )
        if field.type is not FieldType.ANY or type is None:
            return self.dialect.member(document, path, field.type)
        return self.dialect.open_member(
            document, path, FieldType.NUMBER if type is FieldType.INTEGER else type
        )

    def guard(self, field: Field, type: FieldType) -> sa.ColumnElement[bool] | None:
        """For a member of any type: that it is of ``type`` here. None where the field's
        is known."""
        document, path = self._place(field)
        if document is None or field.type is not FieldType.ANY or type is FieldType.ANY:
            return None
        wanted = FieldType.NUMBER if type is FieldType.INTEGER else type
        return self.dialect.json_type(document, path) == sa.literal_column(
            f"'{wanted.value}'", sa.Text()
        )

    def indexed(self, field: Field) -> sa.ColumnElement[Any]:
        """What an index over a member holds: text where its type is open."""
        return self.member(field, FieldType.STRING)

    def distinct(self, field: Field) -> sa.ColumnElement[Any]:
        """What a unique index over a member holds; null and absent never collide."""
        document, path = self._place(field)
        if document is None or field.type in COLUMN_TYPES:
            return self.member(field)
        return sa.func.nullif(
            self.dialect.json_text(document, path),
            sa.literal_column("'null'", sa.Text()),
        )

    def is_null(self, field: Field) -> sa.ColumnElement[bool]:
        """Whether a member is null or absent."""
        document, path = self._place(field)
        if document is None:
            return self.member(field).is_(None)
        if field.type in COLUMN_TYPES:
            return self.dialect.member(document, path, field.type).is_(None)
        null = sa.literal_column("'null'", sa.Text())
        return sa.func.coalesce(self.dialect.json_type(document, path), null) == null

    def _place(
        self, field: Field
    ) -> tuple[sa.ColumnElement[Any] | None, tuple[str, ...]]:
        """The document a member lies in and its path there; no document where it has a
        column."""
        if field.envelope:
            return None, ()
        column = self.columns.get(field.path[0])
        if column is None:
            return self.table.c.data, field.path
        if len(field.path) == 1 and field.type in COLUMN_TYPES:
            return None, ()
        return column, field.path[1:]


def unique_violation(
    layouts: Iterable[Layout], violated: str
) -> UniqueViolation | None:
    """What a client is told of a violated constraint; None where it is a key of the
    service's own."""
    for layout in layouts:
        if (paths := layout.unique.get(violated)) is not None:
            named = " and ".join(paths)
            detail = f"another record of {layout.type.name} holds this value of {named}"
            places = [
                Violation("/" + path.replace(".", "/"), "held by another record")
                for path in paths
            ]
            return UniqueViolation(detail, errors=places)
    return None


def layout_of(
    type: EntityType,
    dialect: Dialect,
    *,
    table_name: str = "",
    metadata: sa.MetaData | None = None,
) -> Layout:
    """The layout of an entity type; its table joins ``metadata``. The table of a
    registered type has the generated ``table_name``."""
    metadata = metadata or sa.MetaData()
    if type.kind is Kind.REGISTERED:
        return _document_layout(type, dialect, table_name, metadata)
    return _column_layout(type, dialect, metadata)


def _document_layout(
    type: EntityType, dialect: Dialect, table_name: str, metadata: sa.MetaData
) -> Layout:
    """The data is one document."""
    table = sa.Table(
        table_name, metadata, *_envelope(), sa.Column("data", DOCUMENT, nullable=False)
    )
    text = dialect.column_json(table.c.data, FieldType.OBJECT)
    layout = _compiled(type, table, {}, lambda record: (record.text,), text, dialect)
    for kind, groups in (("unique", type.unique), ("index", type.indexes)):
        for paths in groups:
            _expression_index(layout, kind, paths)
    return layout


def _expression_index(layout: Layout, kind: str, paths: Paths) -> None:
    fields = [
        found
        for path in paths
        if (found := layout.type.field_at(tuple(path.split(".")))) is not None
    ]
    expressions = [
        layout.distinct(found) if kind == "unique" else layout.indexed(found)
        for found in fields
    ]
    ending = () if kind == "unique" else (layout.table.c.id,)
    name = _index_name(layout.table, kind, paths)
    sa.Index(
        name, layout.table.c.workspace, *expressions, *ending, unique=kind == "unique"
    )


def _column_layout(type: EntityType, dialect: Dialect, metadata: sa.MetaData) -> Layout:
    """Every field of the data has a column."""
    names = column_names(type.fields)
    columns = {name: _column(field, names[name]) for name, field in type.fields.items()}
    table = sa.Table(_table_name(type), metadata, *_envelope(), *columns.values())
    _indexes(type, table, columns)
    parts = [
        _json_member(dialect, name, column, type.fields[name])
        for name, column in columns.items()
    ]
    text = dialect.concatenate(
        "{", *(part for pair in _separated(parts) for part in pair), "}"
    )
    getters = tuple((name, _converter(type.fields[name])) for name in columns)

    def data_of(record: Record) -> Row:
        data = record.parsed or json.loads(record.text)
        return tuple([convert(data.get(name)) for name, convert in getters])

    return _compiled(type, table, columns, data_of, text, dialect)


def _table_name(type: EntityType) -> str:
    """The collection's name as SQL has it. One that means something to a database, or
    is a table of the service's own, is set apart by an underscore, which no
    collection's name begins with."""
    name = type.name.replace("-", "_")
    return f"_{name}" if name in TAKEN or GENERATED.fullmatch(name) else name


def _compiled(
    type: EntityType,
    table: sa.Table,
    columns: Mapping[str, sa.Column[Any]],
    data_of: Callable[[Record], Row],
    data: sa.ColumnElement[str],
    dialect: Dialect,
) -> Layout:
    selected = (*(table.c[name] for name in ENVELOPE_COLUMNS), data.label("data_text"))
    read = sa.select(*selected).where(table.c.workspace == sa.bindparam("workspace"))
    by_ids = read.where(dialect.one_of(table.c.id, "ids"))
    return Layout(
        type=type,
        table=table,
        columns=columns,
        data_of=data_of,
        selected=selected,
        by_key=dialect.compile(read.where(table.c.id == sa.bindparam("id"))),
        by_ids=dialect.compile(by_ids),
        by_ids_locked=dialect.compile(dialect.for_update(by_ids.order_by(table.c.id))),
        writer=dialect.table_writer(table),
        dialect=dialect,
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
    return sa.Column(
        name, COLUMN_TYPES.get(field.type, DOCUMENT), nullable=field.nullable
    )


def _indexes(
    type: EntityType, table: sa.Table, columns: Mapping[str, sa.Column[Any]]
) -> None:
    """Every index is led by the workspace; one that is not unique ends with the id, so
    that it also serves a page's order."""
    for kind, groups in (("unique", type.unique), ("index", type.indexes)):
        for paths in dict.fromkeys(groups):
            ending = () if kind == "unique" else ("id",)
            indexed = [
                table.c.workspace,
                *(columns[path] for path in paths),
                *(table.c[name] for name in ending),
            ]
            sa.Index(_index_name(table, kind, paths), *indexed, unique=kind == "unique")


def _index_name(table: sa.Table, kind: str, paths: Paths) -> str:
    """At most 63 characters, PostgreSQL's limit, and never the same for two groups of
    paths: the databases may take names for one that differ in case, or only in where
    one path ends."""
    prefix = f"{table.name}_{kind}_"
    single = paths[0] if len(paths) == 1 else ""
    if PLAIN.fullmatch(single) and len(prefix + single) <= LENGTH:
        return prefix + single
    told = dumps([prefix, *paths]).encode()
    return (  # no path begins with a digit
        f"{prefix[:38]}0_{hashlib.sha256(told).hexdigest()[:20]}"
    )


def _converter(field: Field) -> Callable[[Any], Any]:
    if field.type is FieldType.NUMBER:
        return lambda value: None if value is None else float(value)
    if field.type in COLUMN_TYPES:
        return lambda value: value
    return lambda value: None if value is None else dumps(value)


def _json_member(
    dialect: Dialect, name: str, column: sa.Column[Any], field: Field
) -> tuple[str, sa.ColumnElement[str]]:
    return dumps(name) + ":", dialect.column_json(column, field.type)


def _separated(
    parts: list[tuple[str, sa.ColumnElement[str]]],
) -> list[tuple[str, sa.ColumnElement[str]]]:
    return [
        (("," if position else "") + name, value)
        for position, (name, value) in enumerate(parts)
    ]
