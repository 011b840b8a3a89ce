"""Errors of FastAPI's routes, as problems."""

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from persist.api.problems import problem
from persist.api.responses import Response, no_content
from persist.api.route_tree import FASTAPI_TREE
from persist.domain.errors import (
    InvalidQuery,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    Violation,
    pointer,
)


async def handle_error(request: Request, error: Exception) -> Response:
    """Return the exception of a FastAPI route as ``application/problem+json``."""
    asked = request.scope["state"]["request"]
    refusal = _refusal(request, error)
    if request.method == "OPTIONS" and isinstance(refusal, MethodNotAllowed):
        methods = ", ".join(refusal.allowed)
        response = no_content()
        response.raw_headers.append((b"allow", methods.encode()))
        return response
    return problem(refusal, asked)


def _refusal(request: Request, error: Exception) -> Exception:
    """Return the refusal for an exception of FastAPI."""
    if isinstance(error, RequestValidationError):
        errors = [
            Violation(
                pointer(item["loc"][1:]),
                item["msg"],
            )
            for item in error.errors()
        ]
        return InvalidQuery("the request's parameters are not valid", errors=errors)
    if not isinstance(error, HTTPException):
        return error
    path = request.url.path
    matched = FASTAPI_TREE.match(path.split("/")[1:])
    if error.status_code == 404 or matched is None:
        return NotFound(f"there is nothing at {path}; GET / lists what there is")
    if error.status_code == 405:
        return MethodNotAllowed(request.method, matched[0].methods)
    return MalformedRequest(str(error.detail)) if error.status_code < 500 else error
