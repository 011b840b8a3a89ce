"""Narrator: calls the service, checks what comes back and tells the report."""

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from app.showcase.report import Report, Step

ABSENT = object()
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


class Mismatch(Exception):
    """The service did something else than it should; the message says what."""


class Narrator:
    """The one who tells the story of a service.

    ``restart`` stops the service, starts it again and gives its URL; None where it is
    not ours to stop. ``alone``: nobody else ever used its database, so names need not
    be made unique.
    """

    def __init__(
        self, client: httpx.Client, url: str, report: Report, *, alone: bool = False
    ) -> None:
        self.client = client
        self.url = url.rstrip("/")
        self.report = report
        self.alone = alone
        self.restart: Callable[[], str] | None = None
        self._made: list[str] = []

    def call(
        self,
        title: str,
        method: str,
        path: str,
        *,
        status: int,
        expect: Mapping[str, Any],
        read: Callable[[httpx.Response], Any] = httpx.Response.json,
        **request: Any,
    ) -> Any:
        """What is read of the answer to one request; ``expect`` maps dotted paths in it
        to their values.

        Raises ``Mismatch``.
        """
        response = self.client.request(method, self.url + path, **request)
        # At once: what comes out otherwise than expected has to go as well. Reports of
        # runs stay.
        if response.status_code == 201 and path != "/migrations":
            self.made(response.headers["Location"])
        if response.status_code != status:
            raise Mismatch(
                f"{title}: status {response.status_code} instead of {status}:"
                f" {response.text[:500]}"
            )
        answer = read(response)
        for name, value in expect.items():
            if (found := _at(answer, name)) != value or type(found) is not type(value):
                raise Mismatch(
                    f"{title}: {name} is {_shown(found)} instead of {_shown(value)}"
                )
        self.report.add(Step(title, f"{method} {path} → {status}", expect))
        return answer

    def unique(self, name: str) -> str:
        """A name nobody else has taken here."""
        return name if self.alone else f"{name}-{uuid.uuid4().hex[:8]}"

    def made(self, path: str) -> str:
        """Remember what was made, to delete it in the end; gives the path again."""
        self._made.append(path)
        return path

    def delete_all(self) -> None:
        """Delete what was made, the last first. Raises ``Mismatch``."""
        deleted = 0
        while self._made:
            path = self._made.pop()
            response = self.client.delete(self.url + path)
            # A type stays where somebody else has begun to use it meanwhile.
            if response.status_code not in (204, 404, 409):
                raise Mismatch(f"{path} cannot be deleted: {response.text[:500]}")
            deleted += response.status_code == 204
        self.report.add(Step("Delete what was made", "DELETE", {"deleted": deleted}))


def _at(answer: Any, name: str) -> Any:
    for part in name.split("."):
        if isinstance(answer, dict):
            answer = answer.get(part, ABSENT)
        elif isinstance(answer, list):
            answer = answer[int(part)] if int(part) < len(answer) else ABSENT
        else:
            return ABSENT
    return answer


def _shown(value: Any) -> str:
    return "absent" if value is ABSENT else json.dumps(value, ensure_ascii=False)
