"""The schemas of one collection: what goes in, what comes out, and the envelope around
it."""

from collections.abc import Mapping

from persist.api.openapi.components import (
    ANY_OBJECT,
    NULL,
    Components,
    not_only_null,
    nullable,
    pascal_case,
)
from persist.api.openapi.shared import SHARED, schema
from persist.api.openapi.type_unions import (
    NOTHING,
    normalized,
)
from persist.domain.command import Command
from persist.domain.entity_type import EntityType, Kind
from persist.domain.field import FieldType
from persist.domain.record import Json, dumps

_MERGED: dict[FieldType, Json] = {FieldType.OBJECT: ANY_OBJECT, FieldType.ANY: {}}
"""What a merge patch may hold for members whose own members are merged one by one."""

_COMPOSED = ("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if")
_MEMBERS = ("Create", "Item", "MergePatch", "Page", "Partial", "Read", "Record")


def base_name(entity_type: EntityType) -> str:
    """Return the name with which a collection's schemas begin: its title if that is
    the singular of its name (``OpsTicket``), or else its name (``OpsTickets``)."""
    name = entity_type.name
    title = entity_type.schema.get("title")
    if isinstance(title, str) and title == pascal_case(title):
        singular = normalized(title)
        if normalized(name) in _plurals(singular):
            return title
    return pascal_case(name)


def _plurals(singular: str) -> tuple[str, ...]:
    """Return the names that a collection of such records can have."""
    return (
        singular,
        f"{singular}s",
        f"{singular}es",
        f"{singular[:-1]}ies",
    )


def collection_schemas(entity_type: EntityType, base: str) -> dict[str, object]:
    """Return the schemas of one collection by component name."""
    return _CollectionSchemas(entity_type, base).all()


def payload_name(base: str, command: str) -> str:
    """Return the name of the schema of a command's payload."""
    return f"{base}{pascal_case(command)}Payload"


def result_name(base: str, command: str) -> str:
    """Return the name of the schema of a command's answer."""
    return f"{base}{pascal_case(command)}Result"


class _CollectionSchemas:
    def __init__(self, entity_type: EntityType, base: str) -> None:
        reserved = [
            *SHARED["schemas"],
            *(base + member for member in _MEMBERS),
        ]
        for command in entity_type.commands:
            reserved.append(payload_name(base, command))
            reserved.append(result_name(base, command))
        self._type = entity_type
        self._base = base
        self._components = Components(reserved)
        self._is_composed = any(keyword in entity_type.schema for keyword in _COMPOSED)

    def all(self) -> Json:
        """Return all of them."""
        create = self._create()
        partial = self._partial(self._members() | self._computed())
        self._add("Create", create)
        self._add("Read", self._read())
        self._add("Record", self._envelope("Read"))
        self._add("Partial", partial)
        self._add("Item", self._envelope("Partial"))
        self._add("Page", self._page())
        self._add("MergePatch", self._merge_patch())
        for command in self._type.commands.values():
            self._add_command(command)
        return self._components.schemas

    def _add(self, member: str, component: Json) -> None:
        name = self._base + member
        self._components.add(name, component)

    def _data(self, member: str) -> Json:
        """Return the schema of data; its root is always an object."""
        converted: Json = self._components.convert(
            self._type.schema,
            self._base,
            self._base + member,
        )
        if not self._is_composed:
            converted = _of_objects(converted) | {"type": "object"}
        converted.pop("examples", None)
        if converted == NOTHING:
            return {"type": "object"}
        return converted

    def _create(self) -> Json:
        """Return the schema of data to store; descriptions name the defaults. Examples
        of members are those of the body."""
        create = self._data("Create")
        properties = create.get("properties", {})
        _drop_examples(properties)
        declared = self._type.schema.get("properties", {})
        for name, part in declared.items():
            if not isinstance(part, Mapping) or part.get("default") is None:
                continue
            if name not in properties or "$ref" in properties[name]:
                continue
            default = dumps(part["default"])
            description = part.get("description", "")
            described = f"{description} Default: `{default}`."
            properties[name] |= {"description": described.lstrip()}
        return create

    def _read(self) -> Json:
        """Return the schema of stored data: members with a default are always there."""
        read = self._data("Read")
        properties = read.get("properties")
        if not isinstance(properties, dict) or self._is_composed:
            return read
        computed = self._computed()
        required = list(filter(self._is_always_stored, properties))
        required += computed
        read["properties"] = properties | computed
        if required:
            read["required"] = required
        return read

    def _computed(self) -> dict[str, Json]:
        """Return the schema of each computed member; null if its code fails."""
        computed = self._type.computed
        if computed is None:
            return {}
        properties = computed.properties
        return {name: nullable(part) for name, part in properties.items()}

    def _is_always_stored(self, name: str) -> bool:
        source = self._type.schema
        if name in source.get("required", ()):
            return True
        if self._type.kind is Kind.TYPED:
            return True
        defaults = self._type.definition.get("defaults", "fill")
        if defaults != "fill":
            return False
        part = source["properties"][name]
        return isinstance(part, Mapping) and "default" in part

    def _members(self) -> dict[str, Json]:
        """Return the schema of each top-level member; any value if another part of
        the schema declares it."""
        source = self._type.schema
        own = source.get("properties", {})
        members: dict[str, Json] = {}
        for name in self._type.fields:
            members[name] = {}
            if name in own:
                part = own[name]
                members[name] = self._components.part(source, part, self._base, name)
        return members

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
        for name, part in _drop_examples(self._members()).items():
            field_type = self._type.fields[name].type
            merged: Json = _MERGED.get(field_type, part) or {}
            is_nullable = NULL in merged.get("anyOf", ())
            is_removable = name not in required and not is_nullable
            members[name] = nullable(merged) if is_removable else merged
        return self._partial(members)

    def _envelope(self, member: str) -> Json:
        """Return the schema of a record whose data has the schema of that name. What
        the members of the envelope mean is said once, in the schema ``Record``."""
        envelope: Json = SHARED["schemas"]["Record"]
        properties = {
            name: {key: value for key, value in part.items() if key != "description"}
            for name, part in envelope["properties"].items()
        }
        properties["collection"] = {
            "type": "string",
            "const": self._type.name,
        }
        properties["data"] = schema(self._base + member)
        return {
            "type": "object",
            "required": envelope["required"],
            "properties": properties,
        }

    def _page(self) -> Json:
        page: Json = SHARED["schemas"]["Page"]
        properties = dict(page["properties"])
        properties["items"] = {
            "type": "array",
            "items": schema(f"{self._base}Item"),
        }
        return page | {"properties": properties}

    def _add_command(self, command: Command) -> None:
        base = self._base
        name = command.name
        payload = payload_name(base, name)
        if name == "set":
            converted = self._partial(_drop_examples(self._members()))
            converted["minProperties"] = 1
        else:
            prefix = base + pascal_case(name)
            converted = self._components.convert(
                command.payload_schema,
                prefix,
                payload,
            )
        self._components.add(payload, converted)
        result = self._result(command)
        self._components.add(result_name(base, name), result)

    def _result(self, command: Command) -> Json:
        prefix = self._base + pascal_case(command.name)
        converted = self._components.convert(command.result_schema, prefix)
        properties = {
            "result": not_only_null(converted),
            "record": schema(f"{self._base}Record"),
        }
        return {
            "type": "object",
            "required": ["result", "record"],
            "properties": properties,
        }


def _drop_examples(members: Json) -> Json:
    """Return the same schemas of members without their examples."""
    for part in members.values():
        if isinstance(part, dict):
            part.pop("examples", None)
    return members


def _of_objects(converted: Json) -> Json:
    """Return the part for objects of a root schema that allows several types."""
    others = {name: value for name, value in converted.items() if name != "anyOf"}
    branches: list[Json] = converted.get("anyOf", [])
    for branch in branches:
        if branch.get("type") == "object":
            return branch | others
    return others
