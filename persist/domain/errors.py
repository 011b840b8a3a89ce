"""Every refusal of the service, as one tree.

    PersistError
    ├── BadRequest ── InvalidQuery · InvalidJson · MalformedRequest
    ├── AccessRefused ── Unauthenticated · Forbidden
    ├── NotFound ── CollectionNotFound · RecordNotFound · RevisionNotFound · CommandNotFound ·
    │               EntityTypeNotFound · SnapshotNotFound · MigrationNotFound · WorkspaceNotFound ·
    │               CollectionNotInWorkspace
    ├── Conflict ── RecordExists · UniqueViolation · Refused · CommandUnavailable · CommandFailed ·
    │               PatchTestFailed · MigrationRequired · RestoreConflict · UndoConflict ·
    │               TooManyAffected · IdempotencyInProgress · CollectionNotEmpty · CollectionIsTyped · WorkspaceNotEmpty
    ├── Invalid ── InvalidData · InvalidPayload · InvalidPatch · InvalidSchema · InvalidSnapshot ·
    │              MigrationFailed
    ├── MethodNotAllowed · RequestTimeout · ChangesGone · PreconditionFailed · PreconditionRequired ·
    │   TooLarge · UnsupportedMediaType · UnsupportedTransferCoding · IdempotencyMismatch
    └── OutcomeUnknown · TooManyRequests · Unavailable

The class names the problem, ``title`` describes it in a sentence, and ``detail`` says
what is wrong with this request, where, and what to do. HTTP statuses are in one table,
in ``api.problems``.
"""

import re
from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

PROBLEM_CODE = re.compile("[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Violation(NamedTuple):
    """One thing wrong with an input.

    ``pointer`` is a JSON Pointer (RFC 6901) to the member itself, a missing or unknown
    one too.
    """

    pointer: str
    detail: str


def pointer(path: Iterable[str | int]) -> str:
    """Return the JSON Pointer (RFC 6901) to ``path``."""
    return "".join(
        "/" + str(part).replace("~", "~0").replace("/", "~1") for part in path
    )


def steps_of(text: str) -> list[str]:
    """Return the path that a JSON Pointer (RFC 6901) leads along."""
    return [
        step.replace("~1", "/").replace("~0", "~")  # in this order: ~01 is ~1
        for step in text.split("/")[1:]
    ]


class PersistError(Exception):
    """A refusal that a client receives as a problem.

    ``errors`` lists every violation of an input. ``members`` are further members of the
    problem, such as the current ``revision`` or the ``outcomes`` of a bulk command.
    """

    code: str = "internal-error"
    title: ClassVar[str] = "Something went wrong inside the service"

    def __init__(
        self, detail: str, *, errors: Iterable[Violation] = (), **members: Any
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.members = members


class BadRequest(PersistError):
    """The request cannot be understood as it stands."""

    code = "malformed-request"
    title = "The request cannot be understood"


class InvalidQuery(BadRequest):
    code = "invalid-query"
    title = "The query string is not valid"


class InvalidJson(BadRequest):
    code = "invalid-json"
    title = "The body is not strict JSON"


class MalformedRequest(BadRequest):
    pass


class AccessRefused(PersistError):
    """The caller may not do this."""


class Unauthenticated(AccessRefused):
    code = "unauthenticated"
    title = "A valid API key is needed"


class Forbidden(AccessRefused):
    code = "forbidden"
    title = "The caller may not do this"


class NotFound(PersistError):
    """What the request names does not exist."""

    code = "not-found"
    title = "There is nothing at this address"


class CollectionNotFound(NotFound):
    """``others`` are the collections that exist; a problem names only those that its
    caller may read (``api.problems``)."""

    code = "collection-not-found"
    title = "There is no such collection"

    def __init__(
        self, detail: str, *, name: str = "", others: Iterable[str] = ()
    ) -> None:
        super().__init__(detail)
        self.name = name
        self.others = others


class RecordNotFound(NotFound):
    code = "record-not-found"
    title = "There is no such record"


class RevisionNotFound(NotFound):
    code = "revision-not-found"
    title = "This revision of the record is not available"


class CommandNotFound(NotFound):
    code = "command-not-found"
    title = "The collection has no such command"


class EntityTypeNotFound(NotFound):
    code = "entity-type-not-found"
    title = "There is no such entity type"


class SnapshotNotFound(NotFound):
    code = "snapshot-not-found"
    title = "There is no such snapshot"


class MigrationNotFound(NotFound):
    code = "migration-not-found"
    title = "There is no such migration"


class WorkspaceNotFound(NotFound):
    code = "workspace-not-found"
    title = "There is no such workspace"


class CollectionNotInWorkspace(NotFound):
    """``collections`` are those in the workspace; a problem names only those that its
    caller may read (``api.problems``)."""

    code = "collection-not-in-workspace"
    title = "The workspace does not hold this collection"

    def __init__(
        self, detail: str, *, workspace: str = "", collections: Iterable[str] = ()
    ) -> None:
        super().__init__(detail)
        self.workspace = workspace
        self.collections = collections


class Conflict(PersistError):
    """The request is valid, but the present state does not allow it."""


class RecordExists(Conflict):
    code = "record-exists"
    title = "A record with this id exists already"


class UniqueViolation(Conflict):
    code = "unique-violation"
    title = "Another record holds this unique value"


class Refused(Conflict):
    """The refusal of a command; ``code`` is what the client sees.

    Raises ``ValueError`` for a code that is not lower-case words joined by hyphens.

    >>> raise Refused("the balance is too low", code="insufficient-funds")
    """

    code = "command-unavailable"
    title = "The command refused this record"

    def __init__(self, detail: str, *, code: str = "command-unavailable") -> None:
        if not PROBLEM_CODE.fullmatch(code):
            raise ValueError(
                f"{code!r} is not the code of a problem; write it like insufficient-funds"
            )
        super().__init__(detail)
        self.code = code


class CommandUnavailable(Conflict):
    code = "command-unavailable"
    title = "The command is not available in the record's present state"


class CommandFailed(Conflict):
    code = "command-failed"
    title = "The command failed on a record; nothing was changed"


class PatchTestFailed(Conflict):
    code = "patch-test-failed"
    title = "A test operation of the patch failed"


class MigrationRequired(Conflict):
    code = "migration-required"
    title = "Stored records do not fit the new schema"


class RestoreConflict(Conflict):
    code = "restore-conflict"
    title = "Records of the snapshot exist already"


class UndoConflict(Conflict):
    code = "undo-conflict"
    title = "Records have changed since, or their earlier data is no longer stored"


class TooManyAffected(Conflict):
    code = "too-many-affected"
    title = "More records match than max_affected allows"


class IdempotencyInProgress(Conflict):
    code = "idempotency-in-progress"
    title = "A request with this Idempotency-Key is still running"


class CollectionNotEmpty(Conflict):
    code = "collection-not-empty"
    title = "The collection still holds records"


class CollectionIsTyped(Conflict):
    code = "collection-is-typed"
    title = "The name belongs to a collection defined in code"


class WorkspaceNotEmpty(Conflict):
    code = "workspace-not-empty"
    title = "The workspace still holds records"


class Invalid(PersistError):
    """The request is well formed, but its content is not acceptable. If no violation is
    named, the content as a whole is the only one."""

    def __init__(
        self, detail: str, *, errors: Iterable[Violation] = (), **members: Any
    ) -> None:
        super().__init__(
            detail, errors=tuple(errors) or (Violation("", detail),), **members
        )


class InvalidData(Invalid):
    code = "invalid-data"
    title = "The data does not fit the schema"


class InvalidPayload(Invalid):
    code = "invalid-payload"
    title = "The payload is not valid for this operation"


class InvalidPatch(Invalid):
    code = "invalid-patch"
    title = "The patch cannot be applied"


class InvalidSchema(Invalid):
    code = "invalid-schema"
    title = "The definition of the entity type is not acceptable"


class InvalidSnapshot(Invalid):
    code = "invalid-snapshot"
    title = "The snapshot is damaged or not a snapshot"


class MigrationFailed(Invalid):
    code = "migration-failed"
    title = "The migration cannot bring the data to the current schema version"


class IdempotencyMismatch(PersistError):
    code = "idempotency-mismatch"
    title = "The Idempotency-Key was used for another request"


class MethodNotAllowed(PersistError):
    code = "method-not-allowed"
    title = "The address does not support this method"

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        self.allowed = tuple(allowed)
        super().__init__(
            f"{method} is not supported here; use {', '.join(self.allowed)}"
        )


class RequestTimeout(PersistError):
    code = "request-timeout"
    title = "The body did not arrive in time"


class ChangesGone(PersistError):
    code = "changes-gone"
    title = "The journal no longer reaches back that far"


class PreconditionFailed(PersistError):
    code = "precondition-failed"
    title = "The record or definition is not in the state that the request requires"


class PreconditionRequired(PersistError):
    code = "precondition-required"
    title = "This change needs an If-Match header"


class TooLarge(PersistError):
    code = "too-large"
    title = "The request is larger than allowed"


class UnsupportedMediaType(PersistError):
    code = "unsupported-media-type"
    title = "The media type is not supported here"

    def __init__(self, detail: str, accepted: Iterable[str]) -> None:
        self.accepted = tuple(accepted)
        super().__init__(detail)


class UnsupportedTransferCoding(PersistError):
    code = "not-implemented"
    title = "The transfer coding is not supported"


class OutcomeUnknown(PersistError):
    """The database did not confirm a commit, so a write may or may not be stored."""

    code = "outcome-unknown"
    title = "The write may or may not be stored"


class TooManyRequests(PersistError):
    """The caller uses its whole share of what the service can do at once; the same
    request may succeed in ``retry_after`` seconds. Nothing was stored."""

    code = "too-many-requests"
    title = "The caller has too much in progress"
    retry_after = 1


class Unavailable(PersistError):
    """The service cannot answer now; the same request may succeed in ``retry_after``
    seconds. Nothing was stored."""

    code = "unavailable"
    title = "The service cannot answer now"

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
