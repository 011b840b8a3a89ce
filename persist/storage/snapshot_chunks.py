"""Snapshot pieces: how the content of snapshots lies in the database.

The record lines are written as ordinary batches, so writers are not held up; the
snapshot's own row comes last, so it is whole or not there.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import sqlalchemy as sa

from persist.domain.errors import TooLarge, Unavailable
from persist.domain.identifiers import new_id
from persist.domain.snapshot import LONGEST, Manifest, head_line
from persist.storage.dialect import Dialect
from persist.storage.reader import refusal
from persist.storage.sql import Compiled, Connection, Cursor
from persist.storage.tables import JOURNAL_HEAD, SNAPSHOT_PIECES, SNAPSHOTS

PIECE = 262_144
"""Characters of a piece, roughly."""

Write = Callable[[Callable[[Cursor], Any]], Any]
"""Runs something in a write transaction of its own and waits for it."""


@dataclass(frozen=True)
class SnapshotStatements:
    """The statements of snapshots, written once for a dialect."""

    seq: Compiled
    heads: Compiled
    head: Compiled
    piece: Compiled
    pieces: Compiled
    delete: Compiled
    abandon: Compiled
    sweep: Compiled
    insert: Callable[[Cursor, Sequence[Any]], Any]
    insert_piece: Callable[[Cursor, Sequence[Any]], Any]


def snapshot_statements(dialect: Dialect) -> SnapshotStatements:
    """Write the statements of snapshots."""
    of_id = SNAPSHOTS.c.id == sa.bindparam("snapshot_id")
    store, number, content = (
        SNAPSHOT_PIECES.c.store,
        SNAPSHOT_PIECES.c.number,
        SNAPSHOT_PIECES.c.content,
    )
    of_store = store == sa.bindparam("of_store")
    nobodys = sa.delete(SNAPSHOT_PIECES).where(
        store.not_in(sa.select(SNAPSHOTS.c.store))
    )
    head = sa.select(
        SNAPSHOTS.c.head, SNAPSHOTS.c.head_sha256, SNAPSHOTS.c.store, SNAPSHOTS.c.pieces
    )
    numbered = number == sa.bindparam("piece_number", type_=sa.BigInteger())
    return SnapshotStatements(
        seq=dialect.compile(sa.select(JOURNAL_HEAD.c.seq)),
        heads=dialect.compile(
            sa.select(SNAPSHOTS.c.head).order_by(SNAPSHOTS.c.id.desc())
        ),
        head=dialect.compile(head.where(of_id)),
        piece=dialect.compile(sa.select(content).where(of_store, numbered)),
        pieces=dialect.compile(
            sa.select(sa.func.count()).select_from(SNAPSHOT_PIECES).where(of_store)
        ),
        delete=dialect.compile(sa.delete(SNAPSHOTS).where(of_id)),
        abandon=dialect.compile(nobodys.where(of_store)),
        sweep=dialect.compile(nobodys.where(store < sa.bindparam("before"))),
        insert=dialect.inserter(SNAPSHOTS),
        insert_piece=dialect.inserter(SNAPSHOT_PIECES),
    )


def run(cursor: Cursor, statement: Compiled, **values: Any) -> Any:
    """Execute a statement."""
    return cursor.execute(statement.text, statement.arguments(values))


class Pinned:
    """A read transaction on a connection of its own. Raises ``Unavailable``."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._connection: Connection | None = None

    def __enter__(self) -> Cursor:
        try:
            self._connection = self._dialect.connect()
            cursor = self._connection.cursor()
            cursor.execute(self._dialect.begin_read)
        except Exception as error:
            self._close()
            raise refusal(self._dialect, error) from error
        return cursor

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
        if isinstance(error, Exception) and self._dialect.is_driver_error(error):
            raise refusal(self._dialect, error) from error

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class Store:
    """Record lines on their way into pieces; ``keep`` makes them a snapshot,
    ``abandon`` nothing."""

    def __init__(
        self, statements: SnapshotStatements, write: Write, *, dry_run: bool = False
    ) -> None:
        self.name = new_id()
        self._statements = statements
        self._write = write
        self._dry_run = dry_run
        self._pieces = 0
        self._lines: list[str] = []
        self._size = 0
        self._digest = hashlib.sha256()

    def add(self, line: str) -> None:
        """Take a line with its end. Raises ``TooLarge`` for one that could not be read
        again."""
        _check_length(line)
        self._lines.append(line)
        self._size += len(line)
        if self._size >= PIECE:
            self._send()

    def close(self) -> str:
        """Send what is left; the hash of all lines."""
        if self._lines:
            self._send()
        return self._digest.hexdigest()

    def _send(self) -> None:
        content = "".join(self._lines)
        self._digest.update(content.encode())
        if not self._dry_run:
            row = (self.name, self._pieces, content)
            self._write(lambda cursor: self._statements.insert_piece(cursor, [row]))
        self._pieces, self._lines, self._size = self._pieces + 1, [], 0

    def keep(self, cursor: Cursor, manifest: Manifest, head: str = "") -> bool:
        """Make the pieces a snapshot under its ``head`` line; False where its id is
        taken. Raises ``Unavailable`` where a process that started in between swept
        pieces away, ``TooLarge``."""
        head = head or head_line(manifest)
        _check_length(head)
        if run(cursor, self._statements.head, snapshot_id=manifest["id"]).fetchall():
            return False
        if (
            run(cursor, self._statements.pieces, of_store=self.name).fetchall()[0][0]
            != self._pieces
        ):
            raise Unavailable(
                "another process has just started and swept the snapshot away; try"
                " again"
            )
        row = (manifest["id"], head, head_sha256(head), self.name, self._pieces)
        self._statements.insert(cursor, [row])
        return True

    def abandon(self) -> None:
        """Delete the pieces, unless they are a snapshot's."""
        if self._pieces and not self._dry_run:
            self._write(
                lambda cursor: run(cursor, self._statements.abandon, of_store=self.name)
            )


def head_sha256(head: str) -> str:
    """What shows that the first line is as it was when it was stored."""
    return hashlib.sha256(head.encode()).hexdigest()


def _check_length(line: str) -> None:
    if len(line) * 4 > LONGEST and len(line.encode()) > LONGEST:
        raise TooLarge(
            f"a line of a snapshot may have {LONGEST:,} bytes: {line[:120]}…"
        )
