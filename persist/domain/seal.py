"""Leaves and seals: hashes that show whether the journal was changed afterwards.

Every change has a leaf. Every transaction ends with a seal over its leaves, and each
seal names the one before it, so that the last seal vouches for the whole journal. The
tree of a seal's leaves is the Merkle tree of RFC 9162, section 2.1.1.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from json.encoder import encode_basestring
from typing import Literal

from persist.domain.canonical_json import json_sha256

MAX_SEAL_CHANGES = 4_096
"""Changes that one seal covers at the most."""

_NODE = b"\x01"

Side = Literal["left", "right"]


Leaf = tuple[
    str, str, str, str, int, int, str, str | None, str, str, str | None, str | None
]
"""The parts of a change that its hash covers, all but its ``seq``: ``at, workspace,
collection, id, revision, schema_version, operation, command, actor, request_id,
payload_sha256, data_sha256``.

``payload_sha256`` and ``data_sha256`` are None if the change has no payload or data.
``actor`` is empty if access is open and for the service itself; ``workspace`` is
empty for the default one. Both are null in JSON then. A tuple with names would take as
long to make as its text.
"""


def leaf_hash(leaf: Leaf) -> bytes:
    """Return the SHA-256 of a leaf, in 32 bytes.

    Its canonical JSON is written member by member, which takes half of the time. Names,
    ids, times and hashes have no character that JSON would escape.
    """
    (
        at,
        workspace,
        collection,
        record_id,
        revision,
        version,
        operation,
        command,
        actor,
        request_id,
        payload_sha256,
        data_sha256,
    ) = leaf
    actor_json = encode_basestring(actor) if actor else "null"
    command_json = "null" if command is None else encode_basestring(command)
    data_json = "null" if data_sha256 is None else f'"{data_sha256}"'
    payload_json = "null" if payload_sha256 is None else f'"{payload_sha256}"'
    workspace_json = f'"{workspace}"' if workspace else "null"
    text = (
        f'\0{{"actor":{actor_json},"at":"{at}","collection":"{collection}",'
        f'"command":{command_json},"data_sha256":{data_json},"id":"{record_id}",'
        f'"operation":"{operation}","payload_sha256":{payload_json},'
        f'"request_id":{encode_basestring(request_id)},"revision":{revision},'
        f'"schema_version":{version},"workspace":{workspace_json}}}'
    )
    return sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class Seal:
    """A seal over the changes from ``first_seq`` to ``seq``, both included.

    ``root`` is the hex Merkle tree hash of their leaves; ``hash`` covers the seal and
    the hash of the one before it.
    """

    first_seq: int
    seq: int
    at: str
    root: str
    hash: str


def seal_over(previous: str, first_seq: int, at: str, count: int, root: bytes) -> Seal:
    """Return the seal over ``count`` changes from the root of their leaves.

    ``previous`` is the hash of the seal before, ``""`` for the first one. Raises
    ``ValueError`` for a count that no seal covers.
    """
    if not 0 < count <= MAX_SEAL_CHANGES:
        raise ValueError(f"a seal covers 1 to {MAX_SEAL_CHANGES} changes")
    last_seq = first_seq + count - 1
    sealed = seal_hash(previous, first_seq, last_seq, at, root.hex())
    return Seal(first_seq, last_seq, at, root.hex(), sealed)


def seal_hash(previous: str, first_seq: int, seq: int, at: str, root: str) -> str:
    """Return the hex hash of a seal."""
    members = {
        "previous": previous,
        "first_seq": first_seq,
        "seq": seq,
        "at": at,
        "root": root,
    }
    return json_sha256(members)


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash of leaf hashes (RFC 9162, section 2.1.1)."""
    level = list(leaves)
    while len(level) > 1:
        level = _next_level(level)
    return level[0]


def _next_level(level: list[bytes]) -> list[bytes]:
    """Return the hashes of neighbours; an odd last one moves up as it is.

    The tree of RFC 9162 splits at the largest power of two, which is the same tree.
    """
    pairs = zip(level[::2], level[1::2], strict=False)
    # Not by ``_node``: the call takes a fifth of the time.
    parents = [sha256(_NODE + left + right).digest() for left, right in pairs]
    return parents + level[-1:] if len(level) % 2 else parents


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(_NODE + left + right).digest()


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[tuple[Side, bytes]]:
    """Return the hashes that lead from a leaf to the root, from the bottom up.

    Each stands on the left or on the right of the hash that was computed so far.
    """
    return next(inclusion_paths(leaves, [index]))


def inclusion_paths(
    leaves: Sequence[bytes], indexes: Iterable[int]
) -> Iterator[list[tuple[Side, bytes]]]:
    """Yield the inclusion paths of some leaves of one tree."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        levels.append(_next_level(levels[-1]))
    for index in indexes:
        yield _path(levels, index)


def _path(levels: Sequence[list[bytes]], index: int) -> list[tuple[Side, bytes]]:
    path: list[tuple[Side, bytes]] = []
    for level in levels:
        neighbour = index ^ 1
        if neighbour < len(level):
            path.append(("left" if index % 2 else "right", level[neighbour]))
        index //= 2
    return path


def root_from_path(leaf: bytes, path: Sequence[tuple[Side, bytes]]) -> bytes:
    """Return the root to which an inclusion path leads from a leaf hash."""
    found = leaf
    for side, neighbour in path:
        found = _node(neighbour, found) if side == "left" else _node(found, neighbour)
    return found
