"""Compiling: what differs only in the text that SQLAlchemy writes."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from persist.domain.field import FieldType
from persist.domain.migration import MigrationStep
from persist.storage.dialect.columns import COLUMN_TYPES, DOCUMENT, TEXT
from persist.storage.sql import Compiled, SqlExpression, SqlText, constant

FORM_FUNCTIONS: Mapping[FieldType, str] = {
    FieldType.DECIMAL: "persist_decimal_form",
    FieldType.DATE_TIME: "persist_date_time_form",
    FieldType.TIME: "persist_time_form",
    FieldType.DURATION: "persist_duration_form",
    FieldType.UUID: "lower",
}
"""The functions that return the comparable form of text; other types have none."""


class SqlCompiler:
    """The methods of ``Dialect`` that both databases share."""

    name: str
    _sqlalchemy: sa.Dialect

    def compile(self, statement: sa.ClauseElement) -> Compiled:
        compiled = statement.compile(dialect=self._sqlalchemy)
        names = compiled.positiontup or ()  # type: ignore[attr-defined]
        parameters = compiled.params.items()
        constants = {name: value for name, value in parameters if value is not None}
        return Compiled(str(compiled), tuple(names), constants)

    def ddl(self, element: sa.schema.ExecutableDDLElement) -> str:
        compiled = element.compile(dialect=self._sqlalchemy)
        text = str(compiled)
        if self._sqlalchemy.paramstyle == "format":
            # A statement without parameters is sent as it is.
            return text.replace("%%", "%")
        return text

    def column_type(self, field_type: FieldType | None) -> str:
        column_type: sa.types.TypeEngine[Any] = DOCUMENT
        if field_type is not None:
            column_type = COLUMN_TYPES.get(field_type, DOCUMENT)
        compiled = column_type.compile(self._sqlalchemy)
        return str(compiled)

    def fold(self, text: SqlExpression) -> SqlText:
        return sa.func.persist_fold(text, type_=TEXT)

    def comparable(self, field_type: FieldType, value: SqlExpression) -> SqlExpression:
        name = FORM_FUNCTIONS.get(field_type)
        if name is None:
            return value
        function = getattr(sa.func, name)
        form: SqlExpression = function(value, type_=TEXT)
        return form

    def calculate(
        self,
        operation: str,
        left: SqlExpression,
        right: SqlExpression,
    ) -> SqlExpression:
        found: SqlExpression = sa.func.persist_calculate(
            constant(operation), left, right, type_=left.type
        )
        return found

    def step_sql(self, step: MigrationStep) -> list[str]:
        return step.statements(self.name)


def counted(
    insert: sqlite.Insert | postgresql.Insert, counters: sa.Table
) -> sa.ClauseElement:
    """Return the upsert of ``Dialect.count_changes``."""
    columns = counters.c
    changes = columns.changes
    values = {
        column.name: sa.bindparam(column.name, type_=column.type)
        for column in (columns.collection, changes)
    }
    added = changes + insert.excluded.changes
    upsert: sa.ClauseElement = (
        insert.values(values)
        .on_conflict_do_update(
            index_elements=["collection"],
            set_={"changes": added},
        )
        .returning(changes)
    )
    return upsert
