"""What schemathesis must be told of this service: NDJSON, and what a schema cannot
express."""

import json
from typing import Any

import schemathesis
from schemathesis import (
    Case,
    CheckContext,
    DeserializationContext,
    Response,
    SerializationContext,
)
from schemathesis.specs.openapi.checks import positive_data_acceptance

NDJSON = "application/x-ndjson"
# A condition in CEL, a cursor the service gave, names of fields: lawful text may still
# mean nothing.
BEYOND_A_SCHEMA = {"filter", "cursor", "sort", "fields"}
CONTROL = {"max_affected", "dry_run"}
# What is well formed and clashes with what was stored or sent before.
CLASHES = {"precondition-failed", "idempotency-mismatch", "invalid-patch"}


@schemathesis.serializer(NDJSON)
def lines_of(context: SerializationContext, value: Any) -> bytes:
    """An array in the document is a line each on the wire; an example is the text
    itself.

    What is no array has no such form: a line that is an array stands for it.
    """
    if isinstance(value, str) and value.endswith("\n"):
        return value.encode()
    lines = value if isinstance(value, list) else [[value]]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@schemathesis.deserializer(NDJSON)
def array_of(context: DeserializationContext, response: Response) -> Any:
    """What came a line each is an array in the document."""
    return [json.loads(line) for line in response.content.splitlines()]


@schemathesis.check
def what_the_schema_allows_is_accepted(
    ctx: CheckContext, response: Response, case: Case[Any]
) -> bool | None:
    """`positive_data_acceptance` for all requests that a schema can describe."""
    query = (case.query or {}).keys()
    lacks_a_filter = (
        case.method == "DELETE" and not query - CONTROL and "{id}" not in case.path
    )
    clashes = response.status_code in (412, 422) and response.json()["code"] in CLASHES
    if BEYOND_A_SCHEMA & query or lacks_a_filter or clashes:
        return None
    return positive_data_acceptance(ctx, response, case)
