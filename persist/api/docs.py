"""`GET /docs`: Swagger UI, every byte of it from this service.

``static/swagger-ui`` holds files of the npm package swagger-ui-dist 5.35.0 (Apache
License 2.0) as they are there. `/docs?collection=<name>` shows the document of one
collection; if there are many, the page offers them instead of showing all.
"""

import hashlib
from pathlib import Path

from fastapi.responses import FileResponse, HTMLResponse

from persist.api.html_pages import FOR_EVER, page
from persist.domain.errors import NotFound

STATIC = Path(__file__).parent / "static"
ASSETS = {
    "swagger-ui.css": STATIC / "swagger-ui" / "swagger-ui.css",
    "swagger-ui-bundle.js": STATIC / "swagger-ui" / "swagger-ui-bundle.js",
    "favicon.png": STATIC / "swagger-ui" / "favicon-32x32.png",
    "page.css": STATIC / "page.css",
    "page.js": STATIC / "page.js",
    "collections.js": STATIC / "collections.js",
}
GUIDE = (STATIC / "guide.html").read_text(encoding="utf-8")
VERSION = hashlib.sha256(
    b"".join(path.read_bytes() for path in ASSETS.values())
).hexdigest()[:12]
"""A part of the address of every asset: what is cached under it never changes."""

PAGE = f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Persist</title>
<link rel="stylesheet" href="docs/assets/{VERSION}/swagger-ui.css">
<link rel="stylesheet" href="docs/assets/{VERSION}/page.css">
<link rel="icon" type="image/png" href="docs/assets/{VERSION}/favicon.png">
</head>
<body>
{GUIDE}<nav id="collections"></nav>
<div id="swagger-ui"></div>
<script src="docs/assets/{VERSION}/swagger-ui-bundle.js"></script>
<script src="docs/assets/{VERSION}/page.js"></script>
</body>
</html>
"""


class DocsRoutes:
    """The handlers of the documentation page."""

    async def docs(self) -> HTMLResponse:
        """Return the page; its addresses are relative, so that it works behind a
        prefix."""
        return page(PAGE)

    async def docs_asset(self, version: str, name: str) -> FileResponse:
        """Return a file that the page needs. Raises ``NotFound``."""
        if version != VERSION or name not in ASSETS:
            raise NotFound("the documentation has no such file; reload /docs")
        return FileResponse(ASSETS[name], headers=FOR_EVER)
