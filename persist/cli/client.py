"""ServiceClient: what a command asks a running service for, over HTTP."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

Json = dict[str, Any]

NDJSON = "application/x-ndjson"
CONNECT_SECONDS = 10
"""To be reached; an answer may take as long as it takes."""


class Refused(Exception):
    """The service refused; the message has the problem's detail and every failure it
    lists."""


class ServiceClient:
    """A service at a URL. Every method raises ``Refused``, and ``httpx.HTTPError``
    where the service cannot be reached."""

    def __init__(self, url: str, key: str | None) -> None:
        timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
        self._client = httpx.Client(base_url=url, timeout=timeout, headers=bearer(key))

    def close(self) -> None:
        """Let go of its connections."""
        self._client.close()

    def take(self, collection: str | None, wanted: Json) -> Json:
        """Take a snapshot of a collection, or of everything: the manifest."""
        if collection is None:
            return self._json("POST", "/snapshots", json={"scope": "all", **wanted})
        return self._json("POST", _of(collection), json=wanted)

    def snapshots(self, collection: str | None) -> list[Json]:
        """The manifests, the newest first."""
        found: list[Json] = self._json(
            "GET", "/snapshots" if collection is None else _of(collection)
        )["items"]
        return found

    def manifest(self, id: str) -> Json:
        """The manifest of a snapshot."""
        return self._json("GET", _at(id))

    def verify(self, id: str) -> Json:
        """Whether a snapshot is whole: ``ok``, and ``records`` or ``detail``."""
        return self._json("POST", _at(id, "/verify"))

    def delete(self, id: str) -> None:
        """Delete a snapshot."""
        _checked(self._client.delete(_at(id)))

    def content(self, id: str) -> Iterator[bytes]:
        """The content of a snapshot, in pieces."""
        with self._client.stream("GET", _at(id, "/content")) as response:
            if response.is_error:
                response.read()
            _checked(response)
            yield from response.iter_bytes()

    def upload(self, pieces: Iterable[bytes]) -> Json:
        """Hand in the content of a snapshot: its manifest."""
        return self._json(
            "POST", "/snapshots", content=pieces, headers={"Content-Type": NDJSON}
        )

    def restore(self, wanted: Json) -> Json:
        """Restore a snapshot through the migration plans: the report."""
        return self._json("POST", "/migrations", json=wanted)

    def _json(self, method: str, path: str, **request: Any) -> Json:
        answer: Json = _checked(self._client.request(method, path, **request)).json()
        return answer


@contextmanager
def connected(url: str, key: str | None) -> Iterator[ServiceClient]:
    """A client of the service at ``url``, which shows its ``key`` where it has one."""
    client = ServiceClient(url, key)
    try:
        yield client
    finally:
        client.close()


def bearer(key: str | None) -> dict[str, str]:
    """The headers that show a key."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def _of(collection: str) -> str:
    return f"/api/{quote(collection, safe='')}/snapshots"


def _at(id: str, what: str = "") -> str:
    return f"/snapshots/{quote(id, safe='')}{what}"


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        problem = response.json()
        told = problem["detail"]
    except (ValueError, KeyError, TypeError):
        raise Refused(f"status {response.status_code}: {response.text[:500]}") from None
    raise Refused("\n".join([told, *_particulars(problem)]))


def _particulars(problem: Json) -> Iterator[str]:
    """A line for each error and each failing record of a problem."""
    for error in problem.get("errors", []):
        yield f"  {error['pointer']} {error['detail']}"
    for failure in problem.get("failures", []):
        named = (
            failure.get(member, "")
            for member in ("collection", "id", "pointer", "detail")
        )
        yield "  " + " ".join(part for part in named if part)
