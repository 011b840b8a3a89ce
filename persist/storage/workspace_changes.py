"""Changes of workspaces, which depend on whether they are empty.

That is decided in the transaction of the change.
"""

from collections.abc import Iterable

from persist.domain.change import Origin
from persist.domain.errors import WorkspaceNotEmpty
from persist.domain.query import Query
from persist.domain.workspace import collections_in
from persist.storage.catalog import Catalog
from persist.storage.layout import Layout
from persist.storage.records import BATCH_ROWS
from persist.storage.unit_of_work import UnitOfWork


def declare(
    work: UnitOfWork, catalog: Catalog, name: str, collections: Iterable[str]
) -> bool:
    """Have a workspace contain these collections and return whether it is new.

    Raises ``CollectionNotFound``, and ``WorkspaceNotEmpty`` if a collection that it
    would lose has records there.
    """
    wanted = tuple(sorted(collections))
    before = work.workspaces.get(name)
    for collection in wanted:
        catalog.get(collection)
    present = () if before is None else catalog.names_in(name)
    lost = set(present) - set(wanted)
    for collection in lost:
        layout = catalog.get(collection)
        _check_empty(work, layout, name)
    if wanted != before:
        work.declare_workspace(name, wanted)
    return before is None


def delete(
    work: UnitOfWork, catalog: Catalog, name: str, origin: Origin, *, force: bool
) -> None:
    """Delete a workspace, with ``force`` its records too.

    Raises ``WorkspaceNotFound`` and ``WorkspaceNotEmpty``.
    """
    collections_in(work.workspaces, name)
    for collection in catalog.names_in(name):
        layout = catalog.get(collection)
        if force:
            _delete_records(work, layout, name, origin)
        else:
            _check_empty(work, layout, name)
    work.declared_workspaces.delete(name)


def _check_empty(work: UnitOfWork, layout: Layout, workspace: str) -> None:
    name = layout.type.name
    records = work.records(name)
    if records.select_for_update(workspace, Query(limit=1)):
        raise WorkspaceNotEmpty(
            f"{name} has records in the workspace {workspace}; delete them first, or"
            " the workspace with force=true"
        )


def _delete_records(
    work: UnitOfWork, layout: Layout, workspace: str, origin: Origin
) -> None:
    """Delete every record, a batch at a time."""
    collection = work.collection(layout.type, workspace, origin)
    query = Query()
    while found := collection.select_for_update(query, BATCH_ROWS - 1):
        ids = [record_id for record_id, _ in found]
        collection.delete_all(ids)
        query = Query(after=(ids[-1],))
