"""SQL of SQLite: statements, parameters and expressions."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from persist.domain.field import FieldType, Path
from persist.domain.field_types import TEXT_TYPES
from persist.domain.record import dumps
from persist.storage.dialect import KEY_COLUMNS, ElementTest, TableWriter
from persist.storage.dialect.columns import COLUMN_TYPES, TEXT
from persist.storage.dialect.compiler import SqlCompiler, counted
from persist.storage.sql import (
    Cursor,
    Insert,
    SqlCondition,
    SqlExpression,
    SqlText,
    constant,
    quoted_name,
    quoted_names,
)

JSON_TYPES = {
    "text": "string",
    "integer": "number",
    "real": "number",
    "true": "boolean",
    "false": "boolean",
}
"""JSON's name of a type by SQLite's."""


class SqliteSql(SqlCompiler):
    """The methods of ``Dialect`` that return SQL, for SQLite."""

    # Statements

    def analyze_statements(self, tables: list[str]) -> list[str]:
        return []  # SQLite plans by the schema

    def inserter(self, table: sa.Table) -> Insert:
        names = [column.name for column in table.columns]
        marks = ", ".join("?" * len(names))
        insert = f"INSERT INTO {table.name} ({quoted_names(names)}) VALUES ({marks})"
        return lambda cursor, rows: cursor.executemany(insert, rows)

    def table_writer(self, table: sa.Table) -> TableWriter:
        # Setting a key to what it is would have its index written again.
        assignments = ", ".join(
            f"{quoted_name(column.name)} = ?"
            for column in table.columns
            if not column.primary_key
        )
        key = " AND ".join(f"{name} = ?" for name in KEY_COLUMNS)
        return TableWriter(
            insert=self.inserter(table),
            update=_row_by_row(f"UPDATE {table.name} SET {assignments} WHERE {key}"),
            delete=_row_by_row(f"DELETE FROM {table.name} WHERE {key}"),
        )

    def for_update(self, statement: sa.Select[Any]) -> sa.Select[Any]:
        return statement  # the transaction has locked the whole file

    def ordered_branch(self, branch: sa.Select[Any]) -> sa.Select[Any]:
        # SQLite runs the branches as coroutines and merges them.
        return branch.order_by(None).limit(None)

    def count_changes(self, counters: sa.Table) -> sa.ClauseElement:
        return counted(sqlite.insert(counters), counters)

    def take_seq(
        self,
        take: sa.Update,
        columns: Sequence[sa.Column[Any]],
    ) -> sa.ClauseElement:
        return take.returning(sa.null(), *columns)

    def lock_key(
        self,
        cursor: Cursor,
        key: str,
    ) -> bool:
        return True  # the transaction has locked the whole file

    # Parameters

    def bound_value(self, value: object) -> Any:
        return value

    def bound_list(self, values: Sequence[Any]) -> str:
        return dumps(values)

    # Expressions

    def one_of(
        self,
        column: SqlExpression,
        name: str,
    ) -> SqlCondition:
        # One parameter, whatever their number: the statement is compiled once.
        values = self.listed_texts(name)
        return sa.type_coerce(column.in_(sa.select(values.c.value)), sa.Boolean())

    def listed_texts(self, name: str) -> sa.FromClause:
        return sa.func.json_each(sa.bindparam(name)).table_valued("value")

    def exact(self, double: SqlExpression) -> SqlExpression:
        return double

    def column_json(
        self,
        column: sa.Column[Any],
        field_type: FieldType,
    ) -> SqlText:
        if field_type is FieldType.NUMBER:
            return sa.func.json_number(column)
        if field_type in TEXT_TYPES:
            return sa.func.json_quote(column)
        if field_type is FieldType.BOOLEAN:
            return _boolean_json(column)
        if field_type is FieldType.INTEGER and not column.nullable:
            return sa.type_coerce(column, sa.Text())
        # A document is JSON already.
        return sa.func.coalesce(column, sa.literal_column("'null'"))

    def concatenate(self, *parts: str | SqlText) -> SqlText:
        # A chain of || copies what it has at every link: printf takes a third less.
        form = ""
        values = []
        for part in parts:
            if isinstance(part, str):
                form += part.replace("%", "%%")
            else:
                form += "%s"
                values.append(part)
        return sa.func.printf(constant(form), *values, type_=sa.Text())

    def member(
        self,
        document: SqlExpression,
        path: Path,
        field_type: FieldType,
    ) -> SqlExpression:
        column_type = COLUMN_TYPES.get(field_type, TEXT)
        return sa.func.json_extract(*_at(document, path), type_=column_type)

    def open_member(
        self,
        document: SqlExpression,
        path: Path,
        field_type: FieldType,
    ) -> SqlExpression:
        return self.member(document, path, field_type)  # a value keeps its own type

    def canonical_json(
        self,
        document: SqlExpression,
        path: Path,
    ) -> SqlText:
        found, rest = _at(document, path)
        return sa.func.persist_canonical_json(found.op("->")(rest), type_=TEXT)

    def json_type(
        self,
        document: SqlExpression,
        path: Path,
    ) -> sa.ColumnElement[str | None]:
        found = sa.func.json_type(*_at(document, path))
        return sa.case(JSON_TYPES, value=found, else_=found)

    def is_integer(
        self,
        document: SqlExpression,
        path: Path,
    ) -> SqlCondition:
        value = self.member(document, path, FieldType.NUMBER)
        return sa.func.typeof(value) == constant("integer")

    def list_length(
        self,
        document: SqlExpression,
        path: Path,
    ) -> sa.ColumnElement[int]:
        is_list = self.json_type(document, path) == constant("array")
        length = sa.func.json_array_length(*_at(document, path))
        return sa.case((is_list, length))

    def has_element(
        self,
        document: SqlExpression,
        path: Path,
        test: ElementTest,
    ) -> SqlCondition:
        elements = sa.func.json_each(*_at(document, path)).table_valued("value", "type")
        json_type = sa.case(JSON_TYPES, value=elements.c.type, else_=elements.c.type)

        def value(field_type: FieldType) -> SqlExpression:
            return sa.type_coerce(elements.c.value, COLUMN_TYPES[field_type])

        one = sa.literal_column("1", sa.Integer())
        found = sa.select(one).select_from(elements)
        is_list = self.json_type(document, path) == constant("array")
        return sa.and_(is_list, found.where(test(json_type, value)).exists())

    def contains(
        self,
        text: SqlExpression,
        part: SqlExpression,
    ) -> SqlCondition:
        return sa.func.instr(text, part) > 0

    def startswith(
        self,
        text: SqlExpression,
        part: SqlExpression,
    ) -> SqlCondition:
        # LIKE ignores the case of ASCII letters, and gives % and _ a meaning.
        beginning = sa.func.substr(text, 1, sa.func.length(part))
        return sa.type_coerce(beginning == part, sa.Boolean())

    def endswith(
        self,
        text: SqlExpression,
        part: SqlExpression,
    ) -> SqlCondition:
        # If the text is shorter, the start is negative, which substr counts from the
        # end: hence the comparison of lengths.
        surplus = sa.func.length(text) - sa.func.length(part)
        ending = sa.func.substr(text, surplus + 1)
        return sa.and_(sa.func.length(text) >= sa.func.length(part), ending == part)


def _row_by_row(statement: str) -> Callable[[Cursor, Sequence[Any]], int]:
    """Return a function that runs a statement for each row and returns how many rows it
    found."""

    def run(
        cursor: Cursor,
        rows: Sequence[Any],
    ) -> int:
        cursor.executemany(statement, rows)
        return cursor.rowcount

    return run


def _boolean_json(column: sa.Column[Any]) -> SqlText:
    named = sa.case(
        (column, sa.literal_column("'true'")), else_=sa.literal_column("'false'")
    )
    if not column.nullable:
        return named
    return sa.case((column.is_(None), sa.literal_column("'null'")), else_=named)


def _json_path(path: Path) -> SqlText:
    return constant("$" + "".join(f'."{name}"' for name in path))


def _at(
    document: SqlExpression,
    path: Path,
) -> tuple[SqlExpression, SqlExpression]:
    """Return the arguments of a JSON function that looks at a member.

    SQLite's path syntax cannot say every name.
    """
    for position, name in enumerate(path):
        if json.dumps(name, ensure_ascii=False) != f'"{name}"':
            before = _json_path(path[:position])
            outer = document.op("->")(before) if position else document
            member = sa.func.persist_member(outer, constant(name))
            return _at(member, path[position + 1 :])
    return document, _json_path(path)
