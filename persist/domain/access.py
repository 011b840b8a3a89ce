"""Access: what a caller may do.

``Access.allows`` decides for every path, list, feed and transaction alike.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from persist.domain.errors import Forbidden

EVERY = "*"
"""Every collection."""

SCOPE = re.compile(
    r"(\*|[a-z][a-z0-9-]{0,62}):(read|write|admin)(?:@([a-z][a-z0-9-]{0,62}))?"
)


class Level(IntEnum):
    """What a scope allows; each level includes those before it."""

    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Scope:
    """``<collection|*>:<read|write|admin>``, or that in one workspace; ``workspace``
    None: in all."""

    collection: str
    level: Level
    workspace: str | None = None

    def __str__(self) -> str:
        return f"{self.collection}:{self.level.name.lower()}" + (
            f"@{self.workspace}" if self.workspace else ""
        )


def scope_of(text: str) -> Scope:
    """The scope a text stands for. Raises ``ValueError`` saying how one is written."""
    found = SCOPE.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{text!r} is no scope; write <collection>:<level> or"
            " <collection>:<level>@<workspace>, <collection> a name or * for all,"
            " <level> read, write or admin: ops-tickets:write"
        )
    return Scope(found[1], Level[found[2].upper()], found[3])


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks, ``""`` where access is open, and what they may do."""

    actor: str
    scopes: tuple[Scope, ...]

    def allows(
        self, level: Level, collection: str = EVERY, workspace: str | None = None
    ) -> bool:
        """Whether this may be done to a collection in a workspace (``""`` is the
        default one); to every collection where none is named, in every workspace where
        none is."""
        for scope in (
            self.scopes
        ):  # not any(…): every request comes by here, a generator takes twice as long
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
        """Raise ``Forbidden`` unless it is allowed, whether or not what is asked for
        exists."""
        if not self.allows(level, collection, workspace):
            wanted = Scope(collection, level, workspace)
            raise Forbidden(f"this takes a key with the scope {wanted}")

    def require_some(self, level: Level, workspace: str | None = None) -> None:
        """Raise ``Forbidden`` unless it is allowed for anything at all: what holds
        several collections shows those for which it is."""
        if not self.allows_some(level, workspace):
            raise Forbidden(
                f"this takes a key with a scope <collection>:{level.name.lower()}"
            )

    def allows_some(self, level: Level, workspace: str | None = None) -> bool:
        """Whether it is allowed for anything at all, or for anything in a workspace."""
        return any(
            scope.level >= level
            and (workspace is None or scope.workspace in (None, workspace))
            for scope in self.scopes
        )

    def require_all(
        self, level: Level, places: Iterable[tuple[str, str | None]]
    ) -> None:
        """Raise ``Forbidden``, without telling them, unless it is allowed for each of
        these collections in its workspace."""
        if not self.allows_all(level, places):
            self.require(level)

    def allows_all(
        self, level: Level, places: Iterable[tuple[str, str | None]]
    ) -> bool:
        """Whether it is allowed for each of these collections in its workspace; for
        none, only to whom everything is."""
        held = [self.allows(level, *place) for place in places]
        return self.allows(level) or (bool(held) and all(held))


NOBODY = Access("", ())
"""Whoever asks, before it is known who they are."""

OPEN = Access("", (Scope(EVERY, Level.ADMIN),))
"""Whoever asks, where access is open."""
