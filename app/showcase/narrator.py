"""Narrator: sends requests, checks the answers and reports each step."""

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from app.showcase.report import Report, Step

ABSENT = object()
"""The value of a member that an answer does not have."""

LONGEST_QUOTE = 500
"""Characters of an unexpected answer that are quoted in a message."""

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


class Mismatch(Exception):
    """The service answered something else than expected. The message says what."""


class Narrator:
    """The one who walks through the mission with a client of the service.

    ``restart`` stops the service and starts it again; it is None where the service
    belongs to somebody else. With ``owns_database`` nobody else has ever used the
    database, so that every name is free.
    """

    def __init__(
        self, client: httpx.Client, report: Report, *, owns_database: bool = False
    ) -> None:
        self.client = client
        self.report = report
        self.owns_database = owns_database
        self.restart: Callable[[], None] | None = None
        self._created: list[str] = []

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
        """Send a request and check its answer. Return what ``read`` makes of it.

        ``expect`` maps dotted paths in the answer to their values.
        Raise ``Mismatch``.
        """
        response = self.client.request(method, path, **request)
        # Before any check: what a failed step created is deleted as well. Reports of
        # restores cannot be deleted.
        if response.status_code == 201 and path != "/migrations":
            self.will_delete(response.headers["Location"])
        if response.status_code != status:
            raise Mismatch(
                f"{title}: status {response.status_code} instead of {status}:"
                f" {response.text[:LONGEST_QUOTE]}"
            )
        answer = read(response)
        _check(title, answer, expect)
        self.report.add(Step(title, f"{method} {path} → {status}", expect))
        return answer

    def unique(self, name: str) -> str:
        """Return a name that nobody has used in this database."""
        return name if self.owns_database else f"{name}-{uuid.uuid4().hex[:8]}"

    def will_delete(self, path: str) -> str:
        """Note what ``delete_all`` will delete. Return the path again."""
        self._created.append(path)
        return path

    def delete_all(self) -> None:
        """Delete what was created, the last first. Raise ``Mismatch``."""
        deleted = 0
        while self._created:
            path = self._created.pop()
            response = self.client.delete(path)
            # A type stays where somebody else has begun to use it meanwhile.
            if response.status_code not in (204, 404, 409):
                text = response.text[:LONGEST_QUOTE]
                raise Mismatch(f"{path} cannot be deleted: {text}")
            deleted += response.status_code == 204
        self.report.add(Step("Delete what was created", "DELETE", {"deleted": deleted}))


def _check(title: str, answer: Any, expect: Mapping[str, Any]) -> None:
    for name, value in expect.items():
        found = _member(answer, name)
        if found != value or type(found) is not type(value):
            raise Mismatch(
                f"{title}: {name} is {_text(found)} instead of {_text(value)}"
            )


def _member(answer: Any, name: str) -> Any:
    """Return the value at a dotted path, or ``ABSENT``."""
    for part in name.split("."):
        answer = _item(answer, part)
    return answer


def _item(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value.get(part, ABSENT)
    if isinstance(value, list) and int(part) < len(value):
        return value[int(part)]
    return ABSENT


def _text(value: Any) -> str:
    return "absent" if value is ABSENT else json.dumps(value, ensure_ascii=False)
