"""Snapshots: taken from one consistent read, stored in chunks, streamed out and in."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import sqlalchemy as sa

from persist.domain.batch_size import BatchSize
from persist.domain.entity_type import Kind
from persist.domain.errors import InvalidSnapshot, SnapshotNotFound, Unavailable
from persist.domain.identifiers import is_canonical, new_id
from persist.domain.record import Json, parse_data
from persist.domain.snapshot import (
    FORMAT_VERSION,
    Inspection,
    KnownLines,
    Manifest,
    end_line,
    lines_of,
    manifest_text,
    record_line,
)
from persist.domain.workspace import DEFAULT
from persist.storage.clock import now
from persist.storage.dialect import Dialect
from persist.storage.entity_types.catalog import Catalog
from persist.storage.entity_types.definitions import Definitions
from persist.storage.journal.changes import LAST_SEQ
from persist.storage.journal.seals import LAST_SEAL, SealedHead
from persist.storage.layout import Layout
from persist.storage.queries.result_size import of_records
from persist.storage.snapshots.snapshot_chunks import (
    CHUNK,
    DELETE_SNAPSHOT,
    HEAD,
    SWEEP,
    ChunkWriter,
    ReadTransaction,
    delete_store,
    head_sha256,
)
from persist.storage.snapshots.snapshot_list import AUTOMATIC, CONTENTS
from persist.storage.sql import Compiled, Row, Session
from persist.storage.writes.records import BATCH_ROWS
from persist.storage.writes.unit_of_work import RunInTransaction

logger = logging.getLogger(__name__)

SCHEMA_ONLY = "schema_only"


@dataclass(frozen=True)
class Selection:
    """What a snapshot contains: a collection, a workspace, or everything."""

    collection: str | None = None
    workspace: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A snapshot whose chunks are stored.

    The caller always calls ``abandon`` in the end; it deletes nothing that was kept.
    """

    manifest: Manifest
    store: ChunkWriter
    head: str = ""

    def keep(self, session: Session[Dialect]) -> bool:
        """Make it visible; False if its id is taken. Raises ``Unavailable``."""
        return self.store.complete(session, self.manifest, self.head)


class Snapshots:
    """The snapshots of a database. Every method may take long: call it in a thread."""

    def __init__(
        self, dialect: Dialect, catalog: Catalog, run: RunInTransaction
    ) -> None:
        self._dialect = dialect
        self._catalog = catalog
        self._run = run

    def take(
        self,
        selection: Selection,
        *,
        mode: str,
        note: str,
        automatic: bool = False,
        dry_run: bool = False,
    ) -> Prepared:
        """Copy one moment of the journal; a dry run stores nothing of it.

        Raises ``CollectionNotFound``, ``Unavailable`` and ``TooLarge``.
        """
        store = ChunkWriter(self._run, dry_run=dry_run)
        described = {"mode": mode, "note": note, "automatic": automatic}
        try:
            with ReadTransaction(self._dialect) as session:
                manifest = self._manifest(session, selection, store, described)
            store.write_contents(manifest)
            return Prepared(manifest, store)
        except BaseException:
            store.abandon()
            raise

    def _manifest(
        self,
        session: Session[Dialect],
        selection: Selection,
        store: ChunkWriter,
        described: Json,
    ) -> Manifest:
        """Copy the records into the store and return the manifest."""
        # As of the moment that is copied.
        self._catalog.refresh(session)
        manifest = {
            "id": new_id(),
            "format_version": FORMAT_VERSION,
            "created_at": now(),
            "seq": session.value(LAST_SEQ),
            "seal": SealedHead(*session.rows(LAST_SEAL)[0]).hash or None,
            **described,
        }
        entries = []
        for workspace, layout in self._selected(selection):
            count = 0
            if described["mode"] != SCHEMA_ONLY:
                count = self._copy(session, layout, workspace, store)
            entries.append(self._entry(session, layout, workspace, count))
        return manifest | {
            "records": sum(entry["count"] for entry in entries),
            "sha256": store.close(),
            "collections": entries,
        }

    def _selected(self, selection: Selection) -> list[tuple[str, Layout]]:
        """Return workspaces and layouts in the order of the content.

        Raises ``NotFound``, and ``Unavailable`` for a table of a newer release.
        """
        if selection.workspace is not None:
            return self._within(selection.workspace, selection.collection)
        found: list[tuple[str, Layout]] = []
        # The order of the format: by workspace, collection and id.
        for workspace in sorted((DEFAULT, *self._catalog.workspaces)):
            found += [
                (workspace, layout)
                for _, layout in self._within(workspace)
                if selection.collection in (None, layout.type.name)
            ]
        return found

    def _within(
        self, workspace: str, collection: str | None = None
    ) -> list[tuple[str, Layout]]:
        names = [collection]
        if collection is None:
            names = [*self._catalog.names_in(workspace)]
        return [
            (workspace, self._catalog.get(name, workspace)) for name in names if name
        ]

    def _copy(
        self,
        session: Session[Dialect],
        layout: Layout,
        workspace: str,
        store: ChunkWriter,
    ) -> int:
        """Copy the records of a workspace and return how many there are."""
        count = 0
        name = layout.type.name
        for row in _rows(layout, workspace, session):
            store.add(record_line(name, workspace, row, parse_data(row[5])))
            count += 1
        return count

    def _entry(
        self, session: Session[Dialect], layout: Layout, workspace: str, count: int
    ) -> Json:
        """Return the manifest's entry of a collection in a workspace."""
        entity_type = layout.type
        definitions = []
        if entity_type.kind is Kind.REGISTERED:
            definitions = [
                {"schema_version": version.schema_version, **version.definition}
                for version in Definitions(session).versions(entity_type.name)
            ]
        return {
            "workspace": workspace or None,
            "name": entity_type.name,
            "kind": entity_type.kind.value,
            "schema_version": entity_type.schema_version,
            "count": count,
            "definitions": definitions,
        }

    def take_automatically(self, collections: Iterable[str], keep: int) -> None:
        """Take a snapshot of each collection and delete the oldest automatic ones.

        The newest ``keep`` of each collection stay.
        """
        for name in collections:
            try:
                self._take_automatically(name)
                for snapshot_id in self._automatic(name)[keep:]:
                    self.delete(snapshot_id)
            except Exception:
                logger.exception("the automatic snapshot of %s was not taken", name)

    def _take_automatically(self, name: str) -> None:
        taken = self.take(Selection(name), mode="with_data", note="", automatic=True)
        try:
            self._run(taken.keep)
        finally:
            taken.store.abandon()

    def _automatic(self, name: str) -> list[str]:
        """Return the ids of the automatic snapshots of a collection, the newest
        first."""
        with ReadTransaction(self._dialect) as session:
            rows = session.rows(AUTOMATIC, collection=name)
        return [snapshot_id for (snapshot_id,) in rows]

    def put(
        self,
        lines: Callable[[], Iterable[bytes]],
        check: Callable[[Manifest], None],
        *,
        dry_run: bool = False,
    ) -> tuple[Manifest, Prepared | None]:
        """Store an uploaded content, to be kept under its own id.

        Returns None in place of what is to be kept if the same content is stored
        already. The lines are read twice: checked, then stored. ``check`` may refuse.
        Raises ``InvalidSnapshot``; nothing is left of what is refused.
        """
        inspection = Inspection()
        for line in lines():
            inspection.read(line)
        closing = inspection.finish()
        manifest = inspection.manifest
        # Before the second reading: the caller may not be allowed to keep it.
        check(manifest)
        known = self._closing(manifest["id"])
        if known is None:
            return manifest, self._stored(manifest, lines(), dry_run=dry_run)
        if known != closing:
            raise InvalidSnapshot(
                f"a snapshot {manifest['id']} with another content exists already;"
                " delete it first"
            )
        return manifest, None

    def _stored(
        self, manifest: Manifest, lines: Iterable[bytes], *, dry_run: bool
    ) -> Prepared:
        store = ChunkWriter(self._run, dry_run=dry_run)
        again = iter(lines)
        try:
            head = next(again).decode()
            for line in islice(again, manifest["records"]):
                store.add(line.decode())
            store.close()
            store.write_contents(manifest)
        except BaseException:
            store.abandon()
            raise
        return Prepared(manifest, store, head)

    def _closing(self, snapshot_id: str) -> str | None:
        """Return the closing hash of a stored snapshot."""
        try:
            *_, last = self.content(snapshot_id)
        except SnapshotNotFound:
            return None
        sha256: str = json.loads(last)["end"]["sha256"]
        return sha256

    def content(self, snapshot_id: str) -> Iterator[bytes]:
        """Return the content in chunks.

        Raises ``SnapshotNotFound`` at the first one, and ``InvalidSnapshot`` if the
        first line is not as it was stored.
        """
        with ReadTransaction(self._dialect) as session:
            head, sha256, store, count = self._head(session, snapshot_id)
            if head_sha256(head) != sha256:
                raise InvalidSnapshot(
                    "line 1 is not as it was stored: the snapshot was altered", line=1
                )
            digest = hashlib.sha256(head.encode())
            yield head.encode()
            for number in range(count):
                row = session.row(CHUNK, of_store=store, chunk_number=number)
                chunk = row[0].encode() if row else b""
                digest.update(chunk)
                yield chunk
            records = json.loads(head)["manifest"]["records"]
            yield end_line(records, digest.hexdigest()).encode()

    def verify(self, snapshot_id: str) -> Json:
        """Return ``{"ok": true, "records": n}``, or what is wrong.

        Raises ``SnapshotNotFound``.
        """
        try:
            manifest = self._verified(snapshot_id)
        except InvalidSnapshot as error:
            return {"ok": False, "detail": error.detail}
        return {"ok": True, "records": manifest["records"]}

    def _verified(self, snapshot_id: str) -> Manifest:
        """Return the manifest of a snapshot that is sound. Raises
        ``InvalidSnapshot``."""
        # Hashing bytes takes a fraction of the time of parsing lines.
        manifest = self._manifest_of_same_bytes(snapshot_id)
        if manifest is not None:
            return manifest
        # Lines may have been uploaded in another form, or they are altered.
        inspection = Inspection()
        for line in lines_of(self.content(snapshot_id)):
            inspection.read(line)
        inspection.finish()
        return inspection.manifest

    def _manifest_of_same_bytes(self, snapshot_id: str) -> Manifest | None:
        """Return the manifest if the records have its hash as they are stored.

        They are then the canonical lines that were checked, or written here.
        """
        content = self.content(snapshot_id)
        head = next(content)
        digest = hashlib.sha256()
        last = next(content)
        for chunk in content:
            digest.update(last)
            last = chunk
        manifest: Manifest = json.loads(head)["manifest"]
        return manifest if digest.hexdigest() == manifest["sha256"] else None

    def inspection(self, snapshot_id: str) -> Inspection:
        """Return what reads the lines of a snapshot: each is checked, unless all are as
        they were stored.

        Raises ``SnapshotNotFound`` and ``InvalidSnapshot``.
        """
        known = self._manifest_of_same_bytes(snapshot_id)
        return Inspection() if known is None else KnownLines()

    def manifest(self, snapshot_id: str) -> str:
        """Return one manifest as JSON text. Raises ``SnapshotNotFound``."""
        with ReadTransaction(self._dialect) as session:
            return manifest_text(self._head(session, snapshot_id)[0])

    def contents(self, snapshot_id: str) -> list[tuple[str, str]]:
        """Return the collections of a snapshot, each with its workspace.

        Returns none if there is no such snapshot.
        """
        if not is_canonical(snapshot_id):
            return []
        with ReadTransaction(self._dialect) as session:
            rows = session.rows(CONTENTS, snapshot_id=snapshot_id)
        return [(name, workspace) for name, workspace in rows]

    def delete(self, snapshot_id: str) -> None:
        """Delete a snapshot. Raises ``SnapshotNotFound``."""

        def delete(session: Session[Dialect]) -> None:
            store = self.remove(session, snapshot_id)
            delete_store(session, store)

        self._run(delete)

    def remove(self, session: Session[Dialect], snapshot_id: str) -> str:
        """Delete a snapshot but for its chunks, which may be many.

        Returns their store, to be abandoned afterwards. Raises ``SnapshotNotFound``.
        """
        store = self._head(session, snapshot_id)[2]
        session.run(DELETE_SNAPSHOT, snapshot_id=snapshot_id)
        return store

    def abandon(self, store: str) -> None:
        """Delete the rows of a store unless they are a snapshot's."""
        self._run(lambda session: delete_store(session, store))

    def sweep(self) -> None:
        """Delete the rows of snapshots that were begun before and never completed.

        What cannot be deleted is left for the next start.
        """
        before = new_id()

        def delete(session: Session[Dialect]) -> None:
            for statement in SWEEP:
                session.run(statement, before=before)

        try:
            self._run(delete)
        except Unavailable as error:
            logger.warning(
                "chunks of snapshots that were never completed are left: %s",
                error.detail,
            )

    def _head(
        self, session: Session[Dialect], snapshot_id: str
    ) -> tuple[str, str, str, int]:
        """Return the first line of a snapshot, its hash, its store and its chunks."""
        row = None
        if is_canonical(snapshot_id):
            row = session.row(HEAD, snapshot_id=snapshot_id)
        if row is None:
            raise SnapshotNotFound(
                f"there is no snapshot {snapshot_id[:80]!r}; GET /snapshots lists them"
            )
        head, sha256, store, chunks = row
        return head, sha256, store, chunks


def _rows(layout: Layout, workspace: str, session: Session[Dialect]) -> Iterator[Row]:
    """Return the rows of one workspace by id, read in batches of one moment."""
    table = layout.table
    page = (
        sa.select(*layout.selected)
        .where(
            table.c.workspace == sa.bindparam("workspace"),
            table.c.id > sa.bindparam("after"),
        )
        .order_by(table.c.id)
        .limit(sa.bindparam("rows", type_=sa.Integer()))
    )
    statement = layout.dialect.compile(page)
    size = BatchSize(BATCH_ROWS)
    after = ""
    while rows := _batch(statement, session, workspace, after, size):
        yield from rows
        after = rows[-1][0]


def _batch(
    statement: Compiled,
    session: Session[Dialect],
    workspace: str,
    after: str,
    size: BatchSize,
) -> list[Row]:
    values = {"workspace": workspace, "after": after, "rows": size.records}
    rows = statement.run(session.cursor, values).fetchall()
    size.note(len(rows), of_records(rows))
    return rows
