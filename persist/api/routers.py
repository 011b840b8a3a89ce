"""FastAPI routers, made from the route table for what is not below a collection."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from persist.api import requests
from persist.api.routes import BY_METHOD_AND_PATH, Route, documentation_of

OperationDocuments = Mapping[str, Mapping[str, Any]]
"""By operation, what OpenAPI says of it beyond the route table."""


async def _authorized(http: Request) -> requests.Request:
    request: requests.Request = http.scope["state"]["request"]
    path = http.scope["route"].path
    BY_METHOD_AND_PATH[http.method, path].authorize(request.access, http.path_params)
    return request


Asked = Annotated[requests.Request, Depends(_authorized)]
"""The request as the gateway read it, once the route table has authorized its
caller."""


def router_of(
    routes: Iterable[Route],
    handlers: object,
    documents: OperationDocuments | None = None,
) -> APIRouter:
    """Return the router of some routes. Each is answered by the method of ``handlers``
    that is called like its operation."""
    router = APIRouter()
    for route in routes:
        router.add_api_route(
            route.path,
            getattr(handlers, route.operation),
            openapi_extra=dict((documents or {}).get(route.operation, {})),
            **documentation_of(route),
        )
    return router
