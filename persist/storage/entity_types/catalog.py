"""Catalog: the collections and workspaces that this process knows, as of an epoch.

A change of a definition or a workspace raises the epoch in its own transaction. A
process that meets another epoch than its own loads the definitions again, so that every
worker knows a new type at once.
"""

import gc
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from persist.domain.entity_type import EntityType
from persist.domain.errors import CollectionNotFound, Unavailable
from persist.domain.workspace import (
    DEFAULT,
    Workspaces,
    check_in_workspace,
    collections_in,
)
from persist.entity_types.from_schema import Schemas, from_schema
from persist.storage.dialect import Dialect
from persist.storage.entity_types.definitions import Definitions, StoredDefinition
from persist.storage.entity_types.workspaces import DeclaredWorkspaces
from persist.storage.layout import Layout, layout_of
from persist.storage.sql import Session

NEWER_RETRY_SECONDS = 5
"""Seconds after which a client asks again for a table that a newer release migrated."""


class Stale(Exception):
    """Something was prepared for an earlier definition of an entity type.

    The caller refreshes the catalog and prepares it again.
    """


@dataclass(frozen=True)
class _Known:
    """What a process knows as of an epoch: one value that threads replace as one."""

    epoch: int
    sources: Mapping[str, StoredDefinition]
    layouts: Mapping[str, Layout]
    ahead: Mapping[str, int]
    workspaces: Workspaces


class Catalog:
    """Every collection by name."""

    def __init__(self, dialect: Dialect, types: Iterable[EntityType]) -> None:
        self._dialect = dialect
        self._typed: Mapping[str, Layout] = {
            entity_type.name: layout_of(entity_type, dialect) for entity_type in types
        }
        self._known = _Known(-1, {}, self._typed, {}, {})
        self._loading = threading.Lock()
        self._offered: dict[str, _Compiled] = {}

    @property
    def layouts(self) -> Mapping[str, Layout]:
        """The layout of each collection, all as of one epoch."""
        return self._known.layouts

    @property
    def ahead(self) -> Mapping[str, int]:
        """Typed collections that a newer release has migrated, with their version."""
        return self._known.ahead

    @property
    def workspaces(self) -> Workspaces:
        """The declared workspaces."""
        return self._known.workspaces

    @property
    def epoch(self) -> int:
        """The epoch that this process knows."""
        return self._known.epoch

    def __iter__(self) -> Iterator[EntityType]:
        return iter([layout.type for _, layout in sorted(self.layouts.items())])

    def names_in(self, workspace: str) -> list[str]:
        """Return the sorted names of a workspace's collections that exist.

        Raises ``WorkspaceNotFound``.
        """
        known = self._known
        existing = known.layouts.keys() | known.ahead.keys()
        if workspace == DEFAULT:
            return sorted(existing)
        names = collections_in(known.workspaces, workspace)
        return [name for name in names if name in existing]

    def get(self, name: str, workspace: str = DEFAULT) -> Layout:
        """Return the layout of a collection.

        Raises ``WorkspaceNotFound``, ``CollectionNotInWorkspace``,
        ``CollectionNotFound``, and ``Unavailable``.
        """
        known = self._known
        check_in_workspace(known.workspaces, workspace, name)
        found = known.layouts.get(name)
        if found is not None:
            return found
        if name in known.ahead:
            raise Unavailable(
                f"the table of {name} is at schema version {known.ahead[name]}, which"
                " this process does not know: it is being replaced by a newer one",
                retry_after=NEWER_RETRY_SECONDS,
            )
        raise CollectionNotFound(
            f"there is no collection {name[:80]!r}", name=name, others=known.layouts
        )

    def is_typed(self, name: str) -> bool:
        """Return whether a name belongs to a class in code."""
        return name in self._typed

    def refresh(self, session: Session[Dialect]) -> bool:
        """Load the definitions if they changed and return whether they did.

        Types that did not change keep their identity. The older epoch of a transaction
        that began earlier changes nothing.
        """
        definitions = Definitions(session)
        epoch = definitions.epoch()
        if epoch == self._known.epoch:
            return False
        with self._loading:
            # Another thread may have loaded it, or a later one, while this one waited.
            if epoch > self._known.epoch:
                workspaces = DeclaredWorkspaces(session).all()
                # One assignment: readers in other threads see the old value or the new
                # one.
                self._known = self._load(epoch, definitions, workspaces)
                _keep_from_collector()
        return True

    def _load(
        self, epoch: int, definitions: Definitions, workspaces: Workspaces
    ) -> _Known:
        sources = {source.name: source for source in definitions.current()}
        layouts = {
            name: self.layout_of(source)
            for name, source in sources.items()
            if name not in self._typed
        }
        ahead: dict[str, int] = {}
        versions = definitions.typed()
        for name, layout in self._typed.items():
            version = versions.get(name)
            if version == layout.type.schema_version:
                layouts[name] = layout
            # A replica of a newer release has migrated the table; this one must not
            # write to it.
            elif version is not None:
                ahead[name] = version
        return _Known(epoch, sources, layouts, ahead, workspaces)

    def offer(self, source: StoredDefinition, entity_type: EntityType) -> None:
        """Keep a type that was compiled for a definition to be stored, so that it is
        not compiled again once it is."""
        self._offered[source.name] = _Compiled(source, entity_type)

    def layout_of(self, source: StoredDefinition) -> Layout:
        """Return the layout of a definition: the known one if there is one."""
        known = self._known
        # Types that are the same stay the same object: writes are compared with them by
        # identity.
        if known.sources.get(source.name) == source and source.name in known.layouts:
            return known.layouts[source.name]
        offered = self._offered.pop(source.name, None)
        if offered is not None and offered.is_of(source):
            table = source.table_name
            return layout_of(offered.entity_type, self._dialect, table_name=table)
        return registered_layout(source, self._dialect)


@dataclass(frozen=True)
class _Compiled:
    """A definition and the type that was compiled of it."""

    source: StoredDefinition
    entity_type: EntityType

    def is_of(self, stored: StoredDefinition) -> bool:
        """Return whether the type was compiled from a stored definition."""
        source = self.source
        return (
            source.schema_version == stored.schema_version
            and source.definition == stored.definition
            and source.steps == stored.steps
        )


def _keep_from_collector() -> None:
    """Exclude what is loaded now from garbage collection.

    Compiled types are millions of objects, and walking them stops every thread for
    hundreds of milliseconds. What they were compiled with is collected first.
    """
    gc.collect(1)
    gc.freeze()


def registered_layout(
    source: StoredDefinition, dialect: Dialect, schemas: Schemas | None = None
) -> Layout:
    """Return the layout of a stored definition.

    ``schemas`` are its compiled schemas if they are at hand.
    """
    entity_type = from_schema(
        source.name, source.schema_version, source.definition, source.steps, schemas
    )
    return layout_of(entity_type, dialect, table_name=source.table_name)
