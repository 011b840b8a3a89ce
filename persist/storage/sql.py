"""SQL: statements, each compiled once for a database, and the one way to run them.

SQLAlchemy writes the text of a statement and the driver's cursor runs it. Running it
through SQLAlchemy costs ten times as much.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import sqlalchemy as sa

from persist.storage.operation.cycle_collection import CycleCollection

Made = TypeVar("Made")

_CYCLE_COLLECTION = CycleCollection()

SqlExpression = sa.ColumnElement[Any]
"""An expression of SQL whose value may be of any type."""

SqlText = sa.ColumnElement[str]
"""An expression of SQL whose value is text."""

SqlCondition = sa.ColumnElement[bool]
"""An expression of SQL that is true, false or unknown."""

Values = Mapping[str, Any]
"""The values of the parameters of a statement, by name."""

Clause = sa.ClauseElement
"""A statement, or a part of one, as SQLAlchemy builds it."""

Row = tuple[Any, ...]
"""A row as the driver returns it."""

Insert = Callable[["Cursor", Sequence[Row]], object]
"""Inserts many rows of a table; each has a value for every column."""


class Cursor(Protocol):
    """A cursor of a driver (PEP 249)."""

    @property
    def rowcount(self) -> int:
        """The number of rows that the last statement changed."""

    @property
    def connection(self) -> Any:
        """The connection that the cursor belongs to."""

    def execute(self, sql: str, parameters: Sequence[object] = ..., /) -> Self:
        """Run a statement."""

    def executemany(self, sql: str, parameters: Sequence[Row], /) -> object:
        """Run a statement once for each row of parameters."""

    def fetchone(self) -> Row | None:
        """Return the next row."""

    def fetchmany(self, size: int, /) -> list[Row]:
        """Return at most ``size`` further rows."""

    def fetchall(self) -> list[Row]:
        """Return all further rows."""

    def close(self) -> None:
        """Release the cursor."""


class Connection(Protocol):
    """A connection of a driver (PEP 249) in autocommit mode."""

    def cursor(self) -> Cursor:
        """Return a new cursor."""

    def execute(self, sql: str, parameters: Sequence[object] = ..., /) -> Cursor:
        """Run a statement on a new cursor and return the cursor."""

    def close(self) -> None:
        """Close the connection; a transaction that is open is rolled back."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The text of a statement for one kind of database.

    ``names`` are the parameters in the order in which the driver takes them.
    ``constants`` are the values that the statement itself contains.
    """

    text: str
    names: tuple[str, ...]
    constants: Values

    def arguments(self, values: Values) -> list[Any]:
        """Return the values in the order of the driver."""
        if self.constants:
            values = {**self.constants, **values}
        return list(map(values.__getitem__, self.names))

    def run(self, cursor: Cursor, values: Values) -> Cursor:
        """Run the statement and return the cursor with its rows."""
        arguments = self.arguments(values)
        return cursor.execute(self.text, arguments)


class Dialect(Protocol):
    """What this module needs of ``storage.dialect.Dialect``."""

    def compile(self, statement: sa.ClauseElement) -> Compiled:
        """Compile a statement."""

    def inserter(self, table: sa.Table) -> Insert:
        """Return the function that inserts many rows into a table."""


SomeDialect = TypeVar("SomeDialect", bound=Dialect)


class PerDialect(Generic[Made]):
    """A value that is made once for each kind of database."""

    def __init__(self, make: Callable[[Any], Made]) -> None:
        self._make = make
        self._made: dict[type, Made] = {}

    def on(self, dialect: Dialect) -> Made:
        """Return the value for a database."""
        return self._made.get(type(dialect)) or self._make_on(dialect)

    def _make_on(self, dialect: Dialect) -> Made:
        made = self._make(dialect)
        self._made[type(dialect)] = made
        return made


class Statement(PerDialect[Compiled]):
    """A statement that is the same whatever the collection.

    It is given as SQLAlchemy writes it, or as a function of the dialect.
    """

    def __init__(self, written: Clause | Callable[[Any], Clause]) -> None:
        def compiled(dialect: Dialect) -> Compiled:
            clause = written(dialect) if callable(written) else written
            return dialect.compile(clause)

        super().__init__(compiled)


class Inserter(PerDialect[Insert]):
    """Inserts rows into one of the service's own tables."""

    def __init__(self, table: sa.Table) -> None:
        super().__init__(lambda dialect: dialect.inserter(table))


class Session(Generic[SomeDialect]):
    """Runs statements on one cursor."""

    __slots__ = ("cursor", "dialect")

    def __init__(self, dialect: SomeDialect, cursor: Cursor) -> None:
        self.dialect = dialect
        self.cursor = cursor

    def run(
        self,
        statement: Statement,
        **values: Any,
    ) -> Cursor:
        """Run a statement and return the cursor with its rows."""
        compiled = statement.on(self.dialect)
        return compiled.run(self.cursor, values)

    def rows(
        self,
        statement: Statement,
        **values: Any,
    ) -> list[Row]:
        """Return all rows of a query."""
        compiled = statement.on(self.dialect)
        return compiled.run(self.cursor, values).fetchall()

    def row(
        self,
        statement: Statement,
        **values: Any,
    ) -> Row | None:
        """Return the first row of a query."""
        # All are fetched: a query that is not read to its end holds its snapshot.
        rows = self.rows(statement, **values)
        if not rows:
            return None
        return rows[0]

    def value(
        self,
        statement: Statement,
        **values: Any,
    ) -> Any:
        """Return the first column of the only row of a query.

        Raises ``LookupError`` if there is no row.
        """
        rows = self.rows(statement, **values)
        if not rows:
            compiled = statement.on(self.dialect)
            raise LookupError(compiled.text)
        return rows[0][0]

    def insert(self, inserter: Inserter, rows: Sequence[Row]) -> None:
        """Insert rows."""
        insert = inserter.on(self.dialect)
        insert(self.cursor, rows)

    def execute(self, sql: str) -> Cursor:
        """Run SQL that has no parameters, such as DDL."""
        return self.cursor.execute(sql)


class StatementCache:
    """The compiled statements of one collection, by what distinguishes them."""

    CAPACITY = 2_000_000
    """Characters of statements that are kept; more than that empty the cache."""

    CHARACTERS_PER_PARAMETER = 100
    """What a parameter counts for: its name, and its part of the key."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._compiled: dict[object, Compiled] = {}
        self._characters = 0

    def get(
        self,
        key: object,
        write: Callable[[], Clause],
    ) -> Compiled:
        """Return the statement of a key; ``write`` makes one that is not cached."""
        found = self._compiled.get(key)
        if found is None:
            found = self._write(write)
            self._add(key, found)
        return found

    def _write(self, write: Callable[[], Clause]) -> Compiled:
        # SQLAlchemy's expressions refer to each other in circles: those of a long
        # filter are ten thousand objects.
        with _CYCLE_COLLECTION:
            return self._dialect.compile(write())

    def _add(self, key: object, compiled: Compiled) -> None:
        parameters = self.CHARACTERS_PER_PARAMETER * len(compiled.names)
        weight = len(compiled.text) + parameters
        self._characters += weight
        if self._characters > self.CAPACITY:
            self._compiled.clear()
            self._characters = weight
        self._compiled[key] = compiled


def big_integer(name: str) -> sa.BindParameter[int]:
    """Return a parameter of 64 bits; PostgreSQL takes an untyped one for 32."""
    return sa.bindparam(name, type_=sa.BigInteger())


def constant(value: str) -> SqlText:
    """Return text that stands in the statement, so that an index can be used."""
    literal = quoted_text(value)
    return sa.literal_column(literal, sa.Text())


def quoted_text(value: str) -> str:
    """Return text as an SQL literal."""
    escaped = value.replace("'", "''")
    return f"'{escaped}'"


def quoted_name(name: str) -> str:
    """Return a name as a quoted SQL identifier."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def quoted_names(names: Sequence[str]) -> str:
    """Return names as a list of quoted SQL identifiers."""
    quoted = map(quoted_name, names)
    return ", ".join(quoted)
