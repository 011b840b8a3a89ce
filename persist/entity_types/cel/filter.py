"""``filter=``: a condition in CEL becomes an ``Expression`` of the domain, checked
against the schema.

What SQL can say is taken and everything else refused by name: ``&& || !``, comparisons
of a member with a literal or with another member, ``in`` with a list of literals,
``has()``, ``contains``, ``startsWith``, ``endsWith``, and ``timestamp("…")`` beside the
envelope's times.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from persist.domain.entity_type import EntityType
from persist.domain.errors import InvalidQuery
from persist.domain.field import ENVELOPE, FieldType
from persist.domain.query import Call, Expression, Function, Member, Parameter
from persist.entity_types.cel.ast import Apply, Elements, Fault, Literal, Node, Select
from persist.entity_types.cel.operands import (
    EQUALITY,
    Constant,
    compare_constant,
    compare_members,
    field,
    is_time,
    named,
    operand,
    unavailable,
)
from persist.entity_types.cel.parser import parse
from persist.entity_types.cel.references import Reference, presence

COMPARISONS: Mapping[str, Function] = {
    "_==_": Function.EQ,
    "_!=_": Function.NE,
    "_<_": Function.LT,
    "_<=_": Function.LTE,
    "_>_": Function.GT,
    "_>=_": Function.GTE,
}
TURNED: Mapping[Function, Function] = {
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
JOINS: Mapping[str, Function] = {"_&&_": Function.AND, "_||_": Function.OR}

_NEVER = Call(Function.ISNULL, (Member(ENVELOPE["id"]),))
_ALWAYS = Call(Function.NOT, (_NEVER,))


def compile_filter(
    text: str, type: EntityType, offset: int = 0
) -> tuple[Expression, tuple[Any, ...]]:
    """The condition ``text`` and its values, whose indexes start at ``offset``.

    Raises ``InvalidQuery``, which says what is wrong and where, and names the nearest
    known member in place of an unknown one.
    """
    compiler = _Compiler(type, offset)
    try:
        where = compiler.condition(parse(text))
    except Fault as fault:
        raise InvalidQuery(f"filter: {fault}") from None
    return where, tuple(compiler.values)


class _Compiler:
    """One walk over one filter's tree; collects the values it meets."""

    def __init__(self, type: EntityType, offset: int) -> None:
        self._type = type
        self._offset = offset
        self.values: list[Any] = []

    def condition(self, node: Node) -> Expression:
        if isinstance(node, Apply) and node.function != "_[_]":
            return self._applied(node)
        if isinstance(node, Select) and node.tested:
            return self._present(node)
        if isinstance(node, Literal) and isinstance(node.value, bool):
            return _ALWAYS if node.value else _NEVER
        return self._bare(node)

    def _applied(self, node: Apply) -> Expression:
        if node.function in JOINS:
            return _joined(
                JOINS[node.function],
                [self.condition(argument) for argument in node.arguments],
            )
        if node.function == "!_":
            return Call(Function.NOT, (self.condition(node.arguments[0]),))
        if node.function in COMPARISONS:
            return self._comparison(COMPARISONS[node.function], node)
        if node.function == "@in":
            return self._in(node)
        if (
            node.function in TEXT_FUNCTIONS
            and node.target is not None
            and len(node.arguments) == 1
        ):
            return self._text(node, node.target)
        raise unavailable(node)

    def _bare(self, node: Node) -> Expression:
        member = operand(self._type, node)
        if isinstance(member, Constant):
            raise Fault(f"{member} is no condition", node.position)
        if member.field.type is FieldType.ANY:
            return Call(
                Function.EQ, (member, self._parameter(Constant(True, node.position)))
            )
        if member.field.type is not FieldType.BOOLEAN:
            raise Fault(
                f"{named(member)} is no condition; compare it with a value",
                node.position,
            )
        return member

    def _present(self, node: Node) -> Expression:
        asked = presence(node)
        if asked is None:
            raise Fault(
                "only a member of data or record can be asked for", node.position
            )
        return Call(
            Function.NOT, (Call(Function.ISNULL, (Member(field(self._type, asked)),)),)
        )

    def _comparison(self, function: Function, node: Apply) -> Expression:
        left, right = (operand(self._type, argument) for argument in node.arguments)
        if isinstance(left, Member) and isinstance(right, Member):
            compare_members(function, left, right, node.position)
            return Call(function, (left, right))
        if isinstance(left, Member) and isinstance(right, Constant):
            return self._against(function, left, right)
        if isinstance(left, Constant) and isinstance(right, Member):
            return self._against(TURNED[function], right, left)
        raise Fault("a comparison needs a member of data or record", node.position)

    def _against(
        self, function: Function, member: Member, constant: Constant
    ) -> Expression:
        if constant.value is None and function in EQUALITY:
            absent = Call(Function.ISNULL, (member,))
            return Call(Function.NOT, (absent,)) if function is Function.NE else absent
        compare_constant(function, member, constant)
        return Call(function, (member, self._parameter(constant)))

    def _in(self, node: Apply) -> Expression:
        left, right = node.arguments
        if not isinstance(right, Elements):
            return self._contained(node)
        member = operand(self._type, left)
        if not isinstance(member, Member):
            raise Fault(
                "before in with a list stands a member of data or record", node.position
            )
        constants = [self._listed(member, item) for item in right.items]
        given = [
            self._parameter(constant)
            for constant in constants
            if constant.value is not None
        ]
        tests: list[Expression] = [Call(Function.IN, (member, *given))] if given else []
        if len(given) < len(constants):
            tests.append(Call(Function.ISNULL, (member,)))
        return _joined(Function.OR, tests) if tests else _NEVER

    def _listed(self, member: Member, item: Node) -> Constant:
        constant = operand(self._type, item)
        if not isinstance(constant, Constant):
            raise Fault("the list behind in holds literals only", item.position)
        if constant.value is not None:
            compare_constant(Function.IN, member, constant)
        return constant

    def _contained(self, node: Apply) -> Expression:
        """``"x" in data`` and ``"x" in data.payload``: whether there is such a
        member."""
        asked = presence(node)
        if asked is None:
            raise Fault(
                "behind in stands a list of literals, or text before it and an object"
                " behind",
                node.position,
            )
        if len(asked.path) > 1:
            holder = Member(
                field(
                    self._type,
                    Reference(asked.root, asked.path[:-1], True, node.position),
                )
            )
            if holder.field.type not in (FieldType.OBJECT, FieldType.ANY):
                raise Fault(f"in does not look into {named(holder)}", node.position)
        return self._present(node)

    def _text(self, node: Apply, target: Node) -> Expression:
        member, constant = (
            operand(self._type, target),
            operand(self._type, node.arguments[0]),
        )
        if not isinstance(member, Member) or not isinstance(constant, Constant):
            raise Fault(
                f"{node.function}() stands behind a member and takes a literal",
                node.position,
            )
        if member.field.type not in (FieldType.STRING, FieldType.ANY) or is_time(
            member
        ):
            raise Fault(
                f"{node.function}() searches text, not {named(member)}", node.position
            )
        if constant.type is not FieldType.STRING or constant.is_time:
            raise Fault(
                f"{node.function}() takes text, not {constant}", constant.position
            )
        return Call(TEXT_FUNCTIONS[node.function], (member, self._parameter(constant)))

    def _parameter(self, constant: Constant) -> Parameter:
        self.values.append(constant.value)
        return Parameter(self._offset + len(self.values) - 1, constant.type)


def _joined(function: Function, conditions: Sequence[Expression]) -> Expression:
    """The conditions under one AND or OR, those of the same kind taken in."""
    if len(conditions) == 1:
        return conditions[0]
    parts = [
        (
            part.arguments
            if isinstance(part, Call) and part.function is function
            else (part,)
        )
        for part in conditions
    ]
    return Call(function, tuple(argument for part in parts for argument in part))
