"""The change feed in OpenAPI: its parameters and answers."""

from typing import Any

from persist.api.openapi.components import ref
from persist.api.openapi.parameters import parameter, query
from persist.api.openapi.schemas import TEXT

DOCUMENTED: dict[str, Any] = {
    "description": (
        "Changes in the order of their commits, without gaps; go on with"
        " `after=<last_seq>`, and miss none. With `Accept: text/event-stream` they come"
        " as server-sent events for as long as you listen, or until there were `limit`;"
        " each has its `seq` as its id, by which `Last-Event-ID` goes on."
    ),
    "parameters": [
        query(
            "after",
            {
                "anyOf": [{"type": "integer", "minimum": 0}, {"const": "now"}],
                "default": 0,
            },
            "The last `seq` you know; `now`: only what is to come.",
        ),
        query("collection", TEXT, "Only changes of this collection."),
        query(
            "workspace",
            TEXT,
            "Only changes in this workspace; empty: in the default one.",
        ),
        parameter("limit"),
        query(
            "wait",
            {"type": "number", "minimum": 0, "maximum": 30, "default": 0},
            "Seconds to wait for a change if there is none yet; a stream waits anyway.",
        ),
        {
            "name": "Last-Event-ID",
            "in": "header",
            "schema": {"type": "integer", "minimum": 0},
            "description": (
                "Of a stream: the id of the last event, in place of `after`."
            ),
        },
    ],
}
RESPONSES: dict[int | str, Any] = {
    200: {
        "description": "The changes, and how far the journal was looked at.",
        "content": {
            "application/json": {"schema": ref("Changes")},
            "text/event-stream": {
                "schema": {
                    "type": "string",
                    "description": "Each event has a change as its data.",
                }
            },
        },
    }
}
