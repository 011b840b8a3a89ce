"""Workspaces: declared, changed and dissolved, in the transaction that looks whether
they are empty."""

from collections.abc import Iterable

from persist.domain.change import Origin
from persist.domain.errors import WorkspaceNotEmpty
from persist.domain.query import Query
from persist.domain.workspace import held
from persist.storage.catalog import Catalog
from persist.storage.layout import Layout
from persist.storage.records import BATCH
from persist.storage.unit_of_work import JOURNAL, UnitOfWork


def declare(
    work: UnitOfWork, catalog: Catalog, name: str, collections: Iterable[str]
) -> bool:
    """Have a workspace hold these collections and no others; whether it is new.

    Raises ``CollectionNotFound``, and ``WorkspaceNotEmpty`` where one that goes holds
    records there.
    """
    wanted = tuple(sorted(collections))
    before = work.workspaces.get(name)
    for collection in wanted:
        catalog.get(collection)
    for collection in set(catalog.held(name) if before is not None else ()) - set(
        wanted
    ):
        _check_empty(work, catalog.get(collection), name)
    if wanted != before:
        work.definitions.declare(name, wanted)
    return before is None


def dissolve(
    work: UnitOfWork, catalog: Catalog, name: str, origin: Origin, *, force: bool
) -> None:
    """Take a workspace away, with ``force`` its records too. Raises
    ``WorkspaceNotFound``, ``WorkspaceNotEmpty``."""
    held(work.workspaces, name)
    for collection in catalog.held(name):
        layout = catalog.get(collection)
        if force:
            _empty(work, layout, name, origin)
        else:
            _check_empty(work, layout, name)
    work.definitions.withdraw(name)


def _check_empty(work: UnitOfWork, layout: Layout, workspace: str) -> None:
    name = layout.type.name
    if work.records(name).chosen(workspace, Query(limit=1)):
        raise WorkspaceNotEmpty(
            f"{name} still holds records in the workspace {workspace}; delete them"
            " first, or the workspace with force=true"
        )


def _empty(work: UnitOfWork, layout: Layout, workspace: str, origin: Origin) -> None:
    """Delete every record, a page at a time."""
    collection, query = work.collection(layout.type, workspace, origin), Query()
    while ids := [id for id, _ in collection.chosen(query, BATCH - 1)]:
        collection.delete_all(ids)
        work.flush_records(journal_at=JOURNAL)
        query = Query(after=(ids[-1],))
