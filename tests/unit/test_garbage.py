"""Compiled types are freed without the garbage collector, which passes over those that
are loaded: a cycle of references would keep every earlier version in memory. What has
cycles is collected at once."""

import gc
import weakref
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from persist.api.query_params import listing
from persist.entity_types.definition import normal_form
from persist.entity_types.from_schema import from_schema
from persist.storage.dialect import dialect_of
from persist.storage.layout import layout_of
from persist.storage.long_operations.catch_up import CatchUp
from persist.storage.writes.records import page_statement

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^a", "default": "a"},
        "part": {"anyOf": [{"$ref": "#/$defs/part"}, {"type": "null"}]},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}},
    },
    "$defs": {
        "part": {"$id": "https://e.org/part", "properties": {"n": {"$ref": "#"}}}
    },
}
COMMANDS = {"rename": {"when": "data.name != 'b'", "set": {"name": "data.name + 'b'"}}}


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
def test_a_type_is_freed_with_its_last_reference() -> None:
    definition = normal_form(
        {"schema": SCHEMA, "commands": COMMANDS, "indexes": [["name"], ["part.n"]]}
    )
    entity_type = from_schema("things", 1, definition)
    layout = layout_of(entity_type, dialect_of("sqlite:///x.db"), table_name="t")
    assert entity_type.validate({})["name"] == "a"
    assert layout.type.fields["part"].nullable
    kept: list[weakref.ref[Any]] = [weakref.ref(entity_type), weakref.ref(layout)]
    del entity_type, layout
    assert [reference() for reference in kept] == [None, None]


@pytest.mark.usefixtures("without_collector")
def test_a_staged_operation_is_freed_with_its_last_reference() -> None:
    class Operation:
        def __init__(self) -> None:
            staging: Any = None
            self.catch_up = CatchUp(staging, self.stage_again, [])

        def stage_again(self, *_: Any) -> None: ...

    operation = Operation()
    kept = weakref.ref(operation)
    del operation
    assert kept() is None


def test_the_statement_of_a_long_query_leaves_no_garbage() -> None:
    definition = normal_form({"schema": {"properties": {"list": {"type": "array"}}}})
    entity_type = from_schema("things", 1, definition)
    layout = layout_of(entity_type, dialect_of("sqlite:///x.db"), table_name="t")
    text = quote("||".join(["'a' in data.list"] * 50))
    query = listing(entity_type, "", f"filter={text}".encode()).query.one_more()
    gc.collect()
    page_statement(layout, query)
    assert gc.collect() < 500
