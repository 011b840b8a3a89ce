"""Problems in OpenAPI: one schema, one response for each code, and what each operation
can give."""

from collections.abc import Iterator
from functools import cache

from persist.api.openapi.components import Json, ref
from persist.api.openapi.responses import answer, response
from persist.api.problems import catalogue, status_of
from persist.api.routes import COLLECTION_ROUTES

PROBLEM_JSON = "application/problem+json"
TITLES = {code: kind.title for code, kind in catalogue().items()}
STATUSES = {code: status_of(kind) for code, kind in catalogue().items()}


@cache
def problem_responses(operation: str) -> Json:
    """The error responses of an operation by status, as references to shared ones."""
    return {
        str(STATUSES[codes[0]]): response(_name(codes))
        for codes in _by_status(_problems()[operation])
    }


@cache
def _problems() -> dict[str, tuple[str, ...]]:
    """Return the codes each operation of a collection can answer with."""
    return {route.operation: route.problems for route in COLLECTION_ROUTES}


@cache
def problem_components() -> Json:
    """The shared responses: one for each code, one for each set of codes an operation
    needs."""
    sets: set[tuple[str, ...]] = {(code,) for code in STATUSES}
    sets.update(
        codes for problems in _problems().values() for codes in _by_status(problems)
    )
    return {_name(codes): _response(codes) for codes in sorted(sets)}


def _by_status(codes: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for status in sorted({STATUSES[code] for code in codes}):
        yield tuple(code for code in sorted(codes) if STATUSES[code] == status)


def _name(codes: tuple[str, ...]) -> str:
    return ".".join(codes)


def _response(codes: tuple[str, ...]) -> Json:
    narrowed: Json = {"status": {"const": STATUSES[codes[0]]}}
    if (
        "command-unavailable" not in codes
    ):  # a command may refuse with a code of its own
        narrowed["code"] = {"enum": list(codes)}
    content = {
        "schema": {"allOf": [ref("Problem"), {"properties": narrowed}]},
        "examples": {
            code: {"summary": TITLES[code], "value": _example(code)} for code in codes
        },
    }
    description = " · ".join(f"`{code}`: {TITLES[code]}" for code in codes)
    return answer(description, {PROBLEM_JSON: content}, *_headers(codes))


def _headers(codes: tuple[str, ...]) -> Iterator[str]:
    if "unavailable" in codes or "idempotency-in-progress" in codes:
        yield "Retry-After"
    if "unsupported-media-type" in codes:
        yield "Accept-Patch"


def _example(code: str) -> Json:
    return {
        "type": f"/problems/{code}",
        "title": TITLES[code],
        "status": STATUSES[code],
        "detail": "What happened this time, and what to do.",
        "instance": "/api/…",
        "code": code,
        "request_id": "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f71",
    }


_TEXT = {"type": "string"}
_VIOLATION: Json = {
    "type": "object",
    "required": ["pointer", "detail"],
    "properties": {
        "pointer": {
            "type": "string",
            "description": "A JSON Pointer (RFC 6901) to the member itself.",
        },
        "detail": _TEXT,
    },
}
PROBLEM_SCHEMA: Json = {
    "title": "Problem",
    "description": (
        "RFC 9457. Some problems have further members, such as the current `revision`."
    ),
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "`/problems/<code>`, which answers."},
        "title": _TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": _TEXT,
        "instance": _TEXT,
        "code": _TEXT,
        "request_id": _TEXT,
        "errors": {"type": "array", "items": _VIOLATION},
    },
}
