"""An entity type's schemas as OpenAPI components: its data, and what the service builds
around it."""

from typing import Any

from persist.api.openapi.components import COMPONENTS, NO_NUL, Json, lifted, ref
from persist.domain.change import Operation
from persist.domain.entity_type import EntityType
from persist.domain.errors import pointer
from persist.domain.field import FieldType
from persist.domain.selective_invoke import Status

TEXT = {"type": "string", "pattern": NO_NUL}
NAME = {"pattern": NO_NUL}
FLAG = {"type": "boolean", "default": False}
UUID = {"type": "string", "format": "uuid"}
NULL = {"type": "null"}
TIME = {"type": "string", "format": "date-time"}
EXAMPLE_ID = "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70"
EXAMPLE_TIME = "2026-11-22T17:00:00.123456Z"


def collection_schemas(type: EntityType, example: Json | None) -> dict[str, Any]:
    """The schemas of one collection, by component name."""
    name = type.name
    schemas = lifted(type.schema, f"{name}.Data")
    if example is not None and isinstance(schemas[f"{name}.Data"], dict):
        schemas[f"{name}.Data"]["examples"] = [example]
    schemas[f"{name}.Record"] = _record(type, example)
    schemas[f"{name}.MergePatch"] = _merge_patch(type)
    schemas[f"{name}.Page"] = _page(f"{name}.Selection")
    schemas[f"{name}.Page"]["properties"]["total"] = {
        "type": "integer",
        "description": "With `count=true`.",
    }
    schemas[f"{name}.Selection"] = _envelope(type, _selection(type))
    version = {"type": "integer", "minimum": 1, "maximum": type.schema_version}
    schemas[f"{name}.Change"] = _change({"const": name}, version)
    schemas[f"{name}.History"] = _page(f"{name}.Change")
    schemas[f"{name}.Invocation"] = _object(result={}, record=ref(f"{name}.Record"))
    for command in type.commands.values():
        schemas |= lifted(command.payload_schema, f"{name}.{command.name}.Payload")
    return schemas


def past_record(type: EntityType) -> Json | None:
    """A record as an older schema version stored it, where there is one."""
    if type.schema_version == 1:
        return None
    schema = _envelope(type, {"type": "object"})
    schema["properties"]["schema_version"] = {
        "type": "integer",
        "maximum": type.schema_version - 1,
    }
    return schema


def _object(**properties: Any) -> Json:
    return {"type": "object", "required": list(properties), "properties": properties}


def _envelope(type: EntityType, data: Json) -> Json:
    schema = _object(
        id=UUID,
        collection={"const": type.name},
        workspace={"type": ["string", "null"]},
        revision={"type": "integer", "minimum": 1},
        schema_version={"const": type.schema_version},
        created_at=TIME,
        updated_at=TIME,
        data=data,
    )
    return schema | {"additionalProperties": False}


def _record(type: EntityType, example: Json | None) -> Json:
    schema = _envelope(type, ref(f"{type.name}.Data"))
    if example is not None:
        schema["examples"] = [example_record(type, example)]
    return schema


def example_record(type: EntityType, data: Json) -> Json:
    """The record that creating ``data`` gives."""
    return {
        "id": EXAMPLE_ID,
        "collection": type.name,
        "workspace": None,
        "revision": 1,
        "schema_version": type.schema_version,
        "created_at": EXAMPLE_TIME,
        "updated_at": EXAMPLE_TIME,
        "data": type.validate(dict(data)),
    }


def _members(type: EntityType) -> dict[str, Json]:
    """A reference to the schema of each top-level member; open where it is put together
    elsewhere."""
    own = type.schema.get("properties", {})
    root = f"{COMPONENTS}{type.name}.Data"
    return {
        name: (
            {"$ref": root + pointer(("properties", name)).replace("%", "%25")}
            if name in own
            else {}
        )
        for name in type.fields
    }


def _selection(type: EntityType) -> Json:
    """Data of which ``fields`` may have left members out, inner ones too."""
    properties = {
        name: _open_inside(type, name, part) for name, part in _members(type).items()
    }
    return {"type": "object", "properties": properties}


def _open_inside(type: EntityType, name: str, part: Json) -> Json:
    return {} if type.fields[name].type in (FieldType.OBJECT, FieldType.ANY) else part


def _merge_patch(type: EntityType) -> Json:
    """RFC 7396: any member, or null to take it away; members of an object merge one by
    one."""
    required = type.schema.get("required", ())
    properties: Json = {}
    for name, part in _members(type).items():
        if name in required:
            properties[name] = {
                "allOf": [_open_inside(type, name, part), {"not": NULL}]
            }
        else:
            properties[name] = {"anyOf": [_open_inside(type, name, part), NULL]}
    closed = type.schema.get("additionalProperties") is False
    others = NULL if closed else ref("Value")
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": others,
        "propertyNames": NAME,
    }


def _page(item: str) -> Json:
    return _object(
        items={"type": "array", "items": ref(item)},
        next_cursor={"type": ["string", "null"]},
    )


def _change(collection: Json, schema_version: Json) -> Json:
    text = {"type": ["string", "null"]}
    return _object(
        seq={"type": "integer", "minimum": 1},
        at=TIME,
        workspace=text,
        collection=collection,
        id=UUID,
        revision={"type": "integer", "minimum": 1},
        schema_version=schema_version,
        operation={"enum": [operation.value for operation in Operation]},
        command=text,
        payload={},
        actor=text,
        request_id=text,
        data={
            "type": ["object", "null"],
            "description": (
                "The data after the change; null after a deletion, and where it was"
                " erased."
            ),
        },
    )


_COMMAND: Json = _object(name=TEXT, description=TEXT, payload_schema={"type": "object"})
_COUNT: Json = {"type": "integer", "minimum": 0}
_OUTCOME: Json = _object(
    collection=TEXT,
    id=UUID,
    status={"enum": [status.value for status in Status]},
    reason={
        "type": ["string", "null"],
        "description": "`unsupported`, `unavailable`, or a problem's code.",
    },
    result={"description": "What the command gave."},
    revision={"type": "integer", "minimum": 1},
)
_POINTER = {"type": "string", "pattern": r"^(/([^~/\u0000]|~[01])*)*$"}


def _step(operations: list[str], **operand: Json) -> Json:
    step = _object(op={"enum": operations}, path=_POINTER, **operand)
    return step | {"additionalProperties": ref("Value"), "propertyNames": NAME}


_VALUE: Json = {
    "description": "Any JSON without U+0000.",
    "anyOf": [
        {"type": ["null", "boolean", "number"]},
        TEXT,
        {"type": "array", "items": ref("Value")},
        {"type": "object", "additionalProperties": ref("Value"), "propertyNames": NAME},
    ],
}
_STEPS = [
    _step(["add", "replace", "test"], value=ref("Value")),
    _step(["remove"]),
    _step(["move", "copy"], **{"from": _POINTER}),
]
SHARED_SCHEMAS: Json = {
    "Change": _change(TEXT, {"type": "integer", "minimum": 1}),
    "Changes": _object(
        items={"type": "array", "items": ref("Change")},
        last_seq={"type": "integer", "minimum": 0},
    ),
    "Commands": _object(items={"type": "array", "items": _COMMAND}),
    "Outcomes": _object(
        invoked=_COUNT,
        skipped=_COUNT,
        failed=_COUNT,
        outcomes={"type": "array", "items": _OUTCOME},
    ),
    "Value": _VALUE,
    "JsonPatch": {
        "description": "RFC 6902.",
        "type": "array",
        "maxItems": 100,
        "items": {"anyOf": _STEPS},
    },
}
"""Schemas that are the same for every collection, by component name."""
