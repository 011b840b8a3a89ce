"""Bodies of requests: JSON objects, and those with their own JSON Schema, which
checks them and is part of OpenAPI."""

from typing import Any

from persist.domain import strict_json
from persist.domain.errors import Invalid, InvalidData, InvalidPayload
from persist.domain.record import Json
from persist.domain.strict_json import WriteDecimals
from persist.entity_types.json_schema.compiled_schema import compile_schema


def json_object(
    body: bytes,
    error: type[Invalid] = InvalidData,
    *,
    any_number: bool = False,
    write_decimals: WriteDecimals | None = None,
) -> Json:
    """Return a body that must be a JSON object. Raises ``InvalidJson``, ``error``.

    See ``strict_json.parse``.
    """
    try:
        value = strict_json.parse(
            body, any_number=any_number, write_decimals=write_decimals
        )
    except InvalidData as refused:
        raise error(refused.detail, errors=refused.errors) from None
    if not isinstance(value, dict):
        raise error("the body must be a JSON object")
    return value


class Body(dict[str, Any]):
    """A JSON object with these members and no others, as OpenAPI shows it; if none
    is required the body may be left out."""

    def __init__(self, example: Json, *required: str, **members: Json) -> None:
        schema = {
            "type": "object",
            "additionalProperties": False,
            "properties": members,
        }
        if required:
            schema["required"] = list(required)
        body = documented(schema, example, required=bool(required))
        super().__init__(body)
        self._validate = compile_schema(schema, InvalidPayload)

    def show_forms(self, **required: list[str]) -> None:
        """Have OpenAPI show that a body has one of several forms. A form has a title,
        members that it requires, and those that no form does."""
        content = self["requestBody"]["content"]["application/json"]
        schema = content["schema"]
        own = {name for names in required.values() for name in names}
        members = schema["properties"]
        shared = {name: members[name] for name in members if name not in own}
        content["schema"] = {
            "oneOf": [
                schema
                | {
                    "title": title,
                    "properties": {name: members[name] for name in names} | shared,
                    "required": names,
                }
                for title, names in required.items()
            ]
        }
        self["requestBody"]["required"] = True

    def read(self, body: bytes) -> Json:
        """Return the members that were sent, and the defaults of others. Raises
        ``InvalidPayload``."""
        text = body or b"{}"
        sent = json_object(text, InvalidPayload)
        return self._validate(sent)


def documented(schema: object, example: Json, *, required: bool = True) -> Json:
    """Return a body as an operation of OpenAPI shows it."""
    described = {"schema": schema, "example": example}
    body = {
        "required": required,
        "content": {"application/json": described},
    }
    return {"requestBody": body}
