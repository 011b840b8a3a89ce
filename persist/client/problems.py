"""Problems: the service's errors (RFC 9457) as exceptions, one class for each code."""

from typing import Any, ClassVar

import httpx


class Problem(Exception):
    """The service refused a request.

    ``status`` is the HTTP status, ``code`` names the kind of problem, ``detail`` says
    what happened. ``errors`` are the violations of an input: dictionaries of
    ``pointer`` and ``detail``. ``members`` holds every member of the answer. A 409 of a
    code that has no class here is a ``Conflict``: a command's own refusal.
    """

    CODE: ClassVar[str] = ""

    def __init__(self, status: int, members: dict[str, Any]) -> None:
        self.status = status
        self.code: str = members.get("code", "")
        self.detail: str = members.get("detail", "")
        self.errors: list[dict[str, str]] = members.get("errors", [])
        self.members = members
        super().__init__(self._message())

    @property
    def request_id(self) -> str | None:
        """The id under which the service logged the request."""
        return self.members.get("request_id")

    def _message(self) -> str:
        lines = [f"{self.status} {self.code}: {self.detail}"]
        lines += [f"  {error['pointer']} {error['detail']}" for error in self.errors]
        return "\n".join(lines)


class InvalidQuery(Problem):
    CODE = "invalid-query"


class InvalidJson(Problem):
    CODE = "invalid-json"


class MalformedRequest(Problem):
    CODE = "malformed-request"


class Unauthenticated(Problem):
    CODE = "unauthenticated"


class Forbidden(Problem):
    CODE = "forbidden"


class NotFound(Problem):
    """Nothing has this address; its subclasses say what is missing."""

    CODE = "not-found"


class CollectionNotFound(NotFound):
    CODE = "collection-not-found"


class RecordNotFound(NotFound):
    CODE = "record-not-found"


class RevisionNotFound(NotFound):
    CODE = "revision-not-found"


class CommandNotFound(NotFound):
    CODE = "command-not-found"


class EntityTypeNotFound(NotFound):
    CODE = "entity-type-not-found"


class SnapshotNotFound(NotFound):
    CODE = "snapshot-not-found"


class MigrationNotFound(NotFound):
    CODE = "migration-not-found"


class WorkspaceNotFound(NotFound):
    CODE = "workspace-not-found"


class CollectionNotInWorkspace(NotFound):
    CODE = "collection-not-in-workspace"


class MethodNotAllowed(Problem):
    CODE = "method-not-allowed"


class RequestTimeout(Problem):
    CODE = "request-timeout"


class Conflict(Problem):
    """The request does not fit what is stored; also a command's own refusal."""


class RecordExists(Conflict):
    CODE = "record-exists"


class UniqueViolation(Conflict):
    CODE = "unique-violation"


class CommandUnavailable(Conflict):
    CODE = "command-unavailable"


class CommandFailed(Conflict):
    CODE = "command-failed"


class PatchTestFailed(Conflict):
    CODE = "patch-test-failed"


class MigrationRequired(Conflict):
    CODE = "migration-required"


class RestoreConflict(Conflict):
    CODE = "restore-conflict"


class TooManyAffected(Conflict):
    CODE = "too-many-affected"


class IdempotencyInProgress(Conflict):
    CODE = "idempotency-in-progress"


class CollectionNotEmpty(Conflict):
    CODE = "collection-not-empty"


class CollectionIsTyped(Conflict):
    CODE = "collection-is-typed"


class WorkspaceNotEmpty(Conflict):
    CODE = "workspace-not-empty"


class UndoConflict(Conflict):
    CODE = "undo-conflict"


class ChangesGone(Problem):
    CODE = "changes-gone"


class PreconditionFailed(Problem):
    """The record has another revision than the request names."""

    CODE = "precondition-failed"

    @property
    def revision(self) -> int | None:
        """The record's current revision."""
        return self.members.get("revision")

    @property
    def changed(self) -> list[str]:
        """The pointers to what was changed since the revision that was named."""
        pointers: list[str] = self.members.get("changed", [])
        return pointers

    @property
    def conflicts(self) -> list[str]:
        """The pointers to what both sides changed to different values."""
        pointers: list[str] = self.members.get("conflicts", [])
        return pointers


class TooLarge(Problem):
    CODE = "too-large"


class UnsupportedMediaType(Problem):
    CODE = "unsupported-media-type"


class Invalid(Problem):
    """The input is not valid; ``errors`` says where."""


class InvalidData(Invalid):
    CODE = "invalid-data"


class InvalidPayload(Invalid):
    CODE = "invalid-payload"


class InvalidPatch(Invalid):
    CODE = "invalid-patch"


class InvalidSchema(Invalid):
    CODE = "invalid-schema"


class InvalidSnapshot(Invalid):
    CODE = "invalid-snapshot"


class MigrationFailed(Invalid):
    CODE = "migration-failed"


class IdempotencyMismatch(Problem):
    CODE = "idempotency-mismatch"


class PreconditionRequired(Problem):
    CODE = "precondition-required"


class TooManyRequests(Problem):
    CODE = "too-many-requests"


class InternalError(Problem):
    CODE = "internal-error"


class NotImplementedByService(Problem):
    CODE = "not-implemented"


class Unavailable(Problem):
    """The service cannot do this now; nothing was stored."""

    CODE = "unavailable"


class OutcomeUnknown(Problem):
    """The write may be stored; the same ``Idempotency-Key`` settles it."""

    CODE = "outcome-unknown"


def _classes(parent: type[Problem]) -> dict[str, type[Problem]]:
    found = {parent.CODE: parent} if parent.CODE else {}
    for child in parent.__subclasses__():
        found |= _classes(child)
    return found


CLASSES = _classes(Problem)
"""The class of each code."""


def problem_of(response: httpx.Response) -> Problem:
    """Return the exception for an error answer whose body was read."""
    try:
        members = response.json()
    except ValueError:
        members = None
    if not isinstance(members, dict):
        # A proxy answers its own errors in another form.
        members = {"detail": response.text[:500]}
    status = response.status_code
    otherwise = Conflict if status == 409 else Problem
    return CLASSES.get(members.get("code", ""), otherwise)(status, members)


def checked(response: httpx.Response) -> httpx.Response:
    """Return a response whose body was read, unless it is an error: then raise it."""
    if response.is_error:
        raise problem_of(response)
    return response
