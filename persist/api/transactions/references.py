"""References: `{"$ref": "<as>.…"}` in an operation of a transaction stands for what an
earlier one gave."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from persist.domain.errors import InvalidData, TooLarge, Violation, pointer
from persist.domain.record import Data, Record, dumps

REFERENCE, VALUE = "$ref", "$value"
NAME = "[A-Za-z_][A-Za-z0-9_-]{0,62}"
TEXT = re.compile(rf"({NAME})\.(?:(id|revision|result)|data\.(.+))", re.DOTALL)

SIZE = 64_000_000
"""Characters that all records and results of a transaction, and what references stand
for, may have."""

Path = Sequence[str | int]
Look = Callable[[str, Path], Any]


def replaced(value: Any, look: Look, path: Path = ()) -> Any:
    """``value`` with what ``look`` gives for the text of each reference and its place;
    ``{"$value": x}`` is x as it stands."""
    if isinstance(value, list):
        return [
            replaced(member, look, (*path, index)) for index, member in enumerate(value)
        ]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and isinstance(text := value.get(REFERENCE), str):
        return look(text, path)
    if len(value) == 1 and VALUE in value:
        return value[VALUE]
    return {
        name: replaced(member, look, (*path, name)) for name, member in value.items()
    }


@dataclass(frozen=True)
class Done:
    """What an operation gave: the record after it, gone where it was deleted; the
    result of a command as JSON text."""

    status: int
    record: Record
    result: str | None = None

    @property
    def gone(self) -> bool:
        """Whether the record is not there any more."""
        return self.status == 204

    @cached_property
    def data(self) -> Data:
        """The data, one copy for all references."""
        return self.record.data


class Known:
    """What the operations before one gave, by name."""

    def __init__(self) -> None:
        self._done: dict[str, Done] = {}
        self._size = 0

    def add(self, name: str | None, done: Done) -> None:
        """Remember what an operation gave. Raises ``TooLarge``."""
        self._count(len(done.record.text) + len(done.result or ""))
        if name is not None:
            self._done[name] = done

    def look(self, text: str, path: Path) -> Any:
        """What a reference stands for. Raises ``InvalidData``, ``TooLarge``."""
        name, what, way = _parts(text, path)
        done = self._done[name]
        match what:
            case "id":
                return done.record.id
            case "revision":
                return done.record.revision
            case "result":
                found = json.loads(done.result or "null")
            case _:
                found = _member(done.data, way, text, path)
        self._count(len(dumps(found)))
        return found

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > SIZE:
            raise TooLarge(
                f"the records of a transaction may have {SIZE:,} characters; send it in"
                " parts"
            )


def check(text: str, path: Path, earlier: dict[str, str]) -> None:
    """Raise ``InvalidData`` unless a reference may be to one of the ``earlier``
    operations, whose kinds stand by their names."""
    name, what, _ = _parts(text, path)
    if name not in earlier:
        raise _unresolved(path, f"no earlier operation has the name {name} (as)")
    if what == "result" and earlier[name] != "command":
        raise _unresolved(path, f"{name} is no command and has no result")
    if what == "data" and earlier[name] == "delete":
        raise _unresolved(path, f"{name} deletes its record, which then has no data")


def _parts(text: str, path: Path) -> tuple[str, str, list[str]]:
    """The name, what of its operation is meant, and the way into its data."""
    found = TEXT.fullmatch(text)
    if found is None:
        raise _unresolved(
            path,
            f"{text[:80]!r} is none of <as>.id, .revision, .result and .data.<path>",
        )
    return found[1], found[2] or "data", found[3].split(".") if found[3] else []


def _member(data: Any, way: Sequence[str], text: str, path: Path) -> Any:
    for step in way:
        if isinstance(data, dict) and step in data:
            data = data[step]
        elif (
            isinstance(data, list)
            and re.fullmatch(r"\d{1,9}", step, re.ASCII)
            and int(step) < len(data)
        ):
            data = data[int(step)]
        else:
            raise _unresolved(
                path, f"{text[:80]} leads nowhere: there is no {step[:80]!r}"
            )
    return data


def _unresolved(path: Path, detail: str) -> InvalidData:
    return InvalidData(
        f"a reference cannot be followed: {detail}",
        errors=[Violation(pointer(path), detail)],
    )
