"""Restore target: the collection here that a collection of a snapshot goes into."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from persist.domain.canonical_json import same_json_text
from persist.domain.entity_type import EntityType, Kind
from persist.domain.errors import InvalidSchema, MigrationFailed
from persist.domain.migration import MigrationPlan
from persist.domain.record import Data, Json, canonical_text, dumps
from persist.domain.snapshot import Manifest
from persist.entity_types.definition import check_step, normal_form, refuse
from persist.entity_types.from_schema import plan_of
from persist.storage.dialect import Dialect
from persist.storage.entity_types.catalog import Catalog, registered_layout
from persist.storage.entity_types.definitions import (
    Definitions,
    StoredDefinition,
    plan_steps,
)
from persist.storage.layout import Layout
from persist.storage.snapshots.restore_writer import IncomingRow

Steps = Sequence[Mapping[str, Any]]
"""Declarative steps as a client sends them."""


@dataclass
class RestoreTarget:
    """A collection that is restored, with the plan that its records walk.

    ``versions`` are those that a registered type will get if it does not exist here.
    ``stored`` are those that its name had here already. ``from_versions`` counts the
    records by the schema version they came with.
    """

    layout: Layout
    plan: MigrationPlan
    versions: Sequence[StoredDefinition] = ()
    stored: Sequence[StoredDefinition] = ()
    from_versions: dict[int, int] = field(default_factory=dict)
    migrated: int = 0

    def row(self, record: Mapping[str, Any], workspace: str) -> IncomingRow:
        """Return a record as it will be stored in a workspace.

        Raises ``MigrationFailed`` and ``InvalidData``.
        """
        entity_type = self.layout.type
        version = record["schema_version"]
        self._check_version(version)
        steps = self.plan.chain(version)
        # Steps may change the data itself, so it is compared as text.
        before = dumps(record["data"]) if steps else ""
        data = entity_type.bring_forward(version, record["data"], self.plan)
        text = dumps(data)
        self.from_versions[version] = self.from_versions.get(version, 0) + 1
        self.migrated += bool(steps)
        return IncomingRow(
            entity_type.name,
            workspace,
            record["id"],
            record["revision"],
            record["created_at"],
            record["updated_at"],
            text,
            changed=bool(steps) and _differs(before, text, data),
            parsed=data,
        )

    def _check_version(self, version: int) -> None:
        """Raise ``MigrationFailed`` for registered data newer than its type."""
        entity_type = self.layout.type
        if entity_type.kind is Kind.REGISTERED and version > entity_type.schema_version:
            raise MigrationFailed(
                f"the data is of schema version {version}, {entity_type.name} is at"
                f" {entity_type.schema_version} here: first PUT"
                f" /entity-types/{entity_type.name} with the later definition"
            )

    def report(self) -> Json:
        """Return the collection's part of the report."""
        versions = {
            str(version): count for version, count in sorted(self.from_versions.items())
        }
        return {
            "name": self.layout.type.name,
            "from_versions": versions,
            "to_version": self.layout.type.schema_version,
        }


def _differs(before: str, after: str, data: Data) -> bool:
    """Return whether two texts of ``dumps`` are different JSON; ``data`` is the value
    of ``after``.

    Equal data may come out of a step that was written for other records: those keep
    their revision.
    """
    # Another order of members changes no length.
    return len(before) != len(after) or not same_json_text(before, after, data)


class TargetFinder:
    """Finds the restore target of each collection of a manifest.

    It looks in the catalog and in the stored definitions.
    """

    def __init__(
        self, dialect: Dialect, catalog: Catalog, definitions: Definitions
    ) -> None:
        self._dialect = dialect
        self._catalog = catalog
        self._definitions = definitions

    def find(
        self, manifest: Manifest, plans: Mapping[str, Steps]
    ) -> dict[str, RestoreTarget]:
        """Return the target of each collection by name.

        ``plans`` are used instead of the collections' own. Raises ``MigrationFailed``,
        and ``InvalidSchema`` for a faulty plan.
        """
        found: dict[str, RestoreTarget] = {}
        for entry in manifest["collections"]:
            name = entry["name"]
            # One for all workspaces of a collection.
            target = found.get(name) or self._target(entry, planned=name in plans)
            if name in plans:
                version = target.layout.type.schema_version
                target.plan = _plan(version, name, plans[name])
            found[name] = target
        unknown = sorted(plans.keys() - found.keys())
        if unknown:
            raise MigrationFailed(
                f"the plan names {unknown[0][:80]!r}, which the snapshot does not"
                " contain"
            )
        return found

    def _target(self, entry: Mapping[str, Any], *, planned: bool) -> RestoreTarget:
        name = entry["name"]
        registered = entry["kind"] == Kind.REGISTERED.value
        taken: list[StoredDefinition] = []
        stored: list[StoredDefinition] = []
        if registered:
            taken = _versions(entry)
            stored = self._definitions.versions(name)
        if name in self._catalog.layouts or name in self._catalog.ahead:
            layout = self._catalog.get(name)
            if layout.type.kind.value != entry["kind"]:
                raise MigrationFailed(
                    f"{name} is {entry['kind']} in the snapshot and"
                    f" {layout.type.kind.value} here; restore it where it is of the"
                    " same kind"
                )
            _check_agreement(layout.type, taken, stored, planned=planned)
            return RestoreTarget(layout, layout.type.plan)
        if not registered:
            raise MigrationFailed(
                f"there is no typed collection {name} here; deploy its class first"
            )
        return self._missing(taken, stored)

    def _missing(
        self, taken: list[StoredDefinition], stored: list[StoredDefinition]
    ) -> RestoreTarget:
        """Return the target of a type that is registered from the manifest.

        The versions of a type that was deleted here go on counting.
        """
        here = {version.schema_version: version for version in stored}
        for version in taken:
            _check_same(version, here.get(version.schema_version))
        # Versions of a deleted type are still known here, and are the same
        # (``_check_same``).
        merged = {version.schema_version: version for version in taken} | here
        versions = [merged[number] for number in sorted(merged)]
        steps = plan_steps(version.definition["steps"] for version in versions)
        layout = registered_layout(
            # The table has its number only in the transaction; until then no statement
            # names it.
            replace(versions[-1], table_name="document_new", steps=steps),
            self._dialect,
        )
        return RestoreTarget(layout, layout.type.plan, versions, stored)


def _versions(entry: Mapping[str, Any]) -> list[StoredDefinition]:
    """Return the definitions of a registered collection in a manifest.

    Raises ``MigrationFailed``.
    """
    name = entry["name"]
    try:
        found = [_version(name, taken) for taken in entry["definitions"]]
    except (InvalidSchema, KeyError, TypeError, AttributeError) as error:
        raise MigrationFailed(
            f"the snapshot's definitions of {name} are not valid, take the snapshot"
            f" again: {error}"
        ) from None
    numbers = [version.schema_version for version in found]
    if numbers != sorted(set(numbers)) or numbers[-1:] != [entry["schema_version"]]:
        raise MigrationFailed(
            f"the snapshot does not bring the definition of {name}; take it again"
        )
    return found


def _version(name: str, taken: Mapping[str, Any]) -> StoredDefinition:
    number = taken["schema_version"]
    written = {key: value for key, value in taken.items() if key != "steps"}
    normal = normal_form({**written, "migration": taken.get("steps", [])})
    if number is None or not isinstance(normal["schema"], dict):
        raise TypeError("a version needs its number and its schema")
    return StoredDefinition(name, number, "", normal, "")


def _check_agreement(
    entity_type: EntityType,
    taken: Iterable[StoredDefinition],
    stored: Iterable[StoredDefinition],
    *,
    planned: bool,
) -> None:
    """Raise ``MigrationFailed`` if a version number means another schema here.

    Data of an older version may still come with its own plan (``planned``).
    """
    here = {version.schema_version: version for version in stored}
    for version in taken:
        if not planned or version.schema_version == entity_type.schema_version:
            _check_same(version, here.get(version.schema_version))


def _check_same(taken: StoredDefinition, here: StoredDefinition | None) -> None:
    if here is None:
        return
    schema = canonical_text(here.definition["schema"])
    if canonical_text(taken.definition["schema"]) == schema:
        return
    name = taken.name
    number = taken.schema_version
    raise MigrationFailed(
        f"schema version {number} of {name} has another schema here than in the"
        f" snapshot; bring {name} to a later version (PUT /entity-types/{name}), then"
        f" send a plan that leads from {number} to it"
    )


def _plan(current: int, name: str, steps: object) -> MigrationPlan:
    """Return the plan that a client sends with a run. Raises ``InvalidSchema``."""
    if not isinstance(steps, list):
        raise refuse(("plan", name), "this must be a list of steps")
    for index, step in enumerate(steps):
        check_step(step, ("plan", name, index))
        if step["to"] > current:
            raise refuse(
                ("plan", name, index, "to"), f"{name} is at schema version {current}"
            )
    return plan_of(current, steps, ("plan", name))
