"""CompiledSchema: a schema of draft 2020-12 as a function that validates."""

import json
from collections.abc import Callable
from contextvars import ContextVar

from persist.domain.errors import Invalid, InvalidData, InvalidSchema, Violation
from persist.domain.json_lock import JSON_LOCK
from persist.domain.record import Data, dumps
from persist.domain.strict_json import WriteDecimals
from persist.entity_types.json_schema.applicable_subschemas import members_of
from persist.entity_types.json_schema.budget import (
    BRIEF_VISITS,
    MAX_VISITS,
    BudgetExceeded,
    CostBudget,
)
from persist.entity_types.json_schema.conversion import convert
from persist.entity_types.json_schema.cost import CostModel
from persist.entity_types.json_schema.decimals import Decimals
from persist.entity_types.json_schema.defaults import Defaults
from persist.entity_types.json_schema.error_report import (
    MAX_FAULTS,
    explain,
    explain_members,
)
from persist.entity_types.json_schema.evaluation import Evaluation
from persist.entity_types.json_schema.schema_graph import Graph, Node, in_order
from persist.entity_types.storable import checked

Validate = Callable[[Data], Data]

UNEXPLAINED = (
    "does not fit; the schema refers from one schema to the next too often to say where"
)

_is_brief: ContextVar[bool] = ContextVar("is_brief", default=False)


class WouldTakeLong(Exception):
    """A validation under ``Briefly`` takes longer: it has to run in a thread."""


class Briefly:
    """A block in which a validation takes a few milliseconds at most: a longer one
    raises ``WouldTakeLong``."""

    def __enter__(self) -> None:
        self._token = _is_brief.set(True)

    def __exit__(self, *_: object) -> None:
        _is_brief.reset(self._token)


def compile_schema(schema: object, error: type[Invalid] = InvalidData) -> Validate:
    """Return a function that returns data with the schema's defaults filled in, or
    raises ``error`` with every violation, up to a hundred.

    The data itself is not changed; if there is nothing to fill in, it is returned
    itself. ``schema`` is one that ``admission`` accepted, or that of a class in code:
    there a pattern with look-around (pydantic's own for decimals) asserts nothing, for
    the class itself does. Raises ``InvalidSchema`` for references that lead nowhere.
    """
    return CompiledSchema(schema).validator(error)


def write_decimals_of(schema: object) -> WriteDecimals | None:
    """Return the function that writes decimals as text; None if the schema has none."""
    if '"decimal"' not in dumps(schema):
        return None
    decimals = Decimals(_graph_of(schema).root)
    return decimals.written_at if decimals else None


class _NotValid(Exception):
    """A value is not valid, for these reasons."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__()
        self.violations = violations


class CompiledSchema:
    """A schema of draft 2020-12, read and compiled once.

    ``fill`` says whether defaults are filled in, ``suggest`` whether the nearest known
    name is named with an unknown one. ``invalid_defaults`` are those that do
    not fit their own schema, with the reason; they are not filled in.
    """

    def __init__(
        self,
        schema: object,
        *,
        graph: Graph | None = None,
        fill: bool = True,
        suggest: bool = False,
    ) -> None:
        self.graph = graph or _graph_of(schema)
        self._root = self.graph.root
        self._suggest = suggest
        self.costs = CostModel(self.graph)
        self._is_valid = _compiled(self.graph)
        self.decimals = Decimals(self._root)
        self._defaults: Defaults | None = None
        self.invalid_defaults: list[Violation] = []
        fitting = self._fitting_defaults()
        if fill:
            self._defaults = fitting
        self._changes_values = bool(self.decimals or self._defaults)

    def _fitting_defaults(self) -> Defaults:
        """Return the defaults that fit their own schema; note the others."""
        defaults = Defaults(self._root)
        for node, default in defaults:
            reason = self._fault_of_default(defaults, node, default.value)
            if reason:
                detail = f"does not fit its own schema and is not filled in: {reason}"
                self.invalid_defaults.append(Violation(default.location, detail))
        invalid = frozenset(location for location, _ in self.invalid_defaults)
        return Defaults(self._root, invalid) if invalid else defaults

    def _fault_of_default(self, defaults: Defaults, node: Node, default: object) -> str:
        """Return why a default does not fit its own schema, or ``""``."""
        budget = CostBudget()
        evaluation = self.new_evaluation(budget, counted=False)
        try:
            checked(json.loads(dumps(default)), InvalidData)
            filled = defaults.fill_below(node, default, budget)
            if evaluation.is_valid(node, filled):
                return ""
            location, detail = explain(node, filled, evaluation)[0]
        except InvalidData as error:
            location, detail = error.errors[0]
        except BudgetExceeded as limit:
            return str(limit)
        except RecursionError:
            return "it fills itself without end"
        return f"{location or 'it'} {detail}"

    @property
    def write_decimals(self) -> WriteDecimals | None:
        """What writes decimals as text; None if there are none."""
        return self.decimals.written_at if self.decimals else None

    def validator(self, error: type[Invalid]) -> Validate:
        """Return a function that fills in defaults and validates, or raises
        ``error``."""

        def validate(data: Data) -> Data:
            return self._checked(data, error, self._fill_and_validate)

        return validate

    def members_validator(self, error: type[Invalid]) -> Validate:
        """Return a function that validates one or more members of an object, each by
        itself: none is required, none is filled in."""
        conjuncts, _ = in_order([self._root], lambda node: node.conjuncts)
        members = _Members(self, conjuncts)

        def validate(data: Data) -> Data:
            if not data:
                detail = "must have 1 or more members"
                raise error(detail, errors=[Violation("", detail)])
            return self._checked(data, error, members.validate)

        return validate

    def _checked(
        self,
        data: Data,
        error: type[Invalid],
        validate: Validate,
    ) -> Data:
        try:
            return validate(data)
        except _NotValid as why:
            errors = why.violations
            raise error(_summary(errors), errors=errors) from None
        except BudgetExceeded as limit:
            # It is validated again where nobody waits, with the full budget.
            if _is_brief.get():
                raise WouldTakeLong from None
            detail = f"the value cannot be validated: {limit}"
        except (RecursionError, ValueError):
            detail = (
                "the value, or the schemas that apply to it, are nested too deeply to"
                " be validated"
            )
        raise error(detail, errors=[Violation("", detail)])

    def _fill_and_validate(self, data: Data) -> Data:
        # Most data: no default to fill in, and so small that the engine may be asked at
        # once.
        is_quick = not self._changes_values and self.costs.is_low(data)
        if is_quick and self._is_valid(data):
            return data
        budget = _budget()
        data = self.decimals.written(data, budget)
        filled = data
        if self._defaults is not None:
            filled = self._defaults.fill(data, budget)
        evaluation = self._evaluation(filled, budget)
        if self._holds(filled, evaluation, budget):
            return filled
        if filled is not data:
            as_sent = self._evaluation(data, budget)
            if self._holds(data, as_sent, budget):
                return data  # filling in never makes a valid value invalid
        evaluation = evaluation or self.new_evaluation(budget, counted=True)
        raise _NotValid(self._faults(filled, evaluation))

    def _faults(self, value: Data, evaluation: Evaluation) -> list[Violation]:
        """Return what is wrong with a value that is not valid."""
        try:
            return explain(self._root, value, evaluation, suggest=self._suggest)
        except RecursionError:
            return [Violation("", UNEXPLAINED)]

    def _evaluation(self, value: Data, budget: CostBudget) -> Evaluation | None:
        """Return an evaluation if the engine might take too long for a value, or
        None."""
        parts = [(self._root, value)]
        if self.costs.is_within(value, parts, budget):
            return None
        return self.new_evaluation(budget, counted=False)

    def new_evaluation(self, budget: CostBudget, *, counted: bool) -> Evaluation:
        """Return an evaluation of one value within a budget."""
        return Evaluation(self.graph, self.costs, budget, counted=counted)

    def _holds(
        self, value: Data, evaluation: Evaluation | None, budget: CostBudget
    ) -> bool:
        if evaluation is not None:
            return evaluation.is_valid(self._root, value)
        if not budget.is_long:
            return self._is_valid(value)
        with JSON_LOCK:
            return self._is_valid(value)


class _Members:
    """The validation of members of an object, each by itself."""

    def __init__(self, schema: CompiledSchema, conjuncts: tuple[Node, ...]) -> None:
        self._schema = schema
        self._conjuncts = conjuncts
        self._is_valid: Callable[[object], bool] | None = None

    def validate(self, data: Data) -> Data:
        """Return the data. Raises ``_NotValid`` and ``BudgetExceeded``."""
        budget = _budget()
        data = self._schema.decimals.written(data, budget)
        parts = [
            (below, member)
            for node in self._conjuncts
            for _, below, member in members_of(node, data)
        ]
        counted = self._schema.costs.is_within(data, parts, budget)
        evaluation = self._schema.new_evaluation(budget, counted=counted)
        if counted:
            if self._is_valid is None:
                graph = self._schema.graph
                self._is_valid = graph.compile_members(self._conjuncts)
            valid = self._is_valid(data)
        else:
            valid = all(evaluation.is_valid(*part) for part in parts)
        if valid:
            return data
        raise _NotValid(explain_members(self._conjuncts, data, evaluation))


def _budget() -> CostBudget:
    return CostBudget(BRIEF_VISITS if _is_brief.get() else MAX_VISITS)


def _graph_of(schema: object) -> Graph:
    converted = convert(schema)
    graph = Graph(converted.schema)
    problems = [*converted.problems, *graph.problems]
    if problems:
        location, detail = problems[0]
        raise InvalidSchema(f"{location or 'the schema'}: {detail}", errors=problems)
    return graph


def _compiled(graph: Graph) -> Callable[[object], bool]:
    try:
        is_valid = graph.compile()
        is_valid({})
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise InvalidSchema(f"the schema cannot be compiled: {reason}") from None
    return is_valid


def _summary(violations: list[Violation]) -> str:
    if len(violations) == 1:
        return (
            f"the value does not fit the schema: {violations[0].pointer or 'it'}"
            f" {violations[0].detail}"
        )
    count = "at least " * (len(violations) >= MAX_FAULTS) + str(len(violations))
    return f"the value does not fit the schema in {count} places"
