"""The registered twins of the test deployment's collections: what their classes say,
said over HTTP.

A typed collection's own JSON Schema is registered under another name, and its commands
are written in CEL. The contract suite runs on both: clients see no difference.
"""

import httpx
import pytest

from tests.support.problems import Json
from tests.support.registered import registered

typed_only = pytest.mark.parametrize("kind", ["typed"], indirect=True, scope="module")
"""For what only a class can say; each use says why."""

COLLECTIONS = ("accounts", "counters", "measures", "oddities", "samples", "tickets")
AMOUNT: Json = {
    "type": "object",
    "properties": {"amount": {"type": "integer", "exclusiveMinimum": 0}},
    "required": ["amount"],
    "additionalProperties": False,
}
SEVERITY = "data.severity + 10 * payload.steps"
COMMANDS: dict[str, Json] = {
    "accounts": {
        "deposit": {
            "description": "Pay in.",
            "payload": AMOUNT,
            "set": {"balance": "data.balance + payload.amount"},
            "result": "data.balance",
        },
        "overdraw": {
            "description": "Leave data behind that the schema refuses.",
            "set": {"balance": "-1"},
        },
    },
    "counters": {
        "increment": {
            "description": "Add to the value and tell the new one.",
            "payload": {
                "type": "object",
                "properties": {"by": {"type": "integer", "default": 1}},
                "additionalProperties": False,
            },
            "set": {"value": "data.value + payload.by"},
            "result": "data.value",
        }
    },
    "measures": {
        "pay": {
            "description": "Replace the total.",
            "payload": {
                "type": "object",
                "properties": {"amount": {"type": "string", "format": "decimal"}},
                "required": ["amount"],
                "additionalProperties": False,
            },
            "set": {"total": "payload.amount"},
            "result": "payload.amount",
        },
    },
    "tickets": {
        "escalate": {
            "description": "Raise the severity, ten points a step, to at most 50.",
            "payload": {
                "type": "object",
                "properties": {"steps": {"type": "integer", "default": 1}},
                "additionalProperties": False,
            },
            "when": "data.severity >= 30",
            "set": {"severity": f"{SEVERITY} > 50 ? 50 : {SEVERITY}"},
            "result": "data.severity",
        },
        "ack": {
            "description": "Acknowledge the fault.",
            "when": "!data.acknowledged",
            "set": {"acknowledged": "true"},
            "result": "data.acknowledged",
        },
    },
}
DEFAULTS: dict[str, Json] = {
    "measures": {"prices": {}, "lines": []},
    "samples": {"tags": [], "payload": {}},
}
"""Defaults that a class makes for every record; its JSON Schema has none."""


def named(collection: str, kind: str) -> str:
    """The name of a collection of the deployment, or of its registered twin."""
    return collection if kind == "typed" else f"{kind}-{collection}"


def register_twins(client: httpx.Client) -> None:
    """Register a twin of every collection of the deployment."""
    for collection in COLLECTIONS:
        typed = client.get(f"/collections/{collection}").json()
        for member, default in DEFAULTS.get(collection, {}).items():
            typed["schema"]["properties"][member]["default"] = default
        registered(
            client,
            named(collection, "registered"),
            typed["schema"],
            schema_version=typed["schema_version"],
            unique=typed["unique"],
            indexes=typed["indexes"],
            commands=COMMANDS.get(collection, {}),
        )
