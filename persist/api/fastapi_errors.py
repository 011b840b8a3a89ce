"""What is FastAPI's own: how its routes see a request, and its errors, as problems."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from persist.api import requests
from persist.api.problems import problem
from persist.domain.errors import (
    InvalidQuery,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    Unavailable,
    Violation,
    pointer,
)
from persist.storage.catalog import Stale


async def _asked(http: Request) -> requests.Request:
    asked: requests.Request = http.scope["state"]["request"]
    return asked


Asked = Annotated[requests.Request, Depends(_asked)]
"""The request as the front saw it, with what its caller may do: every route decides by
it first."""

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


async def handle_error(request: Request, error: Exception) -> Response:
    """Whatever an ordinary route raises, as ``application/problem+json``."""
    told, asked = _refusal(request, error), request.scope["state"]["request"]
    if request.method == "OPTIONS" and isinstance(told, MethodNotAllowed):
        return Response(status_code=204, headers={"allow": ", ".join(told.allowed)})
    answer = problem(told, asked.instance, asked.request_id)
    headers = {name.decode(): value.decode("latin-1") for name, value in answer.headers}
    return Response(answer.body, answer.status, headers)


def _refusal(request: Request, error: Exception) -> Exception:
    if isinstance(error, RequestValidationError):
        places = [
            Violation(pointer(item["loc"][1:]), item["msg"]) for item in error.errors()
        ]
        return InvalidQuery("the request's parameters are not valid", errors=places)
    if isinstance(error, Stale):
        return Unavailable("an entity type was changed meanwhile; try again")
    if not isinstance(error, HTTPException):
        return error
    if error.status_code == 404:
        return NotFound(
            f"there is nothing at {request.url.path}; GET / lists where to go"
        )
    if error.status_code == 405:
        return MethodNotAllowed(request.method, sorted({*_methods(request), "OPTIONS"}))
    return MalformedRequest(str(error.detail)) if error.status_code < 500 else error


def _methods(request: Request) -> set[str]:
    """The methods that a route at the request's path takes; HEAD works wherever GET
    does."""
    methods = {method for method in METHODS if _routed(request, method)}
    return methods | {"HEAD"} if "GET" in methods else methods


def _routed(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
