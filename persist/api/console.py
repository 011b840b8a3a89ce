"""`/console`: the page in which people read and change records in a browser.

``static/console`` is built from the folder ``console`` of the repository. Its screens
have addresses below `/console`, all of them answered with the same page; a file has a
dot in the last segment of its address, and a hash of its content in its name.
"""

from pathlib import Path

from fastapi.responses import FileResponse, HTMLResponse, Response

from persist.api.html_pages import FOR_EVER, page
from persist.domain.errors import NotFound

STATIC = Path(__file__).parent / "static" / "console"
INDEX = "index.html"


class ConsoleRoutes:
    """The handlers of the console. A proxy strips ``root_path`` from paths."""

    def __init__(
        self,
        root_path: str,
    ) -> None:
        index = STATIC / INDEX
        html = index.read_text(encoding="utf-8")
        # A screen may lie several segments deep: its page has absolute addresses.
        here = f'="{root_path}/console/'
        self._page = html.replace('="/console/', here)
        self._files = _files()

    async def console(
        self,
    ) -> HTMLResponse:
        """Return the page."""
        return page(self._page)

    async def console_file(
        self,
        path: str,
    ) -> Response:
        """Return the page for a screen, or a file that it needs.

        Raises ``NotFound``.
        """
        _, _, name = path.rpartition("/")
        if "." not in name:
            return page(self._page)
        file = self._files.get(path)
        if file is None:
            raise NotFound("the console has no such file; reload /console")
        return FileResponse(file, headers=FOR_EVER)


def _files() -> dict[str, Path]:
    """Return the files that the page needs, by their path below `/console`."""
    found: dict[str, Path] = {}
    for path in STATIC.rglob("*"):
        if path.is_file() and path.name != INDEX:
            name = path.relative_to(STATIC)
            found[name.as_posix()] = path
    return found
