"""Workspace: a named container that holds records of several collections, apart from
the default one."""

from collections.abc import Mapping

from persist.domain.errors import CollectionNotInWorkspace, WorkspaceNotFound

DEFAULT = ""
"""The default workspace: it holds every collection, and nobody declares it."""

Workspaces = Mapping[str, tuple[str, ...]]
"""The collections each declared workspace holds, sorted, by its name."""


def held(workspaces: Workspaces, workspace: str) -> tuple[str, ...]:
    """The collections a declared workspace holds. Raises ``WorkspaceNotFound``."""
    if workspace not in workspaces:
        raise WorkspaceNotFound(
            f"there is no workspace {workspace[:80]!r}; declare it with PUT"
            " /workspaces/{name}"
        )
    return workspaces[workspace]


def check_held(workspaces: Workspaces, workspace: str, collection: str) -> None:
    """Raise ``WorkspaceNotFound`` or ``CollectionNotInWorkspace`` unless a workspace
    holds a collection."""
    if workspace != DEFAULT and collection not in (
        known := held(workspaces, workspace)
    ):
        raise CollectionNotInWorkspace(
            f"the workspace {workspace} does not hold {collection[:80]!r}; it holds"
            f" {', '.join(known) or 'nothing'}, and PUT /workspaces/{workspace} says"
            " what it is to hold"
        )
