"""The bodies of requests that depend on no entity type.

Their schemas are those by which the handlers validate them.
"""

from functools import cache

from persist.api import entity_types, migrations, snapshots, workspaces
from persist.api.openapi.components import ANY_OBJECT, Components
from persist.api.openapi.shared import BINARY, JSON, NDJSON, SHARED, Json, schema
from persist.api.transactions import routes as transactions

_REQUESTS: dict[str, tuple[str, Json]] = {
    "create_snapshot": ("FullSnapshotRequest", snapshots.CREATE_BODY),
    "declare_workspace": ("WorkspaceRequest", workspaces.DECLARE_BODY),
    "register_entity_type": ("EntityTypeRequest", entity_types.BODY),
    "restore": ("RestoreRequest", migrations.BODY),
    "take_snapshot": ("SnapshotRequest", snapshots.TAKE_BODY),
    "take_workspace_snapshot": ("SnapshotRequest", snapshots.TAKE_BODY),
    "transact": ("Transaction", transactions.BODY),
}
"""The name of the schema of a body, and the body, by operation."""

BYTES: Json = {"type": "string", "format": "binary"}

_OF_ANY_COLLECTION = {
    "Bytes": BYTES,
    "Create": schema("AnyData"),
    "JsonPatch": schema("JsonPatch"),
    "Lines": {"type": "string"},
    "MergePatch": schema("AnyData"),
    "Payload": schema("AnyData"),
    "Revert": schema("Revert"),
}
"""The schemas of bodies where no entity type is known."""


def request_body(operation: str) -> Json | None:
    """Return the body of an operation that depends on no entity type, None where it has
    none."""
    contents = SHARED["operations"][operation].get("body")
    if contents is not None:
        content = {
            media_type: {"schema": _OF_ANY_COLLECTION[name]}
            for media_type, name in contents.items()
        }
        return {"content": content}
    if operation == "invoke_in_workspace":
        return {"content": {JSON: {"schema": schema("AnyData"), "example": {}}}}
    if operation not in _REQUESTS:
        return None
    name, documented = _REQUESTS[operation]
    body: Json = documented["requestBody"]
    content = dict(body["content"])
    content[JSON] = content[JSON] | {"schema": schema(name)}
    if NDJSON in content:
        content[BINARY] = {"schema": BYTES}
    return body | {"content": content}


@cache
def request_schemas() -> Json:
    """Return the schemas of those bodies by component name."""
    named = dict(_REQUESTS.values())
    components = Components([*SHARED["schemas"], *named])
    for name, documented in named.items():
        written = documented["requestBody"]["content"][JSON]["schema"]
        components.add(name, components.convert(written, name, name))
    patch = components.schemas["TransactionOperationsPatch"]["properties"]
    operations = {"type": "array", "items": ANY_OBJECT}
    patch["patch"] = {"anyOf": [ANY_OBJECT, operations]}
    return components.schemas
