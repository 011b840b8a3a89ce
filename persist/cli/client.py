"""ServiceClient: the requests that commands send to a service."""

from collections.abc import Iterable, Iterator
from typing import Any

from persist.client import Client, Problem
from persist.client.calls import NDJSON, Call, json_call, path_of

Json = dict[str, Any]


class ServiceClient:
    """The snapshot and restore requests of one service.

    Every method raises ``Problem`` where the service refuses, and
    ``httpx.TransportError`` where it cannot be reached.
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
        manifests: list[Json] = self._json("GET", path)["items"]
        return manifests

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

    def _json(
        self,
        method: str,
        path: str,
        body: Json | None = None,
    ) -> Json:
        answer: Json = self._client.request(method, path, body)
        return answer


def refusal_text(problem: Problem) -> str:
    """Return the detail of a problem, and a line for each error and failed record."""
    if not problem.code:
        return f"status {problem.status}: {problem.detail}"
    return "\n".join([problem.detail, *_lines(problem)])


def _lines(problem: Problem) -> Iterator[str]:
    for error in problem.errors:
        yield f"  {error['pointer']} {error['detail']}"
    members = ("collection", "id", "pointer", "detail")
    for failure in problem.members.get("failures", []):
        values = [failure.get(member) for member in members]
        yield "  " + " ".join(value for value in values if value)


def _collection_path(collection: str) -> str:
    return path_of("api", collection, "snapshots")


def _same(answer: Any) -> Any:
    return answer
