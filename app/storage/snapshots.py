"""Snapshots: taken from one pinned read, kept in pieces, streamed out and in.

The pieces are written as ordinary batches, so writers are not held up; the snapshot's own row
comes last, so it is whole or not there.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa

from app.domain.entity_type import Kind
from app.domain.errors import InvalidSnapshot, SnapshotNotFound
from app.domain.identity import new_id
from app.domain.snapshot import (
    FORMAT_VERSION,
    Inspection,
    Manifest,
    end_line,
    head_line,
    lines_of,
    record_line,
)
from app.storage.catalog import Catalog
from app.storage.definitions import Definitions
from app.storage.dialect import Cursor, Dialect, Statement
from app.storage.layout import Layout
from app.storage.records import BATCH
from app.storage.tables import JOURNAL_HEAD, SNAPSHOT_PIECES, SNAPSHOTS
from app.storage.unit_of_work import Statements, now

logger = logging.getLogger(__name__)

PIECE = 262_144
"""Characters of a piece, roughly."""

Write = Callable[[Callable[[Cursor], Any]], Any]
"""Runs something in a write transaction of its own and waits for it."""


@dataclass(frozen=True)
class SnapshotStatements:
    """The statements of snapshots, written once for a dialect."""

    seq: Statement
    heads: Statement
    head: Statement
    piece: Statement
    delete: Statement
    delete_pieces: Statement
    orphans: Statement
    insert: Callable[[Cursor, Sequence[Any]], Any]
    insert_piece: Callable[[Cursor, Sequence[Any]], Any]


def snapshot_statements(dialect: Dialect) -> SnapshotStatements:
    """Write the statements of snapshots."""
    of_id = SNAPSHOTS.c.id == sa.bindparam("snapshot_id")
    pieces = SNAPSHOT_PIECES.c
    piece = sa.select(pieces.content).where(pieces.snapshot == sa.bindparam("snapshot_id"))
    known = sa.select(SNAPSHOTS.c.id)
    return SnapshotStatements(
        seq=dialect.compile(sa.select(JOURNAL_HEAD.c.seq)),
        heads=dialect.compile(sa.select(SNAPSHOTS.c.head).order_by(SNAPSHOTS.c.id.desc())),
        head=dialect.compile(sa.select(SNAPSHOTS.c.head, SNAPSHOTS.c.pieces).where(of_id)),
        piece=dialect.compile(
            piece.where(pieces.number == sa.bindparam("piece_number", type_=sa.BigInteger()))
        ),
        delete=dialect.compile(sa.delete(SNAPSHOTS).where(of_id)),
        delete_pieces=dialect.compile(
            sa.delete(SNAPSHOT_PIECES).where(pieces.snapshot == sa.bindparam("snapshot_id"))
        ),
        orphans=dialect.compile(
            sa.delete(SNAPSHOT_PIECES).where(
                pieces.snapshot < sa.bindparam("before"), pieces.snapshot.not_in(known)
            )
        ),
        insert=dialect.inserter(SNAPSHOTS),
        insert_piece=dialect.inserter(SNAPSHOT_PIECES),
    )


@dataclass(frozen=True)
class Selection:
    """What a snapshot holds: collections (None: all of them) in workspaces."""

    collections: tuple[str, ...] | None
    workspaces: tuple[str, ...] = ("",)


class Snapshots:
    """The snapshots of a database. Every method may take long: call it in a thread."""

    def __init__(self, dialect: Dialect, catalog: Catalog, statements: Statements, write: Write) -> None:
        self._dialect = dialect
        self._catalog = catalog
        self._definitions = statements.definitions
        self._statements = snapshot_statements(dialect)
        self._write = write

    def take(
        self, selection: Selection, *, mode: str, note: str, automatic: bool = False, dry_run: bool = False
    ) -> Manifest:
        """Take a snapshot of one moment of the journal; a dry run keeps nothing of it."""
        told = {"format_version": FORMAT_VERSION, "mode": mode, "note": note, "automatic": automatic}
        with self._reading() as cursor:
            definitions = Definitions(self._definitions, cursor)
            self._catalog.refresh(definitions)
            layouts = self._catalog.layouts
            places = [(w, n) for w in selection.workspaces for n in sorted(selection.collections or layouts)]
            seq = self._run(cursor, self._statements.seq).fetchall()[0][0]
            id, at = new_id(), now()
            store = _Store(self, id, dry_run=dry_run)
            counts = dict.fromkeys(places, 0)
            if mode == "with_data":
                counts = {(w, n): self._copy(cursor, layouts[n], w, store) for w, n in places}
            entries = [self._entry(definitions, layouts[n], w, counts[w, n]) for w, n in places]
        manifest: Manifest = {
            "id": id,
            **told,
            "created_at": at,
            "seq": seq,
            "records": sum(counts.values()),
            "sha256": store.close(),
            "collections": entries,
        }
        if not dry_run:
            self._keep(id, head_line(manifest), store.pieces)
        return manifest

    def take_automatically(self, collections: Iterable[str], keep: int) -> None:
        """Take a snapshot of each collection; of those taken so, only the newest ``keep`` stay."""
        for name in collections:
            try:
                self.take(Selection((name,)), mode="with_data", note="", automatic=True)
                for manifest in self._automatic(name)[keep:]:
                    self.delete(manifest["id"])
            except Exception:
                logger.exception("the automatic snapshot of %s was not taken", name)

    def _automatic(self, name: str) -> list[Manifest]:
        """The automatic snapshots of a collection, the newest first."""
        taken = [manifest for manifest in self.manifests() if manifest["automatic"]]
        return [
            manifest for manifest in taken if [held["name"] for held in manifest["collections"]] == [name]
        ]

    def _copy(self, cursor: Cursor, layout: Layout, workspace: str, store: "_Store") -> int:
        count = 0
        for row in _rows(self._dialect, layout, workspace, cursor):
            store.add(record_line(layout.type.name, workspace, row, json.loads(row[5])))
            count += 1
        return count

    def _entry(self, definitions: Definitions, layout: Layout, workspace: str, count: int) -> dict[str, Any]:
        type = layout.type
        told = definitions.versions(type.name) if type.kind is Kind.REGISTERED else []
        return {
            "workspace": workspace or None,
            "name": type.name,
            "kind": type.kind.value,
            "schema_version": type.schema_version,
            "count": count,
            "definitions": [
                {"schema_version": version.schema_version, **version.definition} for version in told
            ],
        }

    def put(self, lines: Callable[[], Iterable[bytes]], *, dry_run: bool = False) -> tuple[Manifest, bool]:
        """Keep a content that was uploaded, under its own id; also tells whether it is new. The
        lines are gone through twice: checked, then stored.

        Raises ``InvalidSnapshot``; nothing is left of what is refused.
        """
        inspection = Inspection()
        for line in lines():
            inspection.read(line)
        inspection.finish()
        manifest = inspection.manifest
        id, records = manifest["id"], manifest["records"]
        if (known := self._known(id)) is not None:
            if inspection.end is None or known != inspection.end["sha256"]:
                raise InvalidSnapshot(f"a snapshot {id} with another content is here already")
            return manifest, False
        if dry_run:
            return manifest, True
        store, again = _Store(self, id), iter(lines())
        head = next(again).decode()
        for line in islice(again, records):
            store.add(line.decode())
        store.close()
        self._keep(id, head, store.pieces)
        return manifest, True

    def _known(self, id: str) -> str | None:
        """The closing hash of a snapshot that is here."""
        try:
            *_, last = self.content(id)
        except SnapshotNotFound:
            return None
        sha256: str = json.loads(last)["end"]["sha256"]
        return sha256

    def content(self, id: str) -> Iterator[bytes]:
        """The content in pieces. Raises ``SnapshotNotFound`` at the first one."""
        with self._reading() as cursor:
            head, count = self._head(cursor, id)
            digest = hashlib.sha256(head.encode())
            yield head.encode()
            for number in range(count):
                rows = self._run(
                    cursor, self._statements.piece, snapshot_id=id, piece_number=number
                ).fetchall()
                piece = rows[0][0].encode() if rows else b""
                digest.update(piece)
                yield piece
            yield end_line(json.loads(head)["manifest"]["records"], digest.hexdigest()).encode()

    def verify(self, id: str) -> dict[str, Any]:
        """``{"ok": true, "records": n}``, or what is wrong."""
        inspection = Inspection()
        try:
            for line in lines_of(self.content(id)):
                inspection.read(line)
            inspection.finish()
        except InvalidSnapshot as error:
            return {"ok": False, "detail": error.detail}
        return {"ok": True, "records": inspection.manifest["records"]}

    def manifests(self) -> list[Manifest]:
        """Every manifest, the newest first."""
        with self._reading() as cursor:
            return [
                json.loads(row[0])["manifest"] for row in self._run(cursor, self._statements.heads).fetchall()
            ]

    def manifest(self, id: str) -> Manifest:
        """One manifest. Raises ``SnapshotNotFound``."""
        with self._reading() as cursor:
            manifest: Manifest = json.loads(self._head(cursor, id)[0])["manifest"]
            return manifest

    def delete(self, id: str) -> None:
        """Delete a snapshot. Raises ``SnapshotNotFound``."""
        self.manifest(id)

        def gone(cursor: Cursor) -> None:
            self._run(cursor, self._statements.delete, snapshot_id=id)
            self._run(cursor, self._statements.delete_pieces, snapshot_id=id)

        self._write(gone)

    def sweep(self, before: str) -> None:
        """Delete the pieces of snapshots begun before an id and never done."""
        self._write(lambda cursor: self._run(cursor, self._statements.orphans, before=before))

    def keep_piece(self, id: str, number: int, content: str) -> None:
        """Store a piece."""
        self._write(lambda cursor: self._statements.insert_piece(cursor, [(id, number, content)]))

    def _keep(self, id: str, head: str, pieces: int) -> None:
        self._write(lambda cursor: self._statements.insert(cursor, [(id, head, pieces)]))

    def _head(self, cursor: Cursor, id: str) -> tuple[str, int]:
        rows = self._run(cursor, self._statements.head, snapshot_id=id).fetchall()
        if not rows:
            raise SnapshotNotFound(f"there is no snapshot {id[:80]!r}; GET /snapshots lists them")
        return rows[0][0], rows[0][1]

    def _reading(self) -> "_Pinned":
        return _Pinned(self._dialect)

    def _run(self, cursor: Cursor, statement: Statement, **values: Any) -> Any:
        return cursor.execute(statement.text, statement.arguments(values))


class _Pinned:
    """A read transaction on a connection of its own."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def __enter__(self) -> Cursor:
        self._connection = self._dialect.connect()
        cursor = self._connection.cursor()
        cursor.execute(self._dialect.begin_read)
        return cursor

    def __exit__(self, *error: object) -> None:
        self._connection.close()


class _Store:
    """Lines on their way into the pieces of a snapshot."""

    def __init__(self, snapshots: Snapshots, id: str, *, dry_run: bool = False) -> None:
        self.pieces = 0
        self._dry_run = dry_run
        self._snapshots = snapshots
        self._id = id
        self._lines: list[str] = []
        self._size = 0
        self._digest = hashlib.sha256()

    def add(self, line: str) -> None:
        """Take a line with its end."""
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
            self._snapshots.keep_piece(self._id, self.pieces, content)
        self.pieces, self._lines, self._size = self.pieces + 1, [], 0


def _rows(dialect: Dialect, layout: Layout, workspace: str, cursor: Cursor) -> Iterator[Any]:
    """The rows of one workspace by id; the transaction stays where it is, so pieces will do."""
    table = layout.table
    limited = (
        sa.select(*layout.selected)
        .where(table.c.workspace == sa.bindparam("workspace"), table.c.id > sa.bindparam("after"))
        .order_by(table.c.id)
        .limit(sa.literal_column(str(BATCH)))
    )
    statement, after = dialect.compile(limited), ""
    while rows := cursor.execute(
        statement.text, statement.arguments({"workspace": workspace, "after": after})
    ).fetchall():
        yield from rows
        after = rows[-1][0]
