"""FastAPI routers, made from the route table for what is not below a collection."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from persist.api import requests
from persist.api.routes import BY_METHOD_AND_PATH, Route


async def _authorized(http: Request) -> requests.Request:
    request: requests.Request = http.scope["state"]["request"]
    path = http.scope["route"].path
    BY_METHOD_AND_PATH[http.method, path].authorize(request.access, http.path_params)
    return request


Asked = Annotated[requests.Request, Depends(_authorized)]
"""The request as the gateway read it, once the route table has authorized its
caller."""


def router_of(routes: Iterable[Route], handlers: object) -> APIRouter:
    """Return the router of some routes. Each is answered by the method of ``handlers``
    that is called like its operation."""
    router = APIRouter()
    for route in routes:
        router.add_api_route(
            route.path,
            getattr(handlers, route.operation),
            methods=[route.method],
            status_code=route.status,
        )
    return router
