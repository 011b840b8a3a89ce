"""Problems: every error as ``application/problem+json`` (RFC 9457), and the one table
of their statuses."""

import logging
from collections.abc import Sequence
from typing import Any

from persist.api.hints import hint
from persist.api.requests import Request
from persist.api.responses import PROBLEM, Headers, Response
from persist.domain import errors
from persist.domain.errors import PersistError, Refused
from persist.domain.record import dumps

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
    known = (base for base in kind.__mro__ if base in STATUSES)
    return STATUSES[next(known)]


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
    """Return the response to a request that failed. An exception that is no refusal is
    logged, and answered with 500 without a word about the inside."""
    if isinstance(error, errors.Unavailable | errors.OutcomeUnknown):
        logger.warning("answered 503: %s", error.detail)
    if not isinstance(error, PersistError):
        logger.error("%s failed", request.instance, exc_info=error)
        error = PersistError(
            "the service failed on this request; its log has the request_id"
        )
    status = status_of(type(error))
    detail = error.detail + hint(error, request.access)
    members: dict[str, Any] = {
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
