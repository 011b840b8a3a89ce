"""Leaves, Merkle trees and seals, against values computed by hand from the RFC."""

import hashlib
import json

import pytest

from persist.domain.seal import (
    MAX_SEAL_CHANGES,
    inclusion_path,
    leaf_hash,
    merkle_root,
    root_from_path,
    seal_over,
)


def hash_of(data: bytes) -> bytes:
    return hashlib.sha256(b"\0" + data).digest()


def reference_root(leaves: list[bytes]) -> bytes:
    """The recursion of RFC 9162, section 2.1.1, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = reference_root(leaves[:split]), reference_root(leaves[split:])
    return hashlib.sha256(b"\1" + left + right).digest()


@pytest.mark.parametrize("size", [*range(1, 34), 100, 1000, 4095, 4096])
def test_the_root_is_that_of_the_rfc(size: int) -> None:
    leaves = [hash_of(str(number).encode()) for number in range(size)]
    assert merkle_root(leaves) == reference_root(leaves)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 64, 100])
def test_every_inclusion_path_leads_to_the_root(size: int) -> None:
    leaves = [hash_of(str(number).encode()) for number in range(size)]
    root = merkle_root(leaves)
    for index, leaf in enumerate(leaves):
        path = inclusion_path(leaves, index)
        assert root_from_path(leaf, path) == root
        assert root_from_path(hash_of(b"another"), path) != root


def test_a_leaf_is_the_canonical_json_of_the_members_of_the_contract() -> None:
    leaf = (
        "2026-11-26T01:00:00.000000Z",
        "",
        "ops-tickets",
        "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70",
        3,
        2,
        "command",
        "acknowledge",
        "Zoë",
        "r-1",
        None,
        "ab" * 32,
    )
    text = (
        '{"actor":"Zoë","at":"2026-11-26T01:00:00.000000Z","collection":"ops-tickets",'
        '"command":"acknowledge","data_sha256":"' + "ab" * 32 + '",'
        '"id":"0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70","operation":"command",'
        '"payload_sha256":null,"request_id":"r-1","revision":3,"schema_version":2,'
        '"workspace":null}'
    )
    assert leaf_hash(leaf) == hash_of(text.encode())


def test_a_seal_names_the_seal_before_it() -> None:
    root = reference_root([hash_of(b"a"), hash_of(b"b"), hash_of(b"c")])
    first = seal_over("", 1, "2026-11-26T01:00:00.000000Z", 3, root)
    assert (first.first_seq, first.seq) == (1, 3)
    members = {
        "previous": "",
        "first_seq": 1,
        "seq": 3,
        "at": first.at,
        "root": root.hex(),
    }
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    assert first.hash == hashlib.sha256(text.encode()).hexdigest()
    again = seal_over("", 4, first.at, 3, root)
    assert seal_over(first.hash, 4, first.at, 3, root).hash != again.hash


@pytest.mark.parametrize("size", [0, MAX_SEAL_CHANGES + 1])
def test_a_seal_covers_some_changes_and_not_too_many(size: int) -> None:
    with pytest.raises(ValueError, match="a seal covers 1 to 4096 changes"):
        seal_over("", 1, "", size, hash_of(b"a"))
