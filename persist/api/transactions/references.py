"""References: ``{"$ref": "<as>.…"}`` in an operation of a transaction stands for what
an earlier operation gave."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from persist.domain.errors import InvalidData, TooLarge, Violation, pointer
from persist.domain.record import Data, Record, dumps

REFERENCE = "$ref"
VALUE = "$value"
NAME = "[A-Za-z_][A-Za-z0-9_-]{0,62}"
TEXT = re.compile(rf"({NAME})\.(?:(id|revision|result)|data\.(.+))", re.DOTALL)

MAX_CHARACTERS = 64_000_000
"""Characters that all records and results of a transaction, and the values of its
references, may have."""

Path = Sequence[str | int]
Lookup = Callable[["Reference"], Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an operation gave: the record after it, and the result of a command as JSON
    text."""

    status: int
    record: Record
    result: str | None = None

    @property
    def deleted(self) -> bool:
        """Whether the record does not exist any more."""
        return self.status == 204


@dataclass(frozen=True)
class Reference:
    """One reference: the name of an operation, and which member of its outcome.

    ``path`` leads to the reference in the operation that has it, ``steps`` to the value
    in the data it means.
    """

    text: str
    path: Path

    @cached_property
    def _parts(self) -> tuple[str, str, list[str]]:
        found = TEXT.fullmatch(self.text)
        if found is None:
            raise self.unresolved(
                f"{self.text[:80]!r} is none of <as>.id, .revision, .result and"
                " .data.<path>"
            )
        steps = found[3].split(".") if found[3] else []
        return found[1], found[2] or "data", steps

    @property
    def name(self) -> str:
        """The name of the operation. Raises ``InvalidData``."""
        return self._parts[0]

    @property
    def member(self) -> str:
        """``id``, ``revision``, ``result`` or ``data``. Raises ``InvalidData``."""
        return self._parts[1]

    def check(self, earlier: dict[str, str]) -> None:
        """Raise ``InvalidData`` unless one of the ``earlier`` operations, given as
        their kinds by name, can have such a member."""
        name = self.name
        member = self.member
        if name not in earlier:
            raise self.unresolved(f"no earlier operation has the name {name} (as)")
        if member == "result" and earlier[name] != "command":
            raise self.unresolved(f"{name} is not a command, so it has no result")
        if member == "data" and earlier[name] == "delete":
            raise self.unresolved(f"{name} deletes its record, which has no data then")

    def value_in(self, outcome: Outcome, data: Data) -> object:
        """Return the value it means in an outcome. Raises ``InvalidData``."""
        match self.member:
            case "id":
                return outcome.record.id
            case "revision":
                return outcome.record.revision
            case "result":
                return json.loads(outcome.result or "null")
        value: Any = data
        for step in self._parts[2]:
            value = self._below(value, step)
        return value

    def _below(self, value: object, step: str) -> Any:
        if isinstance(value, dict) and step in value:
            return value[step]
        if isinstance(value, list) and re.fullmatch(r"\d{1,9}", step, re.ASCII):
            index = int(step)
            if index < len(value):
                return value[index]
        raise self.unresolved(
            f"{self.text[:80]} leads nowhere: there is no {step[:80]!r}"
        )

    def unresolved(self, detail: str) -> InvalidData:
        """Return the refusal of this reference."""
        return InvalidData(
            f"a reference cannot be followed: {detail}",
            errors=[Violation(pointer(self.path), detail)],
        )


def substitute(value: object, lookup: Lookup, path: Path = ()) -> object:
    """Return ``value`` with what ``lookup`` returns in place of each reference;
    ``{"$value": x}`` is x, unchanged."""
    if isinstance(value, list):
        return [
            substitute(member, lookup, (*path, index))
            for index, member in enumerate(value)
        ]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and isinstance(text := value.get(REFERENCE), str):
        return lookup(Reference(text, path))
    if len(value) == 1 and VALUE in value:
        return value[VALUE]
    return {
        name: substitute(member, lookup, (*path, name))
        for name, member in value.items()
    }


class Outcomes:
    """What the operations of a transaction gave so far, by name."""

    def __init__(self) -> None:
        self._named: dict[str, Outcome] = {}
        self._data: dict[str, Data] = {}
        self._characters = 0

    def add(self, name: str | None, outcome: Outcome) -> None:
        """Add what an operation gave. Raises ``TooLarge``."""
        self._count(len(outcome.record.text) + len(outcome.result or ""))
        if name is not None:
            self._named[name] = outcome

    def resolve(self, reference: Reference) -> Any:
        """Return the value of a reference. Raises ``InvalidData``, ``TooLarge``."""
        outcome = self._named[reference.name]
        value = reference.value_in(outcome, self._data_of(reference))
        self._count(len(dumps(value)))
        return value

    def _data_of(self, reference: Reference) -> Data:
        """Return the data that a reference leads into, parsed once for all."""
        name = reference.name
        if reference.member != "data":
            return {}
        if name not in self._data:
            self._data[name] = self._named[name].record.data
        return self._data[name]

    def _count(self, characters: int) -> None:
        self._characters += characters
        if self._characters > MAX_CHARACTERS:
            raise TooLarge(
                f"the records of a transaction may have {MAX_CHARACTERS:,} characters;"
                " send it in parts"
            )
