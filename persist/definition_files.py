"""Definition files: registered entity types from a folder, at start and whenever a file
changes.

A file that cannot be registered is reported; the last good version of its type stays.
"""

import asyncio
import logging
from contextlib import closing
from functools import partial
from pathlib import Path

from persist.domain.change import NOBODY
from persist.domain.errors import PersistError, Unavailable
from persist.domain.strict_json import parse
from persist.storage.catalog import Stale
from persist.storage.database import Database
from persist.storage.registration import Registration
from persist.storage.registration_plan import Action, Source
from persist.storage.writer import Isolation

logger = logging.getLogger(__name__)

SECONDS = 1.0
"""Between two looks at the folder."""

LARGEST = 1_048_576
ATTEMPTS = 20

State = tuple[int, int, int]


class DefinitionFiles:
    """The ``*.json`` files of a folder; ``faults`` tells what is wrong with which of
    them."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.faults: dict[str, str] = {}
        self._folder = folder
        self._database = database
        self._registration = Registration(database)
        self._seen: dict[Path, State] = {}

    async def watch(self) -> None:
        """Register what changes, until cancelled."""
        while True:
            await asyncio.sleep(SECONDS)
            try:
                await self.look()
            except Exception:
                logger.exception(
                    "the folder of definitions cannot be looked at; it is tried again"
                )

    async def look(self) -> None:
        """Register the files that are new or changed since the last look, and those
        that the database had no time for then."""
        states = await asyncio.to_thread(self._states)
        for gone in self.faults.keys() - {path.name for path in states}:
            del self.faults[gone]
        self._seen = {path: seen for path, seen in self._seen.items() if path in states}
        for path, state in states.items():
            if self._seen.get(path) != state and await self._register(path):
                self._seen[path] = state

    def _states(self) -> dict[Path, State]:
        found = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                stat = path.stat()
            except OSError:
                continue  # gone between the two looks
            found[path] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        return found

    async def _register(self, path: Path) -> bool:
        """Register a file or report it; False where it should be tried again."""
        try:
            definition = parse(await asyncio.to_thread(_content, path))
            name = (
                definition.get("name", path.stem)
                if isinstance(definition, dict)
                else path.stem
            )
            await self._apply(str(name), definition)
        except (PersistError, OSError) as error:
            places = "; ".join(
                f"{place} {detail}"
                for place, detail in getattr(error, "errors", ())[:5]
            )
            self.faults[path.name] = f"{error} {places}".strip()
            logger.error("%s is not registered: %s", path, self.faults[path.name])
            return not isinstance(error, Unavailable)
        self.faults.pop(path.name, None)
        return True

    async def _apply(self, name: str, definition: object) -> None:
        for _ in range(ATTEMPTS):
            try:
                with closing(
                    await self._registration.prepare(name, definition, Source.FILE)
                ) as prepared:
                    if prepared.plan.action is not Action.NOTHING:
                        operation = partial(prepared.run, origin=NOBODY)
                        await self._database.write(
                            operation, isolation=Isolation.EXCLUSIVE
                        )
                        await self._database.refresh()
                    return
            except Stale:
                continue
        raise Unavailable("others keep changing this entity type")


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(f"the file is larger than {LARGEST:,} bytes")
    return content
