"""FastAPI's routes, made from the route table for what is not below a collection."""

from collections.abc import Callable, Iterable
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from persist.api import requests
from persist.api.query_params import controls, pairs_of
from persist.api.routes import BY_METHOD_AND_PATH, Route


async def _authorized(http: Request) -> requests.Request:
    request: requests.Request = http.scope["state"]["request"]
    path = http.scope["route"].path
    BY_METHOD_AND_PATH[http.method, path].authorize(request.access, http.path_params)
    return request


AuthorizedRequest = Annotated[requests.Request, Depends(_authorized)]
"""The request as the gateway read it, once the route table has authorized its
caller."""


async def _without_parameters(request: AuthorizedRequest) -> None:
    """Raise ``InvalidQuery`` if the request has parameters."""
    controls(pairs_of(request.query), ())


def add_routes(
    app: FastAPI,
    routes: Iterable[Route],
    handlers: object,
    refuses_parameters: Callable[[Route], bool],
) -> None:
    """Add some routes to an application. Each is answered by the method of ``handlers``
    that has the name of its operation.

    No router is included: FastAPI would build its routes again at the first request.
    """
    for route in routes:
        dependencies = []
        if refuses_parameters(route):
            dependencies.append(Depends(_without_parameters))
        app.add_api_route(
            route.path,
            getattr(handlers, route.operation),
            methods=[route.method],
            status_code=route.status,
            dependencies=dependencies,
        )
