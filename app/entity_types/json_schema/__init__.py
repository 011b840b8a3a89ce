"""JSON Schema, draft 2020-12: a schema compiled into a callable that validates.

    patterns ← formats ← run ← assertions ← branches ← applicators ← graph ← defaults ← this

A schema becomes nodes, a node the checks that its keywords make for each type of value. One walk says
yes or no in a few microseconds; only where it says no, a second one finds out why. jsonschema itself
judges schemas (``safety``) and is what the tests compare with: it needs 50 to 100 microseconds for a small
document, and several of its keywords take quadratic or exponential time on hostile ones.
"""

from collections.abc import Callable, Iterator
from typing import Any

from app.domain.errors import Invalid, InvalidData, InvalidSchema, Violation, pointer
from app.domain.record import Data
from app.entity_types.json_schema.assertions import asserting
from app.entity_types.json_schema.defaults import fill, prepare
from app.entity_types.json_schema.graph import Graph
from app.entity_types.json_schema.run import REPORTED, Check, Enough, Exhausted, Finding, Node, Run

__all__ = ["compile_members", "compile_schema"]


def compile_schema(schema: Any, error: type[Invalid] = InvalidData) -> Callable[[Data], Data]:
    """A callable that gives data with the schema's defaults filled in, or raises ``error``.

    The data itself is not changed; where there is nothing to fill in, it is what is given back.
    ``error`` carries every violation, up to a hundred. The schema is one that ``check_schema`` let
    through, or that of a class in code: there a pattern with look-around (pydantic's own for decimals)
    asserts nothing, for the class itself will. References that lead nowhere raise ``InvalidSchema``.
    """
    root = _root(schema)
    prepare(root)
    return _validator(root, error)


def compile_members(schema: Any, error: type[Invalid] = InvalidData) -> Callable[[Data], Data]:
    """As ``compile_schema``, for an object that holds one or more of the members that ``schema`` describes:
    each is judged by itself. None is required, none is filled in."""
    some = asserting("minProperties", bool, "must have 1 or more members")
    node = Node(schema, "")
    node.checks = {dict: (some, *_each_member(_root(schema)))}
    return _validator(node, error)


def _each_member(node: Node) -> Iterator[Check]:
    if node.each_member is not None:
        yield node.each_member
    for part in node.parts:
        yield from _each_member(part)


def _root(schema: Any) -> Node:
    graph = Graph(schema)
    if graph.problems:
        place, detail = graph.problems[0]
        raise InvalidSchema(f"{place or 'the schema'}: {detail}", errors=graph.problems)
    return graph.root


def _validator(root: Node, error: type[Invalid]) -> Callable[[Data], Data]:
    def validate(data: Data) -> Data:
        run = Run()
        try:
            filled: Data = fill(root, data, run)
            if root.check(filled, run):
                return filled
            findings = explain(root, filled)
        except Exhausted as limit:
            detail = f"the value cannot be validated: {limit}"
        except RecursionError:
            detail = "the value is nested too deeply to be validated"
        else:
            raise error(_summary(findings), errors=findings)
        raise error(detail, errors=[Violation("", detail)])

    return validate


def explain(root: Node, value: Any) -> list[Violation]:
    """What is wrong with a value, one violation for each place in it: the first hundred findings, or
    those before the budget was spent."""
    findings: list[Finding] = []
    try:
        root.check(value, Run(findings))
    except (Enough, Exhausted):
        if not findings:
            raise
    details: dict[str, dict[str, None]] = {}
    for finding in findings:
        details.setdefault(pointer(finding.path), {})[finding.detail] = None
    return [Violation(place, " and ".join(said)) for place, said in details.items()]


def _summary(violations: list[Violation]) -> str:
    if len(violations) == 1:
        return f"the value does not fit the schema: {violations[0].pointer or 'it'} {violations[0].detail}"
    count = "at least " * (len(violations) >= REPORTED) + str(len(violations))
    return f"the value does not fit the schema in {count} places"
