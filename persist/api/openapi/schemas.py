"""The schemas of one collection: what goes in, what comes out, and the envelope around
it."""

from collections.abc import Mapping
from typing import Any

from persist.api.openapi.components import (
    ANY_OBJECT,
    NULL,
    Components,
    normalized,
    not_only_null,
    nullable,
    pascal_case,
)
from persist.api.openapi.shared import EXAMPLE_ID, SHARED, Json, schema
from persist.domain.command import Command
from persist.domain.entity_type import EntityType, Kind
from persist.domain.field import FieldType
from persist.domain.record import Data, dumps

EXAMPLE_TIME = "2026-11-22T17:00:00.123456Z"
_MERGED: dict[FieldType, Json] = {FieldType.OBJECT: ANY_OBJECT, FieldType.ANY: {}}
"""What a merge patch may hold for members whose own members are merged one by one."""

_COMPOSED = ("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if")
_MEMBERS = ("Create", "Item", "MergePatch", "Page", "Partial", "Read", "Record")


def base_name(entity_type: EntityType) -> str:
    """Return the name with which a collection's schemas begin: its title where that is
    the singular of its name (``OpsTicket``), or else its name (``OpsTickets``)."""
    title = entity_type.schema.get("title")
    if isinstance(title, str) and title == pascal_case(title):
        singular, plural = normalized(title), normalized(entity_type.name)
        forms = (singular, f"{singular}s", f"{singular}es", f"{singular[:-1]}ies")
        if plural in forms:
            return title
    return pascal_case(entity_type.name)


def collection_schemas(
    entity_type: EntityType, base: str, example: Data | None
) -> dict[str, Any]:
    """Return the schemas of one collection by component name."""
    return _CollectionSchemas(entity_type, base, example).all()


def payload_name(base: str, command: str) -> str:
    """Return the name of the schema of a command's payload."""
    return f"{base}{pascal_case(command)}Payload"


def result_name(base: str, command: str) -> str:
    """Return the name of the schema of what a command answers."""
    return f"{base}{pascal_case(command)}Result"


class _CollectionSchemas:
    def __init__(
        self, entity_type: EntityType, base: str, example: Data | None
    ) -> None:
        reserved = [*SHARED["schemas"], *(base + member for member in _MEMBERS)]
        for command in entity_type.commands:
            reserved += [payload_name(base, command), result_name(base, command)]
        self._type = entity_type
        self._base = base
        self._example = example
        self._components = Components(reserved)
        self._is_composed = any(keyword in entity_type.schema for keyword in _COMPOSED)

    def all(self) -> dict[str, Any]:
        """Return all of them."""
        base, example = self._base, self._example
        create = self._create()
        partial = self._partial(self._members() | self._computed())
        if example is not None:
            create = create | {"examples": [example]}
        record = self._envelope(schema(f"{base}Read"))
        if example is not None:
            record["examples"] = [example_record(self._type, example)]
        self._components.add(f"{base}Create", create)
        self._components.add(f"{base}Read", self._read())
        self._components.add(f"{base}Record", record)
        self._components.add(f"{base}Partial", partial)
        self._components.add(f"{base}Item", self._envelope(schema(f"{base}Partial")))
        self._components.add(f"{base}Page", self._page())
        self._components.add(f"{base}MergePatch", self._merge_patch())
        for command in self._type.commands.values():
            self._add_command(command)
        return self._components.schemas

    def _data(self, member: str) -> Json:
        """Return the schema of data; its root is always an object."""
        name = self._base + member
        source = self._type.schema
        converted: Json = self._components.convert(source, self._base, name)
        if not self._is_composed:
            converted |= {"type": "object"}
        converted.pop("examples", None)
        return {"type": "object"} if converted == {"not": {}} else converted

    def _create(self) -> Json:
        """Return the schema of data to store; descriptions name the defaults."""
        create = self._data("Create")
        properties = create.get("properties", {})
        for name, part in self._type.schema.get("properties", {}).items():
            default = part.get("default") if isinstance(part, Mapping) else None
            if default is not None and "$ref" not in properties.get(name, {}):
                described = (
                    f"{part.get('description', '')} Default: `{dumps(default)}`."
                )
                properties[name] |= {"description": described.lstrip()}
        return create

    def _read(self) -> Json:
        """Return the schema of stored data: members with a default are always there."""
        read = self._data("Read")
        properties = read.get("properties")
        if not isinstance(properties, dict) or self._is_composed:
            return read
        required = [name for name in properties if self._is_always_stored(name)]
        required += self._computed()
        read["properties"] = properties | self._computed()
        return read | {"required": required} if required else read

    def _computed(self) -> dict[str, Json]:
        """Return the schema of each computed member; null where its code fails."""
        computed = self._type.computed
        if computed is None:
            return {}
        return {name: nullable(part) for name, part in computed.properties.items()}

    def _is_always_stored(self, name: str) -> bool:
        if name in self._type.schema.get("required", ()):
            return True
        if self._type.kind is Kind.TYPED:
            return True
        part = self._type.schema["properties"][name]
        is_filled = self._type.definition.get("defaults", "fill") == "fill"
        return is_filled and isinstance(part, Mapping) and "default" in part

    def _members(self) -> dict[str, Json]:
        """Return the schema of each top-level member; any value where another part of
        the schema declares it."""
        own = self._type.schema.get("properties", {})
        return {
            name: (
                self._components.part(self._type.schema, own[name], self._base, name)
                if name in own
                else {}
            )
            for name in self._type.fields
        }

    def _partial(self, members: dict[str, Json]) -> Json:
        """Return the schema of data with any of its members left out."""
        is_closed = self._type.schema.get("additionalProperties") is False
        partial: Json = {"type": "object", "properties": members}
        return partial | {"additionalProperties": not is_closed}

    def _merge_patch(self) -> Json:
        """Return the schema of a merge patch (RFC 7396): null removes a member, those
        of an inner object are merged one by one."""
        required = self._type.schema.get("required", ())
        members: dict[str, Json] = {}
        for name, part in self._members().items():
            merged = _MERGED.get(self._type.fields[name].type, part)
            is_removable = name not in required and NULL not in merged.get("anyOf", ())
            members[name] = nullable(merged) if is_removable else merged
        return self._partial(members)

    def _envelope(self, data: Json) -> Json:
        envelope: Json = SHARED["schemas"]["Record"]
        properties = envelope["properties"] | {
            "collection": {"type": "string", "const": self._type.name},
            "data": data,
        }
        return {
            "type": "object",
            "required": envelope["required"],
            "properties": properties,
        }

    def _page(self) -> Json:
        page: Json = SHARED["schemas"]["Page"]
        items = {"type": "array", "items": schema(f"{self._base}Item")}
        return page | {"properties": page["properties"] | {"items": items}}

    def _add_command(self, command: Command) -> None:
        base, name = self._base, command.name
        payload = payload_name(base, name)
        if name == "set":
            converted = self._partial(self._members()) | {"minProperties": 1}
        else:
            prefix = base + pascal_case(name)
            converted = self._components.convert(
                command.payload_schema, prefix, payload
            )
        self._components.add(payload, converted)
        self._components.add(result_name(base, name), self._result(command))

    def _result(self, command: Command) -> Json:
        prefix = self._base + pascal_case(command.name)
        converted = self._components.convert(command.result_schema, prefix)
        result = not_only_null(converted)
        return {
            "type": "object",
            "required": ["result", "record"],
            "properties": {"result": result, "record": schema(f"{self._base}Record")},
        }


def example_record(entity_type: EntityType, data: Data) -> Json:
    """Return the record that creating ``data`` gives."""
    return {
        "id": EXAMPLE_ID,
        "collection": entity_type.name,
        "workspace": None,
        "revision": 1,
        "schema_version": entity_type.schema_version,
        "created_at": EXAMPLE_TIME,
        "updated_at": EXAMPLE_TIME,
        "data": entity_type.validate(dict(data)),
    }
