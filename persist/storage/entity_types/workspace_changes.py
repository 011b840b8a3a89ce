"""Changes of workspaces, which depend on whether they are empty.

That is decided in the transaction of the change.
"""

from collections.abc import Iterable

from persist.domain.change import Origin
from persist.domain.errors import WorkspaceNotEmpty
from persist.domain.query import Query
from persist.domain.workspace import collections_in
from persist.storage.entity_types.catalog import Catalog, Stale
from persist.storage.layout import Layout
from persist.storage.long_operations.staging import Staging
from persist.storage.writes.bulk_delete import BulkDelete
from persist.storage.writes.unit_of_work import UnitOfWork


def declare(
    work: UnitOfWork,
    catalog: Catalog,
    name: str,
    collections: Iterable[str],
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


def delete(work: UnitOfWork, catalog: Catalog, name: str) -> None:
    """Delete a workspace without records.

    Raises ``WorkspaceNotFound`` and ``WorkspaceNotEmpty``.
    """
    collections_in(work.workspaces, name)
    for collection in catalog.names_in(name):
        layout = catalog.get(collection)
        _check_empty(work, layout, name)
    work.declared_workspaces.delete(name)


class WorkspaceDelete:
    """The deletion of a workspace with its records: ``stage`` in a thread, ``store`` in
    an exclusive transaction on the connection of the staging.

    Raise ``WorkspaceNotFound``.
    """

    def __init__(
        self,
        staging: Staging,
        catalog: Catalog,
        name: str,
        origin: Origin,
    ) -> None:
        self._catalog = catalog
        self._name = name
        self._collections = catalog.names_in(name)
        layouts = [catalog.get(collection) for collection in self._collections]
        everything = Query()
        self._records = BulkDelete(
            staging,
            layouts,
            name,
            everything,
            None,
            origin,
        )

    def stage(self) -> None:
        """Stage the deletion of all its records."""
        self._records.stage()

    def store(self, work: UnitOfWork) -> None:
        """Delete everything.

        Raises ``WorkspaceNotFound``, and ``Stale`` if its collections have changed.
        """
        collections_in(work.workspaces, self._name)
        if self._catalog.names_in(self._name) != self._collections:
            raise Stale
        self._records.store(work)
        work.declared_workspaces.delete(self._name)


def _check_empty(work: UnitOfWork, layout: Layout, workspace: str) -> None:
    name = layout.type.name
    records = work.records(name)
    if records.select_for_update(workspace, Query(limit=1)):
        raise WorkspaceNotEmpty(
            f"{name} has records in the workspace {workspace}; delete them first, or"
            " the workspace with force=true"
        )
