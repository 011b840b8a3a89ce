"""Where SQLite and PostgreSQL differ.

``dialect_of`` is the only place that asks which database it is. Everything else calls
the methods of ``Dialect``, which ``sqlite`` and ``postgresql`` implement: connections,
errors and files; what returns SQL is in ``sqlite_sql`` and ``postgresql_sql``.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path as FilePath
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from persist.domain.field import FieldType, Path
from persist.domain.migration import MigrationStep
from persist.storage.sql import (
    Compiled,
    Connection,
    Cursor,
    Insert,
    Row,
    SqlCondition,
    SqlExpression,
    SqlText,
)

SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,30}")
"""The schemes of URLs (RFC 3986, 3.1), in lower case."""


class Failure(Enum):
    """The meaning of a driver's exception for the operation that raised it."""

    UNIQUE = "another record has this unique value"
    RETRY = "the same operation may succeed at once"
    STALE = "a table is not as this process knows it"
    BUSY = "another process has been writing for too long"
    TOO_LONG = "a value does not fit into an index"
    UNAVAILABLE = "the database cannot be written or reached now"
    BUG = "anything else"


class CommitOutcome(Enum):
    """What became of a transaction whose COMMIT was not confirmed."""

    STORED = "stored"
    NOT_STORED = "not stored"
    UNKNOWN = "unknown"


class BackupFailed(Exception):
    """The database cannot be copied, or the copy is damaged."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of the write-ahead log after a checkpoint."""

    wal_bytes: int


@dataclass(frozen=True, slots=True)
class TableWriter:
    """The three ways to change the rows of a table, each for many rows at once.

    ``update`` takes rows of (every column behind workspace and id, then these two and
    the revision that the stored row must have). ``delete`` takes rows of (workspace,
    id, revision). Both return the number of rows that they found.
    """

    insert: Insert
    update: Callable[[Cursor, Sequence[Row]], int]
    delete: Callable[[Cursor, Sequence[Row]], int]


ElementTest = Callable[
    [SqlExpression, Callable[[FieldType], SqlExpression]],
    SqlCondition,
]

PRIMARY_KEY = ("workspace", "id")
"""The first columns of a collection's table; those of a row never change."""

KEY_COLUMNS = (*PRIMARY_KEY, "revision")
"""The columns by which a row is updated or deleted."""


class Dialect(Protocol):
    """What storage asks of a database."""

    name: str
    """The name by which migration steps choose their SQL."""

    address: str
    """The URL without its secrets."""

    buffers_rows: bool
    """Whether all rows of a query are in memory as soon as it has run."""

    begin_write: str
    """Begins a transaction that writes."""

    begin_group: str
    """Begins a transaction of short writes, with limits to each statement."""

    begin_exclusive: str
    """Begins a transaction during which no other one writes: tables change."""

    session_exclusive: tuple[str, str]
    """Keeps others from writing also after such a transaction, and lets them write
    again. Empty if what a transaction sees of the tables is as old as their rows."""

    begin_unshared: str
    """Begins a transaction that writes tables which nobody else uses."""

    prepare_long: str
    """Prepares the present transaction for long work: those who wait know why, and it
    has memory for many pages."""

    prepare_migration: str
    """Prepares the present transaction for a migration: it is long, and functions of a
    plan compute between its statements."""

    index_names: str
    """Selects the names of the indexes of a table; its parameter is the table."""

    table_names: str
    """Selects the names of the tables."""

    attached_objects: str
    """Selects what others have attached to a table, except indexes; its parameter is
    the table."""

    begin_read: str
    """Begins a transaction that reads one snapshot of the database."""

    # Connections

    def connect(self) -> Connection:
        """Open a connection in autocommit mode; transactions are begun explicitly."""

    def connect_writer(self) -> Connection:
        """Open a connection for the writer.

        If its process freezes in a transaction, the transaction ends within 5 s.
        """

    def connect_staging(self) -> Connection:
        """Open a connection on which a long operation stages and stores its rows."""

    def turn(self, *, is_long: bool = False) -> AbstractContextManager[None]:
        """Wait for this process's turn to write and keep it for the block."""

    def long_operation_runs(self, connection: Connection) -> bool:
        """Return whether writers wait for a long operation of some process.

        It has a long turn, or has run ``prepare_long``.
        """

    def cancel(self, connection: Connection) -> None:
        """Interrupt what a connection runs in another thread."""

    def open_inline_reader(self) -> Connection | None:
        """Open a connection for reads on the event loop.

        Returns None if every read is a round trip over a network.
        """

    def open_listener(self) -> Connection:
        """Open a connection for ``wait_for_commits``."""

    def wait_for_commits(self, connection: Connection) -> None:
        """Block until another process may have committed, for 1 s at most."""

    def migration_turn(self) -> AbstractContextManager[None]:
        """Wait until no other process migrates tables, and keep others waiting for the
        block."""

    def building_turn(self) -> AbstractContextManager[None]:
        """Wait until no other process looks for tables that were left unfinished, and
        keep others from that for the block."""

    def sweeping_turn(self) -> AbstractContextManager[bool]:
        """Return whether no process is in a ``building_turn``, and keep others waiting
        for the block in that case."""

    def engine(self, connection: Connection | None = None) -> sa.Engine:
        """Return an SQLAlchemy engine, for DDL and its inspection, over a connection
        or over new ones."""

    def stream_cursor(self, connection: Connection) -> Cursor:
        """Return a cursor that reads the rows of a query in batches.

        The connection does nothing else until the cursor is closed.
        """

    def read_any_text(self, connection: Connection) -> None:
        """Have a connection return texts that are not UTF-8, too.

        Bytes that cannot be decoded become lone surrogates, which cannot be encoded.
        """

    def in_transaction(self, connection: Connection) -> bool:
        """Return whether a transaction is open."""

    def function_statements(self) -> list[str]:
        """Return the statements that create the functions that expressions call."""

    # The database as a whole

    def exists(self) -> bool:
        """Return whether ``connect`` would find the database and not create it."""

    def fault(self) -> str | None:
        """Return why the database cannot be written, as far as that shows, or None."""

    def checkpoint(self) -> Checkpoint | None:
        """Copy the write-ahead log into the database, and shorten it if it is long.

        Returns None if the database does so by itself. Raises the driver's errors.
        """

    def let_log_grow(self, writer: Connection) -> None:
        """Have commits on a connection not copy the write-ahead log."""

    def limit_log(self, writer: Connection) -> None:
        """Have commits on a connection copy the write-ahead log again."""

    def safety_warnings(self, workers: int) -> list[str]:
        """Return what is unsafe about the location of the database."""

    def back_up(self, file: FilePath) -> int:
        """Copy the database as of one moment and return the last ``seq`` of the copy.

        Raises ``BackupFailed`` and ``OSError``.
        """

    # Errors

    def is_driver_error(self, error: BaseException) -> bool:
        """Return whether the driver raised an exception."""

    def was_interrupted(self, error: BaseException) -> bool:
        """Return whether a read ended because of ``cancel``."""

    def failure(self, error: BaseException) -> Failure:
        """Return the kind of failure that an exception means."""

    def commit_outcome(
        self, error: Exception, last_seq: int, transaction_id: str | None, until: float
    ) -> CommitOutcome:
        """Return what became of a transaction whose COMMIT raised ``error``.

        ``last_seq`` and ``transaction_id`` are those of ``take_seq``. It is looked for
        until that time (``time.monotonic``). May raise the driver's errors.
        """

    def violated_constraint(self, error: BaseException) -> str:
        """Return the name of the unique constraint that an exception is about."""

    def describe(self, error: BaseException) -> str:
        """Return the text of an error without the address of the server."""

    # Statements

    def compile(self, statement: sa.ClauseElement) -> Compiled:
        """Compile a statement."""

    def ddl(self, element: sa.schema.ExecutableDDLElement) -> str:
        """Return the text of a statement that changes a table or an index."""

    def column_type(self, field_type: FieldType | None) -> str:
        """Return the SQL type of a field's column; None is a document."""

    def step_sql(self, step: MigrationStep) -> list[str]:
        """Return the SQL of a migration step for this database."""

    def analyze_statements(self, tables: list[str]) -> list[str]:
        """Return the statements that update the planner's statistics after a bulk
        load."""

    def inserter(self, table: sa.Table) -> Insert:
        """Return the function that inserts many rows into a table."""

    def table_writer(self, table: sa.Table) -> TableWriter:
        """Return the functions that insert, update and delete many rows of a table."""

    def for_update(self, statement: sa.Select[Any]) -> sa.Select[Any]:
        """Add that the rows of a query are locked against other writers."""

    def ordered_branch(self, branch: sa.Select[Any]) -> sa.Select[Any]:
        """Write a branch of a sorted UNION ALL so that it is not read as a whole."""

    def count_changes(self, counters: sa.Table) -> sa.ClauseElement:
        """Return the statement that adds ``changes`` to a ``collection``'s counter and
        returns the sum."""

    def take_seq(
        self, take: sa.Update, columns: Sequence[sa.Column[Any]]
    ) -> sa.ClauseElement:
        """Complete the update of the journal's counter.

        It returns the transaction's id or null and ``columns``, and tells the listeners
        of other processes.
        """

    def lock_table(self, cursor: Cursor, table: str) -> None:
        """Keep others from writing a table until the transaction ends; they read it."""

    def create_empty_copy(self, cursor: Cursor, table: str, name: str) -> None:
        """Create a table with the columns and the primary key of another one."""

    def rename_index(self, cursor: Cursor, name: str, new_name: str) -> None:
        """Rename an index in a transaction that renames its table next."""

    def wait_for_reads(self, connection: Connection, seconds: float) -> bool:
        """Wait until every transaction that reads has begun after this call.

        Only those count that would find a renamed table but not see the rows stored
        since they began. Returns False if one lasts longer than so many ``seconds``.
        """

    def lock_key(self, cursor: Cursor, key: str) -> bool:
        """Lock an idempotency key until the transaction ends.

        Returns False if another process has it.
        """

    # Parameters

    def bound_value(self, value: object) -> Any:
        """Return a value of a query as the driver takes it."""

    def bound_list(self, values: Sequence[Any]) -> Any:
        """Return a list as the parameter of ``one_of`` and ``listed_texts``."""

    # Expressions

    def one_of(self, column: SqlExpression, name: str) -> SqlCondition:
        """Compare a column with the list that is bound as ``name``."""

    def listed_texts(self, name: str) -> sa.FromClause:
        """Return the texts that are bound as ``name`` as a table of one ``value``."""

    def exact(self, double: SqlExpression) -> SqlExpression:
        """Return a double as what compares with an integer by value; an integer of 64
        bits may lie between two doubles."""

    def column_json(self, column: sa.Column[Any], field_type: FieldType) -> SqlText:
        """Write the value of a column as JSON text."""

    def concatenate(self, *parts: str | SqlText) -> SqlText:
        """Concatenate text and expressions."""

    def member(
        self, document: SqlExpression, path: Path, field_type: FieldType
    ) -> SqlExpression:
        """Extract a member whose type the schema declares."""

    def open_member(
        self, document: SqlExpression, path: Path, field_type: FieldType
    ) -> SqlExpression:
        """Extract a member of any type if it is of ``field_type``."""

    def canonical_json(self, document: SqlExpression, path: Path) -> SqlText:
        """Extract a member as JSON text that is the same for equal values."""

    def json_type(
        self, document: SqlExpression, path: Path
    ) -> sa.ColumnElement[str | None]:
        """Return the JSON type of a member: object, array, string, number, boolean."""

    def is_integer(self, document: SqlExpression, path: Path) -> SqlCondition:
        """Test whether a member that is a number is written without a fraction."""

    def contains(self, text: SqlExpression, part: SqlExpression) -> SqlCondition:
        """Test whether text contains other text."""

    def startswith(self, text: SqlExpression, part: SqlExpression) -> SqlCondition:
        """Test whether text begins with other text."""

    def endswith(self, text: SqlExpression, part: SqlExpression) -> SqlCondition:
        """Test whether text ends with other text."""

    def fold(self, text: SqlExpression) -> SqlText:
        """Fold the case of text as ``domain/case_folding`` does."""

    def comparable(self, field_type: FieldType, value: SqlExpression) -> SqlExpression:
        """Return what is compared of a value, as ``domain/field_types`` has it."""

    def calculate(
        self, operation: str, left: SqlExpression, right: SqlExpression
    ) -> SqlExpression:
        """Calculate with two integers or two doubles as ``domain/calculation`` does."""

    def list_length(self, document: SqlExpression, path: Path) -> sa.ColumnElement[int]:
        """Count the elements of a list; NULL if the member is not a list."""

    def has_element(
        self, document: SqlExpression, path: Path, test: ElementTest
    ) -> SqlCondition:
        """Test whether an element of a list passes ``test``; false if there is none.

        ``test`` gets the JSON type of an element, and a function that returns its value
        as a given type.
        """


def dialect_of(url: str) -> Dialect:
    """Return the dialect of a database URL.

    Raises ``ValueError`` for an unknown scheme, for a URL that cannot be read, and for
    SQLite without a file: there each connection would see its own database. The
    error quotes nothing of the URL but its scheme. Raises ``ModuleNotFoundError`` if
    the driver is not installed.
    """
    scheme, _, location = url.partition("://")
    match scheme.partition("+")[0]:
        case "sqlite":
            from persist.storage.dialect.sqlite import Sqlite

            return Sqlite(_sqlite_file(url))
        case "postgresql" | "postgres":
            from persist.storage.dialect.postgresql import PostgreSQL

            return PostgreSQL(f"postgresql://{location}")
    # Text that is not the name of a scheme may be a password.
    kind = repr(scheme) if SCHEME.fullmatch(scheme) else "of this URL"
    raise ValueError(
        f"the database {kind} is unknown; use sqlite:///file or postgresql://…"
    )


def _sqlite_file(url: str) -> FilePath:
    try:
        parsed = make_url(url)
    except (ValueError, sa.exc.ArgumentError):
        raise ValueError(
            "the URL cannot be read; write SQLite's as sqlite:///persist.db"
        ) from None
    file = parsed.database
    if parsed.host or file in (None, "", ":memory:"):
        raise ValueError("SQLite needs a file here; write it as sqlite:///persist.db")
    return FilePath(str(file))
