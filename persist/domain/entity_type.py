"""EntityType: schema, schema version, commands and migration plan of a collection.

It is a frozen value of data and callables. ``entity_types.from_model`` and
``entity_types.from_schema`` create it; everything else treats both alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from persist.domain.command import Command
from persist.domain.field import DELETION, ENVELOPE, Field, FieldType, Path, path_of
from persist.domain.migration import MigrationPlan
from persist.domain.record import Data
from persist.domain.schema_fields import SchemaFields, undeclared_field
from persist.domain.strict_json import WriteDecimals

Paths = tuple[str, ...]


class Kind(StrEnum):
    """Where an entity type comes from: a class in code or a registered JSON Schema."""

    TYPED = "typed"
    REGISTERED = "registered"


@dataclass(frozen=True)
class Computed:
    """The computed members of an entity type: their schemas, and what computes them."""

    properties: Mapping[str, Any]
    compute: Callable[[Data], Data]


@dataclass(frozen=True, eq=False)
class EntityType:
    """The type of a collection's records.

    Types are compared by identity: what was prepared for one is not used for another.

    ``validate`` returns the data as it is stored, with defaults filled in, or raises
    ``InvalidData`` with every violation. ``unique`` and ``indexes`` are lists of dotted
    paths. ``example`` is valid data for the documentation. ``times`` are the members
    whose times are stored in one form. ``definition`` is what a registered type was
    made from. ``computed`` are members of answers that are never stored. ``envelope``
    are the members around the data that queries can name. ``write_decimals`` is
    None if there are no decimals.
    """

    name: str
    kind: Kind
    schema_version: int
    schema: Mapping[str, Any]
    validate: Callable[[Data], Data]
    commands: Mapping[str, Command]
    unique: tuple[Paths, ...] = ()
    indexes: tuple[Paths, ...] = ()
    plan: MigrationPlan = field(default_factory=MigrationPlan)
    description: str = ""
    example: Data | None = None
    times: frozenset[str] = frozenset()
    model: type | None = field(default=None)
    find_members: Callable[[Mapping[str, Any]], SchemaFields] = SchemaFields
    definition: Mapping[str, Any] = field(default_factory=dict)
    computed: Computed | None = None
    write_decimals: WriteDecimals | None = None
    envelope: Mapping[str, Field] = field(default_factory=lambda: ENVELOPE)

    def bring_forward(
        self,
        version: int,
        data: Data,
        plan: MigrationPlan | None = None,
    ) -> Data:
        """Bring data of an older schema version to this one and validate it.

        ``plan`` is used instead of the type's own. Raises ``MigrationFailed`` and
        ``InvalidData``.
        """
        return self.validate((plan or self.plan).walk(version, data))

    @cached_property
    def has_decimals(self) -> bool:
        """Whether the data or a payload of a command has decimals."""
        in_payload = any(command.write_decimals for command in self.commands.values())
        return in_payload or self.write_decimals is not None

    @cached_property
    def members(self) -> SchemaFields:
        """The members that ``schema`` declares."""
        return self.find_members(self.schema)

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """The declared top-level members of ``data`` by name."""
        found: dict[str, Field] = {}
        for name, declared in self.members.declared.items():
            found[name] = self._stored(declared)
        return found

    @cached_property
    def _found(self) -> dict[Path, Field]:
        return {field.path: field for field in self.fields.values()}

    def field_at(
        self,
        path: Path,
        *,
        undeclared: bool = False,
    ) -> Field | None:
        """Return the member at ``path``, or None if nothing can be there.

        With ``undeclared`` it may be a top-level member that an open schema does not
        declare.
        """
        known = self._found.get(path)
        if known is not None:
            return known
        return self.members.at(path, undeclared=undeclared)

    def field_named(self, text: str) -> Field | None:
        """Return the member that a path such as ``payload."user-id"`` names.

        ``data.<name>`` names a top-level member too, even one that is not declared.
        """
        return self.field_of(path_of(text))

    def field_of(self, path: Path) -> Field | None:
        """Return the member at a path that may begin with ``data``."""
        found = self.members.named(path)
        if found is None:
            return None
        return self._found.get(found.path, found)

    def _stored(self, field: Field) -> Field:
        """Return the field with what a class adds: its times and ids have one form."""
        is_typed = self.kind is Kind.TYPED
        is_id = is_typed and field.type is FieldType.UUID
        is_time = field.path[0] in self.times
        if is_id or is_time:
            return replace(field, normalized=True)
        return field

    @cached_property
    def past(self) -> "PastType":
        """The type that queries of an earlier moment use."""
        return self._past()

    @cached_property
    def trash(self) -> "PastType":
        """The type that queries of the trash use."""
        return self._past(envelope={**ENVELOPE, **DELETION})

    def _past(self, **changes: Any) -> "PastType":
        own = {}
        for known in fields(EntityType):
            own[known.name] = getattr(self, known.name)
        return PastType(**own | changes)


class PastType(EntityType):
    """The type of records that were stored under any schema version.

    The present schema says how queries name and compare members. A stored value may be
    of another type, and ``data.<name>`` names members that the schema does not have.
    """

    def field_at(
        self,
        path: Path,
        *,
        undeclared: bool = False,
    ) -> Field | None:
        """Return the member at ``path``."""
        found = self.members.at(path, undeclared=undeclared)
        if found is None:
            return _uncertain(undeclared_field(path)) if undeclared else None
        return _uncertain(found)

    def field_of(self, path: Path) -> Field | None:
        """Return the member at a path that may begin with ``data``."""
        found = self.members.named(path)
        if found is not None:
            return _uncertain(found)
        named = path[0] == "data" and len(path) > 1
        return _uncertain(undeclared_field(path[1:])) if named else None


def _uncertain(declared: Field) -> Field:
    return replace(
        declared,
        nullable=True,
        certain=False,
        normalized=False,
    )
