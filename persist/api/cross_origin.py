"""CrossOriginPolicy: which web pages may send requests (CORS and cross-site checks),
and the headers of the answers."""

from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit

from persist.api.authentication import session_secret
from persist.api.requests import Request, Scope
from persist.api.responses import Headers, Response
from persist.api.routes import is_page
from persist.domain.errors import Forbidden

ALLOWED_HEADERS = (
    "Authorization",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "Prefer",
    "Last-Event-ID",
    "X-Request-ID",
)
EXPOSED_HEADERS = (
    "ETag",
    "Link",
    "Location",
    "Retry-After",
    "Accept-Patch",
    "X-Request-ID",
    "Idempotency-Replayed",
    "Preference-Applied",
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PREFLIGHT_SECONDS = 600
"""Seconds for which a browser keeps the answer to a preflight request."""

PORTS = {"http": 80, "https": 443}

NOSNIFF = (b"x-content-type-options", b"nosniff")
PRIVATE = (b"cache-control", b"private, no-cache")
VARY = (b"vary", b"Origin")
VARY_ACCEPT = (b"vary", b"Accept")
HTML = "text/html"


class CrossOriginPolicy:
    """Decides which requests of pages of other sites are answered.

    ``origins`` are the origins of pages that may ask (``PERSIST_CORS_ORIGINS``).
    ``landing_page`` is the path to which ``/`` leads a browser.
    """

    def __init__(self, origins: Collection[str], landing_page: str) -> None:
        self._landing_page = landing_page
        self._origins = frozenset(origins)
        self._exposed: Headers = [
            (b"access-control-expose-headers", ", ".join(EXPOSED_HEADERS).encode())
        ]

    def answer(self, request: Request, scope: Scope) -> Response | None:
        """Return the answer to a preflight request, or to a browser that asks for
        ``/``; None for any other request. Raises ``Forbidden`` for a request that a
        page of another site may not send."""
        headers = request.headers
        # Browsers name the page that sends a request.
        if b"origin" in headers or b"sec-fetch-site" in headers:
            preflight = self._preflight(request)
            if preflight is not None:
                return preflight
            self._check(request, scope)
        return self._landing(request) if request.path == "/" else None

    def _landing(self, request: Request) -> Response | None:
        """Return the redirect of a browser that asks for ``/`` to a page, or None for
        any other request."""
        is_reading = request.method in ("GET", "HEAD")
        if not is_reading or not request.prefers(HTML):
            return None
        location = request.url_path(self._landing_page).encode()
        return Response(303, b"", [(b"location", location), VARY_ACCEPT])

    def _preflight(self, request: Request) -> Response | None:
        """Return the answer to a preflight request (Fetch standard, CORS protocol) of
        an allowed page; None for any other request."""
        origin = request.header(b"origin")
        if request.method != "OPTIONS" or origin not in self._origins:
            return None
        if request.header(b"access-control-request-method") is None:
            return None
        headers = [
            (b"access-control-allow-methods", ", ".join(METHODS).encode()),
            (b"access-control-allow-headers", ", ".join(ALLOWED_HEADERS).encode()),
            (b"access-control-max-age", str(PREFLIGHT_SECONDS).encode()),
        ]
        return Response(204, b"", headers)

    def _check(self, request: Request, scope: Scope) -> None:
        """Raise ``Forbidden`` for a request from a page of another site, unless the
        page is allowed or the request follows a link to a page of this service."""
        origin = request.header(b"origin")
        site = request.header(b"sec-fetch-site")
        if origin in self._origins:
            return
        is_foreign = site not in (None, "same-origin", "none")
        if origin is not None and not is_foreign:
            is_foreign = origin != _own_origin(request, scope)
        if is_foreign and not _follows_link(request):
            sender = f"from {origin[:80]!r}" if origin else "from another site"
            raise Forbidden(
                f"a page {sender} may not use this service; name its origin in"
                " PERSIST_CORS_ORIGINS to allow it"
            )

    def check_cookie(self, request: Request, scope: Scope) -> None:
        """Raise ``Forbidden`` for a write with a cookie unless the browser says that a
        page of this service sends it: other ports of a host have the same cookies."""
        if not request.access.actor or session_secret(request) is None:
            return
        origin = request.header(b"origin")
        if origin is None:
            is_own = request.header(b"sec-fetch-site") == "same-origin"
        else:
            is_own = origin == _own_origin(request, scope)
        if not is_own:
            raise Forbidden(
                "a request with a session cookie may write only from a page of this"
                " service; send the service's own Origin, or an API key"
            )

    def add_headers(self, request: Request, headers: Headers) -> None:
        """Add the headers for browsers to those of a response."""
        if request.access.actor and all(name != PRIVATE[0] for name, _ in headers):
            headers.append(PRIVATE)
        headers.append(NOSNIFF)
        if self._origins:
            headers += self._cors(request.header(b"origin"))

    def _cors(self, origin: str | None) -> Headers:
        """Return the headers by which a browser lets a page read a response."""
        if origin is None or origin not in self._origins:
            return [VARY]
        allowed = (b"access-control-allow-origin", origin.encode())
        return [VARY, allowed, *self._exposed]


def _own_origin(request: Request, scope: Scope) -> str | None:
    """Return the origin under which the client reached the service.

    A proxy that ends TLS says so in ``X-Forwarded-Proto``. A page of another site
    cannot send that header: it is not one that a preflight request allows.
    """
    return _origin(scheme_of(request, scope), request.header(b"host") or "")


def scheme_of(request: Request, scope: Scope) -> str:
    """Return the scheme by which the client reached the service."""
    scheme: str = request.header(b"x-forwarded-proto") or scope["scheme"]
    return scheme.lower()


@lru_cache(maxsize=256)
def _origin(scheme: str, host: str) -> str | None:
    """Return an origin as browsers write it: without the port of the scheme."""
    try:
        parts = urlsplit(f"//{host}")
        port = parts.port
    except ValueError:
        return None
    name = (parts.hostname or "").lower()
    if ":" in name:
        name = f"[{name}]"
    if port is None or port == PORTS.get(scheme):
        return f"{scheme}://{name}"
    return f"{scheme}://{name}:{port}"


def _follows_link(request: Request) -> bool:
    """Return whether a person follows a link to a page of this service."""
    return (
        request.method == "GET"
        and is_page(request.path)
        and request.header(b"sec-fetch-mode") == "navigate"
        and request.header(b"sec-fetch-dest") == "document"
    )
