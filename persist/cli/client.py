"""ServiceClient: the requests that commands send to a service."""

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import httpx

Json = dict[str, Any]

NDJSON = "application/x-ndjson"
CONNECT_TIMEOUT_SECONDS = 10
"""Limit for connecting. An answer has no limit: a restore may take hours."""

TIMEOUT = httpx.Timeout(None, connect=CONNECT_TIMEOUT_SECONDS)
LONGEST_QUOTE = 500
"""Characters of an unexpected answer that are quoted in a message."""


class Refused(Exception):
    """The service answered with a problem.

    The message has its detail and a line for each error and failure.
    """


class ServiceClient:
    """The snapshot and restore requests of one service.

    Every method raises ``Refused``, and ``httpx.HTTPError`` where the service cannot
    be reached.
    """

    def __init__(
        self,
        client: httpx.Client,
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
            return self._json("POST", "/snapshots", json=everything)
        return self._json("POST", _collection_path(collection), json=request)

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
        return self._json("GET", _snapshot_path(snapshot_id))

    def verify(
        self,
        snapshot_id: str,
    ) -> Json:
        """Verify a snapshot. Return ``ok`` with ``records``, or with ``detail``."""
        path = _snapshot_path(snapshot_id, "/verify")
        return self._json("POST", path)

    def delete(
        self,
        snapshot_id: str,
    ) -> None:
        """Delete a snapshot."""
        response = self._client.delete(_snapshot_path(snapshot_id))
        _check(response)

    def content(
        self,
        snapshot_id: str,
    ) -> Iterator[bytes]:
        """Stream the content of a snapshot."""
        path = _snapshot_path(snapshot_id, "/content")
        with self._client.stream("GET", path) as response:
            if response.is_error:
                response.read()
            _check(response)
            yield from response.iter_bytes()

    def upload(
        self,
        chunks: Iterable[bytes],
    ) -> Json:
        """Upload the content of a snapshot. Return its manifest."""
        headers = {"Content-Type": NDJSON}
        return self._json(
            "POST",
            "/snapshots",
            content=chunks,
            headers=headers,
        )

    def restore(
        self,
        request: Json,
    ) -> Json:
        """Restore a snapshot through the migration plans. Return the report."""
        return self._json("POST", "/migrations", json=request)

    def _json(
        self,
        method: str,
        path: str,
        **request: Any,
    ) -> Json:
        response = _check(self._client.request(method, path, **request))
        answer: Json = response.json()
        return answer


def client_of(
    url: str,
    key: str | None,
) -> httpx.Client:
    """Return a client of the service at a URL that sends a key."""
    return httpx.Client(
        base_url=url,
        timeout=TIMEOUT,
        headers=bearer(key),
    )


def bearer(key: str | None) -> dict[str, str]:
    """Return the headers that send a key."""
    if key is None:
        return {}
    return {"Authorization": f"Bearer {key}"}


def _collection_path(collection: str) -> str:
    return f"/api/{quote(collection, safe='')}/snapshots"


def _snapshot_path(
    snapshot_id: str,
    below: str = "",
) -> str:
    return f"/snapshots/{quote(snapshot_id, safe='')}{below}"


def _check(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        problem = response.json()
        detail = problem["detail"]
    except (ValueError, KeyError, TypeError):
        text = response.text[:LONGEST_QUOTE]
        raise Refused(f"status {response.status_code}: {text}") from None
    raise Refused("\n".join([detail, *_problem_lines(problem)]))


def _problem_lines(problem: Json) -> Iterator[str]:
    """Return a line for each error and each failed record of a problem."""
    for error in problem.get("errors", []):
        yield f"  {error['pointer']} {error['detail']}"
    members = ("collection", "id", "pointer", "detail")
    for failure in problem.get("failures", []):
        values = [failure.get(member) for member in members]
        yield "  " + " ".join(value for value in values if value)
