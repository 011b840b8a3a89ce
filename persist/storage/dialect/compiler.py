"""Compiling: what differs only in the text that SQLAlchemy writes."""

import re
from collections.abc import Mapping

import sqlalchemy as sa

from persist.domain.field import FieldType, Path
from persist.domain.migration import MigrationStep
from persist.storage.dialect.columns import COLUMN_TYPES, DOCUMENT, TEXT
from persist.storage.sql import Compiled, SqlExpression, SqlText, quoted_text

PLAIN_NAME = re.compile(r"[^\x00-\x1f'\"\\%\x7f]+")
"""The name of a member that may be part of SQL as a literal; all others are bound."""


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
        names = tuple(compiled.positiontup or ())  # type: ignore[attr-defined]
        constants = {
            name: value for name, value in compiled.params.items() if value is not None
        }
        return Compiled(str(compiled), names, constants)

    def ddl(self, element: sa.schema.ExecutableDDLElement) -> str:
        return str(element.compile(dialect=self._sqlalchemy))

    def column_type(self, field_type: FieldType | None) -> str:
        if field_type is None:
            return str(DOCUMENT.compile(self._sqlalchemy))
        return str(COLUMN_TYPES.get(field_type, DOCUMENT).compile(self._sqlalchemy))

    def fold(self, text: SqlExpression) -> SqlText:
        return sa.func.persist_fold(text, type_=TEXT)

    def comparable(self, field_type: FieldType, value: SqlExpression) -> SqlExpression:
        name = FORM_FUNCTIONS.get(field_type)
        if name is None:
            return value
        form: SqlExpression = getattr(sa.func, name)(value, type_=TEXT)
        return form

    def step_sql(self, step: MigrationStep) -> list[str]:
        return step.statements(self.name)


def path_parameter(text: str, path: Path) -> SqlText:
    """Return a path as SQL: a literal if an index can be over it, otherwise bound."""
    if all(PLAIN_NAME.fullmatch(name) for name in path):
        return sa.literal_column(quoted_text(text), sa.Text())
    return sa.literal(text, sa.Text())


def counted(insert: sa.Insert, counters: sa.Table) -> sa.ClauseElement:
    """Return the upsert of ``Dialect.count_changes``."""
    columns = counters.c
    values = {
        "collection": sa.bindparam("collection", type_=columns.collection.type),
        "changes": sa.bindparam("changes", type_=columns.changes.type),
    }
    added = {"changes": columns.changes + insert.excluded.changes}  # type: ignore[attr-defined]
    upsert: sa.ClauseElement = (
        insert.values(values)
        .on_conflict_do_update(index_elements=["collection"], set_=added)  # type: ignore[attr-defined]
        .returning(columns.changes)
    )
    return upsert
