"""Where SQLite and PostgreSQL differ; the question "which database?" is asked in
``dialect_of``, once, and nowhere else.

SQLAlchemy writes the statements, the drivers run them: executing the compiled text
through the driver's cursor costs a tenth of executing it through SQLAlchemy.
"""

import json
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import Path as FilePath
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url

from persist.domain.field import FieldType, Path
from persist.domain.migration import MigrationStep

Row = tuple[Any, ...]
Cursor = Any
Connection = Any

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Text that orders by code point."""
INTEGER = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
NUMBER: sa.Double[float] = sa.Double()
BOOLEAN = sa.Boolean()
DOCUMENT = sa.Text().with_variant(postgresql.JSON(), "postgresql")
"""A JSON document as text, as written: ``jsonb`` makes 1e22 an integer and loses member
order."""

COLUMN_TYPES: dict[FieldType, sa.types.TypeEngine[Any]] = {
    FieldType.INTEGER: INTEGER,
    FieldType.NUMBER: NUMBER,
    FieldType.BOOLEAN: BOOLEAN,
    FieldType.STRING: TEXT,
}


KEYWORDS = {
    *(
        "nothing",
        "collation",
        "concurrently",
        "lateral",
        "system_user",
        "tablesample",
    ),  # SQLAlchemy has not
    *sqlite.base.SQLiteIdentifierPreparer.reserved_words,
    *postgresql.base.RESERVED_WORDS,
}
"""What either database does not take for the name of a table."""


class Failure(Enum):
    """What a driver's exception means for the operation it struck."""

    UNIQUE = "a unique value is held by another record"
    RETRY = "the same operation may succeed at once"
    STALE = "a table is not as this process knows it"
    BUSY = "another process has been writing for too long"
    TOO_LONG = "a value has no room in an index"
    UNAVAILABLE = "the database cannot be written or reached now"
    BUG = "anything else"


@dataclass(frozen=True, slots=True)
class Statement:
    """Compiled SQL; ``names`` are its parameters in the order the driver wants them,
    ``constants`` those that came with the statement."""

    text: str
    names: tuple[str, ...]
    constants: Mapping[str, Any]

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the driver's order."""
        return [
            values[name] if name in values else self.constants[name]
            for name in self.names
        ]


class CannotCopy(Exception):
    """The database is copied otherwise, or the copy is no good."""


Insert = Callable[[Cursor, Sequence[Row]], Any]
"""Inserts many whole rows of a table at once."""


@dataclass(frozen=True, slots=True)
class TableWriter:
    """The three ways records change, each for many rows at once. ``update`` takes rows
    of (the columns…, then workspace, id and the revision the row must have), ``delete``
    rows of (workspace, id, revision); both give the number of rows they found."""

    insert: Insert
    update: Callable[[Cursor, Sequence[Row]], int]
    delete: Callable[[Cursor, Sequence[Row]], int]


KEY = ("workspace", "id", "revision")

NOTICED: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""Have a server that went without a word noticed within half a minute, not a quarter of
an hour."""

LITTLE = 1_048_576
"""Bytes below which a disk counts as full."""

COMPLAINTS = {
    "25006": "the database is read-only",
    "28": "the database refuses the login",
    "3D": "the database is not there",
    "53": "the database has no room left for data or connections",
    "XX": "the database is damaged",
}
"""By the beginning of PostgreSQL's code of an error."""


class Shared:
    """What differs between the databases only in the text that SQLAlchemy writes.

    ``reads_in_place``: a read by key is short enough for the event loop.
    ``begin_exclusive``: a write that no other writer may cross, because tables or types
    change. ``address``: the URL without what is secret in it.
    """

    name: str
    address: str
    _sqlalchemy: sa.Dialect

    def compile(self, statement: sa.ClauseElement) -> Statement:
        """What the driver runs."""
        return _compiled(statement, self._sqlalchemy)

    def ddl(self, element: sa.schema.ExecutableDDLElement) -> str:
        """The text that makes or changes a table or an index."""
        return str(element.compile(dialect=self._sqlalchemy))

    def column_type(self, type: FieldType | None) -> str:
        """What a column for a field is of; None: a document."""
        return str(COLUMN_TYPES.get(type, DOCUMENT).compile(self._sqlalchemy))  # type: ignore[arg-type]

    def step_sql(self, step: MigrationStep) -> list[str]:
        """The SQL of a step of a migration plan."""
        return step.statements(self.name)


class Sqlite(Shared):
    """SQLite in a file, in WAL mode; every commit is on the disk before it is
    answered."""

    name = "sqlite"
    reads_in_place = True
    begin_write = "BEGIN IMMEDIATE"
    begin_exclusive = "BEGIN IMMEDIATE"
    begin_read = "BEGIN"

    def __init__(self, file: FilePath) -> None:
        self.address = f"sqlite:///{file}"
        self.path = str(file.absolute())
        self._given = file
        self._sqlalchemy = sqlite.dialect(paramstyle="qmark")

    def connect(self) -> sqlite3.Connection:
        """A connection in autocommit: transactions are begun and ended in so many
        words."""
        connection = sqlite3.connect(
            self.path,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
            timeout=5,
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cache_size=-65536")
        connection.execute("PRAGMA mmap_size=268435456")
        connection.create_function("json_number", 1, _json_number, deterministic=True)
        return connection

    def analyze(self, tables: list[str]) -> list[str]:
        """What tells the planner of many new rows. SQLite's goes by the schema
        alone."""
        return []

    def is_there(self) -> bool:
        """Whether ``connect`` would find the database rather than make it."""
        return FilePath(self.path).exists()

    def unsafe(self) -> list[str]:
        """What is unsafe about where the database lies, a sentence each."""
        found = []
        if not self._given.is_absolute():
            found.append(
                f"{self._given} is relative: started elsewhere, the service is on"
                " another database"
            )
        file = FilePath(self.path)
        if file.stat().st_mode & 0o004 and file.parent.stat().st_mode & 0o001:
            found.append(
                f"every user of this machine can read {self.path} and its -wal:"
                " chmod 640"
            )
        return found

    def listen(self) -> sqlite3.Connection:
        """A connection for ``await_news``; what is committed from now on is news."""
        return self.connect()

    def await_news(self, connection: Connection) -> None:
        """Block until the journal may have gone on: a second at the most."""
        time.sleep(0.1)  # a file tells nobody that another process has written to it

    def copy(self, file: FilePath) -> int:
        """Copy the database as it is at one moment, while others write, to a file that
        is not there; the last ``seq`` in the copy. Raises ``CannotCopy``,
        ``OSError``."""
        part = file.with_name(f"{file.name}.part")
        if file.exists() or not self.is_there():
            raise CannotCopy(
                f"{file} is there already"
                if file.exists()
                else f"there is no {self.path}"
            )
        part.unlink(missing_ok=True)
        with (
            closing(self.connect()) as source,
            closing(sqlite3.connect(part)) as target,
        ):
            source.backup(target)
            found = target.execute("PRAGMA quick_check(1)").fetchone()[0]
            seq = int(target.execute("SELECT seq FROM journal_head").fetchone()[0])
        if found != "ok":
            raise CannotCopy(f"the copy, as the database itself, is damaged: {found}")
        part.replace(file)
        return seq

    def engine(self) -> sa.Engine:
        return sa.create_engine(
            "sqlite://", creator=self._patient, poolclass=sa.NullPool
        )

    def _patient(self) -> sqlite3.Connection:
        """A connection that waits while another process brings the tables up to
        date."""
        connection = self.connect()
        connection.execute("PRAGMA busy_timeout=600000")
        return connection

    def inserter(self, table: sa.Table) -> Insert:
        names = [column.name for column in table.columns]
        insert = (
            f"INSERT INTO {table.name} ({_list(names)}) VALUES"
            f" ({', '.join('?' * len(names))})"
        )
        return lambda cursor, rows: cursor.executemany(insert, rows)

    def writer(self, table: sa.Table) -> TableWriter:
        names = [column.name for column in table.columns]
        assignments = ", ".join(f"{_quoted(name)} = ?" for name in names)
        key = " AND ".join(f"{name} = ?" for name in KEY)
        update = f"UPDATE {table.name} SET {assignments} WHERE {key}"
        delete = f"DELETE FROM {table.name} WHERE {key}"
        return TableWriter(
            insert=self.inserter(table),
            update=lambda cursor, rows: cursor.executemany(update, rows).rowcount,
            delete=lambda cursor, rows: cursor.executemany(delete, rows).rowcount,
        )

    def in_transaction(self, connection: Connection) -> bool:
        return bool(connection.in_transaction)

    def interrupted(self, error: BaseException) -> bool:
        return (
            isinstance(error, sqlite3.OperationalError) and str(error) == "interrupted"
        )

    def owns(self, error: BaseException) -> bool:
        return isinstance(error, sqlite3.Error)

    def failure(self, error: BaseException) -> Failure:
        if isinstance(error, sqlite3.IntegrityError):
            return (
                Failure.UNIQUE
                if "UNIQUE constraint failed" in str(error)
                else Failure.BUG
            )
        if not isinstance(error, sqlite3.DatabaseError) or isinstance(
            error, sqlite3.ProgrammingError
        ):
            return Failure.BUG
        message = str(error)
        if message.startswith(("no such table", "no such column", "table ")):
            return Failure.STALE
        return Failure.BUSY if message == "database is locked" else Failure.UNAVAILABLE

    def complaint(self, error: BaseException) -> str:
        """What is wrong, in words that tell no address."""
        return str(error)  # SQLite's few sentences name no file

    def shortage(self) -> str | None:
        """What will soon be wrong, or None."""
        if not self.is_there():
            return "the database file is gone"
        free = shutil.disk_usage(FilePath(self.path).parent).free
        return "the disk of the database is full" if free < LITTLE else None

    def violated(self, error: BaseException) -> str:
        return str(error).partition("failed: ")[2]

    def bindable(self, value: Any) -> Any:
        return value

    def array(self, values: Sequence[Any]) -> str:
        return json.dumps(values)

    def one_of(self, column: Any, name: str) -> sa.ColumnElement[bool]:
        values = sa.func.json_each(sa.bindparam(name)).table_valued("value")
        return sa.type_coerce(column.in_(sa.select(values.c.value)), sa.Boolean())

    def sorted_part(self, part: sa.Select[Any]) -> sa.Select[Any]:
        """A part of a union, so made that the union comes in its order without being
        read whole."""
        return part.order_by(None).limit(None)  # coroutines, merged

    def locked(self, statement: sa.Select[Any]) -> sa.Select[Any]:
        return statement  # the one writer has locked the whole file

    def as_json(self, column: Any, type: FieldType) -> sa.ColumnElement[str]:
        if type is FieldType.NUMBER:
            return sa.func.json_number(column)
        if type is FieldType.STRING:
            return sa.func.json_quote(column)
        if type is FieldType.BOOLEAN:
            named = sa.case(
                (column, sa.literal_column("'true'")),
                else_=sa.literal_column("'false'"),
            )
            return (
                sa.case((column.is_(None), sa.literal_column("'null'")), else_=named)
                if column.nullable
                else named
            )
        if type is FieldType.INTEGER and not column.nullable:
            return sa.type_coerce(column, sa.Text())
        return sa.func.coalesce(column, sa.literal_column("'null'"))

    def concatenated(
        self, *parts: str | sa.ColumnElement[str]
    ) -> sa.ColumnElement[str]:
        # one printf is half as dear again as a chain of ||, which copies what it has at
        # every link
        form = "".join(
            part.replace("%", "%%") if isinstance(part, str) else "%s" for part in parts
        )
        values = [part for part in parts if not isinstance(part, str)]
        return sa.func.printf(_literal(form), *values, type_=sa.Text())

    def member(
        self, document: Any, path: Path, type: FieldType
    ) -> sa.ColumnElement[Any]:
        if (parent := _awkward(path)) is not None:
            return _entry(document, path, parent, "value")
        return sa.func.json_extract(
            document, _place(path), type_=COLUMN_TYPES.get(type, TEXT)
        )

    def open_member(
        self, document: Any, path: Path, type: FieldType
    ) -> sa.ColumnElement[Any]:
        return self.member(document, path, type)  # a value keeps its own type

    def json_text(self, document: Any, path: Path) -> sa.ColumnElement[str]:
        text: sa.ColumnElement[str] = document.op("->")(_place(path))
        return text

    def json_type(self, document: Any, path: Path) -> sa.ColumnElement[str | None]:
        if (parent := _awkward(path)) is not None:
            found = _entry(document, path, parent, "type")
        else:
            found = sa.func.json_type(document, _place(path))
        names = {
            "text": "string",
            "integer": "number",
            "real": "number",
            "true": "boolean",
            "false": "boolean",
        }
        return sa.case(names, value=found, else_=found)

    def contains(self, text: Any, part: Any) -> sa.ColumnElement[bool]:
        return sa.func.instr(text, part) > 0

    def startswith(self, text: Any, part: Any) -> sa.ColumnElement[bool]:
        begins: sa.ColumnElement[bool] = (
            sa.func.substr(text, 1, sa.func.length(part)) == part
        )
        return begins

    def endswith(self, text: Any, part: Any) -> sa.ColumnElement[bool]:
        return sa.and_(
            sa.func.length(text) >= sa.func.length(part),
            sa.func.substr(text, sa.func.length(text) - sa.func.length(part) + 1)
            == part,
        )

    def mark(self, table: sa.Table) -> Statement:
        return self.compile(_counted(sqlite.insert(table), table))

    def announced(self, take: sa.Update, seq: sa.Column[int]) -> sa.ClauseElement:
        return take.returning(seq)

    def claim(self, cursor: Cursor, key: str) -> bool:
        return True  # the one writer holds every key

    def stream(self, connection: Connection) -> Cursor:
        return connection.cursor()


class PostgreSQL(Shared):
    """PostgreSQL through psycopg, one statement for many rows through ``unnest``. Its
    library reads the URL, which may name several hosts."""

    name = "postgresql"
    reads_in_place = False
    begin_write = "BEGIN; SELECT pg_advisory_xact_lock_shared(7165284)"
    # changes of tables wait for those who read them; an export may take its time
    begin_exclusive = (
        "BEGIN; SELECT pg_advisory_xact_lock(7165284); SET LOCAL lock_timeout = '5s'"
    )
    begin_read = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

    def __init__(self, url: str) -> None:
        self.address = _without_secrets(url)
        self._url = url
        self._sqlalchemy: sa.Dialect = postgresql.psycopg.dialect(paramstyle="format")  # type: ignore[no-untyped-call]

    def connect(self) -> Connection:
        connection = self._plain()
        _keep_text(connection)
        return connection

    def analyze(self, tables: list[str]) -> list[str]:
        return [f"ANALYZE {table}" for table in tables]

    def is_there(self) -> bool:
        return True  # a server makes no database for whoever connects

    def unsafe(self) -> list[str]:
        return []

    def listen(self) -> Connection:
        connection = self.connect()
        connection.execute("LISTEN persist_journal")
        return connection

    def await_news(self, connection: Connection) -> None:
        for _ in connection.notifies(timeout=1, stop_after=1):
            pass

    def _plain(self) -> Connection:
        import psycopg

        connection = psycopg.connect(
            self._url, autocommit=True, client_encoding="utf8", **NOTICED
        )
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            connection.close()
            raise psycopg.OperationalError(
                f"it cannot hold all text: it is in {encoding}, make one in UTF8"
            )
        return connection

    def copy(self, file: FilePath) -> int:
        raise CannotCopy(
            "PostgreSQL has tools of its own: pg_dump --format custom --file FILE URL"
        )

    def engine(self) -> sa.Engine:
        return sa.create_engine(
            "postgresql+psycopg://", creator=self._plain, poolclass=sa.NullPool
        )

    def inserter(self, table: sa.Table) -> Insert:
        text = f"COPY {table.name} ({_list(self._types(table))}) FROM STDIN"

        def insert(cursor: Cursor, rows: Sequence[Row]) -> None:
            with cursor.copy(text) as copy:
                for row in rows:
                    copy.write_row(row)

        return insert

    def writer(self, table: sa.Table) -> TableWriter:
        types = self._types(table)
        was = {f"was_{name}": types[name] for name in KEY}
        matches = " AND ".join(f"{table.name}.{name} = rows.was_{name}" for name in KEY)
        # a document is handed over as text within the JSON of the rows, so that it
        # stays as written
        cast = [
            f"{_quoted(name)} = rows.{_quoted(name)}::{type}"
            for name, type in types.items()
        ]
        return TableWriter(
            insert=self.inserter(table),
            update=_rowwise(
                f"UPDATE {table.name} SET {', '.join(cast)} FROM {{rows}} WHERE"
                f" {matches}",
                types | was,
            ),
            delete=_rowwise(
                f"DELETE FROM {table.name} USING {{rows}} WHERE {matches}", was
            ),
        )

    def _types(self, table: sa.Table) -> dict[str, str]:
        return {
            column.name: column.type.compile(self._sqlalchemy).partition(" COLLATE")[0]
            for column in table.columns
        }

    def in_transaction(self, connection: Connection) -> bool:
        from psycopg.pq import TransactionStatus

        return bool(connection.info.transaction_status != TransactionStatus.IDLE)

    def interrupted(self, error: BaseException) -> bool:
        return False

    def owns(self, error: BaseException) -> bool:
        import psycopg

        return isinstance(error, psycopg.Error)

    def failure(self, error: BaseException) -> Failure:
        from psycopg import InterfaceError, OperationalError, errors

        # read only: a primary that became a standby
        told = (
            errors.ReadOnlySqlTransaction | errors.DataCorrupted | errors.IndexCorrupted
        )
        failures = {
            errors.UniqueViolation: Failure.UNIQUE,
            errors.SerializationFailure | errors.DeadlockDetected: Failure.RETRY,
            errors.UndefinedTable | errors.UndefinedColumn: Failure.STALE,
            errors.LockNotAvailable: Failure.BUSY,
            errors.ProgramLimitExceeded: Failure.TOO_LONG,
            OperationalError | InterfaceError | told: Failure.UNAVAILABLE,
        }
        return next(
            (failure for kind, failure in failures.items() if isinstance(error, kind)),
            Failure.BUG,
        )

    def complaint(self, error: BaseException) -> str:
        code = getattr(error, "sqlstate", None) or ""
        known = (
            told for beginning, told in COMPLAINTS.items() if code.startswith(beginning)
        )
        return next(known, "the database does not answer")

    def shortage(self) -> str | None:
        return None

    def violated(self, error: BaseException) -> str:
        return str(getattr(getattr(error, "diag", None), "constraint_name", "") or "")

    def bindable(self, value: Any) -> Any:
        # float8 becomes numeric with 15 digits; text keeps them all
        return Decimal(repr(value)) if isinstance(value, float) else value

    def array(self, values: Sequence[Any]) -> list[Any]:
        return list(values)

    def one_of(self, column: Any, name: str) -> sa.ColumnElement[bool]:
        array = sa.cast(sa.bindparam(name), postgresql.ARRAY(column.type))
        return sa.type_coerce(column == sa.func.any(array), sa.Boolean())

    def sorted_part(self, part: sa.Select[Any]) -> sa.Select[Any]:
        return sa.select(
            part.subquery()
        )  # the planner merges indexes only below a limit

    def locked(self, statement: sa.Select[Any]) -> sa.Select[Any]:
        return statement.with_for_update()

    def as_json(self, column: Any, type: FieldType) -> sa.ColumnElement[str]:
        document = column if type not in COLUMN_TYPES else sa.func.to_json(column)
        if type is FieldType.NUMBER:
            # whole doubles are stored as integers, and written as such
            whole = sa.and_(
                sa.func.trunc(column) == column,
                sa.func.abs(column) < sa.literal_column("2::float8 ^ 63"),
            )
            document = sa.case(
                (whole, sa.cast(sa.cast(column, INTEGER), sa.Text())),
                else_=sa.cast(document, sa.Text()),
            )
        return sa.func.coalesce(
            sa.cast(document, sa.Text()), sa.literal_column("'null'")
        )

    def concatenated(
        self, *parts: str | sa.ColumnElement[str]
    ) -> sa.ColumnElement[str]:
        pieces = [_literal(part) if isinstance(part, str) else part for part in parts]
        result: sa.ColumnElement[str] = sa.type_coerce(pieces[0], sa.Text())
        for piece in pieces[1:]:
            result = result.concat(piece)
        return result

    def member(
        self, document: Any, path: Path, type: FieldType
    ) -> sa.ColumnElement[Any]:
        text = document.op("#>>")(_path_array(path))
        if type is FieldType.NUMBER:
            return sa.cast(text, sa.Numeric())
        if type in (FieldType.INTEGER, FieldType.BOOLEAN):
            return sa.cast(text, COLUMN_TYPES[type])
        return sa.collate(sa.type_coerce(text, sa.Text()), "C")

    def open_member(
        self, document: Any, path: Path, type: FieldType
    ) -> sa.ColumnElement[Any]:
        if type is FieldType.STRING:
            return self.member(document, path, type)
        # a cast of what is no number would fail
        named = self.json_type(document, path) == sa.literal_column(
            f"'{type.value}'", sa.Text()
        )
        return sa.case((named, self.member(document, path, type)))

    def json_text(self, document: Any, path: Path) -> sa.ColumnElement[str]:
        return sa.collate(sa.cast(document.op("#>")(_path_array(path)), sa.Text()), "C")

    def json_type(self, document: Any, path: Path) -> sa.ColumnElement[str | None]:
        return sa.func.json_typeof(document.op("#>")(_path_array(path)))

    def contains(self, text: Any, part: Any) -> sa.ColumnElement[bool]:
        return sa.func.strpos(text, part) > 0

    def startswith(self, text: Any, part: Any) -> sa.ColumnElement[bool]:
        return sa.func.starts_with(text, part)

    def endswith(self, text: Any, part: Any) -> sa.ColumnElement[bool]:
        ends: sa.ColumnElement[bool] = sa.func.right(text, sa.func.length(part)) == part
        return ends

    def mark(self, table: sa.Table) -> Statement:
        return self.compile(_counted(postgresql.insert(table), table))

    def announced(self, take: sa.Update, seq: sa.Column[int]) -> sa.ClauseElement:
        # Sent with the commit. It makes commits wait for one another, as the counter
        # does already.
        return take.returning(seq, sa.func.pg_notify("persist_journal", ""))

    def claim(self, cursor: Cursor, key: str) -> bool:
        held = cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", (key,)
        ).fetchone()
        return bool(held[0])

    def stream(self, connection: Connection) -> Cursor:
        return connection.cursor(name="stream")


Dialect = Sqlite | PostgreSQL


def dialect_of(url: str) -> Dialect:
    """The dialect of a database URL. Raises ``ValueError`` for a scheme it does not
    know, and for SQLite without a file: there each connection would see a database of
    its own."""
    scheme, _, place = url.partition("://")
    match scheme.partition("+")[0]:
        case "sqlite":
            if (file := make_url(url).database) in (None, "", ":memory:"):
                raise ValueError(
                    "SQLite needs a file here; write it as sqlite:///persist.db"
                )
            return Sqlite(FilePath(str(file)))
        case "postgresql" | "postgres":
            return PostgreSQL(f"postgresql://{place}")
    raise ValueError(
        f"no database of the kind {scheme!r}; use sqlite:///file or postgresql://…"
    )


def _without_secrets(url: str) -> str:
    return re.sub("//[^/]*@", "//", url.partition("?")[0])


def _rowwise(
    text: str, types: Mapping[str, str]
) -> Callable[[Cursor, Sequence[Row]], int]:
    """Runs a statement over ``{rows}``, which are handed over as one JSON text: psycopg
    takes 30 microseconds to make arrays of a row."""
    read = {name: "text" if type == "JSON" else type for name, type in types.items()}
    columns = ", ".join(f"{_quoted(name)} {type}" for name, type in read.items())
    statement = text.format(rows=f"json_to_recordset(%s::json) AS rows({columns})")

    def run(cursor: Cursor, rows: Sequence[Row]) -> int:
        given = json.dumps([dict(zip(types, row, strict=True)) for row in rows])
        found: int = cursor.execute(statement, (given,)).rowcount
        return found

    return run


def _counted(insert: Any, table: sa.Table) -> sa.ClauseElement:
    """Adds ``changes`` to the counter of a ``collection``; gives the counter."""
    key = {
        name: sa.bindparam(name, type_=table.c[name].type)
        for name in ("collection", "changes")
    }
    added = {"changes": table.c.changes + insert.excluded.changes}
    counted: sa.ClauseElement = (
        insert.values(key)
        .on_conflict_do_update(index_elements=["collection"], set_=added)
        .returning(table.c.changes)
    )
    return counted


def _literal(text: str) -> sa.ColumnElement[str]:
    return sa.literal_column("'" + text.replace("'", "''") + "'", sa.Text())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _list(names: Iterable[str]) -> str:
    return ", ".join(_quoted(name) for name in names)


def _compiled(statement: sa.ClauseElement, dialect: sa.Dialect) -> Statement:
    compiled = statement.compile(dialect=dialect)
    names = tuple(compiled.positiontup or ())  # type: ignore[attr-defined]
    constants = {
        name: value for name, value in compiled.params.items() if value is not None
    }
    return Statement(str(compiled), names, constants)


PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""A member's name that may stand in SQL as a literal; all others are bound."""


def _constant(text: str, path: Path) -> sa.ColumnElement[str]:
    """A path in a statement: a literal where an index may be over it, bound
    otherwise."""
    if all(PLAIN_NAME.fullmatch(name) for name in path):
        return sa.literal_column(f"'{text}'", sa.Text())
    return sa.literal(text, sa.Text())


def _place(path: Path) -> sa.ColumnElement[str]:
    return _constant("$" + "".join(f'."{name}"' for name in path), path)


def _awkward(path: Path) -> int | None:
    """Where the first name is that SQLite's path syntax cannot say."""
    return next(
        (
            depth
            for depth, name in enumerate(path)
            if json.dumps(name, ensure_ascii=False) != f'"{name}"'
        ),
        None,
    )


def _entry(
    document: Any, path: Path, parent: int, column: str
) -> sa.ColumnElement[Any]:
    """The value or type of a member looked up by its key, whatever characters the key
    has."""
    each = sa.func.json_each(document, _place(path[:parent])).table_valued(
        "key", "value", "type"
    )
    entry = (
        sa.select(each.c[column]).where(each.c.key == path[parent]).scalar_subquery()
    )
    if len(path) == parent + 1:
        return entry
    inner = sa.select(each.c.value).where(each.c.key == path[parent]).scalar_subquery()
    rest = path[parent + 1 :]
    if (deeper := _awkward(rest)) is not None:
        return _entry(inner, rest, deeper, column)
    function = sa.func.json_extract if column == "value" else sa.func.json_type
    return function(inner, _place(rest))


def _path_array(path: Path) -> sa.ColumnElement[Any]:
    """A path as PostgreSQL's text array: names double-quoted, backslash escapes."""
    quoted = ",".join(
        '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in path
    )
    return sa.cast(_constant("{" + quoted + "}", path), postgresql.ARRAY(sa.Text()))


def _json_number(value: float | None) -> str:
    """Doubles as the other database and Python write them; SQLite itself keeps 15
    digits."""
    return json.dumps(
        int(value)
        if value is not None and value.is_integer() and abs(value) < 2**63
        else value
    )


def _keep_text(connection: Connection) -> None:
    """Have documents come out as the text they went in as."""
    from psycopg.types.string import TextLoader

    connection.adapters.register_loader("json", TextLoader)
