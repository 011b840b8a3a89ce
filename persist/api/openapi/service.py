"""The operations of the service itself, and of any collection in a workspace."""

from persist.api.openapi.bodies import request_body
from persist.api.openapi.collection import path_parameters
from persist.api.openapi.problems import problem_responses
from persist.api.openapi.shared import (
    operation_parts,
    parameter,
    parameter_names,
    reference,
)
from persist.api.routes import FASTAPI_ROUTES, WORKSPACE_COLLECTION_ROUTES, Route
from persist.domain.record import Json


def service_paths() -> Json:
    """Return the paths of the service, and those below
    ``/workspaces/{workspace}/api/{collection}``."""
    paths: Json = {}
    for route in FASTAPI_ROUTES:
        if route.documented:
            _add(paths, route, route.operation)
    for route in WORKSPACE_COLLECTION_ROUTES:
        _add(paths, route, f"in_workspace_{route.operation}")
    return paths


def _add(paths: Json, route: Route, operation_id: str) -> None:
    paths.setdefault(route.path, {})[route.method.lower()] = _operation(
        route, operation_id
    )


def _operation(route: Route, operation_id: str) -> Json:
    shared = operation_parts(route.operation)
    operation: Json = {
        "tags": list(route.tags),
        "operationId": operation_id,
        "summary": route.summary,
        "description": shared["description"],
    }
    names = [name for name in parameter_names(route.operation) if name != "*"]
    operation["parameters"] = [*path_parameters(route.path), *map(parameter, names)]
    if (body := request_body(route.operation)) is not None:
        operation["requestBody"] = body
    responses = {
        status: reference("responses", name)
        for status, name in shared["responses"].items()
    }
    return operation | {"responses": responses | problem_responses(route)}
