"""The routes of collections inside a workspace in OpenAPI: told once for all
collections and workspaces, because those of a collection tell the rest."""

from persist.api.openapi.components import Json
from persist.api.openapi.operations import JSON_PATCH, MERGE_PATCH
from persist.api.openapi.parameters import parameter
from persist.api.openapi.responses import JSON, NDJSON

_TICKET: Json = {"title": "Node pool overloaded", "severity": 40}
_DATA: Json = {JSON: {"schema": {"type": "object"}, "example": _TICKET}}
_PATCH: Json = {
    MERGE_PATCH: {"schema": {"type": "object"}, "example": {"severity": 50}},
    JSON_PATCH: {"schema": {"type": "array"}},
}
_PAYLOAD: Json = {JSON: {"schema": {"type": "object"}}}
_LINES: Json = {NDJSON: {"schema": {"type": "string"}}}

_ROUTES: tuple[tuple[str, str, str, Json | None], ...] = (
    ("", "get", "List records", None),
    ("", "post", "Create a record", _DATA),
    ("", "delete", "Delete the records that match", None),
    ("/commands", "get", "List the commands", None),
    (
        "/commands/{command}",
        "post",
        "Run a command on every record that matches",
        _PAYLOAD,
    ),
    ("/import", "post", "Create many records", _LINES),
    ("/export", "get", "Export records", None),
    ("/snapshots", "get", "List the snapshots that hold the collection", None),
    ("/snapshots", "post", "Take a snapshot of the collection", _PAYLOAD),
    ("/{id}", "get", "Read a record", None),
    ("/{id}", "put", "Replace a record, or create it under an id of your own", _DATA),
    ("/{id}", "patch", "Change a part of a record", _PATCH),
    ("/{id}", "delete", "Delete a record", None),
    ("/{id}/history", "get", "List the changes of a record, newest first", None),
    ("/{id}/history", "delete", "Erase the data of a record's past", None),
    ("/{id}/commands/{command}", "post", "Run a command on a record", _PAYLOAD),
)
"""Below the collection: path, method, what it does, the contents of its body."""


def inside_paths() -> Json:
    """The paths below ``/workspaces/{workspace}/api/{collection}``."""
    paths: Json = {}
    for rest, method, summary, contents in _ROUTES:
        path = f"/workspaces/{{workspace}}/api/{{collection}}{rest}"
        paths.setdefault(path, {})[method] = _operation(
            path, rest, method, summary, contents
        )
    return paths


def _operation(
    path: str, rest: str, method: str, summary: str, contents: Json | None
) -> Json:
    names = [
        name
        for name in ("workspace", "collection", "id", "command")
        if f"{{{name}}}" in path
    ]
    last = rest.rpartition("/")[2].strip("{}")
    return {
        "tags": ["workspaces"],
        "operationId": (
            f"inside_{method}_{last}"
            + ("_of_record" if last != "id" and "{id}" in rest else "")
        ),
        "summary": f"{summary}, in a workspace",
        "description": (
            f"As `{method.upper()} /api/{{collection}}{rest}`, with its parameters and"
            " answers."
        ),
        "parameters": [parameter(name) for name in (*names, "X-Request-ID")],
        **({} if contents is None else {"requestBody": {"content": contents}}),
        "responses": {"2XX": {"description": "As outside of a workspace."}},
    }
