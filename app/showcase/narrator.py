"""Narrator: sends requests, checks the answers and reports each step."""

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

from app.showcase.report import Report, Step
from persist.client import Client, Problem
from persist.client.calls import Call, json_call

ABSENT = object()
"""The value of a member that an answer does not have."""

LONGEST_QUOTE = 500
"""Characters of an unexpected answer that are quoted in a message."""

OK = 200
CREATED = 201
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


class Mismatch(Exception):
    """The service answered something else than expected. The message says what."""


class Narrator:
    """Sends the requests of the mission with a client of the service.

    ``restart`` stops the service and starts it again; it is None where the service
    belongs to somebody else. With ``owns_database`` nobody else has ever used the
    database, so that every name is free.
    """

    def __init__(
        self, client: Client, report: Report, *, owns_database: bool = False
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
        read: Callable[[str], Any] = json.loads,
        **request: Any,
    ) -> Any:
        """Send a request and check its answer. Return what ``read`` makes of it.

        ``expect`` maps dotted paths in the answer to their values.
        Raise ``Mismatch``.
        """
        call = _call(method, path, **request)
        response = self._send(call)
        # Before any check: what a failed step created is deleted as well. Reports of
        # restores cannot be deleted.
        if response.location and path != "/migrations":
            self.will_delete(response.location)
        if response.status != status:
            raise Mismatch(
                f"{title}: status {response.status} instead of {status}:"
                f" {response.text[:LONGEST_QUOTE]}"
            )
        answer = read(response.text)
        _check(title, answer, expect)
        self.report.add(Step(title, f"{method} {path} → {status}", expect))
        return answer

    def _send(self, call: Call["_Answer"]) -> "_Answer":
        """Send a request and return its answer, also where it is a problem."""
        try:
            return self.client.send(call)
        except Problem as problem:
            return _Answer(problem.status, json.dumps(problem.members))

    def exists(self, path: str) -> bool:
        """Return whether there is something at a path."""
        return self._send(Call("GET", path, read=_Answer.of)).status == OK

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
            response = self._send(Call("DELETE", path, read=_Answer.of))
            # A type stays where somebody else has begun to use it meanwhile.
            if response.status not in (204, 404, 409):
                text = response.text[:LONGEST_QUOTE]
                raise Mismatch(f"{path} cannot be deleted: {text}")
            deleted += response.status == 204
        self.report.add(Step("Delete what was created", "DELETE", {"deleted": deleted}))


class _Answer(NamedTuple):
    """An answer, with the address of what was created."""

    status: int
    text: str
    location: str | None = None

    @classmethod
    def of(cls, response: Any) -> Self:
        """Return an answer of the client."""
        created = response.status_code == CREATED
        location = response.headers["Location"] if created else None
        return cls(response.status_code, response.text, location)


def _call(
    method: str,
    path: str,
    *,
    json: Any = None,
    content: bytes | None = None,
    headers: Mapping[str, str] = {},
) -> Call[_Answer]:
    media_type = headers.get("Content-Type", "application/json")
    call = json_call(
        method, path, _Answer.of, body=json, headers=headers, media_type=media_type
    )
    call.read = _Answer.of
    if content is not None:
        call.content = content
    return call


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
