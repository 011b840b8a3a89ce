"""Filters: the CEL condition of ``filter=`` as an ``Expression`` of the domain.

It is checked against the schema. The subset that SQL can compute is ``&& || !``,
comparisons of a member with a literal or another member, ``+ - * / %`` of numbers,
``in`` with a list of literals or with a list, ``size()`` of a list, ``has()``,
``contains``, ``startsWith``, ``endsWith`` and ``timestamp("…")``. Everything else is
refused by name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from persist.domain.entity_type import EntityType
from persist.domain.errors import InvalidQuery
from persist.domain.field import ANYTHING, ENVELOPE, FieldType
from persist.domain.query import (
    EQUALITY,
    Call,
    Expression,
    Function,
    Member,
    Parameter,
    operators_of,
)
from persist.domain.query_values import check_is_short
from persist.entity_types.cel import ast
from persist.entity_types.cel.ast import CompileError, Literal, Node, Select
from persist.entity_types.cel.operands import (
    ARITHMETIC,
    Calculation,
    Constant,
    Length,
    Operand,
    compare_constant,
    compare_members,
    field,
    named,
    number_type,
    operand,
    unavailable,
)
from persist.entity_types.cel.parser import parse
from persist.entity_types.cel.references import presence, reference

COMPARISONS: Mapping[str, Function] = {
    "_==_": Function.EQ,
    "_!=_": Function.NE,
    "_<_": Function.LT,
    "_<=_": Function.LTE,
    "_>_": Function.GT,
    "_>=_": Function.GTE,
}
MIRRORED: Mapping[Function, Function] = {
    Function.EQ: Function.EQ,
    Function.NE: Function.NE,
    Function.LT: Function.GT,
    Function.LTE: Function.GTE,
    Function.GT: Function.LT,
    Function.GTE: Function.LTE,
}
TEXT_FUNCTIONS: Mapping[str, Function] = {
    "contains": Function.CONTAINS,
    "startsWith": Function.STARTSWITH,
    "endsWith": Function.ENDSWITH,
}
OPERANDS = frozenset(("_[_]", "size", *ARITHMETIC))
"""Calls that are an operand and no condition by themselves."""

JOINS: Mapping[str, Function] = {"_&&_": Function.AND, "_||_": Function.OR}

MAX_CALCULATED_LIST = 100
"""Literals of a list that arithmetic is compared with, one by one."""

MAX_EXACT_INTEGER = 2**53
"""The largest integer up to which a double represents every integer."""

# The literals true and false as conditions: the id of a record is never null.
_NEVER = Call(Function.ISNULL, (Member(ENVELOPE["id"]),))
_ALWAYS = Call(Function.NOT, (_NEVER,))


def compile_filter(
    text: str,
    entity_type: EntityType,
    offset: int = 0,
) -> tuple[Expression, tuple[object, ...]]:
    """Return the condition ``text`` and its values, whose indexes start at ``offset``.

    Raises ``InvalidQuery``, which names the position and the nearest known member.
    """
    compiler = _Compiler(entity_type, offset)
    try:
        where = compiler.condition(parse(text))
    except CompileError as error:
        raise InvalidQuery(f"filter: {error}") from None
    return where, tuple(compiler.values)


class _Compiler:
    """One walk over the tree of one filter; collects its values."""

    def __init__(
        self,
        entity_type: EntityType,
        offset: int,
    ) -> None:
        self._entity_type = entity_type
        self._offset = offset
        self.values: list[Any] = []

    def condition(self, node: Node) -> Expression:
        if isinstance(node, ast.Call) and node.function not in OPERANDS:
            return self._called(node)
        if isinstance(node, Select) and node.tested:
            return self._present(node)
        if isinstance(node, Literal) and isinstance(node.value, bool):
            return _ALWAYS if node.value else _NEVER
        return self._boolean(node)

    def _called(self, node: ast.Call) -> Expression:
        function = node.function
        if function in JOINS:
            parts = [self.condition(argument) for argument in node.arguments]
            return _joined(JOINS[function], parts)
        if function == "!_":
            return Call(Function.NOT, (self.condition(node.arguments[0]),))
        if function in COMPARISONS:
            return self._comparison(COMPARISONS[function], node)
        if function == "@in":
            return self._in(node)
        is_method = node.target is not None and len(node.arguments) == 1
        if function in TEXT_FUNCTIONS and is_method:
            return self._text(node)
        raise unavailable(node)

    def _boolean(self, node: Node) -> Expression:
        """Return the condition of a boolean member that stands without a comparison."""
        member = operand(self._entity_type, node)
        if isinstance(member, Constant):
            raise CompileError(
                f"{member} is not a condition",
                node.position,
            )
        if isinstance(member, Length | Calculation):
            raise CompileError(
                "size() and arithmetic are compared with a number",
                node.position,
            )
        if not member.field.allows(FieldType.BOOLEAN):
            raise CompileError(
                f"{named(member)} is not a condition; compare it with a value",
                node.position,
            )
        if member.field.type is FieldType.ANY:
            # A value of any type is true only if it is the boolean.
            true = self._parameter(FieldType.BOOLEAN, True)
            return Call(Function.EQ, (member, true))
        return member

    def _present(self, node: Node) -> Expression:
        asked = presence(node)
        if asked is None:
            raise CompileError(
                "has() takes a member of data or record",
                node.position,
            )
        member = Member(field(self._entity_type, asked))
        return Call(Function.NOT, (Call(Function.ISNULL, (member,)),))

    def _comparison(
        self,
        function: Function,
        node: ast.Call,
    ) -> Expression:
        left = operand(self._entity_type, node.arguments[0])
        right = operand(self._entity_type, node.arguments[1])
        if isinstance(left, Member) and isinstance(right, Member):
            compare_members(
                function,
                left,
                right,
                node.position,
            )
            return Call(function, (left, right))
        has_constant = isinstance(left, Constant) or isinstance(right, Constant)
        if (
            isinstance(left, Calculation)
            or isinstance(right, Calculation)
            or not has_constant
        ):
            return self._with_calculation(
                function,
                left,
                right,
                node.position,
            )
        if isinstance(right, Constant) and not isinstance(left, Constant):
            return self._with_constant(
                function,
                left,
                right,
            )
        if isinstance(left, Constant) and not isinstance(right, Constant):
            return self._with_constant(
                MIRRORED[function],
                right,
                left,
            )
        raise CompileError(
            "one side of a comparison must be a member of data or record, size() or"
            " members",
            node.position,
        )

    def _with_calculation(
        self,
        function: Function,
        left: Operand,
        right: Operand,
        position: int,
    ) -> Expression:
        """Return the condition of two numbers, of which one is calculated."""
        compared = []
        types = [number_type(function, each, position) for each in (left, right)]
        for each, kind in zip((left, right), types, strict=True):
            # An integer that no double equals is compared as it is.
            is_double = (
                isinstance(each, Constant)
                and FieldType.NUMBER in types
                and abs(each.value) <= MAX_EXACT_INTEGER
            )
            compared.append(self._number(each, FieldType.NUMBER if is_double else kind))
        return Call(function, tuple(compared))

    def _number(
        self,
        operand: Operand,
        kind: FieldType,
    ) -> Expression:
        """Return a number that is calculated or compared with, as ``kind``."""
        match operand:
            case Member():
                return operand
            case Length():
                return Call(Function.LEN, (operand.member,))
            case Constant():
                value = operand.value
                return self._parameter(
                    kind, float(value) if kind is FieldType.NUMBER else value
                )
        operands = (operand.left, operand.right)
        return Call(
            operand.function,
            tuple(self._number(each, operand.type) for each in operands),
        )

    def _with_constant(
        self,
        function: Function,
        operand: Member | Length,
        constant: Constant,
    ) -> Expression:
        if isinstance(operand, Length):
            return self._of_length(
                function,
                operand,
                constant,
            )
        # In SQL a comparison with null is never true.
        if constant.value is None and function in EQUALITY:
            absent = Call(Function.ISNULL, (operand,))
            return Call(Function.NOT, (absent,)) if function is Function.NE else absent
        compared = compare_constant(
            function,
            operand,
            constant,
        )
        return Call(function, (operand, self._parameter(*compared)))

    def _of_length(
        self,
        function: Function,
        length: Length,
        constant: Constant,
    ) -> Expression:
        if constant.type is not FieldType.INTEGER:
            raise CompileError(
                f"size() is compared with a whole number, not with {constant}",
                constant.position,
            )
        size = Call(Function.LEN, (length.member,))
        parameter = self._parameter(FieldType.INTEGER, constant.value)
        return Call(function, (size, parameter))

    def _in(self, node: ast.Call) -> Expression:
        left, right = node.arguments
        if not isinstance(right, ast.List):
            return self._contained(node)
        member = operand(self._entity_type, left)
        constants = [self._listed(item) for item in right.items]
        if isinstance(member, Calculation):
            if len(constants) > MAX_CALCULATED_LIST:
                raise CompileError(
                    "arithmetic is compared with at most"
                    f" {MAX_CALCULATED_LIST} literals of a list",
                    node.position,
                )
            tests = [
                self._with_calculation(
                    Function.EQ,
                    member,
                    constant,
                    constant.position,
                )
                for constant in constants
            ]
        elif isinstance(member, Member):
            tests = self._one_of(member, constants)
        else:
            raise CompileError(
                "the operand before in and a list must be a member of data or record,"
                " or arithmetic",
                node.position,
            )
        return _joined(Function.OR, tests) if tests else _NEVER

    def _one_of(
        self,
        member: Member,
        constants: list[Constant],
    ) -> list[Expression]:
        """Return the conditions of a member in a list, one of which has to hold."""
        parameters = [
            self._parameter(
                *compare_constant(
                    Function.IN,
                    member,
                    constant,
                )
            )
            for constant in constants
            if constant.value is not None
        ]
        tests: list[Expression] = []
        if parameters:
            tests.append(Call(Function.IN, (member, *parameters)))
        # null in the list: IN would be null for it, and never true.
        if len(parameters) < len(constants):
            tests.append(Call(Function.ISNULL, (member,)))
        return tests

    def _listed(self, item: Node) -> Constant:
        constant = operand(self._entity_type, item)
        if not isinstance(constant, Constant):
            raise CompileError(
                "the list after in takes literals only",
                item.position,
            )
        return constant

    def _contained(self, node: ast.Call) -> Expression:
        """Return the condition of ``"x" in data``, in an object and in a list."""
        searched = reference(node.arguments[1])
        asked = presence(node)
        if asked is not None and len(asked.path) == 1:
            return self._present(node)
        if searched is None:
            raise CompileError(
                "in takes a member and a list of literals, or a literal and a list or"
                " an object",
                node.position,
            )
        member = Member(field(self._entity_type, searched))
        tests: list[Expression] = []
        if member.field.allows(FieldType.OBJECT) and asked is not None:
            tests.append(self._present(node))
        if member.field.allows(FieldType.ARRAY):
            tests.append(self._element(member, node.arguments[0]))
        if not tests:
            raise CompileError(
                f"in does not search {named(member)}",
                node.position,
            )
        return _joined(Function.OR, tests)

    def _element(
        self,
        member: Member,
        node: Node,
    ) -> Expression:
        """Return the condition that a list has an element."""
        constant = operand(self._entity_type, node)
        if not isinstance(constant, Constant) or constant.value is None:
            raise CompileError(
                "the operand before in and a stored list must be a literal",
                node.position,
            )
        element = Member(member.field.items or ANYTHING)
        compared = compare_constant(
            Function.IN,
            element,
            constant,
        )
        return Call(Function.HAS, (member, self._parameter(*compared)))

    def _text(self, node: ast.Call) -> Expression:
        assert node.target is not None
        member = operand(self._entity_type, node.target)
        constant = operand(self._entity_type, node.arguments[0])
        call = f"{node.function}()"
        if not isinstance(member, Member) or not isinstance(constant, Constant):
            raise CompileError(
                f"{call} is called on a member and takes a literal",
                node.position,
            )
        function = TEXT_FUNCTIONS[node.function]
        if function.value not in operators_of(member.field):
            raise CompileError(
                f"{call} searches text, not {named(member)}",
                node.position,
            )
        if constant.type is not FieldType.STRING or constant.is_time:
            raise CompileError(
                f"{call} takes text, not {constant}",
                constant.position,
            )
        try:
            check_is_short(function, constant.value)
        except ValueError as error:
            raise CompileError(f"{call} {error}", constant.position) from None
        parameter = self._parameter(FieldType.STRING, constant.value)
        return Call(function, (member, parameter))

    def _parameter(
        self,
        kind: FieldType,
        value: object,
    ) -> Parameter:
        self.values.append(value)
        return Parameter(self._offset + len(self.values) - 1, kind)


def _joined(
    function: Function,
    conditions: Sequence[Expression],
) -> Expression:
    """Return the conditions under one AND or OR; nested ones of its kind are merged."""
    if len(conditions) == 1:
        return conditions[0]
    merged: list[Expression] = []
    for condition in conditions:
        # CEL nests pairs; a hundred of them would be a hundred levels of SQL.
        if isinstance(condition, Call) and condition.function is function:
            merged += condition.arguments
        else:
            merged.append(condition)
    return Call(function, tuple(merged))
