"""SQL of PostgreSQL: statements, parameters and expressions."""

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from persist.domain.field import FieldType, Path
from persist.domain.field_types import TEXT_TYPES, json_type_of
from persist.storage.dialect import (
    KEY_COLUMNS,
    PRIMARY_KEY,
    ElementTest,
    TableWriter,
)
from persist.storage.dialect.columns import COLUMN_TYPES, INTEGER, TEXT
from persist.storage.dialect.compiler import SqlCompiler, counted
from persist.storage.sql import (
    Cursor,
    Insert,
    Row,
    SqlCondition,
    SqlExpression,
    SqlText,
    constant,
    quoted_name,
    quoted_names,
)

AFTER_BIGINT: SqlExpression = sa.literal_column("9223372036854775808")
BEFORE_BIGINT: SqlExpression = sa.literal_column("-9223372036854775809")
"""The integers next to those of 64 bits."""


class PostgreSQLSql(SqlCompiler):
    """The methods of ``Dialect`` that return SQL, for PostgreSQL."""

    # Statements

    def analyze_statements(self, tables: list[str]) -> list[str]:
        return [f"ANALYZE {table}" for table in tables]

    def inserter(self, table: sa.Table) -> Insert:
        names = quoted_names([column.name for column in table.columns])
        # COPY is quicker than an INSERT of many rows.
        statement = f"COPY {table.name} ({names}) FROM STDIN".encode()

        def insert(
            cursor: Cursor,
            rows: Sequence[Row],
        ) -> None:
            with cast("psycopg.Cursor[Row]", cursor).copy(statement) as copy:
                for row in rows:
                    copy.write_row(row)

        return insert

    def table_writer(self, table: sa.Table) -> TableWriter:
        types = self._column_types(table)
        key = {f"was_{name}": types[name] for name in KEY_COLUMNS}
        changed = {
            name: column_type
            for name, column_type in types.items()
            if name not in PRIMARY_KEY
        }
        matches = " AND ".join(
            f"{table.name}.{name} = rows.was_{name}" for name in KEY_COLUMNS
        )
        # A document is text within the JSON of the rows, so that it stays as written.
        assignments = ", ".join(
            f"{quoted_name(name)} = rows.{quoted_name(name)}::{column_type}"
            for name, column_type in changed.items()
        )
        return TableWriter(
            insert=self.inserter(table),
            update=_over_rows(
                f"UPDATE {table.name} SET {assignments} FROM {{rows}} WHERE {matches}",
                changed | key,
            ),
            delete=_over_rows(
                f"DELETE FROM {table.name} USING {{rows}} WHERE {matches}", key
            ),
        )

    def _column_types(self, table: sa.Table) -> dict[str, str]:
        return {
            # A collation belongs to the column, and not to the type of a row of JSON.
            column.name: column.type.compile(self._sqlalchemy).partition(" COLLATE")[0]
            for column in table.columns
        }

    def for_update(self, statement: sa.Select[Any]) -> sa.Select[Any]:
        return statement.with_for_update()

    def ordered_branch(self, branch: sa.Select[Any]) -> sa.Select[Any]:
        # The planner merges indexes only below a LIMIT.
        return sa.select(branch.subquery())

    def count_changes(self, counters: sa.Table) -> sa.ClauseElement:
        return counted(postgresql.insert(counters), counters)

    def take_seq(
        self,
        take: sa.Update,
        columns: Sequence[sa.Column[Any]],
    ) -> sa.ClauseElement:
        # The notification is sent with the commit. It makes commits wait for one
        # another, as the counter does already.
        transaction = sa.cast(sa.func.pg_current_xact_id(), sa.Text())
        notified = sa.func.pg_notify("persist_journal", "")
        return take.returning(transaction, *columns, notified)

    def lock_key(
        self,
        cursor: Cursor,
        key: str,
    ) -> bool:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", (key,)
        )
        return bool(cursor.fetchall()[0][0])

    # Parameters

    def bound_value(self, value: object) -> Any:
        # float8 becomes numeric with 15 digits; text keeps all of them.
        return Decimal(repr(value)) if isinstance(value, float) else value

    def bound_list(self, values: Sequence[Any]) -> list[Any]:
        return list(values)

    # Expressions

    def one_of(
        self,
        column: SqlExpression,
        name: str,
    ) -> SqlCondition:
        # One parameter, whatever their number; typed, so that the index of the column
        # serves.
        array = sa.cast(sa.bindparam(name), postgresql.ARRAY(column.type))
        return sa.type_coerce(column == sa.func.any(array), sa.Boolean())

    def listed_texts(self, name: str) -> sa.FromClause:
        array = sa.cast(sa.bindparam(name), postgresql.ARRAY(TEXT))
        listed = sa.func.unnest(array).table_valued("value", name="listed")
        return listed.render_derived()

    def exact(self, double: SqlExpression) -> SqlExpression:
        # float8 becomes numeric with 15 digits; bigint keeps all of them.
        return sa.case(
            (double >= sa.literal_column("9223372036854775808::float8"), AFTER_BIGINT),
            (double < sa.literal_column("-9223372036854775808::float8"), BEFORE_BIGINT),
            else_=sa.cast(sa.cast(double, sa.BigInteger()), sa.Numeric()),
        )

    def column_json(
        self,
        column: sa.Column[Any],
        field_type: FieldType,
    ) -> SqlText:
        if field_type not in COLUMN_TYPES:
            written: SqlExpression = column
        else:
            written = sa.func.to_json(column)
        text: SqlText = sa.cast(written, sa.Text())
        if field_type is FieldType.NUMBER:
            text = _number_json(column, text)
        return sa.func.coalesce(text, sa.literal_column("'null'"))

    def concatenate(self, *parts: str | SqlText) -> SqlText:
        operands = [constant(part) if isinstance(part, str) else part for part in parts]
        result: SqlText = sa.type_coerce(operands[0], sa.Text())
        for operand in operands[1:]:
            result = result.concat(operand)
        return result

    def member(
        self,
        document: SqlExpression,
        path: Path,
        field_type: FieldType,
    ) -> SqlExpression:
        text = document.op("#>>")(_text_array(path))
        if field_type is FieldType.NUMBER:
            return sa.cast(text, sa.Numeric())
        if field_type in (FieldType.INTEGER, FieldType.BOOLEAN):
            return sa.cast(text, COLUMN_TYPES[field_type])
        # By code point, whatever the locale of the database, as on SQLite.
        return sa.collate(sa.type_coerce(text, sa.Text()), "C")

    def open_member(
        self,
        document: SqlExpression,
        path: Path,
        field_type: FieldType,
    ) -> SqlExpression:
        member = self.member(document, path, field_type)
        if field_type in TEXT_TYPES:
            return member
        # The cast of what is not a number would fail.
        fits = self.json_type(document, path) == constant(json_type_of(field_type))
        return sa.case((fits, member))

    def canonical_json(
        self,
        document: SqlExpression,
        path: Path,
    ) -> SqlText:
        member = document.op("#>")(_text_array(path))
        # The text of jsonb has sorted members.
        canonical = sa.cast(member, postgresql.JSONB())
        return sa.collate(sa.cast(canonical, sa.Text()), "C")

    def json_type(
        self,
        document: SqlExpression,
        path: Path,
    ) -> sa.ColumnElement[str | None]:
        return sa.func.json_typeof(document.op("#>")(_text_array(path)))

    def is_integer(
        self,
        document: SqlExpression,
        path: Path,
    ) -> SqlCondition:
        # The document is parsed for each member that is taken out of it.
        text = document.op("#>>")(_text_array(path))
        return text.op("!~", is_comparison=True)(constant("[.e]"))

    def list_length(
        self,
        document: SqlExpression,
        path: Path,
    ) -> sa.ColumnElement[int]:
        return sa.func.json_array_length(self._list(document, path))

    def has_element(
        self,
        document: SqlExpression,
        path: Path,
        test: ElementTest,
    ) -> SqlCondition:
        listed = sa.func.json_array_elements(self._list(document, path))
        elements = listed.table_valued(sa.column("value", postgresql.JSON()))

        def value(field_type: FieldType) -> SqlExpression:
            return self.open_member(elements.c.value, (), field_type)

        json_type = sa.func.json_typeof(elements.c.value)
        one = sa.literal_column("1", sa.Integer())
        found = sa.select(one).select_from(elements)
        return found.where(test(json_type, value)).exists()

    def _list(
        self,
        document: SqlExpression,
        path: Path,
    ) -> SqlExpression:
        """Extract a list; NULL if the member is not a list."""
        is_list = self.json_type(document, path) == constant("array")
        return sa.case((is_list, document.op("#>")(_text_array(path))))

    def contains(
        self,
        text: SqlExpression,
        part: SqlExpression,
    ) -> SqlCondition:
        return sa.func.strpos(text, part) > 0

    def startswith(
        self,
        text: SqlExpression,
        part: SqlExpression,
    ) -> SqlCondition:
        return sa.func.starts_with(text, part)

    def endswith(
        self,
        text: SqlExpression,
        part: SqlExpression,
    ) -> SqlCondition:
        ending = sa.func.right(text, sa.func.length(part))
        return sa.type_coerce(ending == part, sa.Boolean())


def _over_rows(
    statement: str,
    types: Mapping[str, str],
) -> Callable[[Cursor, Sequence[Row]], int]:
    """Return a function that runs a statement over ``{rows}`` and returns how many rows
    it found.

    The rows are one parameter of JSON text: psycopg takes 30 µs to make arrays of one.
    """
    columns = ", ".join(
        f"{quoted_name(name)} {'text' if column_type == 'JSON' else column_type}"
        for name, column_type in types.items()
    )
    text = statement.format(rows=f"json_to_recordset(%s::json) AS rows({columns})")

    def run(
        cursor: Cursor,
        rows: Sequence[Row],
    ) -> int:
        parameter = json.dumps([dict(zip(types, row, strict=True)) for row in rows])
        return cursor.execute(text, (parameter,)).rowcount

    return run


def _number_json(
    column: sa.Column[Any],
    text: SqlText,
) -> SqlText:
    """Write integral doubles, which are stored as doubles, as integers."""
    integral = sa.and_(
        # 30.0 is answered as 30.
        sa.func.trunc(column) == column,
        sa.func.abs(column) < sa.literal_column("2::float8 ^ 63"),
    )
    integer = sa.cast(sa.cast(column, INTEGER), sa.Text())
    return sa.case((integral, integer), else_=text)


def _text_array(path: Path) -> SqlExpression:
    """Write a path as an array of text: names double-quoted, backslash escapes."""
    quoted = ",".join(
        '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in path
    )
    return sa.cast(constant("{" + quoted + "}"), postgresql.ARRAY(sa.Text()))
