"""The constant half of the document: ``shared.json``, with limits taken from the
constants that enforce them."""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from persist.api.headers import MAX_IDEMPOTENCY_KEY_CHARACTERS
from persist.api.query_params import DEFAULT_LIMIT, MAX_LIMIT, MAX_WAIT_SECONDS
from persist.api.routes import Route
from persist.api.selective_invoke import DEFAULT_AFFECTED, MAX_AFFECTED
from persist.domain.change import Operation
from persist.domain.identifiers import COLLECTION_NAME
from persist.domain.patch import MAX_OPERATIONS
from persist.domain.record import INT64, Json
from persist.domain.selective_invoke import Status
from persist.domain.undo import Obstacle, Outcome

JSON = "application/json"
NDJSON = "application/x-ndjson"
BINARY = "application/octet-stream"
PROBLEM_JSON = "application/problem+json"

EXAMPLE_ID = "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70"

_TAG = r'(W/)?"[!#-~\x80-\xff]*"'
ENTITY_TAGS = rf"^(\*|{_TAG}( *, *{_TAG})*)$"
_CONSTANTS: Json = {
    "entity_tags": ENTITY_TAGS,
    "collection_name": f"^{COLLECTION_NAME.pattern}$",
    "example_id": EXAMPLE_ID,
    "idempotency_key_characters": MAX_IDEMPOTENCY_KEY_CHARACTERS,
    "int64_max": INT64.stop - 1,
    "invoke_default": DEFAULT_AFFECTED,
    "invoke_max": MAX_AFFECTED,
    "json_pointer": "^(/([^~/]|~[01])*)*$",
    "operations": [operation.value for operation in Operation],
    "page_default": DEFAULT_LIMIT,
    "page_max": MAX_LIMIT,
    "patch_operations": MAX_OPERATIONS,
    "undo_obstacles": [obstacle.value for obstacle in Obstacle],
    "undo_outcomes": [outcome.value for outcome in Outcome],
    "statuses": [status.value for status in Status],
    "wait_seconds": MAX_WAIT_SECONDS,
}
"""The values of ``${name}`` in ``shared.json``."""

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def reference(kind: str, name: str) -> Json:
    """Return a reference to a component, such as a schema."""
    return {"$ref": f"#/components/{kind}/{name}"}


@lru_cache(maxsize=4096)
def parameter(name: str) -> Json:
    """Return a reference to a parameter; one value for all callers."""
    return reference("parameters", name)


def schema(name: str) -> Json:
    """Return a reference to a schema."""
    return reference("schemas", name)


def headers(*names: str) -> Json:
    """Return references to the headers of a response. ``X-Request-ID``, which every
    response has, is left to the description of the document."""
    return {name: reference("headers", name) for name in names}


def _filled(value: object) -> Any:
    """Return ``value`` with its placeholders replaced and its references complete."""
    match value:
        case list():
            return [_filled(item) for item in value]
        case {"$ref": str(name)}:
            return schema(name)
        case dict():
            return {name: _filled(member) for name, member in value.items()}
        case str():
            return _filled_text(value)
        case _:
            return value


def _filled_text(text: str) -> object:
    """Return a constant of any type for a text that is one placeholder."""
    if (found := _PLACEHOLDER.fullmatch(text)) is not None:
        return _CONSTANTS[found[1]]
    return _PLACEHOLDER.sub(lambda found: str(_CONSTANTS[found[1]]), text)


SHARED: Json = _filled(
    json.loads(Path(__file__).with_name("shared.json").read_text(encoding="utf-8"))
)
"""Info, tags, components and operations that depend on no entity type."""

OF_A_COLLECTION = ("Created", "Page", "Record")
"""Responses that each collection has, with its own schema."""


def response(name: str, schema_name: str = "") -> Json:
    """Return a response of ``shared.json``, with another schema if one is given."""
    described = SHARED["responses"][name]
    made: Json = {
        "description": described["description"],
    }
    if "headers" in described:
        made["headers"] = headers(*described["headers"])
    if "media_type" in described:
        made["content"] = {described["media_type"]: {"schema": {"type": "string"}}}
    elif "schema" in described:
        content = {"schema": schema(schema_name or described["schema"])}
        made["content"] = {JSON: content}
    return made


def operation_parts(operation: str) -> Json:
    """Return the constant part of an operation: parameters, body and responses. Raises
    ``LookupError``."""
    found: Json | None = SHARED["operations"].get(operation)
    if found is None:
        raise LookupError(f"shared.json has no {operation!r} below operations; add it")
    return found


def parameter_names(operation: str) -> list[str]:
    """Return the parameters of an operation; ``*`` stands for a collection's
    filters."""
    names: list[str] = operation_parts(operation).get("parameters", [])
    return names


def query_names(*operations: str) -> frozenset[str]:
    """Return the names of the query parameters that operations take, besides
    filters."""
    controls = [
        SHARED["parameters"][name]
        for operation in operations
        for name in parameter_names(operation)
        if name != "*"
    ]
    return frozenset(each["name"] for each in controls if each["in"] == "query")


def refuses_parameters(route: Route) -> bool:
    """Return whether a route refuses any parameter. A page, and what is open to all, is
    also asked by programs that add their own parameters."""
    if route.is_page or route.open_to_all or not route.documented:
        return False
    return not query_names(route.operation)
