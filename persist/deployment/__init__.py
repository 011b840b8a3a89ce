"""Deployment: what the current folder has for the engine. Here its typed entities, in
``definition_files`` its registered types."""

import importlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from persist.domain.entity_type import EntityType
from persist.entity_types.registry import load_models
from persist.settings import DEFAULT_MODELS, Settings

NO_MODELS = "there is no app/models in this folder: only registered types are served"

PACKAGES = ("app", "migrations")
"""The packages of a deployment. Those of the current folder come before any other."""

DRIVERS = ("psycopg",)
"""Modules that the engine imports late, and that look for optional modules then."""


def entity_types(settings: Settings) -> list[EntityType]:
    """Return the entity types of the module of models.

    ``PERSIST_MODELS`` has a default, ``app.models`` in the current folder. If that
    does not exist, there are no typed entities: the list is empty.

    Call this after the engine is imported, because modules of the current folder can
    be imported from then on. Raise ``InvalidModels``.
    """
    _allow_imports_from_current_folder()
    if "models" in settings.model_fields_set:
        return load_models(settings.models)
    return load_models(DEFAULT_MODELS) if _has_default_models() else []


class _DeploymentFinder:
    """Finds the packages of the deployment in the current folder."""

    @staticmethod
    def find_spec(
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG004 - the protocol of finders
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if name not in PACKAGES:
            return None
        return PathFinder.find_spec(name, [str(Path.cwd())], target)


def _allow_imports_from_current_folder() -> None:
    for name in DRIVERS:
        with suppress(ImportError):
            importlib.import_module(name)
    if _DeploymentFinder not in sys.meta_path:
        sys.meta_path.insert(0, _DeploymentFinder)
    if (folder := str(Path.cwd())) not in sys.path:
        # At the end, so that no file here replaces a module that a library imports.
        sys.path.append(folder)


def _has_default_models() -> bool:
    package, _, module = DEFAULT_MODELS.partition(".")
    imported = sys.modules.get(package)
    if imported is not None:
        folders = list(imported.__path__)
    else:
        folders = [str(Path.cwd() / package)]
    return PathFinder.find_spec(module, folders) is not None
