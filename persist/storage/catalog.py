"""Catalog: the collections and workspaces this process knows, as of an epoch.

A definition or a workspace that changes raises the epoch in its own transaction; a
process that meets another epoch than its own loads the definitions again, so that every
worker knows a new type at once.
"""

import difflib
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from persist.domain.entity_type import EntityType
from persist.domain.errors import CollectionNotFound, Unavailable
from persist.domain.workspace import DEFAULT, Workspaces, check_held, held
from persist.entity_types.from_schema import from_schema
from persist.storage.definitions import Definitions, StoredDefinition
from persist.storage.dialect import Dialect
from persist.storage.layout import Layout, layout_of


class Stale(Exception):
    """What was prepared for an entity type does not fit its present definition; prepare
    it anew."""


@dataclass(frozen=True)
class _Known:
    """What a process knows as of an epoch: one value, so that threads never see half of
    it."""

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
            type.name: layout_of(type, dialect) for type in types
        }
        self._known = _Known(-1, {}, self._typed, {}, {})
        self._loading = threading.Lock()

    @property
    def layouts(self) -> Mapping[str, Layout]:
        """The layout of each collection: a look at it is one moment."""
        return self._known.layouts

    @property
    def ahead(self) -> Mapping[str, int]:
        """Typed collections whose tables a newer process has migrated, with their
        version there."""
        return self._known.ahead

    @property
    def workspaces(self) -> Workspaces:
        """The declared workspaces."""
        return self._known.workspaces

    @property
    def epoch(self) -> int:
        """The moment of the definitions that is known here."""
        return self._known.epoch

    def __iter__(self) -> Iterator[EntityType]:
        return iter([layout.type for _, layout in sorted(self.layouts.items())])

    def held(self, workspace: str) -> list[str]:
        """The collections of a workspace that there are, sorted. Raises
        ``WorkspaceNotFound``."""
        known = {**self._known.layouts, **self._known.ahead}
        names = (
            sorted(known) if workspace == DEFAULT else held(self.workspaces, workspace)
        )
        return [name for name in names if name in known]

    def get(self, name: str, workspace: str = DEFAULT) -> Layout:
        """The layout of a collection. Raises ``WorkspaceNotFound``,
        ``CollectionNotInWorkspace``, ``CollectionNotFound``, naming the nearest, and
        ``Unavailable``."""
        check_held(self.workspaces, workspace, name)
        found = self.layouts.get(name)
        if name in self.ahead:
            raise Unavailable(
                f"the table of {name} is at schema version {self.ahead[name]}, which"
                " this process does not know: it is being replaced by a newer one",
                retry_after=5,
            )
        if found is None:
            near = difflib.get_close_matches(name, self.layouts, n=1)
            hint = (
                f"; did you mean {near[0]}?"
                if near
                else "; GET /collections lists them"
            )
            raise CollectionNotFound(f"there is no collection {name[:80]!r}{hint}")
        return found

    def is_typed(self, name: str) -> bool:
        """Whether a name belongs to a class in code."""
        return name in self._typed

    def refresh(self, definitions: Definitions) -> bool:
        """Load the definitions if they changed; whether they did. Types that did not
        change keep their identity. A transaction that looks at an earlier moment takes
        nothing back."""
        epoch = definitions.epoch()
        if epoch == self._known.epoch:
            return False
        with self._loading:
            if epoch > self._known.epoch:
                self._known = self._loaded(epoch, definitions)
        return True

    def _loaded(self, epoch: int, definitions: Definitions) -> _Known:
        sources = {source.name: source for source in definitions.current()}
        versions = definitions.typed()
        typed = {
            name: layout
            for name, layout in self._typed.items()
            if versions.get(name) == layout.type.schema_version
        }
        loaded = {
            name: self._layout(source)
            for name, source in sources.items()
            if name not in self._typed
        }
        ahead = {
            name: version
            for name, version in versions.items()
            if name in self._typed and name not in typed
        }
        return _Known(
            epoch, sources, {**loaded, **typed}, ahead, definitions.workspaces()
        )

    def _layout(self, source: StoredDefinition) -> Layout:
        if (
            self._known.sources.get(source.name) == source
            and source.name in self.layouts
        ):
            return self.layouts[source.name]
        return registered_layout(source, self._dialect)


def registered_layout(source: StoredDefinition, dialect: Dialect) -> Layout:
    """The layout of a stored definition."""
    type = from_schema(
        source.name, source.schema_version, source.definition, source.steps
    )
    return layout_of(type, dialect, table_name=source.table_name)
