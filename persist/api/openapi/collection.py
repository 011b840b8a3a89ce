"""The operations of one collection: the collection routes of the route table, with the
schemas, filters and commands of its entity type."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from persist.api.openapi.bodies import BYTES, request_body
from persist.api.openapi.examples import example_data, example_lines, example_payload
from persist.api.openapi.filters import (
    filter_parameters,
    is_equality_of_data,
    selection_parameters,
)
from persist.api.openapi.problems import problem_responses
from persist.api.openapi.schemas import (
    collection_schemas,
    payload_name,
    result_name,
)
from persist.api.openapi.shared import (
    JSON,
    OF_A_COLLECTION,
    operation_parts,
    parameter,
    parameter_names,
    reference,
    response,
    schema,
)
from persist.api.routes import COLLECTION, COLLECTION_ROUTES, Route
from persist.domain.command import Command
from persist.domain.entity_type import EntityType
from persist.domain.errors import pointer
from persist.domain.record import Data, Json

_PATH_PARAMETERS = {
    "/snapshots/{id}": {"id": "snapshot_id"},
    "/migrations/{id}": {"id": "migration_id"},
}
"""The parameters of the document for those in a path, by path, if their names
differ."""


@dataclass(frozen=True)
class Fragment:
    """What one collection adds to the document; its values are shared and must not be
    changed."""

    tag: Json
    paths: Json
    schemas: Json
    parameters: Json
    responses: Json


def collection_fragment(entity_type: EntityType, base: str, prefix: str) -> Fragment:
    """Return the paths of a collection and its own components. The names of its
    schemas begin with ``base``, its operation ids with ``prefix``."""
    example = example_data(entity_type)
    filters = filter_parameters(entity_type)
    operations = _CollectionOperations(
        entity_type, base, prefix, example, tuple(filters)
    )
    paths: Json = {}
    for path, method, operation in operations.all():
        paths.setdefault(path, {})[method] = operation
    return Fragment(
        tag=_tag(entity_type),
        paths=paths,
        schemas=collection_schemas(entity_type, base),
        parameters=selection_parameters(entity_type, base) | filters,
        responses=_responses(base),
    )


def _responses(base: str) -> Json:
    schemas = {"Created": f"{base}Record", "Page": f"{base}Page"}
    return {
        base + name: response(name, schemas.get(name, base + name))
        for name in OF_A_COLLECTION
    }


def _tag(entity_type: EntityType) -> Json:
    description = entity_type.description or f"The collection `{entity_type.name}`."
    document = f"collections/{entity_type.name}/openapi.json"
    link = f"[Its own document]({document})"
    return {
        "name": entity_type.name,
        "description": f"{description}\n\n{link}",
    }


@dataclass(frozen=True)
class _CollectionOperations:
    type: EntityType
    base: str
    prefix: str
    example: Data | None
    filters: tuple[str, ...]

    def all(self) -> Iterator[tuple[str, str, Json]]:
        """Yield path, method and operation."""
        for route in COLLECTION_ROUTES:
            for command in self._commands_of(route):
                path = route.path.replace(COLLECTION, f"/api/{self.type.name}")
                if command is not None:
                    path = path.replace("{command}", command.name)
                operation = self._operation(route, path, command)
                yield path, route.method.lower(), operation

    def _commands_of(self, route: Route) -> Iterable[Command | None]:
        return self.type.commands.values() if "{command}" in route.path else (None,)

    def _operation(self, route: Route, path: str, command: Command | None) -> Json:
        shared = operation_parts(route.operation)
        operation: Json = {
            "tags": [self.type.name],
            "operationId": f"{self.prefix}_{self._verb(route, command)}",
            "summary": route.summary,
        }
        description = shared["description"]
        if command is not None:
            operation["summary"] = _summary(route, command)
            if route.operation == "invoke":
                description = command.description or description
        operation["description"] = description
        operation["parameters"] = [*path_parameters(path), *self._parameters(route)]
        body = self._body(route, command)
        if body is not None:
            operation["requestBody"] = body
        responses = {
            status: self._response(name, command)
            for status, name in shared["responses"].items()
        }
        return operation | {"responses": responses | problem_responses(route)}

    def _verb(self, route: Route, command: Command | None) -> str:
        if command is None:
            return route.operation
        # Two verbs of which neither begins with the other, whatever commands are called
        is_selective = route.operation == "invoke_all"
        return f"{'selective_invoke' if is_selective else 'invoke'}_{command.name}"

    def _parameters(self, route: Route) -> Iterator[Json]:
        for name in parameter_names(route.operation):
            if name == "*":
                yield from map(parameter, self._filters_of(route))
            elif name in ("sort", "fields") and route.operation != "trash":
                yield parameter(self.base + name.capitalize())
            else:
                yield parameter(name)

    def _filters_of(self, route: Route) -> Iterable[str]:
        """Return the filters that an operation lists: all if records are listed,
        equality of the members of data if they are deleted. Repeated for each
        operation, they would be most of the document."""
        if route.operation == "list":
            return self.filters
        return (name for name in self.filters if is_equality_of_data(name))

    def _response(self, name: str, command: Command | None) -> Json:
        """Return a response: the collection's own if it has one."""
        if name == "CommandResult" and command is not None:
            return response(name, result_name(self.base, command.name))
        own = self.base if name in OF_A_COLLECTION else ""
        return reference("responses", own + name)

    def _body(self, route: Route, command: Command | None) -> Json | None:
        if route.operation == "take_snapshot":
            return request_body(route.operation)
        contents = operation_parts(route.operation).get("body")
        if contents is None:
            return None
        part = self._part()
        steps = [
            {"op": "add", "path": pointer([name]), "value": value}
            for name, value in part.items()
        ]
        if command is not None:
            payload = schema(payload_name(self.base, command.name))
            example = example_payload(command, part)
            written = command.payload_schema
            required = bool(written.get("required") or written.get("minProperties"))
            return _content({JSON: (payload, example)}, required=required)
        lines = None if self.example is None else example_lines(self.type, self.example)
        bodies: dict[str, tuple[Json, object]] = {
            "Create": (schema(f"{self.base}Create"), self.example),
            "Bytes": (BYTES, None),
            "Lines": ({"type": "string"}, lines),
            "MergePatch": (schema(f"{self.base}MergePatch"), part),
            "JsonPatch": (schema("JsonPatch"), steps),
            "Revert": (schema("Revert"), {"to_revision": 1}),
        }
        return _content(
            {media_type: bodies[name] for media_type, name in contents.items()}
        )

    def _part(self) -> Data:
        """Return one member of the example, one that need not be unique if there is
        a choice."""
        unique = {path for group in self.type.unique for path in group}
        members = sorted(
            (self.example or {}).items(), key=lambda member: member[0] in unique
        )
        return dict(members[:1])


def path_parameters(path: str) -> list[Json]:
    """Return references to the parameters in a path."""
    special: dict[str, str] = {}
    for start, names in _PATH_PARAMETERS.items():
        if path.startswith(start):
            special = names
    return [
        parameter(special.get(segment[1:-1], segment[1:-1]))
        for segment in path.split("/")
        if segment.startswith("{")
    ]


def _summary(route: Route, command: Command) -> str:
    summary = command.description.partition("\n")[0].rstrip(".") or command.name
    if route.operation == "invoke":
        return summary
    return f"{summary}: all records that match"


def _content(
    contents: dict[str, tuple[Json, object]], *, required: bool = True
) -> Json:
    content = {
        media_type: (
            {"schema": schema}
            if example is None
            else {"schema": schema, "example": example}
        )
        for media_type, (schema, example) in contents.items()
    }
    return {"required": required, "content": content}
