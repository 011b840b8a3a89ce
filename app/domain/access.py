"""Access: what a caller may do.

``Access.allows`` decides for every path, list, feed and transaction alike.
"""

from dataclasses import dataclass
from enum import IntEnum

from app.domain.errors import Forbidden

EVERY = "*"
"""Every collection."""


class Level(IntEnum):
    """What a scope allows; each level includes those before it."""

    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Scope:
    """``<collection|*>:<read|write|admin>``, or that in one workspace; ``workspace`` None: in all."""

    collection: str
    level: Level
    workspace: str | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks, ``""`` where access is open, and what they may do."""

    actor: str
    scopes: tuple[Scope, ...]

    def allows(self, level: Level, collection: str | None = EVERY, workspace: str | None = None) -> bool:
        """Whether this may be done to a collection in a workspace (``""`` is the default one); to
        every collection where none is named, to some where it is None; in every workspace where none
        is named."""
        return any(
            scope.level >= level
            and (collection is None or scope.collection in (EVERY, collection))
            and scope.workspace in (None, workspace)
            for scope in self.scopes
        )

    def require(self, level: Level, collection: str | None = EVERY, workspace: str | None = None) -> None:
        """Raise ``Forbidden`` unless it is allowed, whether or not what is asked for exists."""
        if not self.allows(level, collection, workspace):
            wanted = f"{collection or EVERY}:{level.name.lower()}" + (f"@{workspace}" if workspace else "")
            raise Forbidden(f"this takes a key with the scope {wanted}")


OPEN = Access("", (Scope(EVERY, Level.ADMIN),))
"""Whoever asks, where access is open."""
