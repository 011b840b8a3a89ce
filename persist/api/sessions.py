"""Sessions: a browser sends its key once, and from then on a cookie that scripts cannot
read."""

from dataclasses import dataclass
from time import monotonic

import fastapi

from persist.api.authentication import (
    COOKIE,
    NO_KEY,
    Keyring,
    session_secret,
)
from persist.api.cross_origin import scheme_of
from persist.api.fastapi_registration import AuthorizedRequest
from persist.api.request_bodies import Body
from persist.api.requests import Request
from persist.api.responses import Response, no_content
from persist.domain.access import ANONYMOUS
from persist.domain.errors import Unauthenticated
from persist.domain.record import Json
from persist.storage.access.sessions import (
    SESSION_LIFETIME,
    NewSession,
    begin_session,
    begin_session_by_code,
    end_session,
)
from persist.storage.database import Database

BODY = Body(
    {"code": "…"},
    code={
        "type": "string",
        "description": "What the link of `persist console` has behind `#code=`.",
    },
)
NO_STORE = (b"cache-control", b"no-store")


@dataclass(frozen=True)
class Environment:
    """What tells this service from others: a name and a color, empty for none."""

    name: str
    color: str


class SessionRoutes:
    """The handlers of the sessions of browsers."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        environment: Environment,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._environment = environment

    async def begin_session(
        self, request: AuthorizedRequest, http: fastapi.Request
    ) -> Response:
        """Begin a session of the key that was sent, or of the one of a code. Where
        access is open there is nothing to begin.

        Raises ``Unauthenticated`` and ``InvalidPayload``.
        """
        body = BODY.read(await request.body())
        if request.access is ANONYMOUS:
            begun = await self._by_code(body)
        elif request.access.actor:
            begun = await self._by_key(request)
        else:
            return no_content()
        await self._keyring.read_since(monotonic())
        lifetime = round(SESSION_LIFETIME.total_seconds())
        cookie = _cookie(request, http, begun.secret, lifetime)
        return Response(204, b"", [cookie, NO_STORE])

    async def _by_code(self, body: Json) -> NewSession:
        if "code" not in body:
            raise Unauthenticated(NO_KEY)
        code: str = body["code"]
        return await self._database.write(
            lambda work: begin_session_by_code(work.session, code)
        )

    async def _by_key(self, request: Request) -> NewSession:
        key = request.access.actor
        return await self._database.write(lambda work: begin_session(work.session, key))

    async def read_session(self, request: AuthorizedRequest) -> Json:
        """Return who the caller is and what they may do."""
        access = request.access
        session = await self._keyring.session(request) if access.actor else None
        return {
            "open": not access.actor,
            "name": access.actor or None,
            "scopes": [str(scope) for scope in access.scopes],
            "expires_at": session.expires_at if session else None,
            "environment": {
                "name": self._environment.name or None,
                "color": self._environment.color or None,
            },
        }

    async def end_session(
        self, request: AuthorizedRequest, http: fastapi.Request
    ) -> Response:
        """End the session by whose cookie the request comes, if it does."""
        secret = session_secret(request)
        if secret is None or not request.access.actor:
            return no_content()
        await self._database.write(lambda work: end_session(work.session, secret))
        await self._keyring.read_since(monotonic())
        return Response(204, b"", [_cookie(request, http, "", 0)])


def _cookie(
    request: Request, http: fastapi.Request, value: str, seconds: int
) -> tuple[bytes, bytes]:
    """Return the header that sets the cookie (RFC 6265)."""
    path = request.url_path("") or "/"
    parts = [f"{COOKIE}={value}", f"Max-Age={seconds}", f"Path={path}"]
    parts += ["HttpOnly", "SameSite=Strict"]
    if scheme_of(request, http.scope) == "https":
        parts.append("Secure")
    return b"set-cookie", "; ".join(parts).encode()
