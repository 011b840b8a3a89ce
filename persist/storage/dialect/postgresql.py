"""PostgreSQL through psycopg, with one statement for many rows."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from decimal import Decimal
from pathlib import Path as FilePath
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.types.string import TextLoader
from sqlalchemy.dialects import postgresql

from persist.domain.field import FieldType, Path
from persist.domain.field_types import TEXT_TYPES, json_type_of
from persist.storage.dialect import (
    KEY_COLUMNS,
    BackupFailed,
    Checkpoint,
    CommitOutcome,
    ElementTest,
    Failure,
    TableWriter,
)
from persist.storage.dialect.columns import COLUMN_TYPES, INTEGER
from persist.storage.dialect.compiler import SqlCompiler, counted
from persist.storage.dialect.postgresql_functions import function_statements
from persist.storage.sql import (
    Connection,
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

_ENCODED = "%(?!00)[0-9A-Fa-f]{2}"
_HOST = rf"(?:\[[^\]@]*\]|(?:[^:/?#@,\[\]%]|{_ENCODED})*)(?::\d*)?"
URL = re.compile(
    r"postgresql://"
    rf"(?:(?:[^/@%]|{_ENCODED})*@)?"
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)"
    rf"(?P<name>(?:/(?:[^/?#@%]|{_ENCODED})*)?)"
    rf"(?:\?(?:[^%]|{_ENCODED})*)?",
    re.DOTALL,
)
"""The URLs that libpq reads as they are meant."""

CONNECTION_OPTIONS: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}
"""A server that went away without a word is noticed within 5 s.

Seconds, but ``tcp_user_timeout`` is in milliseconds.
"""

WRITER_SETTINGS = {
    # A process that freezes in a transaction lets go of its locks after that time,
    "idle_in_transaction_session_timeout": 3_000,
    # and those who wait for them give up a little later.
    "lock_timeout": 4_000,
    # The server notices within that time that a process went away without a word.
    "tcp_keepalives_idle": 2,
    "tcp_keepalives_interval": 1,
    "tcp_keepalives_count": 2,
    "tcp_user_timeout": 4_000,
}
"""Settings of the writer's session: milliseconds, but keepalives are in seconds."""

GROUP_STATEMENT_MS = 4_500
"""Milliseconds that a statement of a group of short writes may take."""

OUTCOME_POLL_SECONDS = 0.1
"""Seconds between two questions what became of a transaction."""

OUTCOMES = {
    "committed": CommitOutcome.STORED,
    "aborted": CommitOutcome.NOT_STORED,
}
"""What PostgreSQL's status of a transaction means."""

CONNECTION_LOST = ("08", "57")
"""SQLSTATE classes of errors that say nothing about a COMMIT that was sent."""

DESCRIPTIONS = {
    "25006": "the database is read-only",
    "28": "the database refuses the login",
    "3D": "the database does not exist",
    "53": "the database has no room left for data or connections",
    "XX": "the database is damaged",
}
"""What is wrong, by the beginning of the SQLSTATE."""

NO_ANSWER = "the database does not answer"

FAILURES: tuple[tuple[tuple[type[BaseException], ...], Failure], ...] = (
    ((errors.UniqueViolation,), Failure.UNIQUE),
    ((errors.SerializationFailure, errors.DeadlockDetected), Failure.RETRY),
    ((errors.UndefinedTable, errors.UndefinedColumn), Failure.STALE),
    ((errors.LockNotAvailable,), Failure.BUSY),
    ((errors.ProgramLimitExceeded,), Failure.TOO_LONG),
    (
        (
            psycopg.OperationalError,
            psycopg.InterfaceError,
            errors.ReadOnlySqlTransaction,  # a primary that became a standby
            errors.DataCorrupted,
            errors.IndexCorrupted,
        ),
        Failure.UNAVAILABLE,
    ),
)
"""What exceptions mean; the first that fits counts."""

SCHEMA_LOCK = 7_165_284
"""The advisory lock that writers share and a change of tables takes exclusively."""


class PostgreSQL(SqlCompiler):
    """The dialect of PostgreSQL. libpq reads the URL, which may name several hosts.

    Raise ``ValueError`` for a URL that libpq would misread.
    """

    name = "postgresql"
    begin_write = f"BEGIN; SELECT pg_advisory_xact_lock_shared({SCHEMA_LOCK})"
    begin_group = f"{begin_write}; SET LOCAL statement_timeout = {GROUP_STATEMENT_MS}"
    # A change of a table waits for its readers, and an export may take long.
    begin_exclusive = (
        f"BEGIN; SELECT pg_advisory_xact_lock({SCHEMA_LOCK});"
        " SET LOCAL lock_timeout = '5s'"
    )
    index_names = (
        "SELECT indexname FROM pg_indexes"
        " WHERE schemaname = current_schema() AND tablename = %s"
    )
    begin_read = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

    def __init__(self, url: str) -> None:
        self.address = _address_of(url)
        self._url = url
        self._sqlalchemy: sa.Dialect = postgresql.psycopg.dialect(paramstyle="format")  # type: ignore[no-untyped-call]

    # Connections

    def connect(self) -> Connection:
        connection = self._connect()
        # Documents are read as the text that was written.
        connection.adapters.register_loader("json", TextLoader)
        return cast(Connection, connection)

    def connect_writer(self) -> Connection:
        connection = self.connect()
        for name, value in WRITER_SETTINGS.items():
            connection.execute(f"SET {name} = {value}")
        return connection

    def turn(self) -> AbstractContextManager[None]:
        return nullcontext()  # PostgreSQL queues its writers by itself

    def cancel(self, connection: Connection) -> None:
        _psycopg(connection).cancel()

    def _connect(self) -> psycopg.Connection[Row]:
        connection = psycopg.connect(
            self._url, autocommit=True, client_encoding="utf8", **CONNECTION_OPTIONS
        )
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            connection.close()
            raise psycopg.OperationalError(
                f"the database cannot store all text: its encoding is {encoding};"
                " create one with UTF8"
            )
        return connection

    def open_inline_reader(self, expired: Callable[[], bool]) -> Connection | None:
        return None

    def open_listener(self) -> Connection:
        connection = self.connect()
        connection.execute("LISTEN persist_journal")
        return connection

    def wait_for_commits(self, connection: Connection) -> None:
        for _ in _psycopg(connection).notifies(timeout=1, stop_after=1):
            pass

    def engine(self) -> sa.Engine:
        return sa.create_engine(
            "postgresql+psycopg://", creator=self._connect, poolclass=sa.NullPool
        )

    def function_statements(self) -> list[str]:
        return function_statements()

    def stream_cursor(self, connection: Connection) -> Cursor:
        return cast(Cursor, _psycopg(connection).cursor(name="stream"))

    def in_transaction(self, connection: Connection) -> bool:
        status = _psycopg(connection).info.transaction_status
        return status != TransactionStatus.IDLE

    # The database as a whole

    def exists(self) -> bool:
        return True  # connecting to a server creates no database

    def fault(self) -> str | None:
        return None

    def checkpoint(self) -> Checkpoint | None:
        return None

    def safety_warnings(self, workers: int) -> list[str]:
        return []

    def back_up(self, file: FilePath) -> int:
        raise BackupFailed(
            "PostgreSQL has tools of its own: pg_dump --format custom --file FILE URL"
        )

    # Errors

    def is_driver_error(self, error: BaseException) -> bool:
        return isinstance(error, psycopg.Error)

    def was_interrupted(self, error: BaseException) -> bool:
        return False

    def failure(self, error: BaseException) -> Failure:
        for kinds, failure in FAILURES:
            if isinstance(error, kinds):
                return failure
        return Failure.BUG

    def commit_outcome(
        self, error: Exception, last_seq: int, transaction_id: str | None, until: float
    ) -> CommitOutcome:
        sqlstate = getattr(error, "sqlstate", None)
        if sqlstate and not sqlstate.startswith(CONNECTION_LOST):
            return CommitOutcome.NOT_STORED  # the server has refused it
        if transaction_id is None:
            return CommitOutcome.UNKNOWN
        with closing(self._connect_until(until)) as connection:
            while time.monotonic() < until:
                found = connection.execute(
                    "SELECT pg_xact_status(%s::text::xid8)", (transaction_id,)
                )
                status = found.fetchall()[0][0]
                if status in OUTCOMES:
                    return OUTCOMES[status]
                time.sleep(OUTCOME_POLL_SECONDS)
        return CommitOutcome.UNKNOWN

    def _connect_until(self, until: float) -> Connection:
        """Open a connection as soon as the server accepts one, and no later."""
        while True:
            try:
                connection = self.connect()
                connection.execute(f"SET statement_timeout = {GROUP_STATEMENT_MS}")
                return connection
            except psycopg.OperationalError:
                if time.monotonic() >= until:
                    raise
                time.sleep(OUTCOME_POLL_SECONDS)

    def violated_constraint(self, error: BaseException) -> str:
        if not isinstance(error, psycopg.Error):
            return ""
        return error.diag.constraint_name or ""

    def describe(self, error: BaseException) -> str:
        code = getattr(error, "sqlstate", None) or ""
        for beginning, description in DESCRIPTIONS.items():
            if code.startswith(beginning):
                return description
        return NO_ANSWER

    # Statements

    def analyze_statements(self, tables: list[str]) -> list[str]:
        return [f"ANALYZE {table}" for table in tables]

    def inserter(self, table: sa.Table) -> Insert:
        names = quoted_names([column.name for column in table.columns])
        statement = f"COPY {table.name} ({names}) FROM STDIN".encode()

        def insert(cursor: Cursor, rows: Sequence[Row]) -> None:
            with cast("psycopg.Cursor[Row]", cursor).copy(statement) as copy:
                for row in rows:
                    copy.write_row(row)

        return insert

    def table_writer(self, table: sa.Table) -> TableWriter:
        types = self._column_types(table)
        key = {f"was_{name}": types[name] for name in KEY_COLUMNS}
        matches = " AND ".join(
            f"{table.name}.{name} = rows.was_{name}" for name in KEY_COLUMNS
        )
        # A document is text within the JSON of the rows, so that it stays as written.
        assignments = ", ".join(
            f"{quoted_name(name)} = rows.{quoted_name(name)}::{column_type}"
            for name, column_type in types.items()
        )
        return TableWriter(
            insert=self.inserter(table),
            update=_over_rows(
                f"UPDATE {table.name} SET {assignments} FROM {{rows}} WHERE {matches}",
                types | key,
            ),
            delete=_over_rows(
                f"DELETE FROM {table.name} USING {{rows}} WHERE {matches}", key
            ),
        )

    def _column_types(self, table: sa.Table) -> dict[str, str]:
        return {
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
        self, take: sa.Update, columns: Sequence[sa.Column[Any]]
    ) -> sa.ClauseElement:
        # The notification is sent with the commit. It makes commits wait for one
        # another, as the counter does already.
        transaction = sa.cast(sa.func.pg_current_xact_id(), sa.Text())
        notified = sa.func.pg_notify("persist_journal", "")
        return take.returning(transaction, *columns, notified)

    def lock_key(self, cursor: Cursor, key: str) -> bool:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", (key,)
        )
        return bool(cursor.fetchall()[0][0])

    # Parameters

    def bound_value(self, value: Any) -> Any:
        # float8 becomes numeric with 15 digits; text keeps all of them.
        return Decimal(repr(value)) if isinstance(value, float) else value

    def bound_list(self, values: Sequence[Any]) -> list[Any]:
        return list(values)

    # Expressions

    def one_of(self, column: SqlExpression, name: str) -> SqlCondition:
        array = sa.cast(sa.bindparam(name), postgresql.ARRAY(column.type))
        return sa.type_coerce(column == sa.func.any(array), sa.Boolean())

    def column_json(self, column: sa.Column[Any], field_type: FieldType) -> SqlText:
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
        self, document: SqlExpression, path: Path, field_type: FieldType
    ) -> SqlExpression:
        text = document.op("#>>")(_text_array(path))
        if field_type is FieldType.NUMBER:
            return sa.cast(text, sa.Numeric())
        if field_type in (FieldType.INTEGER, FieldType.BOOLEAN):
            return sa.cast(text, COLUMN_TYPES[field_type])
        return sa.collate(sa.type_coerce(text, sa.Text()), "C")

    def open_member(
        self, document: SqlExpression, path: Path, field_type: FieldType
    ) -> SqlExpression:
        member = self.member(document, path, field_type)
        if field_type in TEXT_TYPES:
            return member
        # The cast of what is not a number would fail.
        fits = self.json_type(document, path) == constant(json_type_of(field_type))
        return sa.case((fits, member))

    def canonical_json(self, document: SqlExpression, path: Path) -> SqlText:
        member = document.op("#>")(_text_array(path))
        # The text of jsonb has sorted members.
        canonical = sa.cast(member, postgresql.JSONB())
        return sa.collate(sa.cast(canonical, sa.Text()), "C")

    def json_type(
        self, document: SqlExpression, path: Path
    ) -> sa.ColumnElement[str | None]:
        return sa.func.json_typeof(document.op("#>")(_text_array(path)))

    def is_integer(self, document: SqlExpression, path: Path) -> SqlCondition:
        text = document.op("#>>")(_text_array(path))
        return sa.func.translate(text, constant(".e"), constant("")) == text

    def list_length(self, document: SqlExpression, path: Path) -> sa.ColumnElement[int]:
        return sa.func.json_array_length(self._list(document, path))

    def has_element(
        self, document: SqlExpression, path: Path, test: ElementTest
    ) -> SqlCondition:
        listed = sa.func.json_array_elements(self._list(document, path))
        elements = listed.table_valued(sa.column("value", postgresql.JSON()))

        def value(field_type: FieldType) -> SqlExpression:
            return self.open_member(elements.c.value, (), field_type)

        json_type = sa.func.json_typeof(elements.c.value)
        one = sa.literal_column("1", sa.Integer())
        found = sa.select(one).select_from(elements)
        return found.where(test(json_type, value)).exists()

    def _list(self, document: SqlExpression, path: Path) -> SqlExpression:
        """Extract a list; NULL if the member is none."""
        is_list = self.json_type(document, path) == constant("array")
        return sa.case((is_list, document.op("#>")(_text_array(path))))

    def contains(self, text: Any, part: Any) -> SqlCondition:
        return sa.func.strpos(text, part) > 0

    def startswith(self, text: Any, part: Any) -> SqlCondition:
        return sa.func.starts_with(text, part)

    def endswith(self, text: Any, part: Any) -> SqlCondition:
        ending = sa.func.right(text, sa.func.length(part))
        return sa.type_coerce(ending == part, sa.Boolean())


def _psycopg(connection: Connection) -> psycopg.Connection[Row]:
    """Return the connection with all that psycopg adds to PEP 249."""
    return cast("psycopg.Connection[Row]", connection)


def _address_of(url: str) -> str:
    """Return a URL without its user, password and parameters.

    libpq quotes parts of a URL that it cannot read, and they may be a password.
    Raise ``ValueError``, which quotes nothing, in its stead.
    """
    found = URL.fullmatch(url)
    if found is None or not _is_readable(url):
        raise ValueError(
            "the URL cannot be read; write postgresql://user:password@host:port/name,"
            " and in the user and the password / as %2F, @ as %40, % as %25,"
            " a space as %20"
        )
    return f"postgresql://{found['hosts']}{found['name']}"


def _is_readable(url: str) -> bool:
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return False
    return True


def _over_rows(
    statement: str, types: Mapping[str, str]
) -> Callable[[Cursor, Sequence[Row]], int]:
    """Return what runs a statement over ``{rows}`` and counts the rows it found.

    The rows are one parameter of JSON text: psycopg takes 30 µs to make arrays of one.
    """
    columns = ", ".join(
        f"{quoted_name(name)} {'text' if column_type == 'JSON' else column_type}"
        for name, column_type in types.items()
    )
    text = statement.format(rows=f"json_to_recordset(%s::json) AS rows({columns})")

    def run(cursor: Cursor, rows: Sequence[Row]) -> int:
        parameter = json.dumps([dict(zip(types, row, strict=True)) for row in rows])
        return cursor.execute(text, (parameter,)).rowcount

    return run


def _number_json(column: sa.Column[Any], text: SqlText) -> SqlText:
    """Write integral doubles, which are stored as doubles, as integers."""
    integral = sa.and_(
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
