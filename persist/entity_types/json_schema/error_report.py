"""Error report: what is wrong with a value, one violation for each member of it.

It names the missing or unknown member itself, and of alternatives it reports the one
that came nearest. It has a limited size and is made within the budget of the
validation.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from persist.domain.errors import Violation, pointer
from persist.domain.record import canonical_text
from persist.domain.suggestions import did_you_mean
from persist.entity_types.json_schema.applicable_subschemas import Step, members_of
from persist.entity_types.json_schema.budget import BudgetExceeded
from persist.entity_types.json_schema.evaluation import (
    Evaluation,
    compile_assertions,
)
from persist.entity_types.json_schema.keyword_messages import SENTENCES, cut, sentence
from persist.entity_types.json_schema.schema_graph import Node

MAX_FAULTS = 100
"""Faults that one report names."""

MAX_CHARACTERS = 48 * 1024
"""Characters of all pointers and details of a report; as JSON it takes at most 64 KiB
where they are ASCII."""

MAX_DETAIL_CHARACTERS = 1_000
"""Characters of one detail."""

MAX_POINTER_CHARACTERS = 8_192
"""Characters of one pointer; a longer one names the nearest object above."""

VISITS_PER_LOOK = 100
"""Visits that the search for the faults of one value under one schema is worth."""

Path = tuple[Step, ...]


class Fault(NamedTuple):
    """What one keyword has against the member at ``path``."""

    path: Path
    keyword: str
    detail: str


class _ReportFull(Exception):
    """The report has as many faults as it may have."""


def explain(
    root: Node,
    value: object,
    evaluation: Evaluation,
    *,
    suggest: bool = False,
) -> list[Violation]:
    """Return what is wrong with a value that is not valid: the first hundred faults, or
    those that were found before the budget was spent.

    With ``suggest`` the nearest known name is named with an unknown one. Raises
    ``BudgetExceeded`` if no fault was found.
    """
    search = _Search(evaluation, suggest=suggest)
    with search.limited():
        search.look(root, value, ())
    return _violations(search.found)


def explain_members(
    conjuncts: Iterable[Node],
    value: dict[str, object],
    evaluation: Evaluation,
) -> list[Violation]:
    """Explain the faults of the members of an object, each validated by itself."""
    search = _Search(evaluation)
    with search.limited():
        for node in conjuncts:
            for step, below, member in members_of(node, value):
                search.look(below, member, (step,))
    return _violations(search.found)


def _violations(found: list[Fault]) -> list[Violation]:
    """Return one violation for each member, within the limits of a report."""
    details: dict[str, dict[str, None]] = {}
    for fault in found or [Fault((), "", "does not fit the schema")]:
        location = _pointer(fault.path)
        of_member = details.setdefault(location, {})
        of_member[fault.detail] = None
    report: list[Violation] = []
    characters = 0
    for location, sentences in details.items():
        detail = cut(" and ".join(sentences), MAX_DETAIL_CHARACTERS)
        characters += len(location) + len(detail)
        if report and characters > MAX_CHARACTERS:
            break
        report.append(Violation(location, detail))
    return report


def _pointer(path: Path) -> str:
    """Return the pointer to a member, or to the value around it if that is too long."""
    while len(location := pointer(path)) > MAX_POINTER_CHARACTERS:
        path = path[:-1]
    return location


class _Search:
    """The faults of one value; each schema and member is looked at once. A branch has a
    separate search."""

    def __init__(
        self,
        evaluation: Evaluation,
        outer: "_Search | None" = None,
        *,
        suggest: bool = False,
    ) -> None:
        self.found: list[Fault] = []
        self._evaluation = evaluation
        self._suggest = suggest
        self._looked_at: set[tuple[Node, Path]] = set()
        self._branches: dict[tuple[Node, Path], list[Fault]] = (
            outer._branches if outer else {}
        )

    @contextmanager
    def limited(self) -> Iterator[None]:
        """End the search at its limits; raise if no fault was found by then."""
        try:
            yield
        except (_ReportFull, BudgetExceeded, RecursionError):
            if not self.found:
                raise

    def look(
        self,
        node: Node,
        value: object,
        path: Path,
    ) -> None:
        """Note what a node has against the value at ``path``."""
        key = (node, path)
        if key in self._looked_at or self._evaluation.is_valid(node, value):
            return
        self._looked_at.add(key)
        self._evaluation.spend(VISITS_PER_LOOK)
        if node.schema is False:
            self._note(path, "false", node.denial)
        elif self._look_at_assertions(node, value, path):
            self._look_inside(node, value, path)
            for each in self._evaluation.holding(node, value):
                self.look(each, value, path)
            self._look_at_alternatives(node, value, path)
            for step, below, member in self._evaluation.unevaluated(node, value):
                self.look(below, member, (*path, step))

    def _note(
        self,
        path: Path,
        keyword: str,
        detail: str,
    ) -> None:
        self.found.append(Fault(path, keyword, detail))
        if len(self.found) >= MAX_FAULTS:
            raise _ReportFull

    def _look_at_assertions(
        self,
        node: Node,
        value: object,
        path: Path,
    ) -> bool:
        """Note which assertions fail. Return whether the value is at least of the right
        type."""
        for keyword in SENTENCES:
            if keyword not in node.assertions:
                continue
            asserted = node.assertions[keyword]
            self._evaluation.spend(1)
            # Each keyword by itself: the engine says only whether all hold.
            if compile_assertions({keyword: asserted})(value):
                continue
            is_type = keyword == "type"
            detail = sentence(keyword, asserted)
            # Doubles that are integers within 64 bits were parsed as integers.
            if is_type and isinstance(value, float) and "integer" in asserted:
                detail += " within 64 bits"
            self._note(path, keyword, detail)
            if is_type:
                return False
        return True

    def _look_inside(
        self,
        node: Node,
        value: object,
        path: Path,
    ) -> None:
        if isinstance(value, dict):
            self._look_at_names(node, value, path)
        elif isinstance(value, list):
            self._look_at_items(node, value, path)
        for step, below, member in members_of(node, value):
            if self._suggest and below.schema is False and isinstance(step, str):
                hint = did_you_mean(step, node.properties)
                self._note((*path, step), "false", below.denial + hint)
            else:
                self.look(below, member, (*path, step))

    def _look_at_names(
        self,
        node: Node,
        value: dict[str, object],
        path: Path,
    ) -> None:
        for name, detail in _missing(node.assertions, value).items():
            self._note((*path, name), "required", detail)
        if "propertyNames" not in node.one:
            return
        for name in value:
            faults = self._faults_of_branch(node.one["propertyNames"], name, ())
            if faults:
                why = " and ".join(fault.detail for fault in faults)
                detail = f"has a name that is not accepted: it {why}"
                self._note((*path, name), "propertyNames", detail)

    def _look_at_items(
        self,
        node: Node,
        value: list[Any],
        path: Path,
    ) -> None:
        if node.assertions.get("uniqueItems"):
            for index, first in _repeated(value):
                self._note((*path, index), "uniqueItems", f"repeats item {first}")
        if self._evaluation.contains_enough(node, value):
            return
        count = self._evaluation.count_contained(node, value)
        least = node.assertions.get("minContains", 1)
        if count < least:
            limit = f"{least} or more"
        else:
            limit = f"{node.assertions['maxContains']} or fewer"
        detail = f"must contain {limit} items of the kind asked for"
        self._note(path, "contains", detail)

    def _look_at_alternatives(
        self,
        node: Node,
        value: object,
        path: Path,
    ) -> None:
        is_valid = self._evaluation.is_valid
        if "not" in node.one and is_valid(node.one["not"], value):
            self._note(path, "not", "is of a kind that the schema excludes")
        for keyword in ("anyOf", "oneOf"):
            nodes = node.several.get(keyword, ())
            count = sum(is_valid(each, value) for each in nodes)
            if nodes and not count:
                self._look_at_nearest(keyword, nodes, value, path)
            elif keyword == "oneOf" and count > 1:
                detail = f"fits {count} alternatives where exactly one is meant to fit"
                self._note(path, keyword, detail)

    def _look_at_nearest(
        self,
        keyword: str,
        nodes: tuple[Node, ...],
        value: object,
        path: Path,
    ) -> None:
        """Note the faults of a value under the nearest alternative, or those that
        several equally near ones have."""
        # Alternatives with the same faults are one to whoever reads the report.
        branches = _distinct(
            [self._faults_of_branch(node, value, path) for node in nodes]
        )
        near = _by_distance(branches, path)
        if not near:
            detail = _all_details(branches)
        elif _is_nearest(near):
            for fault in near[0]:
                self._note(*fault)
            return
        else:
            faults = [_summary(branch[:3], path) for branch in near[:3]]
            reasons = "; or ".join(faults)
            detail = f"fits none of {len(nodes)} alternatives: {reasons}"
        self._note(path, keyword, cut(detail, MAX_DETAIL_CHARACTERS))

    def _faults_of_branch(
        self,
        node: Node,
        value: object,
        path: Path,
    ) -> list[Fault]:
        """Return the faults of a value under a branch, without noting them."""
        key = (node, path)
        if path and key in self._branches:
            return self._branches[key]
        search = _Search(self._evaluation, self, suggest=self._suggest)
        with suppress(_ReportFull):
            search.look(node, value, path)
        if path:
            self._branches[key] = search.found
        return search.found


def _distinct(branches: list[list[Fault]]) -> list[list[Fault]]:
    """Return the alternatives, those that have the same against a value once."""
    by_faults = {tuple(branch): branch for branch in branches}
    return list(by_faults.values())


def _by_distance(branches: list[list[Fault]], path: Path) -> list[list[Fault]]:
    """Return the alternatives of the value's type, the nearest first."""
    of_right_type = [
        branch for branch in branches if not _is_of_other_type(branch, path)
    ]
    return sorted(of_right_type, key=_distance)


def _is_nearest(near: list[list[Fault]]) -> bool:
    """Return whether the first alternative is nearer than all others."""
    if len(near) == 1:
        return True
    return _distance(near[0]) < _distance(near[1])


def _all_details(branches: list[list[Fault]]) -> str:
    details: dict[str, None] = {}
    for branch in branches:
        for fault in branch:
            details[fault.detail] = None
    return ", or ".join(details)


def _summary(faults: list[Fault], path: Path) -> str:
    """Return the faults of the value at ``path`` under one alternative."""
    sentences = []
    for fault in faults:
        below = fault.path[len(path) :]
        location = cut(pointer(below) or "it", 200)
        detail = cut(fault.detail, 200)
        sentences.append(f"{location} {detail}")
    return " and ".join(sentences)


def _missing(schema: Any, value: dict[str, object]) -> dict[str, str]:
    """Return the members that are required and missing, each with the reason."""
    needs = [(name, "is required") for name in schema.get("required", ())]
    for name, others in schema.get("dependentRequired", {}).items():
        if name in value:
            detail = f"is required if {name[:100]} is present"
            needs.extend((other, detail) for other in others)
    return {name: detail for name, detail in reversed(needs) if name not in value}


def _repeated(value: list[object]) -> Iterator[tuple[int, int]]:
    first: dict[str, int] = {}
    for index, item in enumerate(value):
        earlier = first.setdefault(canonical_text(item), index)
        if earlier != index:
            yield index, earlier


def _is_of_other_type(branch: list[Fault], path: Path) -> bool:
    return any(fault.keyword == "type" and fault.path == path for fault in branch)


def _distance(branch: list[Fault]) -> tuple[int, int]:
    """Return how far an alternative is from a value. A wrong constant mostly says that
    another alternative was meant."""
    wrong = sum(fault.keyword in ("const", "enum") for fault in branch)
    return wrong, len(branch)
