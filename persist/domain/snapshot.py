"""Snapshot: a verified copy of collections, with the schema versions it was taken at.

Its content is NDJSON: ``{"manifest": {…}}``, a record a line ordered by (workspace,
collection, id), ``{"end": {"records": n, "sha256": "…"}}``. The closing hash is over
all bytes before its line, the manifest's over the record lines as canonical JSON.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from persist.domain.errors import InvalidSnapshot, PersistError
from persist.domain.identifiers import COLLECTION_NAME, is_canonical
from persist.domain.record import Json, canonical_text, parse_data
from persist.domain.strict_json import MAX_DEPTH, parse
from persist.domain.wording import counted

FORMAT_VERSION = 1
"""The version of the format that is written, and the only one that is read."""

MANIFEST_MEMBERS = frozenset(
    (
        "id",
        "format_version",
        "mode",
        "created_at",
        "seq",
        "records",
        "sha256",
        "note",
        "automatic",
        "collections",
    )
)
OPTIONAL_MEMBERS = frozenset(("seal",))
"""Members of a manifest that earlier releases do not write."""

ENTRY_MEMBERS = frozenset(
    ("workspace", "name", "kind", "schema_version", "count", "definitions")
)
RECORD_MEMBERS = frozenset(
    (
        "id",
        "collection",
        "workspace",
        "revision",
        "schema_version",
        "created_at",
        "updated_at",
        "data",
    )
)
END_MEMBERS = frozenset(("records", "sha256"))
MAX_LINE_BYTES = 16_777_216
"""Bytes that a line may have.

A body of 1 MiB may contain numbers that take four times its room when written out.
"""

MAX_LINE_VALUES = 1_048_576
"""Values that a line may have; a body of 1 MiB has fewer.

Parsing does not let other threads run, and makes 40 bytes of each value, or more.
"""

STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')

MAX_REVISION = 2**62
"""The revision that a record may have in a snapshot: half of the range of 64 bits, so
that further changes can be counted."""

TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
SHA256 = re.compile(r"[0-9a-f]{64}")

Manifest = Json
Key = tuple[str, str, str]


def head_line(manifest: Manifest) -> str:
    """Return the first line."""
    return canonical_text({"manifest": manifest}) + "\n"


def has_too_many_values(line: bytes) -> bool:
    """Return whether parsing a line would cost too much.

    An object counts twice.
    """
    if len(line) <= MAX_LINE_VALUES:
        return False
    count = _separators(line)
    if count > MAX_LINE_VALUES:
        count -= sum(_separators(found[0]) for found in STRING.finditer(line))
    return count > MAX_LINE_VALUES


def _separators(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + 2 * text.count(b"{")


def manifest_text(head: str) -> str:
    """Return the manifest of a first line that was checked, as JSON text.

    Parsing one of 16 MiB would stop other threads for a second.
    """
    return head[head.index(":") + 1 : head.rindex("}")]


def end_line(records: int, sha256: str) -> str:
    """Return the last line."""
    return canonical_text({"end": {"records": records, "sha256": sha256}}) + "\n"


def record_line(
    collection: str, workspace: str, row: tuple[object, ...], data: object
) -> str:
    """Return a stored row (the envelope columns…) and its data as a line."""
    record_id, revision, schema_version, created_at, updated_at = row[:5]
    workspace_text = f'"{workspace}"' if workspace else "null"
    return (
        f'{{"collection":"{collection}","created_at":"{created_at}","data":{canonical_text(data)},"id":"{record_id}",'
        f'"revision":{revision},"schema_version":{schema_version},"updated_at":"{updated_at}",'
        f'"workspace":{workspace_text}}}\n'
    )


def _plain_integer(text: str) -> int:
    """Return an integer that strict JSON takes as it is. Raises ``ValueError``."""
    if len(text) > PLAIN_DIGITS:
        raise ValueError(text)
    return int(text)


def _plain_float(text: str) -> float:
    """Return a number that strict JSON does not make an integer of.

    Raises ``ValueError``.
    """
    if text.endswith(".0") or "e" in text:
        raise ValueError(text)
    return float(text)


PLAIN_DIGITS = 18
"""Characters of an integer that strict JSON takes as it is."""

_plain_value = json.JSONDecoder(
    parse_int=_plain_integer, parse_float=_plain_float
).raw_decode


def _plain(line: bytes) -> Any:
    """Return the value of a line that is canonical, which shows without strict parsing.

    Returns None for any other line.
    """
    # Only an escape can write what strict JSON refuses in text.
    if b"\\u" in line or line.count(b"{") + line.count(b"[") > MAX_DEPTH:
        return None
    try:
        value, _ = _plain_value(line.decode())
        return value if canonical_text(value).encode() + b"\n" == line else None
    except ValueError:
        return None


class Inspection:
    """Reads the lines of a snapshot one by one and refuses what does not fit.

    ``manifest`` is set after the first line. ``finish`` checks all lines against it.
    Raises ``InvalidSnapshot`` naming the line.
    """

    def __init__(self) -> None:
        self.manifest: Manifest = {}
        self.end: Mapping[str, Any] | None = None
        # The closing line has the hash of the bytes, the manifest that of the canonical
        # records: a content with other spaces is the same snapshot.
        self._bytes = hashlib.sha256()
        self._canonical = hashlib.sha256()
        self._counts: dict[tuple[str, str], int] = {}
        self._last: Key | None = None
        self._line = 0

    def read(self, line: bytes) -> Json | None:
        """Read the next line and return its record, None if it has none."""
        self._line += 1
        if not line.endswith(b"\n") or len(line) > MAX_LINE_BYTES:
            raise self._refused("is cut off or too long")
        if has_too_many_values(line):
            raise self._refused(f"has more than {MAX_LINE_VALUES:,} values")
        if self.end is not None:
            raise self._refused("comes after the closing line")
        # The lines that the service writes are canonical: comparing text is quicker
        # than parsing strictly.
        plain = _plain(line)
        value = self._parsed(line) if plain is None else plain
        if not isinstance(value, dict):
            raise self._refused("is not a JSON object")
        if self._line == 1:
            self._bytes.update(line)
            self._open(value)
            return None
        if value.keys() == {"end"}:
            self._close(value["end"])
            return None
        self._bytes.update(line)
        self._record(value)
        self._canonical.update(
            line if plain is not None else (canonical_text(value) + "\n").encode()
        )
        return value

    def finish(self) -> str:
        """Return the closing hash.

        Raises ``InvalidSnapshot`` unless the lines are complete and fit the manifest.
        """
        end = self._end()
        total = sum(self._counts.values())
        counts = {
            (entry["workspace"] or "", entry["name"]): entry["count"]
            for entry in self.manifest["collections"]
        }
        expected = self.manifest["records"]
        if (
            not total == expected == end["records"]
            or {k: n for k, n in counts.items() if n} != self._counts
        ):
            raise InvalidSnapshot(
                f"the snapshot contains {counted(total, 'record')}, its manifest says"
                f" {expected:,}"
            )
        if self._canonical.hexdigest() != self.manifest["sha256"]:
            raise InvalidSnapshot(
                "the records do not have the hash of the manifest: the snapshot was"
                " altered"
            )
        closing: str = end["sha256"]
        return closing

    def _end(self) -> Mapping[str, Any]:
        if self.end is None:
            raise InvalidSnapshot(
                "the closing line is missing: the snapshot is cut off"
            )
        return self.end

    def _parsed(self, line: bytes) -> Any:
        try:
            value = parse(line)
        except PersistError as error:
            raise self._refused(f"is not strict JSON: {error.detail}") from None
        return value

    def _open(self, value: Json) -> None:
        manifest = value.get("manifest")
        if value.keys() != {"manifest"} or not isinstance(manifest, dict):
            raise self._refused("is not a manifest")
        version = manifest.get("format_version")
        if type(version) is not int or version != FORMAT_VERSION:
            raise self._refused(f"has a format_version other than {FORMAT_VERSION}")
        members = manifest.keys() - OPTIONAL_MEMBERS
        if members != MANIFEST_MEMBERS:
            different = ", ".join(sorted(members ^ MANIFEST_MEMBERS))[:200]
            raise self._refused(f"lacks or does not know these members: {different}")
        if not all(_manifest_checks(manifest)):
            raise self._refused("has members of the wrong kind")
        self.manifest = manifest

    def _close(self, end: object) -> None:
        if not isinstance(end, dict) or end.keys() != END_MEMBERS:
            raise self._refused("is not a closing line")
        if end["sha256"] != self._bytes.hexdigest():
            raise InvalidSnapshot(
                "the closing hash does not fit the lines before it: the snapshot was"
                " altered"
            )
        self.end = end

    def _record(self, record: Json) -> None:
        if not is_exported_record(record):
            raise self._refused("is not a record")
        key = record["workspace"] or "", record["collection"], record["id"]
        # In order, nothing can come twice.
        if self._last is not None and key <= self._last:
            raise self._refused("is out of order")
        self._last = key
        self._counts[key[:2]] = self._counts.get(key[:2], 0) + 1

    def _refused(self, what: str) -> InvalidSnapshot:
        return InvalidSnapshot(f"line {self._line} {what}", line=self._line)


class KnownLines(Inspection):
    """Reads the records of a content without checking them again.

    They are those that were checked, or written by the service: they have the hash that
    the manifest has.
    """

    def read(self, line: bytes) -> Json | None:
        """Read the next line and return its record, None if it has none."""
        # The hash of the manifest covers the records only.
        if not self.manifest:
            return super().read(line)
        value = parse_data(line.decode())
        if value.keys() == {"end"}:
            self.end = value["end"]
            return None
        return value

    def finish(self) -> str:
        """Return the closing hash. Raises ``InvalidSnapshot`` if it is missing."""
        end = self._end()
        closing: str = end["sha256"]
        return closing


def _is_integer(value: object, minimum: int = 0) -> bool:
    return type(value) is int and value >= minimum


def _manifest_checks(manifest: Manifest) -> Iterator[bool]:
    yield isinstance(manifest["id"], str) and is_canonical(manifest["id"])
    yield manifest["mode"] in ("with_data", "schema_only")
    yield _is_time(manifest["created_at"])
    yield _is_integer(manifest["seq"]) and _is_integer(manifest["records"])
    yield manifest["mode"] == "with_data" or manifest["records"] == 0
    yield isinstance(manifest["sha256"], str) and bool(
        SHA256.fullmatch(manifest["sha256"])
    )
    seal = manifest.get("seal")
    yield seal is None or (isinstance(seal, str) and bool(SHA256.fullmatch(seal)))
    yield isinstance(manifest["note"], str) and type(manifest["automatic"]) is bool
    entries = manifest["collections"]
    yield isinstance(entries, list) and all(_is_entry(entry) for entry in entries)
    yield len({(entry["workspace"], entry["name"]) for entry in entries}) == len(
        entries
    )


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or entry.keys() != ENTRY_MEMBERS:
        return False
    return (
        _is_name(entry["name"])
        and (entry["workspace"] is None or _is_name(entry["workspace"]))
        and entry["kind"] in ("typed", "registered")
        and _is_integer(entry["schema_version"], 1)
        and _is_integer(entry["count"])
        and isinstance(entry["definitions"], list)
    )


def _is_time(value: object) -> bool:
    if not isinstance(value, str) or not TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(COLLECTION_NAME.fullmatch(value))


def is_exported_record(value: object) -> bool:
    """Return whether a JSON value is a record as exports and snapshots have it."""
    if not isinstance(value, dict) or value.keys() != RECORD_MEMBERS:
        return False
    record_id = value["id"]
    workspace = value["workspace"]
    return (
        isinstance(record_id, str)
        and is_canonical(record_id)
        and _is_name(value["collection"])
        and (workspace is None or _is_name(workspace))
        and _is_integer(value["revision"], 1)
        and value["revision"] <= MAX_REVISION
        and _is_integer(value["schema_version"], 1)
        and _are_times(value["created_at"], value["updated_at"])
        and isinstance(value["data"], dict)
    )


def _are_times(created_at: Any, updated_at: Any) -> bool:
    if not _is_time(created_at):
        return False
    return updated_at == created_at or _is_time(updated_at)


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Return the lines of a content that comes in chunks, each with its end.

    The last one may lack it.
    """
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
        if len(rest) > MAX_LINE_BYTES:
            break
    if rest:
        yield rest
