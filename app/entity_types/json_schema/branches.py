"""Branches: the keywords of draft 2020-12 that choose between schemas (Core, section 10.2).

Where no alternative fits, what is reported is what is wrong with the one that came nearest.
"""

from collections.abc import Iterator
from typing import Any

from app.domain.errors import pointer
from app.entity_types.json_schema.assertions import ANY, Either, Maker, Place, Rule, Schema
from app.entity_types.json_schema.run import Check, Finding, Node, Run, Seen


def _alternatives(keyword: str, most: float) -> Maker:
    def make(place: Place, schema: Schema) -> Iterator[Rule]:
        yield ANY, Either(keyword, [place.beside(part) for part in schema[keyword]], most)

    return make


def between(keyword: str, nodes: list[Node], most: float) -> Check:
    """The check that one alternative or more, but ``most`` at most, fit."""

    def check(value: Any, run: Run, seen: Seen) -> bool:
        fitting = 0
        for node in nodes:
            evaluated: Seen = None if seen is None else set()
            if run.quietly(node, value, evaluated):
                fitting += 1
                if seen is None or evaluated is None:
                    if most > 1:
                        return True
                else:
                    run.spend(len(evaluated))
                    seen |= evaluated
        if fitting > most:
            return run.refuse(keyword, f"fits {fitting} alternatives where exactly one is meant to fit")
        return fitting > 0 or _explain(keyword, nodes, value, run, seen)

    return check


def _explain(keyword: str, nodes: list[Node], value: Any, run: Run, seen: Seen) -> bool:
    if run.found is None:
        return False
    if seen is not None and isinstance(value, dict | list):
        run.spend(len(value))
        seen.update(value if isinstance(value, dict) else range(len(value)))
    here = len(run.path)
    branches = [run.apart(node, value) for node in nodes]
    near = sorted((branch for branch in branches if not _other_type(branch, here)), key=_distance)
    if not near:
        details = dict.fromkeys(finding.detail for branch in branches for finding in branch)
        return run.refuse(keyword, ", or ".join(details))
    if len(near) == 1 or _distance(near[0]) < _distance(near[1]):
        for finding in near[0]:
            run.note(finding)
        return False
    said = "; or ".join(
        " and ".join(_sentence(finding, here) for finding in branch[:3]) for branch in near[:3]
    )
    return run.refuse(keyword, f"fits none of {len(nodes)} alternatives: {said}")


def _other_type(branch: list[Finding], here: int) -> bool:
    return any(finding.keyword == "type" and len(finding.path) == here for finding in branch)


def _distance(branch: list[Finding]) -> tuple[int, int]:
    """A wrong constant mostly says that another alternative was meant."""
    return sum(finding.keyword in ("const", "enum") for finding in branch), len(branch)


def _sentence(finding: Finding, here: int) -> str:
    return f"{pointer(finding.path[here:]) or 'it'} {finding.detail}"


def _not(place: Place, schema: Schema) -> Iterator[Rule]:
    node = place.beside(schema["not"])
    yield (
        ANY,
        lambda value, run, _: (
            not run.quietly(node, value) or run.refuse("not", "is of a kind that the schema excludes")
        ),
    )


def _if(place: Place, schema: Schema) -> Iterator[Rule]:
    condition = place.beside(schema["if"])
    then = place.beside(schema.get("then", True))
    otherwise = place.beside(schema.get("else", True))

    def check(value: Any, run: Run, seen: Seen) -> bool:
        evaluated: Seen = None if seen is None else set()
        if not run.quietly(condition, value, evaluated):
            return otherwise.check(value, run, seen)
        if seen is not None and evaluated is not None:
            run.spend(len(evaluated))
            seen |= evaluated
        return then.check(value, run, seen)

    yield ANY, check


BRANCHES: tuple[tuple[tuple[str, ...], Maker], ...] = (
    (("anyOf",), _alternatives("anyOf", float("inf"))),
    (("oneOf",), _alternatives("oneOf", 1)),
    (("not",), _not),
    (("if",), _if),
)
