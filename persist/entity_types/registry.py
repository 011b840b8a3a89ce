"""The registry of a deployment's entity classes: the module of ``PERSIST_MODELS``."""

import importlib
import logging
import traceback
from pathlib import Path
from types import ModuleType

from persist.domain.entity_type import EntityType
from persist.entity_types.class_check import InvalidEntityClass, location
from persist.entity_types.declaration import is_entity
from persist.entity_types.from_model import from_model

logger = logging.getLogger(__name__)

ENGINE = Path(__file__).parents[1]
REASON_LENGTH = 400
"""Characters of an exception's text in a message; pydantic's may fill a page."""

LIBRARIES = ("site-packages", "dist-packages")


class InvalidModels(ValueError):
    """The module of ``PERSIST_MODELS`` cannot be served; the message says why."""


def load_models(module_name: str) -> list[EntityType]:
    """Return the entity types of a module: every class under ``@entity`` in its
    namespace.

    Raises ``InvalidModels`` with a line that says what to do. The traceback of what a
    module raised is logged at the level ``debug``.
    """
    module = _imported(module_name)
    found = dict.fromkeys(filter(is_entity, vars(module).values()))
    if not found:
        raise InvalidModels(
            f"the module {module_name!r} contains no class under @entity; import the"
            " classes there"
        )
    try:
        types = [from_model(model) for model in found]
    except InvalidEntityClass as error:
        raise InvalidModels(str(error)) from error
    _check_names(types)
    return types


def _check_names(types: list[EntityType]) -> None:
    by_name: dict[str, EntityType] = {}
    for each in types:
        first = by_name.setdefault(each.name, each)
        if first is not each:
            raise InvalidModels(
                f"{location(first)} and {location(each)} are both the collection"
                f" {each.name!r}; give one of them another name"
            )


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        logger.debug("the module %s cannot be imported", name, exc_info=error)
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise InvalidModels(
                f"the module {name!r} cannot be imported: {error}"
            ) from error
        raise InvalidModels(_in_one_line(name, error)) from error
    except (Exception, SystemExit) as error:
        logger.debug("the module %s cannot be imported", name, exc_info=error)
        raise InvalidModels(_in_one_line(name, error)) from error


def _in_one_line(name: str, error: BaseException) -> str:
    """Return the file, line and reason of an exception that a module raised."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}; correct the syntax"
    reason = " ".join(str(error).split())[:REASON_LENGTH]
    described = f"{type(error).__name__}: {reason}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if _is_deployment(frame.filename)
    ]
    if not frames:
        return f"the module {name!r} cannot be imported: {described}"
    return f"{frames[-1].filename}, line {frames[-1].lineno}: {described}"


def _is_deployment(file: str) -> bool:
    """Return whether a file is the user's own: of no library, and not of the engine."""
    path = Path(file)
    if file.startswith("<") or any(part in LIBRARIES for part in path.parts):
        return False
    return not path.is_relative_to(ENGINE) and "importlib" not in path.parts
