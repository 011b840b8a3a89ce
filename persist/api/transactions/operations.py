"""The operations of a transaction: their form, and how each is run."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from persist.api.headers import entity_tags
from persist.api.patches import (
    JSON_PATCH,
    MERGE_PATCH,
    change_of,
    write_decimals_of,
)
from persist.api.selective_invoke import command_of
from persist.api.transactions.references import (
    NAME,
    REFERENCE,
    Outcome,
    Outcomes,
    Reference,
    substitute,
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
from persist.domain.record import Data, Json, dumps
from persist.domain.strict_json import check_depth
from persist.domain.workspace import DEFAULT
from persist.entity_types.json_schema.compiled_schema import compile_schema

MAX_OPERATIONS = 1_000
"""Operations that a transaction may have."""


# the form of operations

_TEXT: Json = {"type": "string"}
_OBJECT: Json = {"type": "object"}
_REFERENCE: Json = _OBJECT | {
    "minProperties": 1,
    # not as a property named $ref: readers of the document would follow it
    "propertyNames": {"const": REFERENCE},
    "additionalProperties": _TEXT,
}
_ID: Json = {"anyOf": [_TEXT, _REFERENCE]}
_COMMON: Json = {
    "collection": _TEXT,
    "workspace": {"type": ["string", "null"], "minLength": 1},
    "if_match": {"anyOf": [{"type": "integer", "minimum": 1}, _TEXT, _REFERENCE]},
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
"""The member that pointers are relative to, by ``op``."""

_check_operation = {
    op: compile_schema(form, InvalidPayload) for op, form in FORMS.items()
}
_check_op = compile_schema(
    _OBJECT | {"required": ["op"], "properties": {"op": {"enum": list(FORMS)}}},
    InvalidPayload,
)
_check_all = compile_schema(
    _OBJECT
    | {
        "required": ["operations"],
        "additionalProperties": False,
        "properties": {"operations": {"type": "array", "maxItems": MAX_OPERATIONS}},
    },
    InvalidPayload,
)


def operations_of(body: Json) -> list[Any]:
    """Return the operations in a body, not yet checked. Raises ``InvalidPayload``."""
    operations: list[Any] = _check_all(body)["operations"]
    return operations


def with_decimals(body: object, type_of: Callable[[Json], EntityType]) -> object:
    """Return a body in which the decimals of all operations are text.

    ``type_of`` returns the type of an operation's collection, or raises
    ``PersistError``. What is wrong with an operation is found when its form is checked.
    """
    operations = body.get("operations") if isinstance(body, dict) else None
    for operation in operations if isinstance(operations, list) else ():
        with suppress(PersistError, AttributeError, KeyError, TypeError):
            _write_decimals(operation, type_of(operation))
    return body


def _write_decimals(operation: Json, entity_type: EntityType) -> None:
    member = CONTENT[operation["op"]]
    content = operation[member]
    write = entity_type.write_decimals
    if member == "patch":
        is_list = isinstance(content, list)
        write = write_decimals_of(entity_type, JSON_PATCH if is_list else MERGE_PATCH)
    elif member == "payload":
        write = command_of(entity_type, operation["command"]).write_decimals
    if write is not None:
        operation[member] = write((), content)


def check_forms(operations: list[Any]) -> None:
    """Raise ``InvalidPayload`` with everything that is wrong with the form of
    operations."""
    faults: list[Violation] = []
    names: set[str] = set()
    first = None
    for index, operation in enumerate(operations):
        found = list(_faults(operation, names))
        faults += [
            Violation(f"/operations/{index}{pointer}", detail)
            for pointer, detail in found
        ]
        if found and first is None:
            first = index
    if faults:
        raise InvalidPayload(
            f"operation {first} does not have the form of an operation:"
            f" {faults[0].detail}",
            errors=faults[:MAX_OPERATIONS],
            operation=first,
        )


def _faults(operation: Any, names: set[str]) -> Iterator[Violation]:
    try:
        _check_operation[_check_op(operation)["op"]](operation)
        if not isinstance(operation.get("if_match"), dict):
            entity_tags_of(operation.get("if_match"))
    except PersistError as error:
        yield from error.errors
        return
    name = operation.get("as")
    if name is None:
        return
    if name in names:
        yield Violation("/as", f"an earlier operation has the name {name}")
    names.add(name)


def entity_tags_of(given: int | str | None) -> tuple[str, ...]:
    """Return the entity tags of ``if_match``, which is a revision or the text of the
    header. Raises ``InvalidPayload``."""
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
def naming_operation(index: int) -> Iterator[None]:
    """Add the index of an operation to a refusal raised inside."""
    try:
        yield
    except PersistError as error:
        error.members["operation"] = index
        raise


# what operations do

Resolved = Callable[[Outcomes], Any]
"""A value of an operation, as soon as the operations before it are done."""

Run = Callable[[Collection, str, Any, Precondition], Outcome]


@dataclass(frozen=True)
class Step:
    """An operation that is checked and can be run when its turn comes."""

    type: EntityType
    workspace: str
    name: str | None
    id: Resolved
    content: Resolved
    if_match: Resolved
    required: bool
    do: Run
    key: str | None

    def run(self, collection: Collection, outcomes: Outcomes) -> Outcome:
        """Run it. Raises what the domain raises."""
        precondition = Precondition(self.if_match(outcomes), (), self.required)
        record_id = self.id(outcomes)
        content = self.content(outcomes)
        outcome = self.do(collection, record_id, content, precondition)
        outcomes.add(self.name, outcome)
        return outcome


class Preparation:
    """Makes the steps of a transaction. What depends on no earlier operation is checked
    here."""

    def __init__(self, max_bytes: int, *, require_if_match: bool) -> None:
        self._max_bytes = max_bytes
        self._required = require_if_match
        self._earlier: dict[str, str] = {}

    def step(self, entity_type: EntityType, operation: Json) -> Step:
        """Return the step of an operation whose form is right. Raises what is wrong
        with its content."""
        op = operation["op"]
        name = operation.get("as")
        member = CONTENT.get(op)
        written_id = operation.get("id")
        written = operation.get(member, {}) if member else None
        step = Step(
            entity_type,
            operation.get("workspace") or DEFAULT,
            name,
            self._resolved(written_id, _new_id if op == "create" else _existing_id),
            self._resolved(written, self._parser(entity_type, operation)),
            self._resolved(operation.get("if_match"), entity_tags_of),
            self._required,
            RUNS[op],
            written_id if isinstance(written_id, str) else None,
        )
        if name is not None:
            self._earlier[name] = op
        return step

    def _resolved(self, written: object, parse: Callable[[Any], Any]) -> Resolved:
        """Return a function that returns the parsed value. Without references it is
        parsed now."""
        references: list[Reference] = []
        value = substitute(written, references.append)
        for reference in references:
            reference.check(self._earlier)
        if references:
            return lambda outcomes: parse(
                self._limited(substitute(written, outcomes.resolve))
            )
        # Outside the transaction, as everything that does not depend on an earlier
        # operation.
        parsed = parse(value)
        return lambda _: parsed

    def _limited(self, value: object) -> object:
        """Return a value with references resolved, which has the limits of a body.
        Raises ``InvalidData``, ``TooLarge``."""
        try:
            check_depth(value)
        except InvalidJson as error:
            raise InvalidData(error.detail) from None
        # A reference may stand a thousand times for something large.
        if len(dumps(value).encode()) > self._max_bytes:
            raise TooLarge(
                f"what an operation stores may have {self._max_bytes:,} bytes"
            )
        return value

    def _parser(self, entity_type: EntityType, operation: Json) -> Callable[[Any], Any]:
        """Return the function that parses and checks the content of an operation."""
        match operation["op"]:
            case "create" | "replace":
                return lambda data: entity_type.validate(_object(data))
            case "patch":
                return lambda patch: change_of(
                    patch,
                    JSON_PATCH if isinstance(patch, list) else MERGE_PATCH,
                    self._max_bytes,
                )
            case "command":
                command = command_of(entity_type, operation["command"])
                return lambda payload: (
                    command,
                    command.parse(_object(payload, InvalidPayload)),
                )
        return lambda content: content


def _object(
    value: object, error: type[InvalidData | InvalidPayload] = InvalidData
) -> Data:
    if not isinstance(value, dict):
        raise error("this must be a JSON object")
    return value


def _new_id(record_id: object) -> object:
    if record_id is not None and not (
        isinstance(record_id, str) and is_canonical(record_id)
    ):
        raise InvalidData("an id is a canonical lower-case UUID")
    return record_id


def _existing_id(record_id: object) -> str:
    if not isinstance(record_id, str) or not is_canonical(record_id):
        raise RecordNotFound(
            f"{dumps(record_id)[:80]} is not an id: ids are canonical lower-case UUIDs"
        )
    return record_id


def _create(
    collection: Collection,
    record_id: str | None,
    data: Data,
    precondition: Precondition,
) -> Outcome:
    precondition.check(None)
    if record_id is None:
        return Outcome(201, collection.create(data, new_id()))
    return Outcome(201, collection.create_with_id(data, record_id))


def _replace(
    collection: Collection, record_id: str, data: Data, precondition: Precondition
) -> Outcome:
    written = collection.replace(record_id, data, precondition)
    return Outcome(201 if written.created else 200, written.record)


def _patch(
    collection: Collection, record_id: str, change: Any, precondition: Precondition
) -> Outcome:
    written = collection.patch(record_id, change, precondition)
    return Outcome(200, written.record)


def _command(
    collection: Collection, record_id: str, content: Any, precondition: Precondition
) -> Outcome:
    command, payload = content
    result, record = collection.run(record_id, command, payload, precondition)
    return Outcome(200, record, dumps(result))


def _delete(
    collection: Collection, record_id: str, _: None, precondition: Precondition
) -> Outcome:
    return Outcome(204, collection.delete(record_id, precondition))


RUNS: Mapping[str, Run] = {
    "create": _create,
    "replace": _replace,
    "patch": _patch,
    "command": _command,
    "delete": _delete,
}
"""By ``op``."""
