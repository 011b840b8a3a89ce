"""What schemathesis must know of this service: NDJSON, and what a schema cannot
express."""

from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis import (
    Case,
    CheckContext,
    DeserializationContext,
    Response,
    SerializationContext,
)
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    positive_data_acceptance,
)

NDJSON = "application/x-ndjson"
# A condition in CEL, a cursor the service gave, names of fields, a moment: lawful text
# may still mean nothing.
BEYOND_A_SCHEMA = {"filter", "cursor", "sort", "fields", "as_of"}
CONTROL = {"max_affected", "dry_run"}
# Parameters that exclude others.
EXCLUSIVE = [{"before", "after"}, {"before", "wait"}, {"revision", "as_of"}]
# What is well formed and clashes with what was stored or sent before, or with itself: a
# patch, a definition, a snapshot.
CLASHES = {
    "precondition-failed",
    "idempotency-mismatch",
    "invalid-patch",
    "invalid-schema",
    "invalid-snapshot",
}
# A JSON Patch may have members that RFC 6902 does not know, with any values.
LARGE_NUMBERS = "the body holds numbers that cannot be stored"


# A duration of months or years has no length: it is equal to another, not longer.
COMPARABLE_DURATIONS = st.builds(
    "P{}DT{}H{}M".format, st.integers(0, 999), st.integers(0, 23), st.integers(0, 59)
)
DECIMALS = st.decimals(-(10**18), 10**18, places=4).map(str)
schemathesis.openapi.format("duration", COMPARABLE_DURATIONS)
schemathesis.openapi.format("decimal", DECIMALS)


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
    excluded = any(pair <= query for pair in EXCLUSIVE)
    are_lines = case.path.endswith("/import")
    # A series of requests takes this filter for the id of a record.
    names_an_id = "oddities" in case.path and "id" in query
    # The coverage phase sends this whatever the pattern of the headers is.
    headers: dict[str, str] = dict(case.headers or {})
    has_wrong_tag = "0" in (headers.get("If-Match"), headers.get("If-None-Match"))
    if lacks_a_filter or excluded or are_lines or has_wrong_tag or names_an_id:
        return None
    if BEYOND_A_SCHEMA & query or case.path == "/changes/undo":
        return None
    if response.status_code in (412, 422):
        problem = response.json()
        is_computed = "/commands/" in case.path and problem["code"] == "invalid-data"
        is_too_large = problem["detail"].endswith(LARGE_NUMBERS)
        # The document says of objects inside a merge patch only that they are objects.
        is_inside = case.method == "PATCH" and any(
            error["pointer"].count("/") > 1 for error in problem.get("errors", ())
        )
        if problem["code"] in CLASHES or is_computed or is_too_large or is_inside:
            return None
    return positive_data_acceptance(ctx, response, case)


@schemathesis.check
def what_the_schema_forbids_is_refused(
    ctx: CheckContext, response: Response, case: Case[Any]
) -> bool | None:
    """`negative_data_rejection`, but any text is lines, and none are none; the last
    event is of interest to who reads events; and a decimal may be sent as a number,
    which the document does not recommend: its digits can be lost on the way."""
    if case.path.endswith("/import") or "Last-Event-ID" in (case.headers or {}):
        return None
    if "measures" in case.path and has_numbers(case.body):
        return None
    return negative_data_rejection(ctx, response, case)


def has_numbers(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_numbers, value.values()))
    if isinstance(value, list):
        return any(map(has_numbers, value))
    return isinstance(value, int | float) and not isinstance(value, bool)
