"""The migration step that an entity class needs, proposed from what changed."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from persist.domain.field import FieldType
from persist.domain.schema_changes import Kind, SchemaChange
from persist.storage.dialect.columns import (
    BOOLEAN,
    INTEGER,
    KEYWORDS,
    NUMBER,
    TEXT,
)
from persist.storage.layout import Layout, indexes_by_name

PLAIN_NAME = re.compile("[a-z_][a-z0-9_]*")

COLUMNS: tuple[tuple[object, str, str], ...] = (
    (TEXT, "{text}", "''"),
    (INTEGER, "{integer}", "0"),
    (NUMBER, "{number}", "0"),
    (BOOLEAN, "{boolean}", "FALSE"),
)
"""Column types as a step writes them, with what a new column holds until the function
of the step has written the data. Any other field is a document."""

EMPTY: Mapping[FieldType, object] = {
    FieldType.STRING: "",
    FieldType.INTEGER: 0,
    FieldType.NUMBER: 0,
    FieldType.BOOLEAN: False,
    FieldType.ARRAY: [],
    FieldType.OBJECT: {},
}

VERBS: Mapping[Kind, str] = {
    Kind.ADDED: "is new",
    Kind.CHANGED: "changes",
    Kind.REMOVED: "is dropped",
}

CONVERSIONS: Mapping[FieldType, str] = {
    FieldType.STRING: "str(data[{name}])",
    FieldType.INTEGER: "int(data[{name}])",
    FieldType.NUMBER: "float(data[{name}])",
    FieldType.BOOLEAN: "bool(data[{name}])",
}


@dataclass(frozen=True)
class ProposedStep:
    """A migration step as Python source, to be edited.

    ``values`` are expressions over ``data`` by member.
    """

    from_version: int
    to_version: int
    sql: tuple[str, ...]
    values: Mapping[str, str]
    removed: tuple[str, ...]
    description: str

    def inline(self) -> str:
        """Return the step as one expression."""
        arguments = [str(self.from_version), str(self.to_version)]
        listed = [_text(statement) for statement in self.sql]
        if len(listed) == 1:
            arguments.append(f"sql={listed[0]}")
        elif listed:
            arguments.append(f"sql=[{', '.join(listed)}]")
        if self.values or self.removed:
            arguments.append(f"data=lambda data: {self._expression()}")
        return f"MigrationStep({', '.join(arguments)})"

    def _expression(self) -> str:
        values = [f"{_text(name)}: {value}" for name, value in self.values.items()]
        if not self.removed:
            return "{" + ", ".join(["**data", *values]) + "}"
        names = ", ".join(map(_text, self.removed))
        kept = f"{{name: data[name] for name in data if name not in ({names},)}}"
        return f"{kept} | {{{', '.join(values)}}}" if values else kept

    def function(self, name: str) -> Iterator[str]:
        """Yield the lines of a function over a record's data."""
        yield f"def {name}(data: dict[str, Any]) -> dict[str, Any]:"
        yield (
            f'    """Bring data of schema version {self.from_version} to version'
            f' {self.to_version}."""'
        )
        yield "    changed = dict(data)"
        for removed in self.removed:
            yield f"    del changed[{_text(removed)}]"
        for member, value in self.values.items():
            yield f"    changed[{_text(member)}] = {value}"
        yield "    return changed"

    def source(self, function: str) -> Iterator[str]:
        """Yield the lines of the step that calls a function of that name."""
        yield "MigrationStep("
        yield f"    {self.from_version},"
        yield f"    {self.to_version},"
        if self.sql:
            yield "    sql=["
            yield from (f"        {_text(statement)}," for statement in self.sql)
            yield "    ],"
        if self.values or self.removed:
            yield f"    data={function},"
        yield f"    description={_text(self.description)},"
        yield "),"


@dataclass
class Proposal:
    """Proposes a step from the recorded version of a class to its present one."""

    old: Layout
    new: Layout
    renames: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def step(self, changes: list[SchemaChange], to_version: int) -> ProposedStep:
        """Return the step for these changes. ``renames`` are new names by old ones."""
        self._sql: list[str] = []
        self._values: dict[str, str] = {}
        self._removed: list[str] = []
        for old, new in self.renames.items():
            self._rename(old, new)
        renamed = {*self.renames, *self.renames.values()}
        for change in changes:
            if change.member not in renamed:
                self._propose(change)
        return ProposedStep(
            self.old.type.schema_version,
            to_version,
            tuple(self._sql),
            self._values,
            tuple(self._removed),
            self._description(changes),
        )

    def _description(self, changes: list[SchemaChange]) -> str:
        renamed = {*self.renames, *self.renames.values()}
        parts = [f"{old} is called {new}" for old, new in self.renames.items()]
        parts += [
            f"{change.member} {VERBS[change.kind]}"
            for change in changes
            if change.member not in renamed
        ]
        return "; ".join(parts)

    def _propose(self, change: SchemaChange) -> None:
        if change.kind is Kind.ADDED:
            self._sql.append(add_column(self.new, change.member))
            self._values[change.member] = _literal(self.default(change.member))
        elif change.kind is Kind.REMOVED:
            self._drop(change.member)
            self._removed.append(change.member)
        else:
            self._change(change.member)

    def _rename(self, old: str, new: str) -> None:
        self._removed.append(old)
        if self._has_same_column(old, new):
            before = self.old.columns[old].name
            after = self.new.columns[new].name
            self._sql.append(
                f"ALTER TABLE {{table}} RENAME COLUMN {_quoted(before)} TO"
                f" {_quoted(after)}"
            )
        else:
            self._drop(old)
            self._sql.append(add_column(self.new, new))
        self._values[new] = self._converted(old, new)

    def _change(self, member: str) -> None:
        if not self._has_same_column(member, member):
            self._drop(member)
            self._sql.append(add_column(self.new, member))
            self._values[member] = self._converted(member, member)

    def _has_same_column(self, old: str, new: str) -> bool:
        before = self.old.columns[old]
        after = self.new.columns[new]
        column_type = self.new.dialect.column_type
        same_type = column_type(self.old.type.fields[old].type) == column_type(
            self.new.type.fields[new].type
        )
        return same_type and before.nullable == after.nullable

    def _converted(self, old: str, new: str) -> str:
        """Return the expression of the new value of a member."""
        before = self.old.type.fields[old]
        after = self.new.type.fields[new]
        value = f"data[{_text(old)}]"
        if before.type is not after.type and after.type in CONVERSIONS:
            value = CONVERSIONS[after.type].format(name=_text(old))
        if not before.nullable:
            return value
        missing = None if after.nullable else self.default(new)
        if missing is None and before.type is after.type:
            return value
        return f"{_literal(missing)} if data[{_text(old)}] is None else {value}"

    def _drop(self, member: str) -> None:
        column = self.old.columns[member]
        for index_name, index in indexes_by_name(self.old.table).items():
            statement = f"DROP INDEX {_quoted(index_name)}"
            if column in index.columns.values() and statement not in self._sql:
                self._sql.append(statement)
        name = _quoted(column.name)
        self._sql.append(f"ALTER TABLE {{table}} DROP COLUMN {name}")

    def default(self, member: str) -> Any:
        """Return a value for records that have none: given, declared, or made up."""
        if member in self.defaults:
            return self.defaults[member]
        field = self.new.type.fields[member]
        declared = self.new.type.schema["properties"][member]
        for keyword in ("default", "const", "minimum"):
            if keyword in declared:
                return declared[keyword]
        for keyword in ("enum", "examples"):
            if declared.get(keyword):
                return declared[keyword][0]
        if field.nullable:
            return None
        text = "" if self.new.columns[member].type is TEXT else None
        return EMPTY.get(field.type, text)


def add_column(layout: Layout, member: str) -> str:
    """Return the statement that adds the column of a member."""
    column = layout.columns[member]
    placeholder = "{document}"
    default = "'null'"
    for kind, written, initial in COLUMNS:
        if column.type is kind:
            placeholder = written
            default = initial
    statement = f"ALTER TABLE {{table}} ADD COLUMN {_quoted(column.name)} {placeholder}"
    return statement if column.nullable else f"{statement} NOT NULL DEFAULT {default}"


def _quoted(name: str) -> str:
    """Return a column's name as SQL has it; plain names stay as they are."""
    if PLAIN_NAME.fullmatch(name) and name not in KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def _literal(value: object) -> str:
    return _text(value) if isinstance(value, str) else repr(value)


def _text(value: str) -> str:
    """Return the Python literal of a text, in double quotes."""
    literal = repr(value)
    if literal.startswith("'") and '"' not in value and "\\" not in literal:
        return f'"{value}"'
    return literal
