"""Run: one validation of one value, its budget and what it finds."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from app.entity_types.json_schema.patterns import Pattern

VISITS = 500_000
MATCH_STEPS = 8_000_000
REPORTED = 100
REMEMBERED = 10_000

Step = str | int
Seen = set[Step] | None
Check = Callable[[Any, "Run", Seen], bool]
"""Whether a value passes one keyword. ``Seen`` collects the names or indexes that were evaluated,
for ``unevaluatedProperties`` and ``unevaluatedItems``; None where nobody asks."""


class Exhausted(Exception):
    """The value takes more work than one validation may."""

    def __init__(self, detail: str = f"it takes more than {VISITS} visits") -> None:
        super().__init__(detail)


class Enough(Exception):
    """As many findings as are reported at all."""


class Finding(NamedTuple):
    """What one keyword has against the member at ``path``."""

    path: tuple[Step, ...]
    keyword: str
    detail: str


class Node:
    """A compiled schema: its checks for each type of value, and the schemas it leads to.

    ``refused`` are the types of values it never accepts. ``beside`` apply to the same value, ``parts``
    are those of them that always do (``$ref`` and ``allOf``); ``members`` and ``items`` lead to the
    value's own, ``unevaluated`` to those no other keyword looks at; ``each_member`` checks the members
    alone. ``place`` points into the schema.
    """

    __slots__ = (
        *("schema", "place", "checks", "refused", "beside", "parts"),
        *("members", "each_member", "items", "unevaluated", "fillable", "defaulted"),
    )

    def __init__(self, schema: Any, place: str) -> None:
        self.schema = schema
        self.place = place
        self.checks: dict[type, tuple[Check, ...]] = {}
        self.refused: set[type] = set()
        self.beside: list[Node] = []
        self.parts: list[Node] = []
        self.members: dict[str, Node] = {}
        self.each_member: Check | None = None
        self.items: Node | None = None
        self.unevaluated: dict[type, Node] = {}
        self.defaulted = False
        self.fillable: tuple[Any, ...] = ()

    def check(self, value: Any, run: "Run", seen: Seen = None) -> bool:
        """Whether ``value`` fits. A run that explains goes on after the first failure."""
        checks = self.checks[type(value)]
        run.spend(1 + len(checks))
        fits = True
        for check in checks:
            if not check(value, run, seen):
                if run.found is None:
                    return False
                fits = False
        return fits


ANYTHING = Node(True, "")
ANYTHING.checks = dict.fromkeys((dict, list, str, int, float, bool, type(None)), ())


class Run:
    """The state of one validation: the visits ``left``, and while it explains the ``path`` it has
    reached and what it ``found``. ``found`` is None in a run that only says yes or no.

    What a branch says of an object or an array is remembered, or a recursive ``oneOf`` would ask the
    same question twice at every level of a document.
    """

    __slots__ = ("_branches", "_verdicts", "filled", "found", "left", "path")

    def __init__(self, found: list[Finding] | None = None) -> None:
        self.left = VISITS
        self.filled = 0
        self.path: list[Step] = []
        self.found = found
        self._verdicts: dict[tuple[Node, int, bool], tuple[bool, set[Step]]] = {}
        self._branches: dict[tuple[Node, tuple[Step, ...]], list[Finding]] = {}

    def spend(self, visits: int) -> None:
        """Pay for work; raises ``Exhausted`` once the budget is spent. One visit is one check."""
        self.left -= visits
        if self.left < 0:
            raise Exhausted

    def refuse(self, keyword: str, detail: str, *below: Step) -> bool:
        """Note a finding, if this run explains. Always False: ``return run.refuse(...)``."""
        if self.found is not None:
            self.note(Finding((*self.path, *below), keyword, detail))
        return False

    def note(self, finding: Finding) -> None:
        """Add a finding; raises ``Enough`` once there are as many as are reported."""
        assert self.found is not None
        self.found.append(finding)
        if len(self.found) >= REPORTED:
            raise Enough

    def every(self, count: int, parts: Iterable[tuple[Step, Node, Any]]) -> bool:
        """Whether each of ``count`` members or items fits its node."""
        self.spend(count)
        if self.found is not None:
            return False not in [self._explained(step, node, value) for step, node, value in parts]
        for _, node, value in parts:
            checks = node.checks[type(value)]
            if checks:
                self.left -= len(checks)
                if self.left < 0:
                    raise Exhausted
                for check in checks:
                    if not check(value, self, None):
                        return False
        return True

    def _explained(self, step: Step, node: Node, value: Any) -> bool:
        self.path.append(step)
        fits = node.check(value, self)
        self.path.pop()
        return fits

    def quietly(self, node: Node, value: Any, seen: Seen = None) -> bool:
        """Whether ``value`` fits, without noting why not."""
        if type(value) is not dict and type(value) is not list:
            return self._asked(node, value, seen)
        key = (node, id(value), seen is None)
        if key not in self._verdicts:
            evaluated: set[Step] = set()
            fits = self._asked(node, value, None if seen is None else evaluated)
            if len(self._verdicts) >= REMEMBERED:
                self._verdicts.clear()
            self._verdicts[key] = fits, evaluated
        fits, evaluated = self._verdicts[key]
        if seen is not None:
            seen |= evaluated
        return fits

    def _asked(self, node: Node, value: Any, seen: Seen) -> bool:
        found, self.found = self.found, None
        fits = node.check(value, self, seen)
        self.found = found
        return fits

    def apart(self, node: Node, value: Any) -> list[Finding]:
        """What a branch finds, not noted."""
        if type(value) is not dict and type(value) is not list:
            return self._listened(node, value)
        key = (node, tuple(self.path))
        if key not in self._branches:
            self._branches[key] = self._listened(node, value)
        return self._branches[key]

    def _listened(self, node: Node, value: Any) -> list[Finding]:
        outer, self.found = self.found, []
        depth = len(self.path)
        try:
            node.check(value, self)
        except Enough:
            del self.path[depth:]
        found, self.found = self.found, outer
        return found

    def matches(self, pattern: Pattern, text: str) -> bool:
        """Whether ``pattern`` occurs in ``text``; long work is not begun."""
        steps = pattern.weight * len(text)
        if steps > MATCH_STEPS:
            raise Exhausted(f"{len(text)} characters are too many to be matched against {pattern.text[:100]}")
        self.spend(steps >> 8)
        return pattern.matches(text)
