"""Problems in OpenAPI: which codes an operation answers with, by status."""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from string import ascii_uppercase

from persist.api.openapi.shared import (
    PROBLEM_JSON,
    headers,
    reference,
    schema,
)
from persist.api.problems import catalogue, status_of
from persist.api.routes import EVERY_ROUTE, ROUTES, Route
from persist.domain.record import Json

TITLES = {code: kind.title for code, kind in catalogue().items()}
STATUSES = {code: status_of(kind) for code, kind in catalogue().items()}

GENERAL = frozenset(
    (
        "forbidden",
        "internal-error",
        "malformed-request",
        "precondition-required",
        "request-timeout",
        "too-large",
        "too-many-requests",
        "unauthenticated",
        "unavailable",
        "unsupported-media-type",
    )
)
"""Codes that say nothing of the operation: all of them are its ``default``."""

ANY_PROBLEM = "Problem"

Codes = tuple[str, ...]


def problem_responses(route: Route) -> Json:
    """Return the error responses of a route by status, as references."""
    names = _component_names()
    own = {
        str(STATUSES[codes[0]]): reference("responses", names[codes])
        for codes in _by_status(route)
    }
    return own | {"default": reference("responses", ANY_PROBLEM)}


@cache
def problem_components() -> Json:
    """Return the error responses by component name: one for each set of codes that an
    operation needs."""
    own = {name: _response(codes) for codes, name in _component_names().items()}
    general = ", ".join(f"`{code}`" for code in sorted(GENERAL))
    any_problem = {
        "description": f"Any other problem, such as {general}.",
        "headers": headers("Accept-Patch", "Retry-After"),
        "content": {PROBLEM_JSON: {"schema": schema("Problem")}},
    }
    return own | {ANY_PROBLEM: any_problem}


@cache
def _component_names() -> dict[Codes, str]:
    """Return the name of the response for each set of codes: short ones, because they
    are in every operation."""
    names: dict[Codes, str] = {}
    of_status = Counter[int]()
    for route in ROUTES:
        for codes in _by_status(route):
            status = STATUSES[codes[0]]
            if codes not in names:
                names[codes] = f"Problem{status}{ascii_uppercase[of_status[status]]}"
                of_status[status] += 1
    return names


def _by_status(route: Route) -> Iterator[Codes]:
    codes = {*EVERY_ROUTE, *route.problems} - GENERAL
    for status in sorted({STATUSES[code] for code in codes}):
        yield tuple(code for code in sorted(codes) if STATUSES[code] == status)


def _response(codes: Codes) -> Json:
    content = {
        "schema": schema("Problem"),
        "examples": {
            code: {"summary": TITLES[code], "value": _example(code)} for code in codes
        },
    }
    retry = ["Retry-After"] if "idempotency-in-progress" in codes else []
    return {
        "description": " · ".join(f"`{code}`: {TITLES[code]}" for code in codes),
        "headers": headers(*retry),
        "content": {PROBLEM_JSON: content},
    }


def _example(code: str) -> Json:
    return {
        "type": f"/problems/{code}",
        "title": TITLES[code],
        "status": STATUSES[code],
        "detail": "What is wrong this time, and what to do.",
        "instance": "/api/ops-tickets",
        "code": code,
        "request_id": "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f71",
    }
