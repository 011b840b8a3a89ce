"""Definition files: registered entity types from a folder, at start and whenever a file
changes.

A file that cannot be registered is reported, whatever its fault is. It neither stops
the start nor keeps its neighbours from being registered, and the last good version of
its type stays.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from persist.domain.change import SERVICE_ORIGIN
from persist.domain.errors import PersistError, Unavailable
from persist.domain.strict_json import parse
from persist.entity_types.definition import normal_form
from persist.entity_types.from_schema import (
    admit_definition,
    check_commands,
    from_schema,
)
from persist.storage.database import Database
from persist.storage.entity_types.catalog import Stale
from persist.storage.entity_types.registration import Registration, check_name
from persist.storage.entity_types.registration_plan import Action, Source
from persist.storage.writes.writer import Isolation

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
"""Seconds between two looks at the folder."""

MAX_FILE_BYTES = 1_048_576
"""Bytes that a definition file may have."""

ATTEMPTS = 20
"""How often a file is tried again because others changed its entity type meanwhile."""

REPORTED_FAULTS = 5
"""Faults of one file that its report names."""

State = tuple[int, int, int]
"""Modification time in nanoseconds, size in bytes, inode."""


@dataclass(frozen=True)
class DefinitionFile:
    """What a file holds: a definition and the ``name`` of its type, or a ``fault``."""

    path: Path
    state: State
    name: str = ""
    definition: Any = None
    fault: str = ""


@dataclass(frozen=True)
class Folder:
    """A look at a folder: its files, and the faults that no file can be registered
    for."""

    files: Mapping[Path, DefinitionFile] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def registrable(self) -> list[DefinitionFile]:
        """The files without a fault, in the order of their paths."""
        return [
            file for file in self.files.values() if file.path.name not in self.faults
        ]


def read_folder(
    folder: Path, known: Folder = Folder(), *, required: bool = False
) -> Folder:
    """Return the ``*.json`` files of a folder; those that did not change since
    ``known`` are not read again. A ``required`` folder that does not exist is a
    fault."""
    if not folder.is_dir():
        return Folder(faults={str(folder): _absence(folder)} if required else {})
    files: dict[Path, DefinitionFile] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            state = _state_of(path)
        except OSError:
            continue  # it was removed meanwhile
        file = known.files.get(path)
        if file is None or file.state != state:
            file = _read(path, state)
        files[path] = file
    faults = {file.path.name: file.fault for file in files.values() if file.fault}
    return Folder(files, faults | _shared_names(files.values()))


def _absence(folder: Path) -> str:
    what = "it is not a folder" if folder.exists() else "there is no such folder"
    return f"{what}; create it or correct PERSIST_SCHEMAS"


def check_folder(folder: Path, *, required: bool = False) -> dict[str, str]:
    """Return the faults of the files of a folder by file name, as far as they show
    without a database."""
    found = read_folder(folder, required=required)
    faults = dict(found.faults)
    for file in found.registrable:
        try:
            check_name(file.name)
            admitted = admit_definition(normal_form(file.definition))
            check_commands(admitted)
            from_schema(file.name, 1, admitted.definition, schemas=admitted.schemas)
        except Exception as error:  # noqa: BLE001 - any error is the result of a check
            faults[file.path.name] = _report(error)
    return faults


class DefinitionFiles:
    """The ``*.json`` files of a folder, registered.

    ``faults`` says what is wrong with which file. A ``required`` folder has to exist.
    """

    def __init__(
        self, folder: Path, database: Database, *, required: bool = False
    ) -> None:
        self.faults: dict[str, str] = {}
        self._path = folder
        self._required = required
        self._database = database
        self._registration = Registration(database)
        self._folder = Folder()
        self._results: dict[Path, tuple[DefinitionFile, str]] = {}

    async def watch(self) -> None:
        """Register what changes, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            try:
                await self.look()
            except Exception:
                logger.exception("%s cannot be read; it is tried again", self._path)

    async def look(self) -> None:
        """Register the files that are new or changed since the last look, and those
        that the database had no time for then."""
        self._folder = await asyncio.to_thread(
            read_folder, self._path, self._folder, required=self._required
        )
        self._show(self._folder.faults)
        files = self._folder.registrable
        paths = {file.path for file in files}
        self._results = {
            path: result for path, result in self._results.items() if path in paths
        }
        for file in files:
            if self._result_of(file) is None:
                await self._register(file)
        self._show(self._folder.faults)

    def _result_of(self, file: DefinitionFile) -> str | None:
        """Return the fault found when this state of a file was registered, ``""`` for
        none; None if it has to be registered."""
        known, fault = self._results.get(file.path, (None, ""))
        return fault if known == file else None

    def _show(self, of_folder: Mapping[str, str]) -> None:
        """Update ``faults``, and log new ones."""
        found = {
            file.path.name: fault for file, fault in self._results.values() if fault
        }
        current = {**found, **of_folder}
        for name, fault in current.items():
            if self.faults.get(name) != fault:
                logger.error("%s is not registered: %s", self._path / name, fault)
        for name in self.faults.keys() - current.keys():
            del self.faults[name]
        self.faults.update(current)

    async def _register(self, file: DefinitionFile) -> None:
        """Register a file and note what came of it."""
        fault = ""
        try:
            await self._apply(file)
        except Unavailable as error:
            # under another state, so that the next look tries it again
            file = DefinitionFile(file.path, (0, 0, 0))
            fault = _report(error)
        except PersistError as error:
            fault = _report(error)
        except Exception as error:
            logger.exception("%s cannot be registered", file.path)
            fault = _report(error)
        self._results[file.path] = (file, fault)

    async def _apply(self, file: DefinitionFile) -> None:
        for _ in range(ATTEMPTS):
            try:
                async with self._registration.staging() as staging:
                    prepared = await self._registration.prepare(
                        file.name, file.definition, Source.FILE, staging, SERVICE_ORIGIN
                    )
                    if prepared.plan.action is not Action.NOTHING:
                        await self._database.write(
                            prepared.run,
                            isolation=Isolation.EXCLUSIVE,
                            connection=staging.connection,
                        )
                        await self._database.refresh()
                    return
            except Stale:
                continue
        raise Unavailable("others keep changing this entity type")


def _state_of(path: Path) -> State:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _read(path: Path, state: State) -> DefinitionFile:
    try:
        definition = parse(_content(path), any_number=True)
    except Exception as error:  # noqa: BLE001 - any error is a fault of the file
        return DefinitionFile(path, state, fault=_report(error))
    name = path.stem
    if isinstance(definition, dict):
        name = str(definition.get("name", name))
    return DefinitionFile(path, state, name, definition)


def _content(path: Path) -> bytes:
    if not path.is_file():  # to open a pipe would wait for a writer
        raise OSError("it is not a file")
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise OSError(f"the file is larger than {MAX_FILE_BYTES:,} bytes")
    return content


def _shared_names(files: Iterable[DefinitionFile]) -> dict[str, str]:
    """Return the faults of files that are of one name: none of them is registered."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for file in files:
        if not file.fault:
            by_name[file.name].append(file.path.name)
    faults: dict[str, str] = {}
    for name, sharing in by_name.items():
        if len(sharing) == 1:
            continue
        for file_name in sharing:
            faults[file_name] = _shared_name(name, file_name, sharing)
    return faults


def _shared_name(name: str, file: str, sharing: list[str]) -> str:
    other_files = [each for each in sharing if each != file]
    others = " and ".join(other_files)
    return f"the name {name[:80]} is that of {others} too; none of them is registered"


def _report(error: Exception) -> str:
    """Return what is wrong with a file, in one line."""
    errors = getattr(error, "errors", ())
    is_readable = isinstance(error, PersistError | OSError)
    text = str(error) if is_readable else repr(error)
    locations = "; ".join(
        f"{location} {detail}"
        for location, detail in errors[:REPORTED_FAULTS]
        if location
    )
    if locations in text:
        return text
    return f"{text} {locations}"
