"""The snapshots the story brings along, under ids that nobody has used, so that it can
be told anywhere, any number of times."""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

from app.showcase.narrator import Narrator

FIXTURES = Path(__file__).parent / "fixtures"
NDJSON = {"Content-Type": "application/x-ndjson"}


def brought(narrator: Narrator, name: str) -> str:
    """The content of a snapshot."""
    content = (FIXTURES / f"{name}.ndjson").read_text()
    return content if narrator.alone else renewed(content)


def records(content: str) -> list[Any]:
    """The records of a content."""
    return [json.loads(line) for line in content.splitlines()[1:-1]]


def renewed(content: str) -> str:
    """The same snapshot under other ids; its hashes are made anew."""
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
