"""Problems: every error as ``application/problem+json`` (RFC 9457), and the one table
of their statuses."""

import logging
from collections.abc import Iterable, Sequence

from persist.api.requests import Request
from persist.api.responses import PROBLEM, Headers, Response
from persist.domain import errors
from persist.domain.access import Access, Level
from persist.domain.errors import PersistError, Refused
from persist.domain.record import Json, dumps
from persist.domain.suggestions import did_you_mean
from persist.domain.workspace import DEFAULT

logger = logging.getLogger(__name__)

STATUSES: dict[type[PersistError], int] = {
    errors.BadRequest: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.RequestTimeout: 408,
    errors.Conflict: 409,
    errors.ChangesGone: 410,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.Invalid: 422,
    errors.IdempotencyMismatch: 422,
    errors.PreconditionRequired: 428,
    errors.TooManyRequests: 429,
    PersistError: 500,
    errors.UnsupportedTransferCoding: 501,
    errors.OutcomeUnknown: 503,
    errors.Unavailable: 503,
}

RETRY_AFTER = b"retry-after"


def status_of(kind: type[PersistError]) -> int:
    """Return the HTTP status of an error: that of its class or of the nearest base
    class."""
    # Not by a loop over the table: a class may have its own status below a base
    # that has one, as ``IdempotencyMismatch`` does.
    known = (base for base in kind.__mro__ if base in STATUSES)
    nearest = next(known)
    return STATUSES[nearest]


def catalogue() -> dict[str, type[PersistError]]:
    """Return every code with its class."""
    found: dict[str, type[PersistError]] = {"internal-error": PersistError}
    waiting: list[type[PersistError]] = [PersistError]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        has_code = "code" in vars(kind)
        if has_code and kind is not Refused:
            found.setdefault(kind.code, kind)
    return dict(sorted(found.items()))


def problem(error: BaseException, request: Request) -> Response:
    """Return the response to a request that failed. Any other exception than a
    refusal is logged, and answered with 500 without a word about the cause."""
    if isinstance(error, errors.Unavailable | errors.OutcomeUnknown):
        logger.warning("answered 503: %s", error.detail)
    if not isinstance(error, PersistError):
        logger.error("%s failed", request.instance, exc_info=error)
        _forget_frames(error)
        error = PersistError(
            "the service failed on this request; its log has the request_id"
        )
    _forget_frames(error)
    status = status_of(type(error))
    detail = error.detail + _hint(error, request.access)
    members: Json = {
        "type": f"/problems/{error.code}",
        "title": error.title,
        "status": status,
        "detail": detail,
        "instance": request.instance,
        "code": error.code,
        "request_id": request.request_id,
    }
    if error.errors:
        members["errors"] = [violation._asdict() for violation in error.errors]
    text = dumps(members | error.members)
    headers = [PROBLEM, *_headers(error)]
    return Response(status, text.encode(), headers)


def _forget_frames(error: BaseException | None) -> None:
    """Drop the frames through which an exception has passed.

    They refer to it in a circle, and so would keep the body and the record of its
    request until the garbage collector looks at all objects.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__context__


def _headers(error: PersistError) -> Headers:  # noqa: PLR0911 - a table of errors
    """Return the further headers that the class of an error requires."""
    match error:
        case errors.Unavailable() | errors.TooManyRequests():
            seconds = str(error.retry_after)
            return [(RETRY_AFTER, seconds.encode())]
        case errors.IdempotencyInProgress():
            return [(RETRY_AFTER, b"1")]
        case errors.Unauthenticated():
            return [(b"www-authenticate", b"Bearer")]
        case errors.RequestTimeout() | errors.UnsupportedTransferCoding():
            return [(b"connection", b"close")]
        case errors.MethodNotAllowed():
            methods = ", ".join(error.allowed)
            return [(b"allow", methods.encode())]
        case errors.UnsupportedMediaType():
            return [_accepted(error.accepted)]
    return []


def _accepted(types: Sequence[str]) -> tuple[bytes, bytes]:
    """Return the header that lists the media types of a body."""
    is_patch = "patch" in types[0]
    name = b"accept-patch" if is_patch else b"accept"
    listed = ", ".join(types)
    return name, listed.encode()


def _hint(error: PersistError, access: Access) -> str:
    """Return the end of a detail that names the collections that the caller may
    read."""
    match error:
        case errors.CollectionNotFound():
            known = _readable(access, error.others)
            meant = did_you_mean(error.name, known)
            return meant or "; GET /collections lists them"
        case errors.CollectionNotInWorkspace():
            names = _readable(access, error.collections, error.workspace)
            if names:
                listed = ", ".join(names)
                return f". You may read {listed} in it"
    return ""


def _readable(
    access: Access,
    collections: Iterable[str],
    workspace: str = DEFAULT,
) -> list[str]:
    return [name for name in collections if access.allows(Level.READ, name, workspace)]
