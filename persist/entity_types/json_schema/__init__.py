"""JSON Schema, draft 2020-12: a schema as a callable that validates.

    engine ← graph ← visits ← findings · defaults ← this

jsonschema-rs says yes or no, once it is known that it will not take long; only where it
says no is a value looked through for what is wrong with it.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urljoin

from pydantic_core import to_json

from persist.domain.errors import (
    Invalid,
    InvalidData,
    InvalidSchema,
    Violation,
    pointer,
)
from persist.domain.record import Data
from persist.entity_types.json_schema.cost import (
    VISITS,
    BudgetExceeded,
    CostBudget,
    most,
)
from persist.entity_types.json_schema.defaults import fill, prepare
from persist.entity_types.json_schema.error_report import REPORTED, explain
from persist.entity_types.json_schema.schema_graph import BASE, Graph, Node, in_order

__all__ = ["compile_members", "compile_schema"]


def compile_schema(
    schema: Any, error: type[Invalid] = InvalidData
) -> Callable[[Data], Data]:
    """A callable that gives data with the schema's defaults filled in, or raises
    ``error``.

    The data itself is not changed; where there is nothing to fill in, it is what is
    given back. ``error`` carries every violation, up to a hundred. The schema is one
    that ``check_schema`` let through, or that of a class in code: there a pattern with
    look-around (pydantic's own for decimals) asserts nothing, for the class itself
    will. References that lead nowhere raise ``InvalidSchema``.
    """
    graph = _sound(schema)
    prepare(graph.root)
    return _validator(graph, error)


def compile_members(
    schema: Any, error: type[Invalid] = InvalidData
) -> Callable[[Data], Data]:
    """As ``compile_schema``, for an object that holds one or more of the members that
    ``schema`` describes: each is judged by itself. None is required, none is filled
    in."""
    uri = urljoin(BASE, schema.get("$id", "whole"))
    whole = schema | {"$id": uri}
    together, _ = in_order([_sound(schema).root], lambda node: node.parts)
    each = [_members_of(node, uri) for node in together]
    return _validator(
        _sound({"minProperties": 1, "allOf": each, "$defs": {"whole": whole}}), error
    )


def _members_of(node: Node, uri: str) -> Any:
    """What a schema says of members, by reference to it."""

    def at(*path: str) -> Any:
        return {"$ref": f"{uri}#{quote(node.place + pointer(path))}"}

    named = {
        keyword: {name: at(keyword, name) for name in node.leads[keyword]}
        for keyword in ("properties", "patternProperties")
        if keyword in node.leads
    }
    rest = "additionalProperties"
    return named | ({rest: at(rest)} if rest in node.leads else {})


def _sound(schema: Any) -> Graph:
    graph = Graph(schema)
    if graph.problems:
        place, detail = graph.problems[0]
        raise InvalidSchema(f"{place or 'the schema'}: {detail}", errors=graph.problems)
    try:
        graph.root.fits({})
    except ValueError as error:
        raise InvalidSchema(
            f"the schema cannot be compiled: {str(error).splitlines()[0]}"
        ) from None
    return graph


def _validator(graph: Graph, error: type[Invalid]) -> Callable[[Data], Data]:
    root, rate = graph.root, most(graph)

    def validate(data: Data) -> Data:
        visits = CostBudget()
        try:
            filled: Data = fill(root, data, visits)
            if rate * len(to_json(filled)) > VISITS:
                visits.judging(root, filled)
            if root.fits(filled):
                return filled
            findings = explain(root, filled)
        except BudgetExceeded as limit:
            detail = f"the value cannot be validated: {limit}"
        except (RecursionError, ValueError):
            detail = "the value is nested too deeply to be validated"
        else:
            raise error(_summary(findings), errors=findings)
        raise error(detail, errors=[Violation("", detail)])

    return validate


def _summary(violations: list[Violation]) -> str:
    if len(violations) == 1:
        return (
            f"the value does not fit the schema: {violations[0].pointer or 'it'}"
            f" {violations[0].detail}"
        )
    count = "at least " * (len(violations) >= REPORTED) + str(len(violations))
    return f"the value does not fit the schema in {count} places"
