"""Findings: what is wrong with a value, one violation for each place in it.

The engine says which keyword of which schema a value does not fit; this says it to
people, names the missing or unknown member itself, and of alternatives lets the one
speak that came nearest.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from persist.domain.errors import Violation, pointer
from persist.domain.record import canonical_text, dumps
from persist.entity_types.json_schema.cost import (
    BudgetExceeded,
    CostBudget,
    Step,
    within,
)
from persist.entity_types.json_schema.engine import judge
from persist.entity_types.json_schema.schema_graph import WHOLE, Node

REPORTED = 100

_TYPES = {
    **{name: f"an {name}" for name in ("object", "array", "integer")},
    **{name: f"a {name}" for name in ("string", "number")},
    "boolean": "true or false",
}
_FORMATS = {
    "date-time": "a date and time with its zone, such as 2026-11-22T17:00:00Z",
    "date": "a date, such as 2026-11-22",
    "time": "a time with its zone, such as 17:00:00Z",
    "duration": "a duration, such as P1DT12H",
    "email": "an e-mail address",
    "hostname": "a host name",
    "regex": "a regular expression",
}
_TOLD = {
    "type": "must be {}",
    "enum": "must be one of {}",
    "const": "must be {}",
    "minimum": "must be {} or more",
    "maximum": "must be {} or less",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have {} or more characters",
    "maxLength": "must have {} or fewer characters",
    "pattern": "must match the pattern {}",
    "format": "must be {}",
    "minItems": "must have {} or more items",
    "maxItems": "must have {} or fewer items",
    "minProperties": "must have {} or more members",
    "maxProperties": "must have {} or fewer members",
}


class Finding(NamedTuple):
    """What one keyword has against the member at ``path``."""

    path: tuple[Step, ...]
    keyword: str
    detail: str


class Enough(Exception):
    """As many findings as are reported at all."""


def explain(root: Node, value: Any) -> list[Violation]:
    """What is wrong with a value that does not fit: the first hundred findings, or
    those before the budget was spent."""
    search = _Search()
    try:
        search.look(root, value, ())
    except (Enough, BudgetExceeded, RecursionError):
        if not search.found:
            raise
    details: dict[str, dict[str, None]] = {}
    for finding in search.found or [Finding((), "", "does not fit the schema")]:
        details.setdefault(pointer(finding.path), {})[finding.detail] = None
    return [Violation(place, " and ".join(said)) for place, said in details.items()]


def _told(keyword: str, asserted: Any) -> str:
    if keyword == "type":
        names = [asserted] if isinstance(asserted, str) else asserted
        text = " or ".join(_TYPES.get(name, name) for name in names)
    elif keyword == "format":
        text = _FORMATS.get(asserted, f"text in the format {asserted}")
    else:
        values = asserted if keyword == "enum" else [asserted]
        text = ", ".join(dumps(value) for value in values[:20])
        text = text if len(text) <= 200 and len(values) <= 20 else text[:200] + " …"
    return _TOLD[keyword].format(text)


class _Search:
    """Findings in one value, each schema and place looked at once; a branch is a search
    of its own."""

    def __init__(self, outer: "_Search | None" = None) -> None:
        self.found: list[Finding] = []
        self._looked: set[tuple[Node, tuple[Step, ...]]] = set()
        self._visits: CostBudget = outer._visits if outer else CostBudget()
        self._branches: dict[tuple[Node, tuple[Step, ...]], list[Finding]] = (
            outer._branches if outer else {}
        )

    def look(self, node: Node, value: Any, path: tuple[Step, ...]) -> None:
        if (node, path) in self._looked or self._fits(node, value):
            return
        self._looked.add((node, path))
        if node.schema is False:
            self._note(path, "false", node.detail)
        elif self._assertions(node, value, path):
            self._counts(node, value, path)
            for step, below, member in within(node, value):
                self.look(below, member, (*path, step))
            for beside in _holding(node, value):
                self.look(beside, value, path)
            self._alternatives(node, value, path)
            self._unevaluated(node, value, path)

    def _fits(self, node: Node, value: Any) -> bool:
        self._visits.spend(1 + (len(value) if isinstance(value, dict | list) else 0))
        return node.fits(value)

    def _note(self, path: tuple[Step, ...], keyword: str, detail: str) -> None:
        self.found.append(Finding(path, keyword, detail))
        if len(self.found) >= REPORTED:
            raise Enough

    def _assertions(self, node: Node, value: Any, path: tuple[Step, ...]) -> bool:
        """Whether the value is at least of the right type."""
        for keyword in sorted(node.schema.keys() & _TOLD.keys(), key=[*_TOLD].index):
            if not _check(node, keyword)(value):
                beyond = " within 64 bits" * (
                    keyword == "type" and isinstance(value, float)
                )
                self._note(path, keyword, _told(keyword, node.schema[keyword]) + beyond)
                if keyword == "type":
                    return False
        return True

    def _counts(self, node: Node, value: Any, path: tuple[Step, ...]) -> None:
        if isinstance(value, dict):
            for name, detail in _missing(node.schema, value).items():
                self._note((*path, name), "required", detail)
            for below in node.under("propertyNames"):
                for name in value:
                    why = " and ".join(
                        finding.detail for finding in self._apart(below, name, ())
                    )
                    if why:
                        self._note(
                            (*path, name),
                            "propertyNames",
                            f"has a name that is not accepted: it {why}",
                        )
        elif isinstance(value, list):
            if node.schema.get("uniqueItems"):
                for index, first in _repeated(value):
                    self._note((*path, index), "uniqueItems", f"repeats item {first}")
            for below in node.under("contains"):
                self._contains(node.schema, below, value, path)

    def _contains(
        self, schema: Any, node: Node, value: list[Any], path: tuple[Step, ...]
    ) -> None:
        hits = sum(self._fits(node, item) for item in value)
        few, many = schema.get("minContains", 1), schema.get("maxContains", hits)
        if not few <= hits <= many:
            limit = f"{few} or more" if hits < few else f"{many} or fewer"
            self._note(
                path, "contains", f"must contain {limit} items of the kind asked for"
            )

    def _alternatives(self, node: Node, value: Any, path: tuple[Step, ...]) -> None:
        for below in node.under("not"):
            if self._fits(below, value):
                self._note(path, "not", "is of a kind that the schema excludes")
        for keyword in ("anyOf", "oneOf"):
            nodes = node.leads.get(keyword, [])
            fitting = sum(self._fits(each, value) for each in nodes)
            if nodes and not fitting:
                self._nearest(keyword, nodes, value, path)
            elif keyword == "oneOf" and fitting > 1:
                detail = (
                    f"fits {fitting} alternatives where exactly one is meant to fit"
                )
                self._note(path, keyword, detail)

    def _nearest(
        self, keyword: str, nodes: list[Node], value: Any, path: tuple[Step, ...]
    ) -> None:
        branches = [self._apart(node, value, path) for node in nodes]
        near = sorted(
            (branch for branch in branches if not _other_type(branch, path)),
            key=_distance,
        )
        if not near:
            details = dict.fromkeys(
                finding.detail for branch in branches for finding in branch
            )
            self._note(path, keyword, ", or ".join(details))
        elif len(near) == 1 or _distance(near[0]) < _distance(near[1]):
            for finding in near[0]:
                self._note(*finding)
        else:
            said = "; or ".join(
                " and ".join(
                    f"{pointer(finding.path[len(path) :]) or 'it'} {finding.detail}"
                    for finding in branch[:3]
                )
                for branch in near[:3]
            )
            self._note(path, keyword, f"fits none of {len(nodes)} alternatives: {said}")

    def _apart(self, node: Node, value: Any, path: tuple[Step, ...]) -> list[Finding]:
        """What a branch has against a value, not noted."""
        if not path or (node, path) not in self._branches:
            search = _Search(self)
            with suppress(Enough):
                search.look(node, value, path)
            self._branches[node, path] = search.found
        return self._branches[node, path]

    def _unevaluated(self, node: Node, value: Any, path: tuple[Step, ...]) -> None:
        keyword = (
            "unevaluatedProperties" if isinstance(value, dict) else "unevaluatedItems"
        )
        if keyword in node.leads and isinstance(value, dict | list):
            seen = _evaluated(node, value, keyword)
            for step, member in (
                value.items() if isinstance(value, dict) else enumerate(value)
            ):
                if step not in seen:
                    self.look(node.leads[keyword], member, (*path, step))


def _check(node: Node, keyword: str) -> Callable[[Any], bool]:
    if keyword not in node.checks:
        bounds = (
            [WHOLE]
            if keyword == "type" and WHOLE in node.schema.get("allOf", ())
            else [True]
        )
        node.checks[keyword] = judge({keyword: node.schema[keyword], "allOf": bounds})
    return node.checks[keyword]


def _missing(schema: Any, value: dict[str, Any]) -> dict[str, str]:
    needs = [(name, "is required") for name in schema.get("required", ())]
    for name, others in schema.get("dependentRequired", {}).items():
        if name in value:
            needs += [(other, f"is required beside {name[:100]}") for other in others]
    return {name: detail for name, detail in reversed(needs) if name not in value}


def _repeated(value: list[Any]) -> Iterator[tuple[int, int]]:
    first: dict[str, int] = {}
    for index, item in enumerate(value):
        earlier = first.setdefault(canonical_text(item), index)
        if earlier != index:
            yield index, earlier


def _holding(node: Node, value: Any) -> Iterator[Node]:
    """The nodes beside that must hold for this value."""
    yield from node.parts
    yield from list(node.under("$dynamicRef"))[:1]
    if isinstance(value, dict):
        yield from (
            below
            for name, below in node.leads.get("dependentSchemas", {}).items()
            if name in value
        )
    for condition in node.under("if"):
        yield from node.under("then" if condition.fits(value) else "else")


def _evaluated(node: Node, value: Any, but: str = "") -> set[Step]:
    """The members or items of ``value`` that ``node`` looks at, its keyword ``but``
    aside."""
    keyword = "unevaluatedProperties" if isinstance(value, dict) else "unevaluatedItems"
    if keyword in node.leads and keyword != but:
        return set(value if isinstance(value, dict) else range(len(value)))
    seen: set[Step] = {step for step, _, _ in within(node, value)}
    for below in node.under("contains"):
        seen |= {
            index
            for index, item in enumerate(value)
            if isinstance(value, list) and below.fits(item)
        }
    fitting = [
        each
        for word in ("anyOf", "oneOf", "if")
        for each in node.under(word)
        if each.fits(value)
    ]
    for beside in (*_holding(node, value), *fitting):
        seen |= _evaluated(beside, value)
    return seen


def _other_type(branch: list[Finding], path: tuple[Step, ...]) -> bool:
    return any(finding.keyword == "type" and finding.path == path for finding in branch)


def _distance(branch: list[Finding]) -> tuple[int, int]:
    """A wrong constant mostly says that another alternative was meant."""
    return sum(finding.keyword in ("const", "enum") for finding in branch), len(branch)
