"""Workspaces as rows: their names and the collections that each contains."""

import json
from collections.abc import Iterable

import sqlalchemy as sa

from persist.domain.record import dumps
from persist.domain.workspace import Workspaces
from persist.storage.dialect import Dialect
from persist.storage.entity_types.definitions import Definitions
from persist.storage.sql import Inserter, Session, Statement
from persist.storage.tables import WORKSPACES

INSERT_WORKSPACES = Inserter(WORKSPACES)

ALL_WORKSPACES = Statement(sa.select(WORKSPACES.c.name, WORKSPACES.c.collections))
"""Select every declared workspace."""

DELETE_WORKSPACE = Statement(
    sa.delete(WORKSPACES).where(WORKSPACES.c.name == sa.bindparam("workspace"))
)
"""Delete the declaration of a workspace."""


class DeclaredWorkspaces:
    """The declared workspaces inside a transaction; each change raises the epoch."""

    def __init__(self, session: Session[Dialect]) -> None:
        self._session = session

    def all(self) -> Workspaces:
        """Return every workspace with its collections."""
        rows = self._session.rows(ALL_WORKSPACES)
        found = {}
        for name, collections in rows:
            names = json.loads(collections)
            found[name] = tuple(names)
        return found

    def declare(self, workspace: str, collections: Iterable[str]) -> None:
        """Have a workspace contain these collections and no others."""
        session = self._session
        session.run(DELETE_WORKSPACE, workspace=workspace)
        names = sorted(collections)
        row = workspace, dumps(names)
        session.insert(INSERT_WORKSPACES, [row])
        self._raise_epoch()

    def delete(self, workspace: str) -> None:
        """Delete the declaration of a workspace."""
        self._session.run(DELETE_WORKSPACE, workspace=workspace)
        self._raise_epoch()

    def _raise_epoch(self) -> None:
        definitions = Definitions(self._session)
        definitions.raise_epoch()
