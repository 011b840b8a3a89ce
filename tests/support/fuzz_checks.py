"""What schemathesis may expect of parameters whose values a schema cannot express."""

from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response
from schemathesis.specs.openapi.checks import positive_data_acceptance

# A condition in CEL, a cursor the service gave, names of fields: lawful text may still mean nothing.
BEYOND_A_SCHEMA = {"filter", "cursor", "sort", "fields"}


@schemathesis.check
def what_the_schema_allows_is_accepted(ctx: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    """`positive_data_acceptance` for all requests that a schema can describe."""
    if BEYOND_A_SCHEMA & (case.query or {}).keys():
        return None
    return positive_data_acceptance(ctx, response, case)
