"""Records, changes and reports as the client returns them."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, cast

Data = TypeVar("Data")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Record(Generic[Data]):
    """One stored record: the envelope and ``data``, an object of the caller's class."""

    id: str
    collection: str
    workspace: str | None
    revision: int
    schema_version: int
    created_at: datetime
    updated_at: datetime
    data: Data

    @property
    def etag(self) -> str:
        """The entity tag of this revision, for ``If-Match``."""
        return f'"{self.revision}"'


@dataclass(frozen=True, slots=True)
class DeletedRecord(Record[Data]):
    """A deleted record, with its last data. ``deleted_by`` is the name of the key that
    deleted it, None if access is open."""

    deleted_at: datetime
    deleted_by: str | None


@dataclass(frozen=True, slots=True)
class CommandResult(Generic[Data]):
    """What a command returned, and the record after it."""

    result: Any
    record: Record[Data]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a selective invoke did with one record.

    ``status`` is ``invoked``, ``skipped`` or ``failed``; ``reason`` says why not.
    """

    collection: str
    id: str
    status: str
    reason: str | None
    result: Any
    revision: int | None


@dataclass(frozen=True, slots=True)
class InvokeReport:
    """What a selective invoke did: how many records, and the outcome of each."""

    invoked: int
    skipped: int
    failed: int
    outcomes: list[Outcome]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How many records an import created. The others are of records that were exported:
    what was there and stayed, what was overwritten, and what was of an older schema
    version."""

    created: int
    skipped: int = 0
    overwritten: int = 0
    migrated: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the journal; ``data`` is the data after it, None on a deletion."""

    seq: int
    at: datetime
    workspace: str | None
    collection: str
    id: str
    revision: int
    schema_version: int
    operation: str
    command: str | None
    payload: Any
    actor: str | None
    request_id: str
    data: Json | None


@dataclass(frozen=True, slots=True)
class UndoneRecord:
    """What an undo did with one record.

    ``outcome`` is ``reverted``, ``recreated``, ``deleted``, ``unchanged``, ``skipped``
    or ``conflict``; ``reason`` says why it could not go back.
    """

    collection: str
    workspace: str | None
    id: str
    from_revision: int
    to_revision: int | None
    data_revision: int | None
    outcome: str
    reason: Json | None


@dataclass(frozen=True, slots=True)
class UndoReport:
    """What an undo did: how many records went back, how many were skipped, and the
    first 1,000 of them."""

    undone: int
    skipped: int
    records: list[UndoneRecord]


def parse_time(text: str) -> datetime:
    """Return a time of the service, which is in UTC."""
    return datetime.fromisoformat(text)


def write_time(moment: datetime) -> str:
    """Return a time as the service writes it. Raises ``ValueError`` without a zone."""
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone, as in datetime.now(UTC)")
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def parse_record(members: Json, load: Callable[[Json], Data]) -> Record[Data]:
    """Return a record of an answer; ``load`` makes the object of its data."""
    return Record(**_envelope(members), data=load(members["data"]))


def parse_deleted(members: Json, load: Callable[[Json], Data]) -> DeletedRecord[Data]:
    """Return a record of the trash."""
    return DeletedRecord(
        **_envelope(members),
        data=load(members["data"]),
        deleted_at=parse_time(members["deleted_at"]),
        deleted_by=members["deleted_by"],
    )


def _envelope(members: Json) -> Json:
    names = ("id", "collection", "workspace", "revision", "schema_version")
    times = {name: parse_time(members[name]) for name in ("created_at", "updated_at")}
    return {name: members[name] for name in names} | times


def dump_record(record: Record[Any]) -> Json:
    """Return a record as an export writes it."""
    return {
        "id": record.id,
        "collection": record.collection,
        "workspace": record.workspace,
        "revision": record.revision,
        "schema_version": record.schema_version,
        "created_at": write_time(record.created_at),
        "updated_at": write_time(record.updated_at),
        "data": dump(record.data),
    }


def parse_change(members: Json) -> Change:
    """Return a change of an answer; members that this release does not know are left
    out."""
    known: Json = {field.name: members.get(field.name) for field in fields(Change)}
    known["at"] = parse_time(members["at"])
    return Change(**known)


def parse_invoke_report(members: Json) -> InvokeReport:
    """Return the report of a selective invoke."""
    outcomes = [Outcome(**outcome) for outcome in members["outcomes"]]
    counts = {name: members[name] for name in ("invoked", "skipped", "failed")}
    return InvokeReport(**counts, outcomes=outcomes)


def parse_undo_report(members: Json) -> UndoReport:
    """Return the report of an undo."""
    names = [field.name for field in fields(UndoneRecord)]
    records = [
        UndoneRecord(**{name: record[name] for name in names})
        for record in members["records"]
    ]
    return UndoReport(members["undone"], members["skipped"], records)


def loader(model: type[Data] | None) -> Callable[[Json], Data]:
    """Return the function that makes an object of a class from data; without a class, a
    dictionary.

    Supported are pydantic models, SQLModel and persist entities, dataclasses, and any
    class that takes the members as keyword arguments.
    """
    if model is None:
        return lambda data: cast(Data, data)
    validate = getattr(model, "model_validate", None)
    if validate is not None:
        return cast(Callable[[Json], Data], validate)
    return lambda data: model(**data)


def dump(data: object) -> Any:
    """Return an object as a JSON value. Raises ``TypeError`` if it has no such form."""
    model_dump = getattr(data, "model_dump", None)
    if model_dump is not None:
        return model_dump(mode="json")
    if is_dataclass(data) and not isinstance(data, type):
        return asdict(data)
    if isinstance(data, Mapping):
        return dict(data)
    raise TypeError(
        f"{type(data).__name__} is not the data of a record: send a model or a dict"
    )
