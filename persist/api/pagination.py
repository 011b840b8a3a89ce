"""Pages: their JSON, the link to the next one, and cursors, which hold where a page
ended in a form that fits one query and means nothing to the client."""

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any

from persist.api.requests import Request
from persist.api.responses import JSON, Response
from persist.domain.errors import InvalidQuery
from persist.domain.identifiers import is_canonical
from persist.domain.record import dumps

MAX_CURSOR_CHARACTERS = 16_384
"""Characters of a cursor: half of the limit for the target of a request."""


def page_response(
    request: Request,
    path: str,
    items: Iterable[str],
    cursor: str | None,
    total: int | None = None,
    erased: int | None = None,
) -> Response:
    """Return a page of items, which are JSON texts, with the cursor of the next one.
    ``path`` is that of the list."""
    counted = "" if total is None else f',"total":{total}'
    if erased is not None:
        counted += f',"erased":{erased}'
    text = f'{{"items":[{",".join(items)}],"next_cursor":{dumps(cursor)}{counted}}}'
    headers = [JSON]
    if cursor is not None:
        link = (
            f'<{next_link(request.url_path(path), request.query, cursor)}>; rel="next"'
        )
        headers.append((b"link", link.encode()))
    return Response(200, text.encode(), headers)


def next_link(path: str, query: bytes, cursor: str) -> str:
    """Return the address of the next page."""
    # A bare ">" would end the link.
    parts = query.decode("ascii").replace(">", "%3E").split("&")
    kept = [part for part in parts if part and not part.startswith("cursor=")]
    return f"{path}?{'&'.join([*kept, f'cursor={cursor}'])}"


def encode(bound: str, position: Sequence[Any]) -> str:
    """Return a cursor of ``[A-Za-z0-9_-]``; ``bound`` is what it belongs to.

    Raises ``InvalidQuery`` if no request could send it back.
    """
    text = dumps([bound, *position])
    cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    if len(cursor) > MAX_CURSOR_CHARACTERS:
        raise InvalidQuery(
            "the last record of the page has text that is too long for a cursor; sort"
            " by other members, or ask for fewer records"
        )
    return cursor


def decode(cursor: str, bound: str) -> list[Any]:
    """Return the position in a cursor. Raises ``InvalidQuery`` if it belongs to
    something else."""
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        content = json.loads(base64.b64decode(padded, b"-_", validate=True))
    except (ValueError, RecursionError):
        raise foreign_cursor() from None
    if not isinstance(content, list) or not content:
        raise foreign_cursor()
    if content[0] != bound:
        raise cursor_of_other_query()
    return content[1:]


def id_in(cursor: str, bound: str) -> str:
    """Return the id in a cursor that has nothing else. Raises ``InvalidQuery``."""
    position = decode(cursor, bound)
    if len(position) != 1 or not isinstance(position[0], str):
        raise foreign_cursor()
    if not is_canonical(position[0]):
        raise foreign_cursor()
    return position[0]


def cursor_of_other_query() -> InvalidQuery:
    """Return the refusal of a cursor of another list."""
    return InvalidQuery(
        "the cursor belongs to another collection, workspace or query; start again"
        " without it"
    )


def foreign_cursor() -> InvalidQuery:
    """Return the refusal of a cursor that this service did not make."""
    return InvalidQuery(
        "the cursor is not one that this service made; start again without it"
    )
