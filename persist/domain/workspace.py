"""Workspace: a named container of records of several collections.

The default workspace is another container, and the two share no record.
"""

from collections.abc import Mapping

from persist.domain.errors import CollectionNotInWorkspace, WorkspaceNotFound

DEFAULT = ""
"""The default workspace. It contains every collection and is not declared."""

Workspaces = Mapping[str, tuple[str, ...]]
"""The sorted names of the collections that each declared workspace contains."""


def collections_in(workspaces: Workspaces, workspace: str) -> tuple[str, ...]:
    """Return the collections of a declared workspace. Raises ``WorkspaceNotFound``."""
    if workspace not in workspaces:
        raise WorkspaceNotFound(
            f"there is no workspace {workspace[:80]!r}; declare it with PUT"
            " /workspaces/{name}"
        )
    return workspaces[workspace]


def check_in_workspace(workspaces: Workspaces, workspace: str, collection: str) -> None:
    """Raise unless a workspace contains a collection.

    Raises ``WorkspaceNotFound`` and ``CollectionNotInWorkspace``.
    """
    if workspace == DEFAULT:
        return
    names = collections_in(workspaces, workspace)
    if collection not in names:
        raise CollectionNotInWorkspace(
            f"the workspace {workspace} does not contain {collection[:80]!r}; PUT"
            f" /workspaces/{workspace} declares what it contains",
            workspace=workspace,
            collections=names,
        )
