"""Catalog: the collections this process knows, each with its layout, as of an epoch.

A definition that changes raises the epoch in its own transaction; a process that meets another
epoch than its own loads the definitions again, so that every worker knows a new type at once.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping

from app.domain.entity_type import EntityType
from app.domain.errors import CollectionNotFound, Unavailable
from app.entity_types.from_schema import from_schema
from app.storage.definitions import Definitions, StoredDefinition
from app.storage.dialect import Dialect
from app.storage.layout import Layout, layout_of


class Stale(Exception):
    """What was prepared for an entity type does not fit its present definition; prepare it anew."""


class Catalog:
    """Every collection by name. ``layouts`` is replaced as a whole, so a look at it is one moment;
    ``ahead`` names typed ones whose tables a newer process has migrated."""

    def __init__(self, dialect: Dialect, types: Iterable[EntityType]) -> None:
        self._dialect = dialect
        self._typed: Mapping[str, Layout] = {type.name: layout_of(type, dialect) for type in types}
        self._sources: Mapping[str, StoredDefinition] = {}
        self.layouts: Mapping[str, Layout] = self._typed
        self.ahead: Mapping[str, int] = {}
        self.epoch = -1

    def __iter__(self) -> Iterator[EntityType]:
        return iter([layout.type for _, layout in sorted(self.layouts.items())])

    def get(self, name: str) -> Layout:
        """The layout of a collection. Raises ``CollectionNotFound``, naming the nearest."""
        found = self.layouts.get(name)
        if name in self.ahead:
            raise Unavailable(
                f"the table of {name} is at schema version {self.ahead[name]}, which this process does not "
                "know: it is being replaced by a newer one",
                retry_after=5,
            )
        if found is None:
            near = difflib.get_close_matches(name, self.layouts, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; GET /collections lists them"
            raise CollectionNotFound(f"there is no collection {name[:80]!r}{hint}")
        return found

    def is_typed(self, name: str) -> bool:
        """Whether a name belongs to a class in code."""
        return name in self._typed

    def refresh(self, definitions: Definitions) -> bool:
        """Load the definitions if they changed; whether they did. Types that did not change keep
        their identity."""
        epoch = definitions.epoch()
        if epoch == self.epoch:
            return False
        sources = {source.name: source for source in definitions.current()}
        known = definitions.typed()
        typed = {
            name: layout
            for name, layout in self._typed.items()
            if known.get(name) == layout.type.schema_version
        }
        loaded = {name: self._layout(source) for name, source in sources.items() if name not in self._typed}
        self.ahead = {
            name: version for name, version in known.items() if name in self._typed and name not in typed
        }
        self._sources, self.layouts, self.epoch = sources, {**loaded, **typed}, epoch
        return True

    def _layout(self, source: StoredDefinition) -> Layout:
        if self._sources.get(source.name) == source and source.name in self.layouts:
            return self.layouts[source.name]
        return registered_layout(source, self._dialect)


def registered_layout(source: StoredDefinition, dialect: Dialect) -> Layout:
    """The layout of a stored definition."""
    type = from_schema(source.name, source.schema_version, source.definition, source.steps)
    return layout_of(type, dialect, table_name=source.table_name)
