"""SQLite in one file, in WAL mode. A commit is on the disk before it is answered."""

import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path as FilePath
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from persist.storage.dialect import (
    BackupFailed,
    Checkpoint,
    CommitOutcome,
    Failure,
)
from persist.storage.dialect.sqlite_functions import create_functions
from persist.storage.dialect.sqlite_sql import SqliteSql
from persist.storage.dialect.turnstile import Turnstile, locked
from persist.storage.operation.durable_files import rename_durably
from persist.storage.sql import (
    Connection,
    Cursor,
)

BUSY_SECONDS = 5.0
"""Seconds that a statement waits for another process's lock."""

MIGRATION_BUSY_MS = 600_000
"""Milliseconds that DDL waits while another process migrates."""

CACHE_KIB = 8_192
"""Page cache of all connections but those of ``LARGE_CACHE_KIB``."""

LARGE_CACHE_KIB = 65_536
"""Memory for pages of the writers, and of the reader on the event loop.

The transaction that stores what is staged changes pages all over several indexes.
"""

MMAP_BYTES = 268_435_456
"""Bytes of the database that a connection maps into memory."""

FULL_DISK_BYTES = 1_048_576
"""Free bytes below which a disk counts as full."""

WAL_BYTES = 67_108_864
"""Bytes from which the write-ahead log is shortened."""

CHECKPOINT_PAGES = 1_000
"""Pages of the write-ahead log from which the writer's commits copy it."""

CHECKPOINT_BUSY_MS = 200
"""Milliseconds that a checkpoint waits for readers, while writers wait for it."""

SAFE_VERSION = (3, 51, 3)
"""The first version without the bug by which two processes may damage the log."""

POLL_SECONDS = 0.1
"""Seconds between two looks for what other processes have committed."""

CREATED_NAME = re.compile(r'(CREATE (?:TABLE|(?:UNIQUE )?INDEX) )(?:"[^"]+"|\w+)')
"""The name in the statement that created a table or an index, as SQLite keeps it."""

SYNC_FAILURES = (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)
"""Errors of a COMMIT whose data has been written, but perhaps not to the disk."""


# The driver asks every value of a type without an adapter for two methods that it does
# not have, which takes longer than to store it. Each of these returns its value as it
# is; functions of Python would take twice the time.
sqlite3.register_adapter(bool, bool)
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), dict[None, None]().get)  # which has nothing


class Sqlite(SqliteSql):
    """The dialect of SQLite."""

    name = "sqlite"
    buffers_rows = False
    # IMMEDIATE takes the lock at once. A transaction that reads first and then wants to
    # write fails if another has written meanwhile, whatever it waits.
    begin_write = "BEGIN IMMEDIATE"
    begin_group = "BEGIN IMMEDIATE"
    begin_exclusive = "BEGIN IMMEDIATE"
    session_exclusive = ("", "")
    begin_unshared = "BEGIN IMMEDIATE"
    prepare_long = f"PRAGMA cache_size=-{LARGE_CACHE_KIB}"  # the turn is marked
    prepare_migration = prepare_long
    index_names = "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ?"
    table_names = "SELECT name FROM sqlite_master WHERE type = 'table'"
    # SQLite would change views and triggers with the name that they mention.
    attached_objects = (
        "SELECT name FROM sqlite_master"
        " WHERE type IN ('view', 'trigger') AND instr(lower(sql), ?)"
    )
    begin_read = "BEGIN"

    def __init__(self, file: FilePath) -> None:
        self.address = f"sqlite:///{file}"
        self.path = str(file.absolute())
        self._given = file
        self._sqlalchemy = sqlite.dialect(paramstyle="qmark")
        self._turnstile = Turnstile(FilePath(self.path))
        self._sync_failed = False

    # Connections

    def connect(self) -> Connection:
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        _create_private(FilePath(self.path))
        connection = sqlite3.connect(
            self.path,
            # Autocommit: the service begins its transactions itself.
            isolation_level=None,
            # A connection is opened in one thread, and closed or cancelled in another.
            check_same_thread=False,
            # Those of many collections and forms of query; the default is 128.
            cached_statements=512,
            timeout=BUSY_SECONDS,
        )
        connection.execute("PRAGMA journal_mode=WAL")
        # NORMAL would not sync each commit of a write-ahead log.
        connection.execute("PRAGMA synchronous=FULL")
        _allow_cache(connection, CACHE_KIB)
        connection.execute(f"PRAGMA mmap_size={MMAP_BYTES}")
        connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
        create_functions(connection)
        return connection

    def connect_staging(self) -> Connection:
        connection = self._connect()
        # What is staged may be large; some builds would have it in memory.
        connection.execute("PRAGMA temp_store=FILE")
        # Others need not wait until a large commit is copied into the database.
        connection.execute("PRAGMA wal_autocheckpoint=0")
        return connection

    def connect_writer(self) -> Connection:
        connection = self._connect()
        _allow_cache(connection, LARGE_CACHE_KIB)
        # Before anything else is written: see ``commit_outcome``.
        if self._sync_failed:
            try:
                _overwrite_unsynced(connection)
            except BaseException:
                connection.close()
                raise
            self._sync_failed = False
        return connection

    def turn(self, *, is_long: bool = False) -> AbstractContextManager[None]:
        return self._turnstile.long_turn() if is_long else self._turnstile

    def long_operation_runs(self, connection: Connection) -> bool:
        return self._turnstile.long_turn_runs()

    def cancel(self, connection: Connection) -> None:
        cast(sqlite3.Connection, connection).interrupt()

    def open_inline_reader(self) -> Connection | None:
        connection = self._connect()
        _allow_cache(connection, LARGE_CACHE_KIB)
        return connection

    def open_listener(self) -> Connection:
        return self.connect()

    def wait_for_commits(self, connection: Connection) -> None:
        # SQLite notifies nobody when another process has written to the file.
        time.sleep(POLL_SECONDS)

    def migration_turn(self) -> AbstractContextManager[None]:
        return locked(self._lock_file("migration"))

    def building_turn(self) -> AbstractContextManager[None]:
        return locked(self._lock_file("building"), shared=True)

    @contextmanager
    def sweeping_turn(self) -> Iterator[bool]:
        try:
            with locked(self._lock_file("building"), wait=False):
                yield True
        except BlockingIOError:
            yield False

    def _lock_file(self, suffix: str) -> FilePath:
        """Return the path of a lock file."""
        path = FilePath(self.path)
        return path.with_name(f"{path.name}-{suffix}")

    def engine(self, connection: Connection | None = None) -> sa.Engine:
        def connect() -> Any:
            return connection or self._connect_for_migration()

        return sa.create_engine("sqlite://", creator=connect, poolclass=sa.NullPool)

    def _connect_for_migration(self) -> sqlite3.Connection:
        connection = self._connect()
        # A start that migrates may take minutes, and others wait for it rather than
        # fail.
        connection.execute(f"PRAGMA busy_timeout={MIGRATION_BUSY_MS}")
        return connection

    def function_statements(self) -> list[str]:
        return []  # each connection has them

    def stream_cursor(self, connection: Connection) -> Cursor:
        return connection.cursor()

    def read_any_text(self, connection: Connection) -> None:
        decode = partial(str, encoding="utf-8", errors="surrogateescape")
        cast(sqlite3.Connection, connection).text_factory = decode

    def in_transaction(self, connection: Connection) -> bool:
        return cast(sqlite3.Connection, connection).in_transaction

    def lock_table(self, cursor: Cursor, table: str) -> None:
        pass  # the transaction has locked the whole file

    def create_empty_copy(self, cursor: Cursor, table: str, name: str) -> None:
        found = cursor.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)
        ).fetchall()
        cursor.execute(CREATED_NAME.sub(rf"\g<1>{name}", found[0][0], count=1))

    def rename_index(self, cursor: Cursor, name: str, new_name: str) -> None:
        found = cursor.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?", (name,)
        ).fetchall()
        renamed = CREATED_NAME.sub(rf'\g<1>"{new_name}"', found[0][0], count=1)
        # SQLite has no statement for it. It reads the schema again when the table is
        # renamed.
        cursor.execute("PRAGMA writable_schema=ON")
        try:
            cursor.execute(
                "UPDATE sqlite_master SET name = ?, sql = ?"
                " WHERE type = 'index' AND name = ?",
                (new_name, renamed, name),
            )
        finally:
            cursor.execute("PRAGMA writable_schema=OFF")

    def wait_for_reads(self, connection: Connection, seconds: float) -> bool:
        return True  # what a reader sees of the tables is as old as their rows

    # The database as a whole

    def exists(self) -> bool:
        return FilePath(self.path).exists()

    def fault(self) -> str | None:
        if not self.exists():
            return "the database file does not exist"
        free = shutil.disk_usage(FilePath(self.path).parent).free
        return "the disk of the database is full" if free < FULL_DISK_BYTES else None

    def checkpoint(self) -> Checkpoint | None:
        wal = FilePath(f"{self.path}-wal")
        with closing(self._connect()) as connection:
            connection.execute(f"PRAGMA busy_timeout={CHECKPOINT_BUSY_MS}")
            # Writers go on meanwhile, and wait only until the rest is copied.
            _checkpoint(connection, "PASSIVE")
            # Copying all of the log waits for readers, and writers wait for that: it
            # is done only to shorten a log that readers have let grow.
            mode = "TRUNCATE" if _size(wal) > WAL_BYTES else "PASSIVE"
            with self.turn():
                _checkpoint(connection, mode)
            return Checkpoint(_size(wal))

    def let_log_grow(self, writer: Connection) -> None:
        # The writer may close the connection meanwhile.
        with suppress(sqlite3.ProgrammingError):
            writer.execute("PRAGMA wal_autocheckpoint=0")

    def limit_log(self, writer: Connection) -> None:
        # The writer may have opened another connection meanwhile.
        with suppress(sqlite3.ProgrammingError):
            writer.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")

    def safety_warnings(self, workers: int) -> list[str]:
        warnings = []
        if not self._given.is_absolute():
            warnings.append(
                f"{self._given} is relative: started elsewhere, the service is on"
                " another database"
            )
        if workers > 1 and sqlite3.sqlite_version_info < SAFE_VERSION:
            warnings.append(
                f"SQLite {sqlite3.sqlite_version} has a bug by which several processes"
                " that write to one file may, very rarely, damage it: use 3.51.3 or"
                " later, or one worker"
            )
        file = FilePath(self.path)
        if file.stat().st_mode & 0o004 and file.parent.stat().st_mode & 0o001:
            warnings.append(
                f"every user of this machine can read {self.path} and its -wal:"
                " chmod 640"
            )
        return warnings

    def back_up(self, file: FilePath) -> int:
        if file.exists():
            raise BackupFailed(f"{file} exists already")
        if not self.exists():
            raise BackupFailed(f"there is no {self.path}")
        # A copy that was cut short must not look like a backup.
        part = file.with_name(f"{file.name}.part")
        if not file.parent.is_dir():
            raise BackupFailed(f"there is no folder {file.parent}; create it first")
        part.unlink(missing_ok=True)
        _create_private(part)
        try:
            seq = self._copy_to(part)
            rename_durably(part, file)
        finally:
            part.unlink(missing_ok=True)
        return seq

    def _copy_to(self, part: FilePath) -> int:
        with (
            closing(self._connect()) as source,
            closing(_opened_copy(part)) as target,
        ):
            _copy(source, target, part)
            # A damaged page is copied as it is.
            found = target.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise BackupFailed(
                    f"the copy, as the database itself, is damaged: {found}"
                )
            return int(target.execute("SELECT seq FROM journal_head").fetchone()[0])

    # Errors

    def is_driver_error(self, error: BaseException) -> bool:
        return isinstance(error, sqlite3.Error)

    def was_interrupted(self, error: BaseException) -> bool:
        return (
            isinstance(error, sqlite3.OperationalError) and str(error) == "interrupted"
        )

    def failure(self, error: BaseException) -> Failure:
        message = str(error)
        if isinstance(error, sqlite3.IntegrityError):
            unique = "UNIQUE constraint failed" in message
            return Failure.UNIQUE if unique else Failure.BUG
        if isinstance(error, sqlite3.ProgrammingError):
            return Failure.BUG
        if not isinstance(error, sqlite3.DatabaseError):
            return Failure.BUG
        # Another release has changed the tables since this process prepared its
        # statements.
        if message.startswith(("no such table", "no such column", "table ")):
            return Failure.STALE
        return Failure.BUSY if message == "database is locked" else Failure.UNAVAILABLE

    def commit_outcome(
        self,
        error: Exception,
        last_seq: int,
        transaction_id: str | None,
        until: float,
    ) -> CommitOutcome:
        if getattr(error, "sqlite_errorcode", None) not in SYNC_FAILURES:
            return CommitOutcome.NOT_STORED
        # The frames are in the WAL. A crash would bring them back as a commit, until
        # others have been written over them.
        self._sync_failed = True
        with closing(self.connect_writer()) as connection:
            head = connection.execute("SELECT seq FROM journal_head").fetchall()[0][0]
        # Only one process writes at a time, and the turn has not ended: nobody else has
        # taken these numbers.
        if last_seq and head >= last_seq:
            return CommitOutcome.STORED
        return CommitOutcome.NOT_STORED

    def violated_constraint(self, error: BaseException) -> str:
        return str(error).partition("failed: ")[2]

    def describe(self, error: BaseException) -> str:
        # None of SQLite's sentences contains the name of a file.
        return str(error)


def _allow_cache(connection: sqlite3.Connection, kibibytes: int) -> None:
    """Have a connection use that much memory for pages."""
    connection.execute(f"PRAGMA cache_size=-{kibibytes}")


def _checkpoint(connection: sqlite3.Connection, mode: str) -> None:
    connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()


def _size(file: FilePath) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _overwrite_unsynced(connection: sqlite3.Connection) -> None:
    """Commit something over the frames of a commit that was not synced.

    SQLite writes no page that stays the same, so it is a number that nothing else uses.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA user_version = {1 - version % 2}")
    connection.execute("COMMIT")


def _create_private(file: FilePath) -> None:
    """Create a file that only its owner can read, unless it exists.

    SQLite gives the files next to a database the permissions of the database.
    """
    if not file.exists():
        # Another process may be faster. A missing folder is SQLite's to report.
        with suppress(FileExistsError, FileNotFoundError):
            os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))


def _opened_copy(file: FilePath) -> sqlite3.Connection:
    try:
        return sqlite3.connect(file)
    except sqlite3.Error as error:
        raise BackupFailed(f"{file} cannot be written: {error}") from None


def _copy(
    source: sqlite3.Connection,
    target: sqlite3.Connection,
    file: FilePath,
) -> None:
    try:
        source.backup(target)
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise BackupFailed(f"{file} cannot be written: {error}") from None
        raise
