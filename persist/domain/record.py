"""Record: one persisted object, an envelope around ``data``."""

import json
from collections.abc import Callable
from dataclasses import field
from typing import Any, Self

from persist.domain.fast_dataclass import fast_dataclass
from persist.domain.json_lock import JSON_LOCK, LONG_CHARACTERS

Json = dict[str, Any]
"""A JSON object: a definition, a report, an answer."""

Data = dict[str, Any]
"""The members of a record: JSON values only, with integers within 64 bits.

A number without a fraction is an ``int``.
"""


def _encoder(*, sort_keys: bool) -> Callable[[object], str]:
    """Return a function like ``json.JSONEncoder.encode`` for compact strict JSON.

    ``encode`` creates the encoder in C at each call, which takes as long as encoding a
    record.
    """
    make = json.encoder.c_make_encoder  # type: ignore[attr-defined]
    default = json.JSONEncoder().default
    escape = json.encoder.encode_basestring
    chunks = make(None, default, escape, None, ":", ",", sort_keys, False, False)
    return lambda value: "".join(chunks(value, 0))


dumps = _encoder(sort_keys=False)
"""Return the JSON text of a value: compact, in the value's own order of members."""

canonical_text = _encoder(sort_keys=True)
"""Return the JSON text of a value with sorted members.

Two texts are equal if and only if the values are equal (``true`` is not 1).
"""

_decode = json.JSONDecoder().raw_decode


def parse_data(text: str) -> Data:
    """Return the data of a record from its stored text, which is one JSON object
    without spaces around it.

    ``json.loads`` takes twice the time: it looks for such spaces.
    """
    data: Data
    if len(text) > LONG_CHARACTERS:
        with JSON_LOCK:
            data = _decode(text)[0]
    else:
        data = _decode(text)[0]
    return data


def json_text(value: object, characters: int) -> str:
    """Return the JSON text of a value. ``characters`` is its approximate length: a long
    text is written under a lock."""
    if characters <= LONG_CHARACTERS:
        return dumps(value)
    with JSON_LOCK:
        return dumps(value)


def canonical_json_text(value: object, characters: int) -> str:
    """Return the canonical text of a value. ``characters`` is its approximate length: a
    long text is written under a lock."""
    if characters <= LONG_CHARACTERS:
        return canonical_text(value)
    with JSON_LOCK:
        return canonical_text(value)


INT64 = range(-(2**63), 2**63)

INT64_BOUNDS = {"minimum": INT64.start, "maximum": INT64.stop - 1}
"""The keywords of JSON Schema for an integer within 64 bits."""


def normalize_number(number: float) -> int | float:
    """Return ``30.0`` as 30, as long as it fits into 64 bits; other doubles as is."""
    if number.is_integer() and int(number) in INT64:
        return int(number)
    return number


@fast_dataclass
class Record:
    """One stored object.

    ``text`` is ``data`` as the JSON text that is stored. Times are RFC 3339 in UTC with
    microseconds and ``Z``: their order as text is their order in time. ``workspace`` is
    ``""`` for the default one. ``parsed`` is the parsed data if it is known already; it
    must not be changed.
    """

    id: str
    collection: str
    workspace: str
    revision: int
    schema_version: int
    created_at: str
    updated_at: str
    text: str
    parsed: Data | None = field(default=None, compare=False, repr=False)

    @classmethod
    def first(
        cls,
        collection: str,
        schema_version: int,
        workspace: str,
        record_id: str,
        data: Data,
        now: str,
        *,
        revision: int = 1,
    ) -> Self:
        """Return a new record. ``revision`` is above 1 if the id was used before."""
        text = dumps(data)
        return cls(
            record_id,
            collection,
            workspace,
            revision,
            schema_version,
            now,
            now,
            text,
            data,
        )

    def next(
        self, schema_version: int, now: str, text: str, parsed: Data | None = None
    ) -> "Record":
        """Return the next revision with other data.

        ``updated_at`` never goes back, even if the clock does.
        """
        return Record(
            self.id,
            self.collection,
            self.workspace,
            self.revision + 1,
            schema_version,
            self.created_at,
            max(now, self.updated_at),
            text,
            parsed,
        )

    def deleted(self, now: str) -> "Record":
        """Return the record with the revision of its deletion."""
        return self.next(self.schema_version, now, self.text, self.parsed)

    def restored(self, last_revision: int, *, changed: bool) -> "Record":
        """Return a record of a snapshot with the revision that it gets.

        It keeps its own if this database never knew the id (``last_revision`` is 0) and
        no migration step ``changed`` its data. Otherwise it gets the larger of the two
        revisions, + 1.
        """
        revision = self.revision
        if last_revision or changed:
            revision = max(revision, last_revision) + 1
        # ``dataclasses.replace`` takes three times as long.
        return Record(
            self.id,
            self.collection,
            self.workspace,
            revision,
            self.schema_version,
            self.created_at,
            self.updated_at,
            self.text,
            self.parsed,
        )

    def keep_text_only(self) -> None:
        """Forget the parsed data of a large record, which takes up to twenty times as
        much memory as its text: transactions have many records."""
        if len(self.text) > LONG_CHARACTERS:
            object.__setattr__(self, "parsed", None)

    @property
    def stored(self) -> tuple[str, str, str, int, int, str, str, str]:
        """What is stored of the record: ``Record(*record.stored)`` equals it."""
        return (
            self.id,
            self.collection,
            self.workspace,
            self.revision,
            self.schema_version,
            self.created_at,
            self.updated_at,
            self.text,
        )

    @property
    def data(self) -> Data:
        """A fresh copy of the data, which the caller may change."""
        return parse_data(self.text)
