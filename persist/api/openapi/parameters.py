"""Parameters whose meaning no collection changes: controls of the query string, and
headers."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from persist.api.openapi.components import INT64_BOUNDS, Json
from persist.api.openapi.schemas import EXAMPLE_ID, FLAG, TEXT, UUID

_TAG = r'(W/)?"[!#-~\x80-\xff]*"'
_TAGS = {
    "type": "string",
    "anyOf": [{"const": "*"}, {"pattern": rf"^{_TAG}( *, *{_TAG})*$"}],
}


def query(name: str, schema: Json, description: str, **more: Any) -> Json:
    """A parameter of the query string."""
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": schema,
        **more,
    }


@lru_cache(maxsize=4096)
def parameter(name: str) -> Json:
    """A reference to a parameter of the document, the same value for all who ask."""
    return {"$ref": f"#/components/parameters/{name}"}


def _whole(least: int, **more: Any) -> Json:
    return {"type": "integer", "minimum": least, **more}


def _header(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _path(name: str, description: str, example: str, schema: Json = TEXT) -> Json:
    told = {"description": description, "schema": schema, "example": example}
    return {"name": name, "in": "path", "required": True, **told}


CONTROLS: Mapping[str, Json] = {
    "id": _path(
        "id", "The record's id, a canonical lower-case UUID.", EXAMPLE_ID, UUID
    ),
    "workspace": _path("workspace", "The workspace's name.", "incident"),
    "collection": _path(
        "collection", "A collection the workspace holds.", "ops-tickets"
    ),
    "command": _path("command", "A command of the collection.", "ack"),
    "limit": query(
        "limit",
        _whole(1, default=50),
        "The size of the page; more than 500 is lowered to 500.",
    ),
    "cursor": query(
        "cursor",
        {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
        "`next_cursor` of the page before; belongs to the same query.",
    ),
    "count": query("count", FLAG, "Also tell the `total`."),
    "filter": query(
        "filter",
        TEXT,
        "A whole condition in CEL over `data` and `record` (the envelope), ANDed with"
        " the other filters: `data.severity >= 30 && (data.acknowledged ||"
        ' data.title.contains("db"))`.',
    ),
    "filter.example": query(
        "filter",
        TEXT,
        "A whole condition in CEL, as for lists.",
        example=f'record.id == "{EXAMPLE_ID}"',
    ),
    "max_affected": query(
        "max_affected",
        _whole(0),
        "If more records match, none is deleted.",
        required=True,
        example=10,
    ),
    "max_affected.invoke": query(
        "max_affected",
        _whole(0, maximum=10_000, default=1000),
        "If more records match, nothing is done.",
    ),
    "atomic": query(
        "atomic", FLAG, "All or nothing: the first failure undoes everything."
    ),
    "dry_run": query(
        "dry_run", FLAG, "Check and answer in full with 200, but change nothing."
    ),
    "revision": query(
        "revision",
        _whole(1, maximum=INT64_BOUNDS["maximum"]),
        "The record as it was at this revision, deleted or not.",
    ),
    "If-Match": _header(
        "If-Match",
        _TAGS,
        'Only if the record is at this revision: `"3"`, several with commas, or `*` for'
        " any.",
    ),
    "If-None-Match": _header(
        "If-None-Match",
        _TAGS,
        'Only if the record is not at this revision: `"3"`; `*`: only if there is none'
        " yet.",
    ),
    "Idempotency-Key": _header(
        "Idempotency-Key",
        {"type": "string", "pattern": "^[!-~]{1,255}$"},
        "The same request under the same key is carried out once; its answer is"
        " repeated for 24 hours.",
    ),
    "Prefer": _header(
        "Prefer",
        {"type": "string"},
        "`return=minimal` leaves the body of the answer out.",
    ),
    "X-Request-ID": _header(
        "X-Request-ID",
        {"type": "string"},
        "Comes back in the answer and stands in the log and the change.",
    ),
}
"""By component name."""

NAMES = {
    control["name"] for control in CONTROLS.values() if control["in"] == "query"
} | {
    "sort",
    "fields",
}
"""Query parameters a field of the same name gives way to: it is reached as
``data.<name>``."""
