"""Deployment: the typed entities that ``PERSIST_MODELS`` names."""

import importlib
import sys
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from persist.domain.entity_type import EntityType
from persist.entity_types.registry import InvalidModels, load_models
from persist.settings import DEFAULT_MODELS, Settings

NO_MODELS = "there is no app/models in this folder: only registered types are served"

DRIVERS = ("psycopg",)
"""Modules that the engine imports late, and that look for optional modules then."""


def entity_types(settings: Settings) -> list[EntityType]:
    """Return the entity types of the module of models.

    ``PERSIST_MODELS`` has a default, ``app.models`` in the current folder. Where that
    does not exist, there are no typed entities: the list is empty.

    Call this after the engine is imported, because modules of the current folder can
    be imported from then on. Raise ``InvalidModels``.
    """
    _import_drivers()
    if (folder := str(Path.cwd())) not in sys.path:
        # At the end, so that no file here replaces a module that the engine imports.
        sys.path.append(folder)
    if "models" in settings.model_fields_set:
        return load_models(settings.models)
    if not _has_default_models():
        return []
    _check_default_package()
    return load_models(DEFAULT_MODELS)


def forget_current_folder() -> None:
    """Remove the current folder from the import path.

    A process that is started inherits the path, and must import the engine first.
    """
    with suppress(ValueError):
        sys.path.remove(str(Path.cwd()))


def _import_drivers() -> None:
    for name in DRIVERS:
        with suppress(ImportError):
            importlib.import_module(name)


def _package_folders() -> list[str]:
    """Return where the package of the default models is, or would be."""
    name = DEFAULT_MODELS.partition(".")[0]
    imported = sys.modules.get(name)
    if imported is None:
        return [str(Path.cwd() / name)]
    return list(imported.__path__)


def _has_default_models() -> bool:
    module = DEFAULT_MODELS.partition(".")[2]
    return PathFinder.find_spec(module, _package_folders()) is not None


def _check_default_package() -> None:
    """Raise ``InvalidModels`` where another package of the same name is found first."""
    name = DEFAULT_MODELS.partition(".")[0]
    if name in sys.modules:
        return
    spec = find_spec(name)
    found = [] if spec is None else list(spec.submodule_search_locations or [])
    if not set(found) & set(_package_folders()):
        raise InvalidModels(
            f"Python finds another package called {name!r} first ({', '.join(found)});"
            " rename the one in this folder and set PERSIST_MODELS"
        )
