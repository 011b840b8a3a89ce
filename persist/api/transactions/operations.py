"""The operations of a transaction: their form, and what each does when its turn
comes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from persist.api.patches import JSON_PATCH, MERGE_PATCH, change_of
from persist.api.requests import entity_tags
from persist.api.selective_invoke import command_of
from persist.api.transactions.references import (
    NAME,
    REFERENCE,
    Done,
    Known,
    Path,
    check,
    replaced,
)
from persist.domain.collection import Collection
from persist.domain.entity_type import EntityType
from persist.domain.errors import (
    InvalidData,
    InvalidJson,
    InvalidPayload,
    MalformedRequest,
    PersistError,
    RecordNotFound,
    TooLarge,
    Violation,
)
from persist.domain.identifiers import is_canonical, new_id
from persist.domain.precondition import Precondition
from persist.domain.record import Data, dumps
from persist.domain.strict_json import check_depth
from persist.domain.workspace import DEFAULT
from persist.entity_types.json_schema import compile_schema

OPERATIONS = 1_000
"""Operations a transaction may have."""

Json = dict[str, Any]


# --- their form
# ----------------------------------------------------------------------------------

_TEXT: Json = {"type": "string"}
_OBJECT: Json = {"type": "object"}
_REFERENCE: Json = _OBJECT | {
    "minProperties": 1,
    # not as a property of its own: readers of the document would follow it
    "propertyNames": {"const": REFERENCE},
    "additionalProperties": _TEXT,
}
_ID: Json = {"anyOf": [_TEXT, _REFERENCE]}
_COMMON: Json = {
    "collection": _TEXT,
    "workspace": {"type": ["string", "null"], "minLength": 1},
    "if_match": {"anyOf": [{"type": "integer", "minimum": 1}, _TEXT]},
    "as": _TEXT | {"pattern": f"^{NAME}$"},
}


def _form(op: str, optional: Json | None = None, **own: Json) -> Json:
    required = ["op", "collection", *own]
    properties = {"op": {"const": op}, **own, **(optional or {}), **_COMMON}
    return _OBJECT | {
        "required": required,
        "additionalProperties": False,
        "properties": properties,
    }


FORMS: dict[str, Json] = {
    "create": _form("create", {"id": _ID}, data=_OBJECT),
    "replace": _form("replace", id=_ID, data=_OBJECT),
    "patch": _form("patch", id=_ID, patch={"type": ["object", "array"]}),
    "command": _form("command", {"payload": _OBJECT}, id=_ID, command=_TEXT),
    "delete": _form("delete", id=_ID),
}
"""The JSON Schema of each operation."""

CONTENT = {"create": "data", "replace": "data", "patch": "patch", "command": "payload"}
"""The member in which references may stand, and to which pointers are relative."""

_fits = {op: compile_schema(form, InvalidPayload) for op, form in FORMS.items()}
_fits_one = compile_schema(
    _OBJECT | {"required": ["op"], "properties": {"op": {"enum": list(FORMS)}}},
    InvalidPayload,
)
_fits_all = compile_schema(
    _OBJECT
    | {
        "required": ["operations"],
        "additionalProperties": False,
        "properties": {"operations": {"type": "array", "maxItems": OPERATIONS}},
    },
    InvalidPayload,
)


def operations_of(body: Json) -> list[Any]:
    """The operations a body lists, not yet looked at. Raises ``InvalidPayload``."""
    operations: list[Any] = _fits_all(body)["operations"]
    return operations


def check_forms(operations: list[Any]) -> None:
    """Raise ``InvalidPayload`` with everything that is wrong with the form of
    operations."""
    faults: list[Violation] = []
    names: set[str] = set()
    for index, operation in enumerate(operations):
        found = list(_faults(operation, names))
        faults += [
            Violation(f"/operations/{index}{place}", detail) for place, detail in found
        ]
        if found and len(faults) == len(found):
            first = index
    if faults:
        detail = f"operation {first} is not as it should be: {faults[0].detail}"
        raise InvalidPayload(detail, errors=faults[:OPERATIONS], operation=first)


def _faults(operation: Any, names: set[str]) -> Iterator[Violation]:
    try:
        _fits[_fits_one(operation)["op"]](operation)
        _tags(operation.get("if_match"))
    except PersistError as error:
        yield from error.errors
        return
    if (name := operation.get("as")) in names:
        yield Violation("/as", f"an earlier operation has the name {name}")
    names.add(name or "")


def _tags(given: int | str | None) -> tuple[str, ...]:
    """What ``if_match`` names: a revision, or the text of the header."""
    if given is None:
        return ()
    try:
        text = str(given)
        return entity_tags("if_match", f'"{text}"' if text.isdigit() else text)
    except MalformedRequest as error:
        raise InvalidPayload(
            error.detail, errors=[Violation("/if_match", error.detail)]
        ) from None


@contextmanager
def of_operation(index: int) -> Iterator[None]:
    """Have a refusal tell which operation it is about."""
    try:
        yield
    except PersistError as error:
        error.members["operation"] = index
        raise


# --- what they do
# --------------------------------------------------------------------------------

Content = Callable[[Known], Any]
"""What an operation stores, as soon as the operations before it are done."""

Act = Callable[[Collection, str, Any, Precondition], Done]


@dataclass(frozen=True)
class Step:
    """An operation that is ready to be run, in its order."""

    type: EntityType
    workspace: str
    name: str | None
    id: Content
    content: Content
    precondition: Precondition
    act: Act
    key: str | None

    @property
    def frees(self) -> bool:
        """Whether it may give up a unique value: it counts then who comes before and
        who after."""
        return bool(self.type.unique) and self.act is not _create

    def run(self, collection: Collection, known: Known) -> Done:
        """Run it. Raises what the domain raises."""
        done = self.act(
            collection, self.id(known), self.content(known), self.precondition
        )
        known.add(self.name, done)
        return done


class Preparation:
    """Makes the steps of a transaction: what depends on no earlier operation is checked
    here."""

    def __init__(self, limit: int, *, require_if_match: bool) -> None:
        self._limit = limit
        self._require = require_if_match
        self._earlier: dict[str, str] = {}

    def step(self, type: EntityType, operation: Json) -> Step:
        """The step of an operation whose form is right. Raises what is wrong with its
        content."""
        op, name = operation["op"], operation.get("as")
        compiled = self._compiler(type, operation)
        member = CONTENT.get(op)
        id = self._content(
            operation.get("id"), _check_id if op == "create" else _find_id
        )
        content = self._content(operation.get(member, {}) if member else None, compiled)
        precondition = Precondition(_tags(operation.get("if_match")), (), self._require)
        if name is not None:
            self._earlier[name] = op
        key = operation.get("id") if isinstance(operation.get("id"), str) else None
        workspace = operation.get("workspace") or DEFAULT
        return Step(type, workspace, name, id, content, precondition, ACTS[op], key)

    def _content(self, written: Any, compiled: Callable[[Any], Any]) -> Content:
        """A value that is known already, or that has to wait for what it refers to."""
        waits = False

        def look(text: str, path: Path) -> None:
            nonlocal waits
            waits = True
            check(text, path, self._earlier)

        value = replaced(written, look)
        if waits:
            return lambda known: compiled(self._within(replaced(written, known.look)))
        made = compiled(value)
        return lambda known: made

    def _within(self, value: Any) -> Any:
        """The limits that a body has, for a value that was put together."""
        try:
            check_depth(value)
        except InvalidJson as error:
            raise InvalidData(error.detail) from None
        if len(dumps(value).encode()) > self._limit:
            raise TooLarge(f"what an operation stores may have {self._limit:,} bytes")
        return value

    def _compiler(self, type: EntityType, operation: Json) -> Callable[[Any], Any]:
        """What makes an operation's content of what was written, and refuses what does
        not fit."""
        match operation["op"]:
            case "create" | "replace":
                return lambda data: type.validate(_object(data))
            case "patch":
                return lambda patch: change_of(
                    patch,
                    JSON_PATCH if isinstance(patch, list) else MERGE_PATCH,
                    self._limit,
                )
            case "command":
                command = command_of(type, operation["command"])
                return lambda payload: (
                    command,
                    command.parse(_object(payload, InvalidPayload)),
                )
        return lambda nothing: nothing


def _object(
    value: Any, error: type[InvalidData | InvalidPayload] = InvalidData
) -> Data:
    if not isinstance(value, dict):
        raise error("this must be a JSON object")
    return value


def _check_id(id: Any) -> Any:
    if id is not None and not (isinstance(id, str) and is_canonical(id)):
        raise InvalidData("an id is a canonical lower-case UUID")
    return id


def _find_id(id: Any) -> str:
    if not isinstance(id, str) or not is_canonical(id):
        raise RecordNotFound(
            f"{dumps(id)[:80]} is no id: ids are canonical lower-case UUIDs"
        )
    return id


def _create(
    collection: Collection, id: str | None, data: Data, precondition: Precondition
) -> Done:
    precondition.check(None)
    if id is None:
        return Done(201, collection.create(data, new_id()))
    return Done(201, collection.create_with_id(data, id))


def _replace(
    collection: Collection, id: str, data: Data, precondition: Precondition
) -> Done:
    record, created = collection.replace(id, data, precondition)
    return Done(201 if created else 200, record)


def _patch(
    collection: Collection, id: str, change: Any, precondition: Precondition
) -> Done:
    return Done(200, collection.patch(id, change, precondition))


def _command(
    collection: Collection, id: str, content: Any, precondition: Precondition
) -> Done:
    command, payload = content
    result, record = collection.run(id, command, payload, precondition)
    return Done(200, record, dumps(result))


def _delete(
    collection: Collection, id: str, _: None, precondition: Precondition
) -> Done:
    return Done(204, collection.delete(id, precondition))


ACTS: Mapping[str, Act] = {
    "create": _create,
    "replace": _replace,
    "patch": _patch,
    "command": _command,
    "delete": _delete,
}
