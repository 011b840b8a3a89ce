"""Seals: every transaction ends with hashes over its changes (``domain.seal``)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from persist.domain.canonical_json import json_sha256
from persist.domain.change import Operation
from persist.domain.record import parse_data
from persist.domain.seal import (
    MAX_SEAL_CHANGES,
    Seal,
    leaf_hash,
    merkle_root,
    seal_over,
)
from persist.storage.dialect import Dialect
from persist.storage.journal.rows import LEAF_COLUMNS, leaf_of
from persist.storage.sql import Inserter, Row, Session, Statement, big_integer
from persist.storage.tables import JOURNAL, JOURNAL_FIRST, JOURNAL_HEAD, SEALS

INSERT_SEALS = Inserter(SEALS)

MOVE_HEAD = Statement(
    sa.update(JOURNAL_HEAD).values(
        sealed_seq=big_integer("sealed_seq"),
        seal_hash=sa.bindparam("seal_hash"),
        sealed_at=sa.bindparam("sealed_at"),
    )
)
"""Note the last seal, which the next transaction builds on."""

CHANGES_TO_SEAL = Statement(
    sa.select(*LEAF_COLUMNS)
    .where(
        JOURNAL.c.seq >= big_integer("first"),
        JOURNAL.c.seq <= big_integer("last"),
    )
    .order_by(JOURNAL.c.seq)
)
"""Select a range of changes as ``LEAF_COLUMNS``."""

STORE_HASH = Statement(
    sa.update(JOURNAL)
    .where(JOURNAL.c.seq == big_integer("change_seq"))
    .values(hash=sa.bindparam("leaf_hash", type_=sa.LargeBinary()))
)
"""Store the hash of a change that was written without one."""

JOURNAL_BEGIN = Statement(sa.select(JOURNAL_FIRST.c.seq))
"""Select the ``seq`` from which on the journal is complete."""

LAST_SEAL = Statement(
    sa.select(
        JOURNAL_HEAD.c.sealed_seq, JOURNAL_HEAD.c.seal_hash, JOURNAL_HEAD.c.sealed_at
    )
)
"""Select what the journal's counter says of the last seal."""

SEAL_COLUMNS = (
    SEALS.c.first_seq,
    SEALS.c.seq,
    SEALS.c.at,
    SEALS.c.root,
    SEALS.c.hash,
)

SEALS_AFTER = Statement(
    sa.select(*SEAL_COLUMNS)
    .where(SEALS.c.seq > big_integer("after"))
    .order_by(SEALS.c.seq)
    .limit(big_integer("limit"))
)
"""Select the next seals after a ``seq``."""

NEWEST_SEAL = Statement(
    sa.select(*SEAL_COLUMNS).order_by(SEALS.c.seq.desc()).limit(sa.literal_column("1"))
)
"""Select the last seal."""

SEALED_BY = Statement(
    sa.select(SEALS.c.seq)
    .where(SEALS.c.at <= sa.bindparam("at"))
    .order_by(SEALS.c.at.desc(), SEALS.c.seq.desc())
    .limit(sa.literal_column("1"))
)
"""Select the last change that was sealed at a time or before."""

LEAF_HASHES = Statement(
    sa.select(JOURNAL.c.hash)
    .where(
        JOURNAL.c.seq >= big_integer("first"),
        JOURNAL.c.seq <= big_integer("last"),
    )
    .order_by(JOURNAL.c.seq)
)
"""Select the hashes of a range of changes."""


@dataclass(frozen=True, slots=True)
class SealedHead:
    """The last seal: the last ``seq`` it covers, its hash and its time.

    Before the first seal they are 0, ``""`` and ``""``.
    """

    seq: int
    hash: str
    at: str


class SealWriter:
    """Seals the changes of one transaction, in the order of ``seq``."""

    def __init__(self, session: Session[Dialect], now: str) -> None:
        self._session = session
        self._now = now
        self._head: SealedHead | None = None
        self._leaves: list[bytes] = []

    def begin(self, head: SealedHead, first_seq: int) -> None:
        """Start after the last seal, as the journal's counter has it.

        Later calls do nothing: the seals of one transaction follow one another. Changes
        before ``first_seq`` without a seal are sealed first: a release before this one
        may have written them.
        """
        if self._head is not None:
            return
        self._head = head
        last_unsealed = first_seq - 1
        if head.seq < last_unsealed:
            for _ in self.seal_stored(last_unsealed):
                pass

    def add(self, leaves: Sequence[bytes]) -> None:
        """Add the hashes of the next changes; those that fill a seal are sealed."""
        self._leaves += leaves
        while len(self._leaves) >= MAX_SEAL_CHANGES:
            self._seal(MAX_SEAL_CHANGES, merkle_root(self._leaves[:MAX_SEAL_CHANGES]))
            del self._leaves[:MAX_SEAL_CHANGES]

    def add_roots(self, roots: Iterable[tuple[int, bytes]]) -> None:
        """Seal the next changes: how many each seal covers, and its root."""
        self._seal_rest()
        for count, root in roots:
            self._seal(count, root)

    def finish(self) -> None:
        """Seal the rest and note the last seal."""
        if self._head is None:
            return
        self._seal_rest()
        self._session.run(
            MOVE_HEAD,
            sealed_seq=self._head.seq,
            seal_hash=self._head.hash,
            sealed_at=self._head.at,
        )

    def seal_stored(self, newest: int) -> Iterator[int]:
        """Seal the stored changes that have no seal, up to the ``seq`` ``newest``.

        Yields after each seal how far it came.
        """
        assert self._head is not None
        # An earlier release may have trimmed the journal without sealing it.
        journal_begin = self._session.value(JOURNAL_BEGIN)
        start = max(self._head.seq + 1, journal_begin)
        self._head = replace(self._head, seq=start - 1)
        for first in range(start, newest + 1, MAX_SEAL_CHANGES):
            last = min(first + MAX_SEAL_CHANGES - 1, newest)
            rows = self._session.rows(CHANGES_TO_SEAL, first=first, last=last)
            leaves = []
            for row in rows:
                hashed = leaf_hash(leaf_of(row))
                leaves.append(hashed)
                self._session.run(STORE_HASH, change_seq=row[0], leaf_hash=hashed)
            self._seal(len(leaves), merkle_root(leaves))
            yield last

    def _seal_rest(self) -> None:
        if self._leaves:
            self._seal(len(self._leaves), merkle_root(self._leaves))
            self._leaves = []

    def _seal(self, count: int, root: bytes) -> None:
        assert self._head is not None
        # The clock may go back, the time of a seal does not.
        at = max(self._now, self._head.at)
        first_seq = self._head.seq + 1
        seal = seal_over(self._head.hash, first_seq, at, count, root)
        row = (seal.seq, seal.first_seq, seal.at, seal.root, seal.hash)
        self._session.insert(INSERT_SEALS, [row])
        self._head = SealedHead(seal.seq, seal.hash, seal.at)


def text_sha256(text: str | None) -> bytes | None:
    """Return the SHA-256 of the canonical JSON of a JSON text; None for None."""
    if text is None:
        return None
    return bytes.fromhex(json_sha256(parse_data(text), len(text)))


def was_erased(operation: str, data: str | None, *hashes: Any) -> bool:
    """Return whether the data or payload of a stored change was erased."""
    if any(found is not None for found in hashes):
        return True
    # Erasure of an earlier release left no hashes.
    return data is None and operation != Operation.DELETE.value


def seal_of(row: Row) -> Seal:
    """Return the seal of a row of ``SEAL_COLUMNS``."""
    return Seal(*row)
