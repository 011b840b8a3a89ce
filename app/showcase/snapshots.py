"""The snapshots of the showcase, under ids that nobody has used.

So the showcase can run on any database, any number of times.
"""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

from app.showcase.narrator import Narrator

FIXTURES = Path(__file__).parent / "fixtures"
NDJSON = {"Content-Type": "application/x-ndjson"}


def snapshot_content(
    narrator: Narrator,
    name: str,
) -> str:
    """Return the content of a snapshot."""
    content = (FIXTURES / f"{name}.ndjson").read_text()
    if narrator.owns_database:
        return content
    return with_new_ids(content)


def records(content: str) -> list[Any]:
    """Return the records in the content of a snapshot."""
    lines = content.splitlines()
    return [json.loads(line) for line in lines[1:-1]]


def with_new_ids(content: str) -> str:
    """Return the same snapshot with other ids and their hashes."""
    head, *lines, _ = content.splitlines(keepends=True)
    manifest = json.loads(head)["manifest"]
    manifest["id"] = str(uuid.uuid4())
    body = _replace_ids(lines)
    manifest["sha256"] = _sha256(body)
    text = _line({"manifest": manifest}) + body
    end = {"records": len(lines), "sha256": _sha256(text)}
    return text + _line({"end": end})


def _replace_ids(lines: list[str]) -> str:
    # Records are ordered by id, and so are the new ids.
    new_ids = sorted(str(uuid.uuid4()) for _ in lines)
    replaced = ""
    for line, new_id in zip(lines, new_ids, strict=True):
        old_id = json.loads(line)["id"]
        replaced += line.replace(old_id, new_id)
    return replaced


def _line(value: Any) -> str:
    text = json.dumps(
        value,
        ensure_ascii=False,
        sort_keys=True,
        separators=(",", ":"),
    )
    return text + "\n"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
