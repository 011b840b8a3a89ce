"""Calls: what the client asks and how it reads the answer, without any network.

``Client`` and ``AsyncClient`` send the same calls.
"""

import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from persist.client.records import (
    Change,
    CommandResult,
    Data,
    DeletedRecord,
    ImportReport,
    InvokeReport,
    Json,
    Record,
    UndoReport,
    dump,
    dump_record,
    loader,
    parse_change,
    parse_deleted,
    parse_invoke_report,
    parse_record,
    parse_undo_report,
)

Answer = TypeVar("Answer")
Query = list[tuple[str, str | int | float | bool | None]]

Target = Record[Any] | str
"""A record that was read, or an id."""

Moment = int | str | datetime
"""A ``seq`` of the journal, or a time."""

Changes = Json | Sequence[Json]
"""A merge patch (an object) or a JSON Patch (a list)."""

NDJSON = "application/x-ndjson"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
PAGE_RECORDS = 500
"""Records that are asked for at once."""

LONG_POLL_SECONDS = 20
"""Seconds that a request for changes waits for one."""


@dataclass(slots=True)
class Call(Generic[Answer]):
    """One request; ``read`` makes the answer of a successful response.

    ``content`` is bytes, or an iterable that can be sent only once: such a call is not
    retried.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], Answer]
    query: Query = field(default_factory=list)
    content: bytes | Iterable[bytes] | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def async_content(self) -> bytes | AsyncIterator[bytes] | None:
        """The body as ``httpx.AsyncClient`` takes it: no iterable that blocks."""
        if self.content is None or isinstance(self.content, bytes):
            return self.content
        return _asynchronously(self.content)

    @property
    def is_repeatable(self) -> bool:
        """Whether the body can be sent a second time."""
        return self.content is None or isinstance(self.content, bytes)

    def with_idempotency_key(self) -> None:
        """Give a write its own key, unless the caller chose one."""
        if self.method not in ("GET", "HEAD"):
            self.headers.setdefault("Idempotency-Key", str(uuid.uuid4()))


async def _asynchronously(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def json_call(
    method: str,
    path: str,
    read: Callable[[Any], Answer],
    *,
    body: object = None,
    query: Query | None = None,
    headers: Mapping[str, str] = {},
    media_type: str = "application/json",
) -> Call[Answer]:
    """Return a call whose body and answer are JSON."""
    sent = dict(headers)
    content = None
    if body is not None:
        content = json.dumps(body, ensure_ascii=False).encode()
        sent["Content-Type"] = media_type
    return Call(
        method, path, lambda response: read(response.json()), query or [], content, sent
    )


def query_of(filters: Mapping[str, Any]) -> Query:
    """Return filters and options as a query string's pairs.

    A list stands for a repeated parameter, True and False are ``true`` and ``false``.
    Raises ``TypeError`` for a dictionary.
    """
    pairs: Query = []
    for name, value in filters.items():
        values = value if isinstance(value, list | tuple | set) else [value]
        pairs += [(name, _parameter(name, each)) for each in values]
    return pairs


def _parameter(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        raise TypeError(f"the filter {name} takes a single value or a list of them")
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if isoformat is not None else str(value)


def path_of(*parts: str) -> str:
    """Return a path of percent-encoded parts."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def precondition(target: Target) -> dict[str, str]:
    """Return the headers with which a write fails if the record has changed meanwhile.

    A record that was read is written only at the revision that it had then, one of the
    trash only if there still is none. An id is written at any revision.
    """
    if isinstance(target, DeletedRecord):
        return {"If-None-Match": "*"}
    return {"If-Match": target.etag} if isinstance(target, Record) else {}


def _merging(target: Target, *, merge: bool) -> dict[str, str]:
    """Return the headers of a change; with ``merge`` it may be merged with others'
    changes."""
    return precondition(target) | ({"Prefer": "merge"} if merge else {})


def id_of(target: Target) -> str:
    """Return the id of a record or the id itself."""
    return target.id if isinstance(target, Record) else target


class CollectionCalls(Generic[Data]):
    """The calls of one collection, in the default workspace or in a named one."""

    def __init__(
        self, name: str, model: type[Data] | None, workspace: str | None
    ) -> None:
        self.name = name
        self.workspace = workspace
        self._load = loader(model)
        prefix = () if workspace is None else ("workspaces", workspace)
        self._parts = (*prefix, "api", name)

    def _path(self, *below: str) -> str:
        return path_of(*self._parts, *below)

    def _record(self, members: Json) -> Record[Data]:
        return parse_record(members, self._load)

    def create(self, data: object) -> Call[Record[Data]]:
        return json_call(
            "POST",
            self._path(),
            self._record,
            body=dump(data),
        )

    def get(
        self, key: str, revision: int | None, as_of: Moment | None
    ) -> Call[Record[Data]]:
        query: Query = []
        if revision is not None:
            query = query_of({"revision": revision})
        elif as_of is not None:
            query = query_of({"as_of": as_of})
        return json_call(
            "GET",
            self._path(key),
            self._record,
            query=query,
        )

    def page(
        self, filters: Mapping[str, Any], cursor: str | None
    ) -> Call[tuple[list[Record[Data]], str | None]]:
        return json_call(
            "GET",
            self._path(),
            lambda members: _page_of(members, self._record),
            query=_page_query(filters, cursor),
        )

    def trash(
        self, filters: Mapping[str, Any], cursor: str | None
    ) -> Call[tuple[list[DeletedRecord[Data]], str | None]]:
        def deleted(members: Json) -> DeletedRecord[Data]:
            return parse_deleted(members, self._load)

        return json_call(
            "GET",
            self._path("trash"),
            lambda members: _page_of(members, deleted),
            query=_page_query(filters, cursor),
        )

    def count(self, filters: Mapping[str, Any]) -> Call[int]:
        query = query_of({**filters, "limit": 1, "count": True})
        return json_call(
            "GET",
            self._path(),
            lambda page: page["total"],
            query=query,
        )

    def replace(
        self, target: Target, data: object, *, merge: bool
    ) -> Call[Record[Data]]:
        return json_call(
            "PUT",
            self._path(id_of(target)),
            self._record,
            body=dump(data),
            headers=_merging(target, merge=merge),
        )

    def patch(
        self, target: Target, changes: Changes, *, merge: bool
    ) -> Call[Record[Data]]:
        return json_call(
            "PATCH",
            self._path(id_of(target)),
            self._record,
            body=changes,
            headers=_merging(target, merge=merge),
            media_type=MERGE_PATCH if isinstance(changes, dict) else JSON_PATCH,
        )

    def delete(self, target: Target) -> Call[None]:
        path = self._path(id_of(target))
        return Call("DELETE", path, lambda _: None, headers=precondition(target))

    def run(
        self, target: Target, command: str, payload: Json
    ) -> Call[CommandResult[Data]]:
        return json_call(
            "POST",
            self._path(id_of(target), "commands", command),
            lambda answer: CommandResult(
                answer["result"], self._record(answer["record"])
            ),
            body=payload,
            headers=precondition(target),
        )

    def invoke(
        self, command: str, payload: Json, filters: Mapping[str, Any]
    ) -> Call[InvokeReport]:
        return json_call(
            "POST",
            self._path("commands", command),
            parse_invoke_report,
            body=payload,
            query=query_of(filters),
        )

    def delete_matching(
        self, max_affected: int, filters: Mapping[str, Any]
    ) -> Call[int]:
        query = query_of({**filters, "max_affected": max_affected})
        return json_call(
            "DELETE",
            self._path(),
            lambda answer: answer["deleted"],
            query=query,
        )

    def history(
        self, key: str, cursor: str | None
    ) -> Call[tuple[list[Change], str | None]]:
        query: Query = []
        if cursor is not None:
            query.append(("cursor", cursor))
        return json_call(
            "GET",
            self._path(key, "history"),
            _read_changes,
            query=query,
        )

    def revert(self, target: Target, to_revision: int) -> Call[Record[Data]]:
        return json_call(
            "POST",
            self._path(id_of(target), "revert"),
            self._record,
            body={"to_revision": to_revision},
            headers=precondition(target),
        )

    def diff(self, key: str, before: int, after: int) -> Call[list[Json]]:
        return json_call(
            "GET",
            self._path(key, "history", "diff"),
            lambda answer: answer["patch"],
            query=query_of({"from": before, "to": after}),
        )

    def import_lines(self, content: Iterable[bytes]) -> Call[ImportReport]:
        return Call(
            "POST",
            self._path("import"),
            lambda response: ImportReport(**response.json()),
            content=content,
            headers={"Content-Type": NDJSON},
        )

    def import_records(
        self, records: Iterable[Record[Any]], on_conflict: str
    ) -> Call[ImportReport]:
        call = self.import_lines(map(_line, map(dump_record, records)))
        call.query = query_of({"envelope": True, "on_conflict": on_conflict})
        return call

    def export(self, filters: Mapping[str, Any]) -> Call[None]:
        return Call("GET", self._path("export"), lambda _: None, query_of(filters))

    def read_line(self, line: bytes) -> Record[Data]:
        """Return the record of one line of an export."""
        return self._record(json.loads(line))


class LineSplitter:
    """Splits chunks of bytes into the lines of NDJSON: at line feeds only, because JSON
    may contain what Python also takes for the end of a line (U+2028)."""

    def __init__(self) -> None:
        self._rest = b""

    def lines(self, chunk: bytes) -> list[bytes]:
        """Return the lines that a chunk completes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [line for line in lines if line.strip()]


def undo_call(selected: Mapping[str, Any], *, dry_run: bool) -> Call[UndoReport]:
    """Return the call that takes changes back; members that are None are left out.

    The default workspace, which is ``""`` here, is null there.
    """
    body = {name: value for name, value in selected.items() if value is not None}
    if not body.get("workspace", "any"):
        body["workspace"] = None
    return json_call(
        "POST",
        "/changes/undo",
        parse_undo_report,
        body=body,
        query=query_of({"dry_run": True}) if dry_run else None,
    )


def import_line(data: object) -> bytes:
    """Return one line of an import."""
    return _line(dump(data))


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def _page_query(filters: Mapping[str, Any], cursor: str | None) -> Query:
    query = query_of({"limit": PAGE_RECORDS} | dict(filters))
    if cursor is not None:
        query.append(("cursor", cursor))
    return query


def _page_of(
    members: Json, read: Callable[[Json], Answer]
) -> tuple[list[Answer], str | None]:
    return [read(item) for item in members["items"]], members["next_cursor"]


def _read_changes(members: Json) -> tuple[list[Change], str | None]:
    changes = [parse_change(item) for item in members["items"]]
    return changes, members["next_cursor"]


class Feed:
    """Where a reader of the change feed is, and the call that goes on from there."""

    def __init__(
        self,
        after: int | str,
        chosen: Mapping[str, str | None],
        *,
        follow: bool,
    ) -> None:
        self._after = after
        self._follow = follow
        self._query: Query = [
            (name, value) for name, value in chosen.items() if value is not None
        ]
        self.is_done = False

    def call(self) -> Call[list[Change]]:
        """Return the call for the next changes; its answer moves the position on."""
        wait = LONG_POLL_SECONDS if self._follow else 0
        query: Query = [("after", self._after), ("wait", wait), *self._query]
        return json_call("GET", "/changes", self._read, query=query)

    def _read(self, members: Json) -> list[Change]:
        before = self._after
        self._after = members["last_seq"]
        self.is_done = not self._follow and (
            not members["items"] and members["last_seq"] == before
        )
        return [parse_change(item) for item in members["items"]]
