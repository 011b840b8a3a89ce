"""Pages of HTML: the headers that they and their files are sent with."""

from fastapi.responses import HTMLResponse

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self';"
        " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action"
        " 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
"""The headers of a file whose address changes with its content."""


def page(html: str) -> HTMLResponse:
    """Return a page of HTML that runs this service's scripts only and that no page may
    frame."""
    return HTMLResponse(html, headers=HEADERS)
