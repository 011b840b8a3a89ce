"""PostgreSQL through psycopg: connections, locks and errors. Its SQL is in
``postgresql_sql``."""

import re
import time
from collections.abc import Iterator
from contextlib import (
    AbstractContextManager,
    closing,
    contextmanager,
    nullcontext,
    suppress,
)
from pathlib import Path as FilePath
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.types.json import JsonLoader
from psycopg.types.string import TextLoader
from sqlalchemy.dialects import postgresql

from persist.storage.dialect import (
    BackupFailed,
    Checkpoint,
    CommitOutcome,
    Failure,
)
from persist.storage.dialect.postgresql_functions import function_statements
from persist.storage.dialect.postgresql_sql import PostgreSQLSql
from persist.storage.dialect.postgresql_stream import StreamCursor
from persist.storage.sql import (
    Connection,
    Cursor,
    Row,
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

SESSION_SETTINGS = (
    # A backslash in a literal is one.
    "SET standard_conforming_strings = on;"
    # A double is read with all its digits.
    " SET extra_float_digits = 1;"
    # Definitions of columns and indexes are read as SQLAlchemy expects them.
    " SET quote_all_identifiers = off;"
    # A sort or a group of a hundred thousand records stays in memory.
    " SELECT set_config('work_mem', '16MB', false)"
    " WHERE pg_size_bytes(current_setting('work_mem')) < 16 * 1024 * 1024"
)
"""Settings of every session, which those of a database or a role would change."""

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

MIGRATION_IDLE_MS = 60_000
"""Milliseconds that functions of a plan may compute between two statements."""

GROUP_STATEMENT_MS = 4_500
"""Milliseconds that a statement of a group of short writes may take."""

POLL_SECONDS = 0.1
"""Seconds between two queries while waiting for a transaction."""

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
    (
        (
            errors.LockNotAvailable,
            # This process computed for seconds. The server is well.
            errors.IdleInTransactionSessionTimeout,
        ),
        Failure.BUSY,
    ),
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


MIGRATION_LOCK = 7_165_286
"""The advisory lock of the one process that migrates tables."""

BUILDING_LOCK = 7_165_287
"""The advisory lock that processes share while they fill tables for later use."""

LONG_LOCK = 7_165_285
"""The advisory lock by which others see that a long operation keeps them waiting."""

LONG_OPERATIONS = f"""
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND objid = {LONG_LOCK} AND database = (
        SELECT oid FROM pg_database WHERE datname = current_database()
    )
"""


ATTACHED_OBJECTS = """
    WITH the AS (SELECT to_regclass(%s) AS id)
    SELECT 1 FROM pg_trigger, the WHERE tgrelid = id
    UNION ALL
    SELECT 1 FROM pg_depend, the
    WHERE refclassid = 'pg_class'::regclass AND refobjid = id
        AND classid IN ('pg_rewrite'::regclass, 'pg_publication_rel'::regclass,
            'pg_policy'::regclass, 'pg_statistic_ext'::regclass)
    UNION ALL
    SELECT 1 FROM pg_constraint, the
    WHERE conrelid = id AND contype NOT IN ('p', 'n') OR confrelid = id
    UNION ALL
    SELECT 1 FROM pg_class, the
    WHERE oid = id AND (relacl IS NOT NULL OR reloptions IS NOT NULL OR relrowsecurity
        OR relreplident <> 'd')
    UNION ALL
    SELECT 1 FROM pg_inherits, the WHERE inhrelid = id OR inhparent = id
    UNION ALL
    SELECT 1 FROM pg_class, pg_depend, the
    WHERE oid = id AND refclassid = 'pg_namespace'::regclass AND refobjid = relnamespace
        AND classid = to_regclass('pg_catalog.pg_publication_namespace')
    UNION ALL
    SELECT 1 FROM pg_attribute, the WHERE attrelid = id AND attacl IS NOT NULL
    UNION ALL
    SELECT 1 FROM pg_publication WHERE puballtables
"""
"""Triggers, views, publications, policies, statistics, constraints, inheritance,
privileges and options of a table."""

OLDER_READS = """
    SELECT 1 FROM pg_stat_activity
    WHERE datname = current_database() AND pid != pg_backend_pid()
        AND coalesce(backend_type, 'client backend') = 'client backend'
        AND age(backend_xmin) > age(%s::xid)
        AND wait_event IS DISTINCT FROM 'advisory'
    LIMIT 1
"""
"""Select whether a transaction sees what was there before another one.

A process that waits for its turn to migrate has begun a statement, but reads nothing.
"""


class PostgreSQL(PostgreSQLSql):
    """The dialect of PostgreSQL. libpq reads the URL, which may name several hosts.

    Raises ``ValueError`` for a URL that libpq would misread.
    """

    name = "postgresql"
    buffers_rows = True
    begin_write = f"BEGIN; SELECT pg_advisory_xact_lock_shared({SCHEMA_LOCK})"
    begin_group = f"{begin_write}; SET LOCAL statement_timeout = {GROUP_STATEMENT_MS}"
    # A change of a table waits for its readers, and an export may take long.
    begin_exclusive = (
        f"BEGIN; SELECT pg_advisory_xact_lock({SCHEMA_LOCK});"
        " SET LOCAL lock_timeout = '5s'"
    )
    session_exclusive = (
        f"SELECT pg_advisory_lock({SCHEMA_LOCK})",
        f"SELECT pg_advisory_unlock({SCHEMA_LOCK})",
    )
    begin_unshared = "BEGIN"
    prepare_long = f"SELECT pg_advisory_xact_lock_shared({LONG_LOCK})"
    prepare_migration = (
        f"{prepare_long};"
        f" SET LOCAL idle_in_transaction_session_timeout = {MIGRATION_IDLE_MS}"
    )
    index_names = (
        "SELECT indexname FROM pg_indexes"
        " WHERE schemaname = current_schema() AND tablename = %s"
    )
    table_names = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    attached_objects = ATTACHED_OBJECTS
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

    def connect_staging(self) -> Connection:
        return self.connect_writer()

    def turn(self, *, is_long: bool = False) -> AbstractContextManager[None]:
        return nullcontext()  # PostgreSQL queues its writers by itself

    def long_operation_runs(self, connection: Connection) -> bool:
        found = connection.execute(LONG_OPERATIONS).fetchall()
        return bool(found)

    def cancel(self, connection: Connection) -> None:
        _psycopg(connection).cancel()

    def _connect(self) -> psycopg.Connection[Row]:
        connection = psycopg.connect(
            self._url, autocommit=True, client_encoding="utf8", **CONNECTION_OPTIONS
        )
        # SQL_ASCII would store bytes that are not text.
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            connection.close()
            raise psycopg.OperationalError(
                f"the database cannot store all text: its encoding is {encoding};"
                " create one with UTF8"
            )
        connection.execute(SESSION_SETTINGS)
        return connection

    def open_inline_reader(self) -> Connection | None:
        return None

    def open_listener(self) -> Connection:
        connection = self.connect()
        connection.execute("LISTEN persist_journal")
        return connection

    def wait_for_commits(self, connection: Connection) -> None:
        # With a timeout, because a listener that is cut off hears nothing.
        for _ in _psycopg(connection).notifies(timeout=1, stop_after=1):
            pass

    @contextmanager
    def migration_turn(self) -> Iterator[None]:
        with closing(self._connect()) as connection:
            connection.execute(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
            yield

    @contextmanager
    def building_turn(self) -> Iterator[None]:
        with closing(self._connect()) as connection:
            connection.execute(f"SELECT pg_advisory_lock_shared({BUILDING_LOCK})")
            try:
                yield
            finally:
                # The server notices a closed connection later than a sweep that follows
                # tries the lock.
                unlock = f"SELECT pg_advisory_unlock_shared({BUILDING_LOCK})"
                with suppress(psycopg.Error):
                    connection.execute(unlock)

    @contextmanager
    def sweeping_turn(self) -> Iterator[bool]:
        with closing(self._connect()) as connection:
            found = connection.execute(f"SELECT pg_try_advisory_lock({BUILDING_LOCK})")
            yield bool(found.fetchall()[0][0])

    def engine(self, connection: Connection | None = None) -> sa.Engine:
        def connect() -> Any:
            if connection is None:
                return self._connect()
            # SQLAlchemy's inspection expects JSON that is parsed.
            _psycopg(connection).adapters.register_loader("json", JsonLoader)
            return connection

        return sa.create_engine(
            "postgresql+psycopg://", creator=connect, poolclass=sa.NullPool
        )

    def function_statements(self) -> list[str]:
        return function_statements()

    def stream_cursor(self, connection: Connection) -> Cursor:
        return StreamCursor(_psycopg(connection))

    def read_any_text(self, connection: Connection) -> None:
        pass  # it stores nothing else

    def in_transaction(self, connection: Connection) -> bool:
        status = _psycopg(connection).info.transaction_status
        return status != TransactionStatus.IDLE

    def lock_table(self, cursor: Cursor, table: str) -> None:
        # A weaker lock lets others lock records first, which then wait for one another.
        cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")

    def create_empty_copy(self, cursor: Cursor, table: str, name: str) -> None:
        cursor.execute(
            f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL EXCLUDING INDEXES"
            " EXCLUDING STATISTICS, PRIMARY KEY (workspace, id))"
        )

    def rename_index(self, cursor: Cursor, name: str, new_name: str) -> None:
        cursor.execute(f'ALTER INDEX "{name}" RENAME TO "{new_name}"')

    def wait_for_reads(self, connection: Connection, seconds: float) -> bool:
        # They would find the table by its name, but not the rows that were stored since
        # they began.
        found = connection.execute("SELECT pg_current_xact_id()::xid::text").fetchall()
        until = time.monotonic() + seconds
        while connection.execute(OLDER_READS, found[0]).fetchall():
            if time.monotonic() > until:
                return False
            time.sleep(POLL_SECONDS)
            # A transaction would see the same sessions again.
            connection.execute("SELECT pg_stat_clear_snapshot()")
        return True

    # The database as a whole

    def exists(self) -> bool:
        return True  # connecting to a server creates no database

    def fault(self) -> str | None:
        return None

    def checkpoint(self) -> Checkpoint | None:
        return None

    def let_log_grow(self, writer: Connection) -> None:
        pass  # its checkpoints delay no commits

    def limit_log(self, writer: Connection) -> None:
        pass

    def safety_warnings(self, workers: int) -> list[str]:
        return []

    def back_up(self, file: FilePath) -> int:
        raise BackupFailed(
            "PostgreSQL has its own tools: pg_dump --format custom --file FILE URL"
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
        # It has no change in the journal, so nobody noted its id.
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
                time.sleep(POLL_SECONDS)
        return CommitOutcome.UNKNOWN

    def _connect_until(self, until: float) -> Connection:
        """Open a connection as soon as the server accepts one, and no later."""
        while True:
            try:
                connection = self.connect()
                # The server may accept connections and answer nothing.
                connection.execute(f"SET statement_timeout = {GROUP_STATEMENT_MS}")
                return connection
            except psycopg.OperationalError:
                if time.monotonic() >= until:
                    raise
                time.sleep(POLL_SECONDS)

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


def _psycopg(connection: Connection) -> psycopg.Connection[Row]:
    """Return the connection with all that psycopg adds to PEP 249."""
    return cast("psycopg.Connection[Row]", connection)


def _address_of(url: str) -> str:
    """Return a URL without its user, password and parameters.

    libpq quotes parts of a URL that it cannot read, and they may be a password.
    Raises ``ValueError`` instead, which quotes nothing.
    """
    # If a URL is not well-formed, libpq guesses, and may take a part of the password
    # for the host.
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
