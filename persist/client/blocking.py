"""Client: the blocking client, method for method as ``AsyncClient``.

``make blocking-client`` writes this file from ``asynchronous.py``: change that one.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Self, TypeVar, overload

import httpx

from persist.client.calls import (
    Answer,
    Call,
    Changes,
    CollectionCalls,
    Feed,
    LineSplitter,
    Moment,
    Target,
    import_line,
    json_call,
    query_of,
    undo_call,
)
from persist.client.problems import checked
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
)
from persist.client.retry import RetryPolicy
from persist.client.transaction import Transaction

Model = TypeVar("Model")

CONNECT_SECONDS = 10.0
"""Seconds that connecting may take."""


class Client:
    """A service at a URL.

    ``key`` is an API key. ``retries`` is how often a request is tried again after a
    lost connection, a 429 or a 503; a write then carries an ``Idempotency-Key``, so
    that it is stored once. ``http`` is an ``httpx.Client`` of the caller, which
    may have other proxies, certificates and transports.

    Every method raises the exceptions of ``persist.client.problems`` if the service
    refuses, and ``httpx.TransportError`` if it cannot be reached.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        retries: int = 3,
        timeout_seconds: float | None = 60.0,
        http: httpx.Client | None = None,
    ) -> None:
        timeout = httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS)
        self._http = http or httpx.Client(timeout=timeout)
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._policy = RetryPolicy(retries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @overload
    def collection(
        self, name: str, *, workspace: str | None = None
    ) -> "Collection[Json]": ...

    @overload
    def collection(
        self, name: str, model: type[Model], *, workspace: str | None = None
    ) -> "Collection[Model]": ...

    def collection(
        self, name: str, model: type[Any] | None = None, *, workspace: str | None = None
    ) -> "Collection[Any]":
        """Return a collection whose data are objects of ``model``, or dictionaries."""
        return Collection(self, name, model, workspace)

    @contextmanager
    def transaction(self, *, dry_run: bool = False) -> Iterator[Transaction]:
        """Collect operations; store all or none of them at the end of the block."""
        transaction = Transaction()
        yield transaction
        call = transaction.call()
        if call is None:
            return
        if dry_run:
            call.query.append(("dry_run", "true"))
        self.send(call)

    def changes(
        self,
        after: int | str = 0,
        *,
        collection: str | None = None,
        workspace: str | None = None,
        request_id: str | None = None,
        condition: str | None = None,
        follow: bool = True,
    ) -> Iterator[Change]:
        """Yield the changes after a ``seq``, or after ``"now"``.

        ``workspace`` is ``""`` for the default one. ``condition`` is a condition in
        CEL over ``data``, ``previous`` and ``change``.

        With ``follow`` it goes on for ever and resumes after a lost connection;
        otherwise it ends with the journal.
        """
        chosen = {
            "collection": collection,
            "workspace": workspace,
            "request_id": request_id,
            "filter": condition,
        }
        feed = Feed(after, chosen, follow=follow)
        while not feed.is_done:
            yield from self.send(feed.call())

    def undo(
        self,
        *,
        request_id: str | None = None,
        from_seq: int | None = None,
        to_seq: int | None = None,
        collection: str | None = None,
        workspace: str | None = None,
        on_conflict: str = "fail",
        dry_run: bool = False,
    ) -> UndoReport:
        """Take back the changes of a request, or those from one ``seq`` to another.

        ``collection`` and ``workspace`` (``""`` for the default one) choose among them.
        Raises ``UndoConflict`` if a record was changed since, unless
        ``on_conflict`` is ``"skip"``.
        """
        selected = {
            "request_id": request_id,
            "from_seq": from_seq,
            "to_seq": to_seq,
            "collection": collection,
            "workspace": workspace,
            "on_conflict": on_conflict,
        }
        return self.send(undo_call(selected, dry_run=dry_run))

    def request(self, method: str, path: str, body: object = None, **query: Any) -> Any:
        """Send any request of the HTTP reference; return the JSON answer, or None."""
        call: Call[Any] = json_call(
            method, path, lambda answer: answer, body=body, query=query_of(query)
        )
        call.read = lambda response: response.json() if response.content else None
        return self.send(call)

    def send(self, call: Call[Answer]) -> Answer:
        """Send a call, again if that may help, and return its answer."""
        if not call.is_repeatable:
            response = self._http.send(self._request(call))
            return call.read(checked(response))
        if self._policy.retries:
            call.with_idempotency_key()
        attempt = 0
        while True:
            outcome = self._attempt(call)
            delay = self._policy.delay_after(attempt, outcome)
            if delay < 0:
                break
            time.sleep(delay)
            attempt += 1
        if isinstance(outcome, Exception):
            raise outcome
        return call.read(checked(outcome))

    def _attempt(self, call: Call[Any]) -> httpx.Response | Exception:
        try:
            return self._http.send(self._request(call))
        except httpx.TransportError as error:
            return error

    def stream(self, call: Call[Any]) -> Iterator[bytes]:
        """Send a call and yield the bytes of its answer as they arrive."""
        response = self._http.send(self._request(call), stream=True)
        try:
            if response.is_error:
                response.read()
            yield from checked(response).iter_bytes()
        finally:
            response.close()

    def _request(self, call: Call[Any]) -> httpx.Request:
        return self._http.build_request(
            call.method,
            self._url + call.path,
            params=call.query or None,  # an empty one drops that of the path
            content=call.content,
            headers=self._headers | call.headers,
        )


class Collection(Generic[Data]):
    """A collection. A ``target`` is a record, which must not have changed since it was
    read (``PreconditionFailed``), or an id, which is written whatever its revision."""

    def __init__(
        self,
        client: Client,
        name: str,
        model: type[Data] | None,
        workspace: str | None,
    ) -> None:
        self.name = name
        self._client = client
        self._calls = CollectionCalls(name, model, workspace)

    def create(self, data: Data | Json) -> Record[Data]:
        """Create a record."""
        call = self._calls.create(data)
        return self._client.send(call)

    def get(
        self, key: str, *, revision: int | None = None, as_of: Moment | None = None
    ) -> Record[Data]:
        """Return the record with an id, as it is, or as it was at a revision or at a
        moment: a ``seq`` or a time."""
        call = self._calls.get(key, revision, as_of)
        return self._client.send(call)

    def list(self, **filters: Any) -> Iterator[Record[Data]]:
        """Yield the records that match, page by page.

        ``filters`` are those of the query string: ``severity__gte=30``,
        ``sort="-severity"``, ``filter="data.severity >= 30"``, ``as_of=seq``.
        """
        cursor = None
        while True:
            call = self._calls.page(filters, cursor)
            records, cursor = self._client.send(call)
            yield from records
            if cursor is None:
                return

    def trash(self, **filters: Any) -> Iterator[DeletedRecord[Data]]:
        """Yield the deleted records that match, the newest deletion first. ``revert``
        brings one back: ``revert(record, record.revision)``."""
        cursor = None
        while True:
            call = self._calls.trash(filters, cursor)
            records, cursor = self._client.send(call)
            yield from records
            if cursor is None:
                return

    def count(self, **filters: Any) -> int:
        """Return how many records match."""
        call = self._calls.count(filters)
        return self._client.send(call)

    def replace(
        self, target: Target, data: Data | Json, *, merge: bool = False
    ) -> Record[Data]:
        """Replace the data of a record, or create it under an id of the caller's.

        With ``merge``, what others changed since the record was read is kept, unless
        both changed the same (``PreconditionFailed`` with ``conflicts``).
        """
        call = self._calls.replace(target, data, merge=merge)
        return self._client.send(call)

    def patch(
        self, target: Target, changes: Changes, *, merge: bool = False
    ) -> Record[Data]:
        """Change a record by a merge patch (an object) or a JSON Patch (a list).
        ``merge`` is that of ``replace``."""
        call = self._calls.patch(target, changes, merge=merge)
        return self._client.send(call)

    def delete(self, target: Target) -> None:
        """Delete a record; its history stays."""
        call = self._calls.delete(target)
        self._client.send(call)

    def run(self, target: Target, command: str, **payload: Any) -> CommandResult[Data]:
        """Run a command on a record."""
        call = self._calls.run(target, command, payload)
        return self._client.send(call)

    def invoke(
        self, command: str, payload: Mapping[str, Any] | None = None, **filters: Any
    ) -> InvokeReport:
        """Run a command on every record that matches and supports it."""
        call = self._calls.invoke(command, dict(payload or {}), filters)
        return self._client.send(call)

    def delete_matching(self, max_affected: int, **filters: Any) -> int:
        """Delete the records that match, unless they are more than ``max_affected``;
        return how many."""
        call = self._calls.delete_matching(max_affected, filters)
        return self._client.send(call)

    def history(self, key: str) -> Iterator[Change]:
        """Yield the changes of a record, newest first; also after its deletion."""
        cursor = None
        while True:
            call = self._calls.history(key, cursor)
            changes, cursor = self._client.send(call)
            yield from changes
            if cursor is None:
                return

    def diff(self, key: str, before: int, after: int) -> Sequence[Json]:
        """Return the JSON Patch that turns one revision into another."""
        call = self._calls.diff(key, before, after)
        return self._client.send(call)

    def revert(self, target: Target, to_revision: int) -> Record[Data]:
        """Give a record the data of an earlier revision; a deleted one comes back."""
        call = self._calls.revert(target, to_revision)
        return self._client.send(call)

    def import_all(self, data: Iterable[Data | Json]) -> ImportReport:
        """Create a record of each item, or none; sent as they are produced."""
        call = self._calls.import_lines(map(import_line, data))
        return self._client.send(call)

    def import_records(
        self, records: Iterable[Record[Any]], on_conflict: str = "fail"
    ) -> ImportReport:
        """Store records as they were exported, with their ids and times, all or none.

        If one has an id that is taken, ``on_conflict`` is ``"fail"``, ``"skip"`` or
        ``"overwrite"``.
        """
        call = self._calls.import_records(records, on_conflict)
        return self._client.send(call)

    def export(self, **filters: Any) -> Iterator[Record[Data]]:
        """Yield the records that match, all as of one moment."""
        splitter = LineSplitter()
        call = self._calls.export(filters)
        for chunk in self._client.stream(call):
            for line in splitter.lines(chunk):
                yield self._calls.read_line(line)
