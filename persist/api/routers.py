"""FastAPI routers, made from the route table for what is not below a collection."""

from collections.abc import Callable, Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from persist.api import requests
from persist.api.query_params import controls, pairs_of
from persist.api.routes import BY_METHOD_AND_PATH, Route


async def _authorized(http: Request) -> requests.Request:
    request: requests.Request = http.scope["state"]["request"]
    path = http.scope["route"].path
    BY_METHOD_AND_PATH[http.method, path].authorize(request.access, http.path_params)
    return request


Asked = Annotated[requests.Request, Depends(_authorized)]
"""The request as the gateway read it, once the route table has authorized its
caller."""


async def _without_parameters(request: Asked) -> None:
    """Raise ``InvalidQuery`` if the request has parameters."""
    controls(pairs_of(request.query), ())


def router_of(
    routes: Iterable[Route],
    handlers: object,
    refuses_parameters: Callable[[Route], bool],
) -> APIRouter:
    """Return the router of some routes. Each is answered by the method of ``handlers``
    that is called like its operation."""
    router = APIRouter()
    for route in routes:
        dependencies = []
        if refuses_parameters(route):
            dependencies.append(Depends(_without_parameters))
        router.add_api_route(
            route.path,
            getattr(handlers, route.operation),
            methods=[route.method],
            status_code=route.status,
            dependencies=dependencies,
        )
    return router
