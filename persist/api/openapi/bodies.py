"""The bodies of requests that depend on no entity type.

Their schemas are those by which the handlers validate them.
"""

from functools import cache

from persist.api import (
    entity_types,
    migrations,
    sessions,
    snapshots,
    undo,
    workspaces,
)
from persist.api.openapi.components import ANY_OBJECT, Components
from persist.api.openapi.shared import (
    BINARY,
    ENTITY_TAGS,
    JSON,
    NDJSON,
    SHARED,
    operation_parts,
    schema,
)
from persist.api.transactions import routes as transactions
from persist.domain.record import Json

_REQUESTS: dict[str, tuple[str, Json]] = {
    "begin_session": ("SessionRequest", sessions.BODY),
    "create_snapshot": ("FullSnapshotRequest", snapshots.CREATE_BODY),
    "declare_workspace": ("WorkspaceRequest", workspaces.DECLARE_BODY),
    "register_entity_type": ("EntityTypeRequest", entity_types.BODY),
    "restore": ("RestoreRequest", migrations.BODY),
    "take_snapshot": ("SnapshotRequest", snapshots.TAKE_BODY),
    "take_workspace_snapshot": ("SnapshotRequest", snapshots.TAKE_BODY),
    "transact": ("Transaction", transactions.BODY),
    "undo": ("UndoRequest", undo.BODY),
}
"""The name of the schema of a body, and the body, by operation."""

BYTES: Json = {"type": "string", "format": "binary"}

ENTITY_TAGS_OR_REVISION = rf"^[0-9]+$|{ENTITY_TAGS}"

_ANY_DATA = schema("AnyData")
_TITLE: Json = {"title": "A title"}
_RETITLE = [{"op": "replace", "path": "/title", "value": "Another title"}]

_OF_ANY_COLLECTION: dict[str, Json] = {
    "Bytes": {"schema": BYTES},
    "Create": {"schema": _ANY_DATA, "example": _TITLE},
    "JsonPatch": {"schema": schema("JsonPatch"), "example": _RETITLE},
    "Lines": {"schema": {"type": "string"}, "example": '{"title":"A title"}\n'},
    "MergePatch": {"schema": _ANY_DATA, "example": _TITLE},
    "Payload": {"schema": _ANY_DATA, "example": {}},
    "Revert": {"schema": schema("Revert"), "example": {"to_revision": 1}},
}
"""The bodies if no entity type is known."""


def request_body(operation: str) -> Json | None:
    """Return the body of an operation that depends on no entity type, None if it has
    none."""
    contents = operation_parts(operation).get("body")
    if contents is not None:
        content = {
            media_type: _OF_ANY_COLLECTION[name]
            for media_type, name in contents.items()
        }
        return {"required": "Payload" not in contents.values(), "content": content}
    if operation == "invoke_in_workspace":
        return {"content": {JSON: _OF_ANY_COLLECTION["Payload"]}}
    if operation not in _REQUESTS:
        return None
    return _validated_body(operation)


def _validated_body(operation: str) -> Json:
    """Return the body by which a handler validates, with a reference to its schema."""
    name, documented = _REQUESTS[operation]
    body: Json = documented["requestBody"]
    content = dict(body["content"])
    by_name = {"schema": schema(name)}
    content[JSON] = content[JSON] | by_name
    if NDJSON in content:
        content[BINARY] = {"schema": BYTES}
    return body | {"content": content}


@cache
def request_schemas() -> Json:
    """Return the schemas of request bodies by component name."""
    named = dict(_REQUESTS.values())
    components = Components([*SHARED["schemas"], *named])
    for name, documented in named.items():
        content = documented["requestBody"]["content"]
        written = content[JSON]["schema"]
        converted = components.convert(written, name, name)
        components.add(name, converted)
    for operation in ("Create", "Replace", "Patch", "Command", "Delete"):
        _describe_operation(components.schemas[f"TransactionOperations{operation}"])
    return components.schemas


def _describe_operation(operation: Json) -> None:
    """Describe the members of an operation of a transaction that its handler reads in
    another way than by their schema."""
    properties = operation["properties"]
    for text in properties["if_match"]["anyOf"]:
        if text["type"] == "string":
            text["pattern"] = ENTITY_TAGS_OR_REVISION
    if "patch" in properties:
        operations = {"type": "array", "items": ANY_OBJECT}
        properties["patch"] = {"anyOf": [ANY_OBJECT, operations]}
