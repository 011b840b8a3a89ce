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


def snapshot_content(narrator: Narrator, name: str) -> str:
    """Return the content of a snapshot."""
    content = (FIXTURES / f"{name}.ndjson").read_text()
    return content if narrator.is_alone else with_new_ids(content)


def records(content: str) -> list[Any]:
    """Return the records in the content of a snapshot."""
    return [json.loads(line) for line in content.splitlines()[1:-1]]


def with_new_ids(content: str) -> str:
    """Return the same snapshot with other ids and their hashes."""
    head, *lines, _ = content.splitlines(keepends=True)
    manifest = json.loads(head)["manifest"] | {"id": str(uuid.uuid4())}
    fresh = sorted(str(uuid.uuid4()) for _ in lines)
    others = [
        line.replace(json.loads(line)["id"], id)
        for line, id in zip(lines, fresh, strict=True)
    ]
    manifest["sha256"] = _sha256("".join(others))
    text = _line({"manifest": manifest}) + "".join(others)
    return text + _line({"end": {"records": len(others), "sha256": _sha256(text)}})


def _line(value: Any) -> str:
    return (
        json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        + "\n"
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
