"""Snapshot chunks: how the content of snapshots is stored.

The record lines are written in ordinary batches, so other writers do not wait. The
snapshot's own row comes last: a snapshot is complete or does not exist.
"""

import hashlib
from functools import partial
from types import TracebackType

import sqlalchemy as sa

from persist.domain.errors import TooLarge, Unavailable
from persist.domain.identifiers import new_id
from persist.domain.snapshot import (
    MAX_LINE_BYTES,
    MAX_LINE_VALUES,
    Manifest,
    has_too_many_values,
    head_line,
)
from persist.storage.dialect import Dialect
from persist.storage.reads.read_error import read_error
from persist.storage.sql import (
    Connection,
    Inserter,
    Row,
    Session,
    Statement,
    big_integer,
)
from persist.storage.tables import (
    SNAPSHOT_CHUNKS,
    SNAPSHOT_CONTENTS,
    SNAPSHOTS,
)
from persist.storage.writes.unit_of_work import RunInTransaction

CHUNK_CHARACTERS = 262_144
"""Characters of record lines after which a chunk ends."""

_OF_ID = SNAPSHOTS.c.id == sa.bindparam("snapshot_id")
_OF_STORE = SNAPSHOT_CHUNKS.c.store == sa.bindparam("of_store")
PARTS = (SNAPSHOT_CHUNKS, SNAPSHOT_CONTENTS)
"""The tables that have a snapshot's rows by its store."""

CONTENTS_ROWS = 1_000
"""Rows of what a snapshot contains that one transaction adds."""

INSERT_SNAPSHOTS = Inserter(SNAPSHOTS)
INSERT_CHUNKS = Inserter(SNAPSHOT_CHUNKS)
INSERT_CONTENTS = Inserter(SNAPSHOT_CONTENTS)


HEAD = Statement(
    sa.select(
        SNAPSHOTS.c.head, SNAPSHOTS.c.head_sha256, SNAPSHOTS.c.store, SNAPSHOTS.c.chunks
    ).where(_OF_ID)
)
"""Select the row of one snapshot."""

CHUNK = Statement(
    sa.select(SNAPSHOT_CHUNKS.c.content).where(
        _OF_STORE, SNAPSHOT_CHUNKS.c.number == big_integer("chunk_number")
    )
)
"""Select one chunk of a store."""

COUNT_ROWS = Statement(
    sa.select(
        *(
            sa.select(sa.func.count())
            .select_from(part)
            .where(part.c.store == sa.bindparam("of_store"))
            .scalar_subquery()
            for part in PARTS
        )
    )
)
"""Count the rows of a store in each of its tables."""

DELETE_SNAPSHOT = Statement(sa.delete(SNAPSHOTS).where(_OF_ID))
"""Delete the row of a snapshot; its chunks stay."""


def _unused(part: sa.Table) -> sa.Delete:
    return sa.delete(part).where(part.c.store.not_in(sa.select(SNAPSHOTS.c.store)))


DELETE_STORE = [
    Statement(_unused(part).where(part.c.store == sa.bindparam("of_store")))
    for part in PARTS
]
"""Delete the rows of a store that no snapshot uses."""

SWEEP = [
    Statement(_unused(part).where(part.c.store < sa.bindparam("before")))
    for part in PARTS
]
"""Delete the rows of snapshots that were begun before and never completed."""


class ReadTransaction:
    """A block that reads one moment on its own connection.

    Raises ``Unavailable``.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._connection: Connection | None = None

    def __enter__(self) -> Session[Dialect]:
        try:
            self._connection = self._dialect.connect()
            session = Session(self._dialect, self._connection.cursor())
            session.execute(self._dialect.begin_read)
        except Exception as error:
            self._close()
            raise read_error(self._dialect, error) from error
        return session

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
        if isinstance(error, Exception) and self._dialect.is_driver_error(error):
            raise read_error(self._dialect, error) from error

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class ChunkWriter:
    """Writes record lines into chunks under the name of a new store.

    ``complete`` makes them a snapshot, ``abandon`` deletes them.
    """

    def __init__(self, run: RunInTransaction, *, dry_run: bool = False) -> None:
        self.name = new_id()
        self._run = run
        self._dry_run = dry_run
        self._chunks = 0
        self._contents = 0
        self._lines: list[str] = []
        self._characters = 0
        self._digest = hashlib.sha256()

    def add(self, line: str) -> None:
        """Add a line with its end. Raises ``TooLarge``."""
        _check_length(line)
        self._lines.append(line)
        self._characters += len(line)
        if self._characters >= CHUNK_CHARACTERS:
            self._send()

    def close(self) -> str:
        """Write the waiting lines and return the SHA-256 of all lines."""
        if self._lines:
            self._send()
        return self._digest.hexdigest()

    def _send(self) -> None:
        content = "".join(self._lines)
        self._digest.update(content.encode())
        if not self._dry_run:
            row = (self.name, self._chunks, content)
            self._run(lambda session: session.insert(INSERT_CHUNKS, [row]))
        self._chunks += 1
        self._lines = []
        self._characters = 0

    def write_contents(self, manifest: Manifest) -> None:
        """Write which collections the snapshot contains."""
        rows = contents_rows(self.name, manifest)
        self._contents = len(rows)
        if self._dry_run:
            return
        for start in range(0, len(rows), CONTENTS_ROWS):
            some = rows[start : start + CONTENTS_ROWS]
            self._run(partial(Session.insert, inserter=INSERT_CONTENTS, rows=some))

    def complete(
        self, session: Session[Dialect], manifest: Manifest, head: str = ""
    ) -> bool:
        """Make the chunks a snapshot under its ``head`` line.

        Returns False if its id is taken. Raises ``TooLarge``, and ``Unavailable`` if a
        process that started meanwhile swept chunks away.
        """
        head = head or head_line(manifest)
        _check_length(head)
        if session.row(HEAD, snapshot_id=manifest["id"]) is not None:
            return False
        (counts,) = session.rows(COUNT_ROWS, of_store=self.name)
        if counts != (self._chunks, self._contents):
            raise Unavailable(
                "another process has just started and deleted the unfinished snapshot;"
                " try again"
            )
        row = (manifest["id"], head, head_sha256(head), self.name, self._chunks)
        session.insert(INSERT_SNAPSHOTS, [(*row, *summary(manifest))])
        return True

    def abandon(self) -> None:
        """Delete what was written unless it is a snapshot's."""
        if (self._chunks or self._contents) and not self._dry_run:
            self._run(lambda session: delete_store(session, self.name))


def contents_rows(store: str, manifest: Manifest) -> list[Row]:
    """Return the rows of ``SNAPSHOT_CONTENTS``."""
    entries = manifest["collections"]
    return [(store, entry["workspace"] or "", entry["name"]) for entry in entries]


def summary(manifest: Manifest) -> Row:
    """Return what the row of a snapshot repeats of its manifest."""
    return manifest["created_at"], manifest["seq"], int(manifest["automatic"])


def delete_store(session: Session[Dialect], store: str) -> None:
    """Delete the rows of a store unless a snapshot uses them."""
    for statement in DELETE_STORE:
        session.run(statement, of_store=store)


def head_sha256(head: str) -> str:
    """Return the hash that shows whether a first line is as it was stored."""
    return hashlib.sha256(head.encode()).hexdigest()


def _check_length(line: str) -> None:
    """Raise ``TooLarge`` for a line that could not be read again."""
    if len(line) * 4 <= MAX_LINE_VALUES:
        return
    content = line.encode()
    if len(content) > MAX_LINE_BYTES or has_too_many_values(content):
        raise TooLarge(
            f"a line of a snapshot may have {MAX_LINE_BYTES:,} bytes and"
            f" {MAX_LINE_VALUES:,} values: {line[:120]}…"
        )
