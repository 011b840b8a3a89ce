"""Checks of commands, and how they are found on a class."""

import inspect
import re
from collections.abc import Callable
from typing import Any, Self, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from persist.domain.identifiers import COMMAND_NAME
from persist.entity_types.declaration import Guard
from persist.entity_types.model_check import (
    check_arguments,
    check_parameter_type,
    check_result_type,
    field_arguments,
)
from persist.entity_types.supported_features import Refusal
from persist.entity_types.type_check import Refused

Method = Callable[..., Any]

COMMAND_FEATURES: dict[str, Refusal] = {
    "async def": Refusal(
        "a command runs inside the transaction of a write, without an event loop",
        "write def, and keep calls over the network outside commands",
    ),
    "yield": Refusal("a generator has no result", "return the result"),
    "staticmethod": Refusal(
        "a command changes a record", "write an ordinary method with self"
    ),
    "set": Refusal("every collection has a command set already", "write another name"),
    "when=5": Refusal(
        "its guard is not a function of a record that returns True or False",
        "write when=lambda record: ...",
    ),
    "otherwise=5": Refusal(
        "the reason that clients read is not text", 'write otherwise="..."'
    ),
    "*args": Refusal(
        "the members of a payload have names", "write each parameter by its name"
    ),
    "positional-only": Refusal(
        "the members of a payload have names", "take the / out of the parameters"
    ),
}
"""Features of commands that are refused, with the reason."""


def command_methods(model: type[BaseModel]) -> list[tuple[str, Method]]:
    """Return the methods under ``@command``, inherited ones too, with their names."""
    found = ((name, _attribute(model, name)) for name in sorted(dir(model)))
    return [
        (name, attribute)
        for name, attribute in found
        if hasattr(attribute, "__persist_command__")
        or hasattr(_function(attribute), "__persist_command__")
    ]


def _attribute(model: type, name: str) -> Any:
    return inspect.getattr_static(model, name, None)


def _function(attribute: object) -> Any:
    """Return the function below ``staticmethod``, ``property`` and their kin."""
    for inner in ("__func__", "fget", "func"):
        attribute = getattr(attribute, inner, attribute)
    return attribute


def parameters_of(method: Method) -> list[inspect.Parameter]:
    """Return the parameters of a command but ``self``.

    Raises ``NameError`` for an annotation that cannot be evaluated.
    """
    return list(inspect.signature(method, eval_str=True).parameters.values())[1:]


def check_command(name: str, attribute: Any, model: type[BaseModel]) -> None:
    """Raise ``Refused`` for a command whose signature cannot be called."""
    try:
        feature = _feature(name, attribute)
        if feature is not None:
            raise Refused("", COMMAND_FEATURES[feature])
        if not COMMAND_NAME.fullmatch(name):
            raise Refused("", _misnamed(name))
        for parameter in parameters_of(attribute):
            _check_parameter(parameter)
        _check_result(attribute, model)
    except NameError as error:
        refusal = Refusal(str(error), "import the type in the module of the class")
        raise Refused(f"command {name}", refusal) from None
    except Refused as found:
        member = f" {found.member}" if found.member else ""
        raise Refused(f"command {name}{member}", found.refusal) from None


def _feature(name: str, attribute: object) -> str | None:
    """Return the refused feature of a command, or None."""
    function = _function(attribute)
    found = {
        "set": name == "set",
        "staticmethod": function is not attribute,
        "async def": inspect.iscoroutinefunction(function)
        or inspect.isasyncgenfunction(function),
        "yield": inspect.isgeneratorfunction(function),
    }
    kinds = [each.kind for each in inspect.signature(function).parameters.values()]
    found["staticmethod"] |= not kinds
    guard: Guard = getattr(function, "__persist_command__", Guard(None, ""))
    found["when=5"] = guard.when is not None and not _is_guard(guard.when)
    found["otherwise=5"] = not isinstance(guard.otherwise, str | None)
    found["*args"] = any(kind in _VARIADIC for kind in kinds)
    found["positional-only"] = inspect.Parameter.POSITIONAL_ONLY in kinds[1:]
    return next((feature for feature, is_used in found.items() if is_used), None)


def _is_guard(when: object) -> bool:
    """Return whether an object can be called with a record and returns at once."""
    returns_later = (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    )
    if not callable(when) or any(is_later(when) for is_later in returns_later):
        return False
    try:
        inspect.signature(when).bind(None)
    except TypeError:
        return False
    return True


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _misnamed(name: str) -> Refusal:
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()
    near = re.sub(r"[^a-z0-9_]+|__+", "_", words).strip("_0123456789")[:63]
    return Refusal(
        f"its name does not match {COMMAND_NAME.pattern}", f"write {near or 'pay'}"
    )


def _check_parameter(parameter: inspect.Parameter) -> None:
    try:
        for info in (parameter.default, *get_args(parameter.annotation)):
            if isinstance(info, FieldInfo):
                _check_field(info)
        if parameter.annotation is not parameter.empty:
            check_parameter_type(parameter.annotation)
    except Refused as found:
        raise Refused(f"parameter {parameter.name}", found.refusal) from None


def _check_field(info: FieldInfo) -> None:
    check_arguments(info)
    for argument in ("alias", "index", "unique"):
        if field_arguments(info).get(argument):
            raise Refused(
                "",
                Refusal(
                    f"{argument}= is refused: a parameter is not a field of the record",
                    "take it out; the member has the name of the parameter",
                ),
            )


def _check_result(method: Method, model: type[BaseModel]) -> None:
    result = inspect.signature(method, eval_str=True).return_annotation
    if result in (inspect.Signature.empty, Self, model):
        return
    try:
        check_result_type(result)
    except Refused as found:
        raise Refused("result", found.refusal) from None
