"""Snapshots: taken from one pinned read, kept in pieces, streamed out and in."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa

from persist.domain.entity_type import Kind
from persist.domain.errors import InvalidSnapshot, SnapshotNotFound, Unavailable
from persist.domain.identifiers import is_canonical, new_id
from persist.domain.snapshot import (
    FORMAT_VERSION,
    Inspection,
    Manifest,
    end_line,
    lines_of,
    record_line,
)
from persist.domain.workspace import DEFAULT
from persist.storage.catalog import Catalog
from persist.storage.definitions import Definitions
from persist.storage.dialect import Dialect
from persist.storage.layout import Layout
from persist.storage.records import BATCH
from persist.storage.snapshot_chunks import (
    Pinned,
    Store,
    Write,
    head_sha256,
    run,
    snapshot_statements,
)
from persist.storage.sql import Cursor
from persist.storage.unit_of_work import Statements, now

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selection:
    """What a snapshot holds: a collection or every one of a workspace, or of each
    workspace."""

    collection: str | None = None
    workspace: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A snapshot that only has to be kept. Whoever has it calls ``abandon`` in the end,
    which does nothing to one that was kept."""

    manifest: Manifest
    store: Store
    head: str = ""

    def keep(self, cursor: Cursor) -> bool:
        """Make it visible; False where its id is taken. Raises ``Unavailable``."""
        return self.store.keep(cursor, self.manifest, self.head)


class Snapshots:
    """The snapshots of a database. Every method may take long: call it in a thread."""

    def __init__(
        self, dialect: Dialect, catalog: Catalog, statements: Statements, write: Write
    ) -> None:
        self._dialect = dialect
        self._catalog = catalog
        self._definitions = statements.definitions
        self._statements = snapshot_statements(dialect)
        self._write = write

    def take(
        self,
        selection: Selection,
        *,
        mode: str,
        note: str,
        automatic: bool = False,
        dry_run: bool = False,
    ) -> Prepared:
        """Copy one moment of the journal; a dry run stores nothing of it. Raises
        ``CollectionNotFound``, ``Unavailable``, ``TooLarge``."""
        store = Store(self._statements, self._write, dry_run=dry_run)
        told = {"mode": mode, "note": note, "automatic": automatic}
        try:
            with Pinned(self._dialect) as cursor:
                return Prepared(self._manifest(cursor, selection, store, told), store)
        except BaseException:
            store.abandon()
            raise

    def _manifest(
        self, cursor: Cursor, selection: Selection, store: Store, told: dict[str, Any]
    ) -> Manifest:
        definitions = Definitions(self._definitions, cursor)
        self._catalog.refresh(definitions)
        seq = run(cursor, self._statements.seq).fetchall()[0][0]
        manifest = {
            "id": new_id(),
            "format_version": FORMAT_VERSION,
            "created_at": now(),
            "seq": seq,
        } | told
        entries = []
        for workspace, layout in self._places(selection):
            count = (
                0
                if told["mode"] == "schema_only"
                else self._copy(cursor, layout, workspace, store)
            )
            entries.append(self._entry(definitions, layout, workspace, count))
        records = sum(entry["count"] for entry in entries)
        return manifest | {
            "records": records,
            "sha256": store.close(),
            "collections": entries,
        }

    def _places(self, selection: Selection) -> list[tuple[str, Layout]]:
        """In the order of the content. Raises ``NotFound``, ``Unavailable`` for a table
        this process cannot read."""
        if selection.workspace is not None:
            return self._within(selection.workspace, selection.collection)
        workspaces = sorted((DEFAULT, *self._catalog.workspaces))
        found = [place for workspace in workspaces for place in self._within(workspace)]
        return [
            place
            for place in found
            if selection.collection in (None, place[1].type.name)
        ]

    def _within(
        self, workspace: str, collection: str | None = None
    ) -> list[tuple[str, Layout]]:
        names = self._catalog.held(workspace) if collection is None else [collection]
        return [(workspace, self._catalog.get(name, workspace)) for name in names]

    def _copy(
        self, cursor: Cursor, layout: Layout, workspace: str, store: Store
    ) -> int:
        count = 0
        for row in _rows(self._dialect, layout, workspace, cursor):
            store.add(record_line(layout.type.name, workspace, row, json.loads(row[5])))
            count += 1
        return count

    def _entry(
        self, definitions: Definitions, layout: Layout, workspace: str, count: int
    ) -> dict[str, Any]:
        type = layout.type
        told = definitions.versions(type.name) if type.kind is Kind.REGISTERED else []
        return {
            "workspace": workspace or None,
            "name": type.name,
            "kind": type.kind.value,
            "schema_version": type.schema_version,
            "count": count,
            "definitions": [
                {"schema_version": version.schema_version, **version.definition}
                for version in told
            ],
        }

    def take_automatically(self, collections: Iterable[str], keep: int) -> None:
        """Take a snapshot of each collection; of those taken so, only the newest
        ``keep`` stay."""
        for name in collections:
            try:
                self._take_automatically(name)
                for manifest in self._automatic(name)[keep:]:
                    self.delete(manifest["id"])
            except Exception:
                logger.exception("the automatic snapshot of %s was not taken", name)

    def _take_automatically(self, name: str) -> None:
        taken = self.take(Selection(name), mode="with_data", note="", automatic=True)
        try:
            self._write(taken.keep)
        finally:
            taken.store.abandon()

    def _automatic(self, name: str) -> list[Manifest]:
        """The automatic snapshots of a collection, the newest first."""
        taken = [manifest for manifest in self.manifests() if manifest["automatic"]]
        return [
            manifest
            for manifest in taken
            if {held["name"] for held in manifest["collections"]} == {name}
        ]

    def put(
        self,
        lines: Callable[[], Iterable[bytes]],
        check: Callable[[Manifest], None],
        *,
        dry_run: bool = False,
    ) -> tuple[Manifest, Prepared | None]:
        """Store a content that was uploaded, to be kept under its own id; nothing to be
        kept where it is here already. The lines are gone through twice: checked, then
        stored. ``check`` may refuse.

        Raises ``InvalidSnapshot``; nothing is left of what is refused.
        """
        inspection = Inspection()
        for line in lines():
            inspection.read(line)
        closing = inspection.finish()
        manifest = inspection.manifest
        check(manifest)
        if (known := self._closing(manifest["id"])) is not None:
            if known != closing:
                raise InvalidSnapshot(
                    f"a snapshot {manifest['id']} with another content is here already;"
                    " delete it first"
                )
            return manifest, None
        return manifest, self._stored(manifest, lines(), dry_run=dry_run)

    def _stored(
        self, manifest: Manifest, lines: Iterable[bytes], *, dry_run: bool
    ) -> Prepared:
        store, again = (
            Store(self._statements, self._write, dry_run=dry_run),
            iter(lines),
        )
        try:
            head = next(again).decode()
            for line in islice(again, manifest["records"]):
                store.add(line.decode())
            store.close()
        except BaseException:
            store.abandon()
            raise
        return Prepared(manifest, store, head)

    def _closing(self, id: str) -> str | None:
        """The closing hash of a snapshot that is here."""
        try:
            *_, last = self.content(id)
        except SnapshotNotFound:
            return None
        sha256: str = json.loads(last)["end"]["sha256"]
        return sha256

    def content(self, id: str) -> Iterator[bytes]:
        """The content in pieces. Raises ``SnapshotNotFound`` at the first one,
        ``InvalidSnapshot`` where the first line is not as it was stored."""
        with Pinned(self._dialect) as cursor:
            head, sha256, store, count = self._head(cursor, id)
            if head_sha256(head) != sha256:
                raise InvalidSnapshot(
                    "line 1 is not as it was stored: the snapshot was altered", line=1
                )
            digest = hashlib.sha256(head.encode())
            yield head.encode()
            for number in range(count):
                rows = run(
                    cursor, self._statements.piece, of_store=store, piece_number=number
                ).fetchall()
                piece = rows[0][0].encode() if rows else b""
                digest.update(piece)
                yield piece
            yield end_line(
                json.loads(head)["manifest"]["records"], digest.hexdigest()
            ).encode()

    def verify(self, id: str) -> dict[str, Any]:
        """``{"ok": true, "records": n}``, or what is wrong. Raises
        ``SnapshotNotFound``."""
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
        with Pinned(self._dialect) as cursor:
            return [
                json.loads(row[0])["manifest"]
                for row in run(cursor, self._statements.heads).fetchall()
            ]

    def manifest(self, id: str) -> Manifest:
        """One manifest. Raises ``SnapshotNotFound``."""
        with Pinned(self._dialect) as cursor:
            manifest: Manifest = json.loads(self._head(cursor, id)[0])["manifest"]
            return manifest

    def delete(self, id: str) -> None:
        """Delete a snapshot. Raises ``SnapshotNotFound``."""
        self._write(lambda cursor: self._abandon(cursor, self.remove(cursor, id)))

    def remove(self, cursor: Cursor, id: str) -> str:
        """Delete a snapshot all but its pieces, which may be many; gives their store,
        to be abandoned then. Raises ``SnapshotNotFound``."""
        store = self._head(cursor, id)[2]
        run(cursor, self._statements.delete, snapshot_id=id)
        return store

    def abandon(self, store: str) -> None:
        """Delete the pieces of a store, unless they are a snapshot's."""
        self._write(lambda cursor: self._abandon(cursor, store))

    def _abandon(self, cursor: Cursor, store: str) -> None:
        run(cursor, self._statements.abandon, of_store=store)

    def sweep(self) -> None:
        """Delete the pieces of snapshots that were begun before now and never done: at
        a start. What cannot be deleted then is left for the next one."""
        before = new_id()
        try:
            self._write(
                lambda cursor: run(cursor, self._statements.sweep, before=before)
            )
        except Unavailable as error:
            logger.warning(
                "pieces of snapshots that were never done are left: %s", error.detail
            )

    def _head(self, cursor: Cursor, id: str) -> tuple[str, str, str, int]:
        rows = (
            run(cursor, self._statements.head, snapshot_id=id).fetchall()
            if is_canonical(id)
            else []
        )
        if not rows:
            raise SnapshotNotFound(
                f"there is no snapshot {id[:80]!r}; GET /snapshots lists them"
            )
        head, sha256, store, pieces = rows[0]
        return head, sha256, store, pieces


def _rows(
    dialect: Dialect, layout: Layout, workspace: str, cursor: Cursor
) -> Iterator[Any]:
    """The rows of one workspace by id; the transaction stays where it is, so pieces
    will do."""
    table = layout.table
    limited = (
        sa.select(*layout.selected)
        .where(
            table.c.workspace == sa.bindparam("workspace"),
            table.c.id > sa.bindparam("after"),
        )
        .order_by(table.c.id)
        .limit(sa.literal_column(str(BATCH)))
    )
    statement, after = dialect.compile(limited), ""
    while rows := run(cursor, statement, workspace=workspace, after=after).fetchall():
        yield from rows
        after = rows[-1][0]
