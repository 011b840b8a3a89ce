"""CEL's checker: which types it knows members by, and what it says of an expression."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]

from persist.domain.field import FieldType, Path
from persist.domain.field_types import TEXT_TYPES
from persist.entity_types.cel.activation import Member
from persist.entity_types.cel.ast import CompileError, Node
from persist.entity_types.cel.numbers import without_presence, written
from persist.entity_types.cel.parser import CONFIG, compile_error
from persist.entity_types.cel.references import (
    Reference,
    Roots,
    is_identifier,
)

TYPES: Mapping[FieldType, object] = {
    FieldType.INTEGER: cel.Type.INT,
    FieldType.NUMBER: cel.Type.DOUBLE,
    FieldType.BOOLEAN: cel.Type.BOOL,
    **dict.fromkeys(TEXT_TYPES, cel.Type.STRING),
}
WRAPPERS: Mapping[FieldType, Any] = {
    FieldType.INTEGER: cel.Type("google.protobuf.Int64Value"),
    FieldType.NUMBER: cel.Type("google.protobuf.DoubleValue"),
    FieldType.BOOLEAN: cel.Type("google.protobuf.BoolValue"),
    **dict.fromkeys(TEXT_TYPES, cel.Type("google.protobuf.StringValue")),
}
"""CEL's types of a value that may be null."""


def variable_of(
    roots: Roots,
    root: str,
    path: Path,
) -> str | None:
    """Return the variable whose type the checker knows: a member always present."""
    field = roots.field(root, path)
    if field is None or len(path) != 1:
        return None
    if field.nullable or field.type not in TYPES or not is_identifier(path[0]):
        return None
    return f"{root}.{path[0]}"


def compiled(
    text: str,
    roots: Roots,
    members: list[Member],
) -> tuple[Any, str]:
    """Return the compiled expression and the name of its type.

    Raises ``CompileError``.
    """
    types = {
        member.variable: roots.type(member.root, member.path)
        for member in members
        if member.variable
    }
    variables = tuple(sorted(types.items()))
    environment = _environment(
        roots.names, roots.nullable, variables, may_be_null=False
    )
    try:
        expression = environment.compile(text)
        return expression, expression.return_type().name()
    except RuntimeError as error:
        raise compile_error(str(error), text) from None


def check_types(
    tree: Node,
    roots: Roots,
    named: list[Reference],
) -> str:
    """Return the name of the type of an expression's value.

    Raises ``CompileError`` if the types of the members leave nothing to compute.

    CEL's checker sees the members that may be null as wrappers, which it does not
    evaluate here: an expression is compiled a second time to run.
    """
    types: dict[str, FieldType] = {}
    for reference in named:
        kind = roots.type(reference.root, reference.path)
        if kind is None or kind not in WRAPPERS or reference.tested:
            continue
        if all(map(is_identifier, reference.path)):
            types[str(reference)] = kind
    variables = tuple(sorted(types.items()))
    environment = _environment(roots.names, roots.nullable, variables, may_be_null=True)
    text = written(without_presence(tree))
    try:
        name: str = environment.compile(text).return_type().name()
        return name
    except RuntimeError as error:
        raise CompileError(compile_error(str(error), text).detail) from None


@lru_cache(maxsize=256)
def _environment(
    roots: tuple[str, ...],
    nullable: frozenset[str],
    types: tuple[tuple[str, FieldType], ...],
    *,
    may_be_null: bool,
) -> Any:
    """Return CEL's environment with these roots and variables.

    What is not declared is a member of a root, whose type CEL checks at run time.
    """
    type_of = WRAPPERS if may_be_null else TYPES
    variables = {}
    for root in roots:
        # Nothing that is a map is compared with null.
        a_map = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
        variables[root] = cel.Type.DYN if root in nullable else a_map
    for name, field_type in types:
        variables[name] = type_of[field_type]
    return cel.NewEnv(config=CONFIG, variables=variables)
