"""Record source: what a query reads, and where the members of its records are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from persist.domain.entity_type import EntityType
from persist.domain.field import Field, FieldType, Path
from persist.domain.field_types import FORM_TYPES, json_type_of
from persist.domain.workspace import DEFAULT
from persist.storage.dialect import Dialect, ElementTest
from persist.storage.dialect.columns import COLUMN_TYPES, TEXT
from persist.storage.sql import (
    SqlCondition,
    SqlExpression,
    StatementCache,
    constant,
)


@dataclass(frozen=True)
class RecordSource:
    """A table of records, or a query that gives such rows.

    ``columns`` has the columns of the members that have one. A row that is read is (the
    envelope columns…, the data as JSON text). ``statements`` caches those of queries.
    """

    type: EntityType
    table: sa.FromClause
    columns: Mapping[str, sa.Column[Any]]
    selected: tuple[SqlExpression, ...]
    dialect: Dialect
    statements: StatementCache

    def conditions(self) -> list[SqlCondition]:
        """Return the conditions of every query.

        The workspace is bound as ``workspace``.
        """
        columns = self.table.c
        workspace: sa.BindParameter[str] = sa.bindparam("workspace")
        return [columns.workspace == workspace]

    def fits(self, field: Field) -> SqlCondition | None:
        """Return the test that a member is null or of its declared type.

        None if every stored value is.
        """
        return None

    def member(
        self,
        field: Field,
        compared_as: FieldType | None = None,
    ) -> SqlExpression:
        """Return the SQL of a member, as ``compared_as`` if its type is open."""
        document, path = self._location(field)
        if document is None:
            return self._column(field)
        is_open = field.type is FieldType.ANY and compared_as is not None
        if field.certain and not is_open:
            return self.dialect.member(document, path, field.type)
        kind = _kind(field, compared_as) or FieldType.STRING
        if kind is FieldType.INTEGER:
            kind = FieldType.NUMBER  # elsewhere it may have a fraction
        return self.open_member(document, path, kind)

    def open_member(
        self,
        document: SqlExpression,
        path: Path,
        kind: FieldType,
    ) -> SqlExpression:
        """Return a member of any type as one of them; null if it has another."""
        return self.dialect.open_member(document, path, kind)

    def key(
        self,
        field: Field,
        compared_as: FieldType | None = None,
        *,
        normalized: bool = True,
    ) -> SqlExpression:
        """Return what is compared of a member, as ``compared_as`` if its type is open.

        It is null if the value is of another type. Without ``normalized`` the result
        can be compared with that of a member that is not stored in normal form.
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

    def guard(
        self,
        field: Field,
        compared_as: FieldType,
    ) -> SqlCondition | None:
        """Return the test that a member of several types has one of them.

        None if only one is possible.
        """
        document, path = self._location(field)
        is_single = field.certain and field.type is not FieldType.ANY
        if document is None or is_single or compared_as is FieldType.ANY:
            return None
        json_type = self.dialect.json_type(document, path)
        expected = json_type_of(compared_as)
        return json_type == constant(expected)

    def number(self, field: Field, kind: FieldType) -> SqlExpression:
        """Return a member as an integer or a double, ``kind``, to calculate with.

        It is null if the value is of another type.
        """
        document, path = self._location(field)
        if document is None:
            member = self._column(field)
        elif field.certain and field.type is not FieldType.ANY:
            member = self.dialect.member(document, path, field.type)
        else:
            is_number = self.dialect.json_type(document, path) == constant("number")
            if kind is FieldType.INTEGER:
                is_integer = self.dialect.is_integer(document, path)
                is_number = sa.and_(is_number, is_integer)
            number = self.dialect.open_member(document, path, FieldType.NUMBER)
            member = sa.case((is_number, number))
        return sa.cast(member, COLUMN_TYPES[kind])

    def list_length(self, field: Field) -> sa.ColumnElement[int]:
        """Return the number of elements of a list."""
        document, path = self._document(field)
        return self.dialect.list_length(document, path)

    def has_element(
        self,
        field: Field,
        test: ElementTest,
    ) -> SqlCondition:
        """Return whether an element of a list passes a test."""
        document, path = self._document(field)
        return self.dialect.has_element(document, path, test)

    def indexed(self, field: Field) -> SqlExpression:
        """Return the expression of an index over a member: text if its type is open,
        in the form in which it is compared."""
        compared_as = FieldType.STRING
        forms = _form_types(field)
        if len(forms) == 1:
            compared_as = forms[0]
        return self.key(field, compared_as)

    def distinct(self, field: Field) -> SqlExpression:
        """Return the expression of a unique index over a member.

        It is null for null and absent, which never collide.
        """
        document, path = self._location(field)
        is_scalar = field.certain and field.type in COLUMN_TYPES
        if document is None or is_scalar:
            return self.key(field)
        text = self.dialect.canonical_json(document, path)
        null = constant("null")
        value = sa.func.nullif(text, null)
        forms = []
        for kind in _form_types(field):
            form = self._form(field, kind)
            forms.append(form)
        if not forms:
            return value
        return sa.func.coalesce(
            *forms,
            value,
        )

    def _form(
        self,
        field: Field,
        kind: FieldType,
    ) -> SqlExpression:
        """Return the form of a member of several types as one of them, null
        otherwise."""
        key = self.key(field, kind)
        guard = self.guard(field, kind)
        return key if guard is None else sa.case((guard, key))

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
        known = sa.func.coalesce(json_type, null)
        return known == null

    def _document(self, field: Field) -> tuple[SqlExpression, Path]:
        """Return the document that holds a list or an object, and its path there."""
        document, path = self._location(field)
        assert document is not None
        return document, path

    def _column(self, field: Field) -> SqlExpression:
        name = field.path[0]
        if not field.envelope:
            return self.columns[name]
        if name == "collection":
            return sa.cast(constant(self.type.name), TEXT)
        column = self.table.c[name]
        if name == "workspace":
            return sa.func.nullif(column, constant(DEFAULT), type_=TEXT)
        return column

    def _location(self, field: Field) -> tuple[SqlExpression | None, Path]:
        """Return the document that a member lies in and its path there.

        The document is None if the member has its own column.
        """
        if field.envelope:
            return None, ()
        column = self.columns.get(field.path[0])
        if column is None:
            return self.table.c.data, field.path
        if len(field.path) == 1 and field.type in COLUMN_TYPES:
            return None, ()
        return column, field.path[1:]


def _form_types(field: Field) -> list[FieldType]:
    """Return the types of text that an open member is compared as by their form."""
    if field.type is not FieldType.ANY:
        return []
    return [kind for kind in FORM_TYPES if kind in field.types]


def _kind(
    field: Field,
    compared_as: FieldType | None,
) -> FieldType | None:
    """Return as what type a member is compared; None if that is open."""
    return compared_as if field.type is FieldType.ANY else field.type
