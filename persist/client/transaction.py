"""Transactions: several writes as one, later ones with values of earlier ones."""

from collections.abc import Mapping
from typing import Any

from persist.client.calls import Call, id_of, json_call
from persist.client.records import Json, Record, dump

RESERVED = ({"$ref"}, {"$value"})
"""The members of an object that the service takes for a reference or an escape."""


class Reference:
    """A value that an operation will have: its attributes are members of it."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> "Reference":
        if name.startswith("__"):
            raise AttributeError(name)
        return Reference(f"{self._path}.{name}")

    def __repr__(self) -> str:
        return f"Reference({self._path!r})"


def reference_path(reference: Reference) -> str:
    """Return the text of a reference, as in ``ticket.data.title``."""
    path: str = vars(reference)["_path"]
    return path


class Operation:
    """One operation of a transaction.

    ``id``, ``revision``, ``result`` and ``data.<member>`` stand for values it will have
    and may be used in later operations. After the transaction ``status``, ``record``
    and ``returned`` (a command's result) say what it did.
    """

    def __init__(self, name: str) -> None:
        self.id = Reference(f"{name}.id")
        self.revision = Reference(f"{name}.revision")
        self.result = Reference(f"{name}.result")
        self.data = Reference(f"{name}.data")
        self.status: int | None = None
        self.record: Json | None = None
        self.returned: Any = None


class Transaction:
    """Collects operations; they are sent when the ``with`` block ends without an error.

    >>> with client.transaction() as transaction:
    ...     ticket = transaction.create("ops-tickets", {"title": "Disk full"})
    ...     transaction.create("audit-events", {"event_name": ticket.id})
    """

    def __init__(self) -> None:
        self._written: list[Json] = []
        self.operations: list[Operation] = []

    def create(
        self,
        collection: str,
        data: object,
        *,
        key: str | None = None,
        workspace: str | None = None,
    ) -> Operation:
        """Create a record, under the id ``key`` if it is given."""
        members = {"data": _encoded(_plain(data)), "id": key}
        return self._add("create", collection, workspace, members)

    def replace(
        self,
        collection: str,
        target: Record[Any] | Reference | str,
        data: object,
        *,
        workspace: str | None = None,
    ) -> Operation:
        """Replace the data of a record."""
        members = _target(target) | {"data": _encoded(_plain(data))}
        return self._add("replace", collection, workspace, members)

    def patch(
        self,
        collection: str,
        target: Record[Any] | Reference | str,
        changes: Json | list[Json],
        *,
        workspace: str | None = None,
    ) -> Operation:
        """Change a record by a merge patch (an object) or a JSON Patch (a list)."""
        members = _target(target) | {"patch": _encoded(changes)}
        return self._add("patch", collection, workspace, members)

    def run(
        self,
        collection: str,
        target: Record[Any] | Reference | str,
        command: str,
        payload: Mapping[str, Any] | None = None,
        *,
        workspace: str | None = None,
    ) -> Operation:
        """Run a command on a record."""
        members = _target(target) | {
            "command": command,
            "payload": _encoded(dict(payload or {})),
        }
        return self._add("command", collection, workspace, members)

    def delete(
        self,
        collection: str,
        target: Record[Any] | Reference | str,
        *,
        workspace: str | None = None,
    ) -> Operation:
        """Delete a record."""
        return self._add("delete", collection, workspace, _target(target))

    def _add(
        self, verb: str, collection: str, workspace: str | None, members: Json
    ) -> Operation:
        name = f"o{len(self._written)}"
        optional = {"workspace": workspace, **members}
        given = {key: value for key, value in optional.items() if value is not None}
        self._written.append(
            {"op": verb, "collection": collection, "as": name, **given}
        )
        self.operations.append(Operation(name))
        return self.operations[-1]

    def call(self) -> Call[None] | None:
        """Return the call that stores all operations; None if there are none."""
        if not self._written:
            return None
        body = {"operations": self._written}
        return json_call("POST", "/transactions", self._settle, body=body)

    def _settle(self, members: Json) -> None:
        for operation, result in zip(self.operations, members["results"], strict=True):
            operation.status = result["status"]
            operation.record = result["record"]
            operation.returned = result.get("result")


def _target(target: Record[Any] | Reference | str) -> Json:
    if isinstance(target, Reference):
        return {"id": _encoded(target)}
    found: Json = {"id": id_of(target)}
    if isinstance(target, Record):
        found["if_match"] = target.etag
    return found


def _plain(data: object) -> Any:
    return data if isinstance(data, dict) else dump(data)


def _encoded(value: object) -> Any:
    """Return a value with its references written out and look-alikes escaped."""
    if isinstance(value, Reference):
        return {"$ref": reference_path(value)}
    if isinstance(value, list | tuple):
        return [_encoded(each) for each in value]
    if isinstance(value, dict):
        encoded = {name: _encoded(each) for name, each in value.items()}
        return {"$value": value} if set(value) in RESERVED else encoded
    return value
