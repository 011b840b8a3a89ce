"""What schemathesis must know of this service: NDJSON, and what a schema cannot
express."""

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
    """Lines are text in the document."""
    return str(value).encode()


@schemathesis.deserializer(NDJSON)
def text_of(context: DeserializationContext, response: Response) -> Any:
    """Lines are text in the document."""
    return response.text


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
    are_lines = case.path.endswith("/import")
    if BEYOND_A_SCHEMA & query or lacks_a_filter or clashes or are_lines:
        return None
    return positive_data_acceptance(ctx, response, case)
