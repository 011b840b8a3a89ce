"""Access: what a caller may do.

``Access.allows`` decides for every path, list, feed and transaction alike.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from persist.domain.errors import Forbidden
from persist.domain.identifiers import COLLECTION_NAME
from persist.domain.workspace import DEFAULT, Workspaces

EVERY = "*"
"""The name that stands for every collection."""

_NAME = COLLECTION_NAME.pattern
SCOPE = re.compile(rf"(\*|{_NAME}):(read|write|admin)(?:@({_NAME}))?")


Collections = Sequence[tuple[str, str | None]]
"""Collections by name, each with its workspace, None for all."""


class Level(IntEnum):
    """What a scope allows; each level includes the lower ones."""

    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Scope:
    """``<collection|*>:<read|write|admin>``, optionally ``@<workspace>``; ``workspace``
    is None for all workspaces."""

    collection: str
    level: Level
    workspace: str | None = None

    def __str__(self) -> str:
        return f"{self.collection}:{self.level.name.lower()}" + (
            f"@{self.workspace}" if self.workspace else ""
        )


def scope_of(text: str) -> Scope:
    """Return the scope that a text means. Raises ``ValueError``, whose message says how
    to write a scope."""
    found = SCOPE.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{text!r} is not a scope; write <collection>:<level> or"
            " <collection>:<level>@<workspace>. The collection is a name, or * for all;"
            " the level is read, write or admin. Example: ops-tickets:write"
        )
    return Scope(found[1], Level[found[2].upper()], found[3])


@dataclass(frozen=True, slots=True)
class Access:
    """A caller and what they may do. ``actor`` is the name of the key, ``""`` if access
    is open."""

    actor: str
    scopes: tuple[Scope, ...]

    def allows(
        self, level: Level, collection: str = EVERY, workspace: str | None = None
    ) -> bool:
        """Return whether the caller has a level on a collection in a workspace (``""``
        is the default one); on every collection or in every workspace if none is
        named."""
        # Not any(…): every request calls this, and a generator takes twice as long.
        for scope in self.scopes:
            if (
                scope.level >= level
                and scope.collection in (EVERY, collection)
                and scope.workspace in (None, workspace)
            ):
                return True
        return False

    def require(
        self, level: Level, collection: str = EVERY, workspace: str | None = None
    ) -> None:
        """Raise ``Forbidden`` unless the caller has the level, whether or not the
        collection exists."""
        if not self.allows(level, collection, workspace):
            wanted = Scope(collection, level, workspace)
            raise Forbidden(f"this needs a key with the scope {wanted}")

    def require_within(
        self, level: Level, collection: str | None, workspace: str | None
    ) -> None:
        """Raise ``Forbidden`` unless the caller has the level on at least a part of
        what is named. None names every collection, or every workspace."""
        for scope in self.scopes:
            name = scope.collection if collection is None else collection
            in_workspace = scope.workspace if workspace is None else workspace
            if self.allows(level, name, in_workspace):
                return
        self.require(level, collection or EVERY, workspace)

    def require_some(self, level: Level, workspace: str | None = None) -> None:
        """Raise ``Forbidden`` unless the caller has the level on at least one
        collection."""
        if not self.allows_some(level, workspace):
            raise Forbidden(
                f"this needs a key with a scope <collection>:{level.name.lower()}"
            )

    def workspaces_of(self, collection: str, declared: Workspaces) -> list[str]:
        """Return the workspaces in which the caller reads a collection: the default
        one, or the declared ones that the scopes name and that contain it."""
        if self.allows(Level.READ, collection, DEFAULT):
            return [DEFAULT]
        named = sorted({scope.workspace for scope in self.scopes if scope.workspace})
        return [
            name
            for name in named
            if collection in declared.get(name, ())
            and self.allows(Level.READ, collection, name)
        ]

    def allows_some(self, level: Level, workspace: str | None = None) -> bool:
        """Return whether the caller has the level on at least one collection of a
        workspace, or of any workspace if None."""
        return any(
            scope.level >= level
            and (workspace is None or scope.workspace in (None, workspace))
            for scope in self.scopes
        )

    def require_all(self, level: Level, collections: Collections) -> None:
        """Raise ``Forbidden``, which names no collection, unless the caller has the
        level on each of them in its workspace."""
        if not self.allows_all(level, collections):
            self.require(level)

    def allows_all(self, level: Level, collections: Collections) -> bool:
        """Return whether the caller has the level on each of these collections in its
        workspace. If there are none, the caller needs the level on everything."""
        allowed = [self.allows(level, *named) for named in collections]
        return self.allows(level) or (bool(allowed) and all(allowed))


ANONYMOUS = Access("", ())
"""A caller who is not authenticated."""

OPEN = Access("", (Scope(EVERY, Level.ADMIN),))
"""Any caller, if access is open."""
