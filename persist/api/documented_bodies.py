"""Bodies of the routers: one JSON Schema each, which checks them and stands in
OpenAPI."""

from typing import Any

from persist.api.requests import json_object
from persist.domain.errors import InvalidPayload
from persist.entity_types.json_schema import compile_schema

Json = dict[str, Any]


class Body(dict[str, Any]):
    """A JSON object with these members and no others, as OpenAPI shows it; where none
    is required, no body is one."""

    def __init__(self, example: Json, *required: str, **members: Json) -> None:
        schema = {
            "type": "object",
            "additionalProperties": False,
            "properties": members,
        }
        schema |= {"required": list(required)} if required else {}
        super().__init__(documented(schema, example, required=bool(required)))
        self._fitting = compile_schema(schema, InvalidPayload)

    def read(self, body: bytes) -> Json:
        """The members that were sent, and the defaults of others. Raises
        ``InvalidPayload``."""
        return self._fitting(json_object(body or b"{}", InvalidPayload))


def documented(schema: Any, example: Json, *, required: bool = True) -> Json:
    """A body as an operation of OpenAPI shows it."""
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": required, "content": content}}
