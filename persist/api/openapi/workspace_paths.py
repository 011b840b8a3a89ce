"""The routes of collections inside a workspace in OpenAPI: told once for all
collections and workspaces, because those of a collection tell the rest."""

from persist.api.openapi.components import Json
from persist.api.openapi.operations import JSON_PATCH, MERGE_PATCH
from persist.api.openapi.parameters import parameter
from persist.api.openapi.responses import JSON, NDJSON
from persist.api.routes import (
    COLLECTION,
    WORKSPACE,
    WORKSPACE_COLLECTION_ROUTES,
    Route,
)

_TICKET: Json = {"title": "Node pool overloaded", "severity": 40}
_DATA: Json = {JSON: {"schema": {"type": "object"}, "example": _TICKET}}
_PATCH: Json = {
    MERGE_PATCH: {"schema": {"type": "object"}, "example": {"severity": 50}},
    JSON_PATCH: {"schema": {"type": "array"}},
}
_PAYLOAD: Json = {JSON: {"schema": {"type": "object"}}}
_LINES: Json = {NDJSON: {"schema": {"type": "string"}}}

_BODIES: dict[str, Json] = {
    "create": _DATA,
    "replace": _DATA,
    "patch": _PATCH,
    "invoke": _PAYLOAD,
    "invoke_all": _PAYLOAD,
    "import_records": _LINES,
    "take_snapshot": _PAYLOAD,
}
"""The contents of the body of each operation that has one."""


def inside_paths() -> Json:
    """The paths below ``/workspaces/{workspace}/api/{collection}``."""
    paths: Json = {}
    for route in WORKSPACE_COLLECTION_ROUTES:
        method = route.method.lower()
        paths.setdefault(route.path, {})[method] = _operation(route, method)
    return paths


def _operation(route: Route, method: str) -> Json:
    path, contents = route.path, _BODIES.get(route.operation)
    rest = path.removeprefix(WORKSPACE + COLLECTION)
    names = [
        name
        for name in ("workspace", "collection", "id", "command")
        if f"{{{name}}}" in path
    ]
    last = rest.rpartition("/")[2].strip("{}")
    return {
        "tags": list(route.tags),
        "operationId": (
            f"inside_{method}_{last}"
            + ("_of_record" if last != "id" and "{id}" in rest else "")
        ),
        "summary": route.summary,
        "description": (
            f"As `{route.method} {COLLECTION}{rest}`, with its parameters and answers."
        ),
        "parameters": [parameter(name) for name in (*names, "X-Request-ID")],
        **({} if contents is None else {"requestBody": {"content": contents}}),
        "responses": {"2XX": {"description": "As outside of a workspace."}},
    }
