"""What both compilers derive from an object schema: the command ``set`` and an
example."""

from collections.abc import Callable

from persist.domain.command import Command
from persist.domain.field import Schema
from persist.domain.record import Data
from persist.domain.strict_json import WriteDecimals


def set_command(
    schema: Schema,
    parse: Callable[[Data], Data],
    write_decimals: WriteDecimals | None,
) -> Command:
    """Return the command of every collection: new values for top-level members.

    ``parse`` validates each member by itself.
    """
    properties = {
        name: _without_default(part)
        for name, part in schema.get("properties", {}).items()
    }
    payload_schema = {
        key: value
        for key, value in schema.items()
        if key not in ("required", "examples")
    }
    payload_schema |= {"minProperties": 1, "properties": properties}
    return Command(
        name="set",
        description="Set one or more top-level fields to new values.",
        payload_schema=payload_schema,
        parse=parse,
        refusal=lambda data: None,
        run=lambda data, payload: (data | payload, None),
        result_schema={"type": "null"},
        write_decimals=write_decimals,
    )


def _without_default(part: object) -> object:
    return (
        {key: value for key, value in part.items() if key != "default"}
        if isinstance(part, dict)
        else part
    )


def example_of(schema: Schema) -> Data | None:
    """Return example data, or None if a required member has no example.

    The example of the schema itself comes first, then the examples of its members.
    """
    for example in schema.get("examples", ()):
        if isinstance(example, dict):
            return example
    properties = schema.get("properties", {})
    given = {
        name: part["examples"][0]
        for name, part in properties.items()
        if isinstance(part, dict)
        and isinstance(part.get("examples"), list)
        and part["examples"]
    }
    return given if all(name in given for name in schema.get("required", ())) else None
