"""ServiceClient: the requests that commands send to a service."""

from collections.abc import Iterable, Iterator
from typing import Any

from persist.client import Client, Problem
from persist.client.calls import NDJSON, Call, json_call, path_of, query_of
from persist.domain.record import Json


class ServiceClient:
    """The requests that commands send to one service.

    Every method raises ``Problem`` if the service refuses, and
    ``httpx.TransportError`` if it cannot be reached.
    """

    def __init__(
        self,
        client: Client,
    ) -> None:
        self._client = client

    def take_snapshot(
        self,
        collection: str | None,
        request: Json,
    ) -> Json:
        """Take a snapshot of a collection, or of everything. Return its manifest."""
        if collection is None:
            everything = {"scope": "all", **request}
            return self._json("POST", "/snapshots", everything)
        return self._json("POST", _collection_path(collection), request)

    def snapshots(
        self,
        collection: str | None,
    ) -> list[Json]:
        """Return the manifests, newest first."""
        path = "/snapshots" if collection is None else _collection_path(collection)
        manifests: list[Json] = []
        query = ""
        while True:
            page = self._json("GET", f"{path}?limit=500{query}")
            manifests += page["items"]
            if page["next_cursor"] is None:
                return manifests
            query = f"&cursor={page['next_cursor']}"

    def manifest(
        self,
        snapshot_id: str,
    ) -> Json:
        """Return the manifest of a snapshot."""
        path = path_of("snapshots", snapshot_id)
        return self._json("GET", path)

    def verify(
        self,
        snapshot_id: str,
    ) -> Json:
        """Verify a snapshot. Return ``ok`` with ``records``, or with ``detail``."""
        path = path_of("snapshots", snapshot_id, "verify")
        return self._json("POST", path)

    def delete(
        self,
        snapshot_id: str,
    ) -> None:
        """Delete a snapshot."""
        path = path_of("snapshots", snapshot_id)
        self._client.request("DELETE", path)

    def content(
        self,
        snapshot_id: str,
    ) -> Iterator[bytes]:
        """Stream the content of a snapshot."""
        path = path_of("snapshots", snapshot_id, "content")
        call = json_call("GET", path, _same)
        return self._client.stream(call)

    def upload(
        self,
        chunks: Iterable[bytes],
    ) -> Json:
        """Upload the content of a snapshot. Return its manifest."""
        call: Call[Json] = json_call("POST", "/snapshots", _same)
        call.content = chunks
        call.headers["Content-Type"] = NDJSON
        return self._client.send(call)

    def restore(
        self,
        request: Json,
    ) -> Json:
        """Restore a snapshot through the migration plans. Return the report."""
        return self._json("POST", "/migrations", request)

    def history(
        self,
        collection: str,
        record_id: str,
        workspace: str | None,
    ) -> Iterator[Json]:
        """Yield the changes of a record, newest first."""
        path = _record_path(collection, record_id, workspace, "history")
        query: Json = {}
        while True:
            page = self._json("GET", path, **query)
            yield from page["items"]
            if page["next_cursor"] is None:
                return
            query = {"cursor": page["next_cursor"]}

    def diff(
        self,
        collection: str,
        record_id: str,
        workspace: str | None,
        before: int,
        after: int,
    ) -> list[Json]:
        """Return the JSON Patch between two revisions."""
        path = _record_path(collection, record_id, workspace, "history", "diff")
        revisions: Json = {"from": before, "to": after}
        patch: list[Json] = self._json("GET", path, **revisions)["patch"]
        return patch

    def revert(
        self,
        collection: str,
        record_id: str,
        workspace: str | None,
        to_revision: int,
        *,
        dry_run: bool,
    ) -> Json:
        """Give a record the data of an earlier revision. Return the record."""
        path = _record_path(collection, record_id, workspace, "revert")
        body = {"to_revision": to_revision}
        return self._json("POST", path, body, dry_run=dry_run)

    def trash(
        self,
        collection: str,
        workspace: str | None,
        limit: int,
    ) -> list[Json]:
        """Return the deleted records, the newest deletion first."""
        path = _collection_parts(collection, workspace, "trash")
        records: list[Json] = self._json("GET", path, limit=limit)["items"]
        return records

    def bring_back(
        self,
        collection: str,
        record_id: str,
        workspace: str | None,
        *,
        dry_run: bool,
    ) -> Json | None:
        """Bring back a deleted record. Return it, or None if it is not in the trash."""
        path = _collection_parts(collection, workspace, "trash")
        found = self._json("GET", path, _id=record_id)["items"]
        if not found:
            return None
        call = json_call(
            "POST",
            _record_path(collection, record_id, workspace, "revert"),
            _same,
            body={"to_revision": found[0]["revision"]},
            query=query_of({"dry_run": dry_run}),
            # Nobody may have brought it back meanwhile.
            headers={"If-None-Match": "*"},
        )
        record: Json = self._client.send(call)
        return record

    def undo(
        self,
        request: Json,
        *,
        dry_run: bool,
    ) -> Json:
        """Take back changes. Return the report."""
        return self._json("POST", "/changes/undo", request, dry_run=dry_run)

    def _json(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        **query: Any,
    ) -> Json:
        answer: Json = self._client.request(method, path, body, **query)
        return answer


def refusal_text(problem: Problem) -> str:
    """Return the detail of a problem, and a line for each error and failed record."""
    if not problem.code:
        return f"status {problem.status}: {problem.detail}"
    return "\n".join([problem.detail, *_lines(problem)])


def _lines(problem: Problem) -> Iterator[str]:
    for error in problem.errors:
        if error["detail"] == problem.detail and not error["pointer"]:
            continue
        yield f"  {error['pointer']} {error['detail']}"
    for record in problem.members.get("records", []):
        conflict = record["reason"]["conflict"]
        yield f"  {record['collection']} {record['id']} {conflict}"
    members = ("collection", "id", "pointer", "detail")
    for failure in problem.members.get("failures", []):
        values = [failure.get(member) for member in members]
        yield "  " + " ".join(value for value in values if value)


def _record_path(
    collection: str,
    record_id: str,
    workspace: str | None,
    *below: str,
) -> str:
    return _collection_parts(collection, workspace, record_id, *below)


def _collection_parts(
    collection: str,
    workspace: str | None,
    *below: str,
) -> str:
    prefix = () if workspace is None else ("workspaces", workspace)
    return path_of(*prefix, "api", collection, *below)


def _collection_path(collection: str) -> str:
    return path_of("api", collection, "snapshots")


def _same(answer: object) -> Any:
    return answer
