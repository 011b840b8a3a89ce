"""Hints: the names in a problem of what exists instead, as far as its caller may read
it."""

from collections.abc import Iterable

from persist.domain.access import Access, Level
from persist.domain.errors import (
    CollectionNotFound,
    CollectionNotInWorkspace,
    PersistError,
)
from persist.domain.suggestions import did_you_mean
from persist.domain.workspace import DEFAULT


def hint(error: PersistError, access: Access) -> str:
    """Return the end of a detail that names the collections that the caller may
    read."""
    match error:
        case CollectionNotFound():
            hint = did_you_mean(error.name, _readable(access, error.others))
            return hint or "; GET /collections lists them"
        case CollectionNotInWorkspace():
            names = _readable(access, error.collections, error.workspace)
            return f". You may read {', '.join(names)} in it" if names else ""
    return ""


def _readable(
    access: Access, collections: Iterable[str], workspace: str = DEFAULT
) -> list[str]:
    return [name for name in collections if access.allows(Level.READ, name, workspace)]
