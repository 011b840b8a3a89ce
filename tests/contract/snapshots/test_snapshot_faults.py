"""Snapshots that lie: altered, cut, swapped, or never meant to be one. 422, and nothing
is stored."""

import gzip
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from persist.domain.errors import InvalidSnapshot
from persist.domain.snapshot import MAX_LINE_BYTES, Inspection, lines_of
from tests.fixtures.database import Database, opened
from tests.fixtures.snapshots import (
    AT,
    ID,
    NDJSON,
    SHOP,
    Snapshots,
    canonical,
    closed,
    content,
    empty_database,
    entry,
    record,
    sha256,
)
from tests.support.problems import Json, assert_problem
from tests.support.raw import answer_to, connected, head, status_of
from tests.support.server import Server, serving

ONE, TWO, THREE = (f"01a20000-0000-7000-8000-00000000000{n}" for n in (1, 2, 3))
SQL = "x; DROP TABLE journal; --"


def account(id: str, owner: str) -> Json:
    return record("accounts", id, {"owner": owner, "balance": 1})


ENTRIES = [entry("accounts"), entry("counters")]
RECORDS = [
    account(ONE, "ä"),
    account(TWO, "b"),
    record("counters", THREE, {"value": 3, "name": None}),
]
SNAPSHOT = content(ENTRIES, RECORDS)
LINES = SNAPSHOT.decode().splitlines()


def with_record(**changed: Any) -> bytes:
    """A snapshot of one record, some of its members changed; all hashes fit."""
    altered = {
        name: value
        for name, value in (RECORDS[0] | changed).items()
        if value is not ...
    }
    entries = [entry("accounts", count=1)]
    head = {**json.loads(content(entries, [RECORDS[0]]).splitlines()[0])["manifest"]}
    head["sha256"] = sha256(canonical(altered) + "\n")
    return closed([canonical({"manifest": head}), canonical(altered)], 1)


def with_manifest(**changed: Any) -> bytes:
    """The whole snapshot, some members of its manifest changed; the closing hash
    fits."""
    manifest = json.loads(LINES[0])["manifest"] | changed
    members = {name: value for name, value in manifest.items() if value is not ...}
    return closed([canonical({"manifest": members}), *LINES[1:-1]], 3)


def with_entry(**changed: Any) -> bytes:
    """The snapshot, with a changed description of its first collection."""
    first = {
        name: value
        for name, value in (ENTRIES[0] | {"count": 2} | changed).items()
        if value is not ...
    }
    return with_manifest(collections=[first, ENTRIES[1] | {"count": 1}])


def raw(*lines: str) -> bytes:
    """Lines as they are, and a closing line that fits."""
    return closed(list(lines), len(lines) - 1)


def with_data(text: str) -> bytes:
    """A snapshot whose one record has this text for data."""
    written = canonical(RECORDS[0] | {"data": {}}).replace(
        '"data":{}', f'"data":{text}'
    )
    manifest = json.loads(content([entry("accounts")], [RECORDS[0]]).splitlines()[0])[
        "manifest"
    ]
    return raw(
        canonical({"manifest": manifest | {"sha256": sha256(written + "\n")}}), written
    )


def test_what_these_tests_alter_is_taken_in_as_it_is(
    snapshots: Snapshots, client: httpx.Client
) -> None:
    for sound in (
        SNAPSHOT,
        with_record(),
        with_manifest(),
        with_entry(),
        with_data('{"owner":"x"}'),
    ):
        assert snapshots.upload(sound).status_code == 201
        assert client.delete(f"/snapshots/{ID}").status_code == 204


# --- every bit and every cut, by the domain itself
# -------------------------------------------------


def inspected(content: bytes) -> None:
    inspection = Inspection()
    for line in lines_of([content]):
        inspection.read(line)
    inspection.finish()


def test_no_single_bit_can_be_altered() -> None:
    inspected(SNAPSHOT)
    for position in range(len(SNAPSHOT)):
        for bit in range(8):
            altered = bytearray(SNAPSHOT)
            altered[position] ^= 1 << bit
            with pytest.raises(InvalidSnapshot):
                inspected(bytes(altered))


def test_nothing_can_be_cut_off() -> None:
    for length in range(len(SNAPSHOT)):
        with pytest.raises(InvalidSnapshot):
            inspected(SNAPSHOT[:length])
        with pytest.raises(InvalidSnapshot):
            inspected(SNAPSHOT[length + 1 :])


def test_no_byte_can_be_left_out_or_doubled() -> None:
    for position in range(len(SNAPSHOT)):
        with pytest.raises(InvalidSnapshot):
            inspected(SNAPSHOT[:position] + SNAPSHOT[position + 1 :])
        with pytest.raises(InvalidSnapshot):
            inspected(SNAPSHOT[: position + 1] + SNAPSHOT[position:])


def test_where_the_chunks_of_a_content_end_does_not_matter() -> None:
    for size in (1, 2, 7, 100, len(SNAPSHOT)):
        chunks = [
            SNAPSHOT[start : start + size] for start in range(0, len(SNAPSHOT), size)
        ]
        assert b"".join(lines_of(chunks)) == SNAPSHOT


def test_a_line_without_end_is_not_kept_in_memory() -> None:
    seen = 0

    def endless() -> Iterator[bytes]:
        nonlocal seen
        while True:
            seen += 1
            yield b"x" * 1_000_000

    with pytest.raises(InvalidSnapshot, match="line 1 is cut off or too long"):
        inspected(next(lines_of(endless())))
    assert seen * 1_000_000 <= MAX_LINE_BYTES + 2_000_000


# --- everything else, over HTTP
# --------------------------------------------------------------------


FAULTS: dict[str, bytes] = {
    "nothing": b"",
    "a newline": b"\n",
    "no closing line": "\n".join([*LINES[:-1], ""]).encode(),
    "only the manifest": (LINES[0] + "\n").encode(),
    "only the closing line": (LINES[-1] + "\n").encode(),
    "no manifest": closed(LINES[1:-1], 3),
    "no newline at the end": SNAPSHOT[:-1],
    "two newlines at the end": SNAPSHOT + b"\n",
    "two closing lines": SNAPSHOT + (LINES[-1] + "\n").encode(),
    "a record behind the closing line": SNAPSHOT + (LINES[1] + "\n").encode(),
    "the closing line in the middle": (
        "\n".join([LINES[0], LINES[-1], *LINES[1:-1], ""]).encode()
    ),
    "two manifests": raw(LINES[0], LINES[0], *LINES[1:-1]),
    "two snapshots": SNAPSHOT + SNAPSHOT,
    "lines swapped": "\n".join([LINES[0], LINES[2], LINES[1], *LINES[3:], ""]).encode(),
    "lines swapped, all hashes fitting": content(
        ENTRIES, [RECORDS[1], RECORDS[0], RECORDS[2]]
    ),
    "collections out of order": content(ENTRIES, [RECORDS[2], *RECORDS[:2]]),
    "workspaces out of order": content(
        [entry("accounts", workspace="w"), entry("accounts")],
        [account(ONE, "a") | {"workspace": "w"}, account(TWO, "b")],
    ),
    "a record twice": content(ENTRIES, [RECORDS[0], RECORDS[0]]),
    "a record less than announced": closed([LINES[0], *LINES[1:-2]], 2),
    "a record more than announced": raw(
        *LINES[:-1], canonical(record("counters", "f" + THREE[1:], {}))
    ),
    "a closing line that counts wrongly": closed(LINES[:-1], 4),
    "a closing line with more": SNAPSHOT.replace(b'{"end":{', b'{"end":{"more":1,'),
    "a closing line with a member next to it": SNAPSHOT.replace(
        b'{"end":', b'{"more":1,"end":'
    ),
    "a closing line that is a list": (
        SNAPSHOT.replace(b'{"end":{', b'{"end":[{').replace(b"}}\n", b"}]}\n")
    ),
    "a manifest with a member next to it": raw(
        LINES[0].replace('{"manifest"', '{"more":1,"manifest"'), *LINES[1:-1]
    ),
    "a manifest that is a list": raw('{"manifest":[]}'),
    "a manifest that is a number": raw("7"),
    "hash of the records of another": with_manifest(sha256="0" * 64),
    "records of no collection": with_manifest(
        collections=[ENTRIES[1] | {"count": 1}], records=3
    ),
    "collections counted wrongly": with_manifest(
        collections=[ENTRIES[0] | {"count": 1}, ENTRIES[1] | {"count": 2}]
    ),
    "a collection described twice": with_manifest(
        collections=[
            ENTRIES[0] | {"count": 2},
            ENTRIES[0] | {"count": 2},
            ENTRIES[1] | {"count": 1},
        ]
    ),
    "records in a schema_only": with_manifest(mode="schema_only"),
    "Windows newlines": SNAPSHOT.replace(b"\n", b"\r\n"),
    "two byte order marks": b"\xef\xbb\xbf" * 2 + SNAPSHOT,
    "UTF-16": SNAPSHOT.decode().encode("utf-16"),
    "gzip": gzip.compress(SNAPSHOT),
    "no UTF-8": with_data('{"owner":"?"}').replace(b'"?"', b'"\xff"'),
    "a long line": raw(LINES[0], '{"x":"' + "x" * MAX_LINE_BYTES + '"}'),
}

MEMBERS = (
    "id",
    "format_version",
    "mode",
    "created_at",
    "seq",
    "records",
    "sha256",
    "note",
    "automatic",
)
FAULTS |= {
    f"manifest without {name}": with_manifest(**{name: ...})
    for name in (*MEMBERS, "collections")
}
WRONG_IN_MANIFEST: dict[str, list[Any]] = {
    "more": [1],
    "format_version": [0, 2, "1", None, 1.5, True],
    "id": ["x", ID.upper(), ID + "0", 7, None, SQL],
    "mode": ["all", None, ["with_data"]],
    "created_at": [
        "now",
        AT[:-1],
        "2026-13-01T00:00:00.000000Z",
        "2026-02-30T00:00:00.000000Z",
        7,
        None,
    ],
    "seq": [-1, 1.5, "7", None, True, 2**63],
    "records": [-1, 4, 10**10, "3", None],
    "sha256": ["", "g" * 64, None, 0],
    "note": [None, 7, ["x"]],
    "automatic": [0, "false", None],
    "collections": [None, {}, [7], ["accounts"], [[]], [None]],
}
WRONG_IN_COLLECTION: dict[str, list[Any]] = {
    "more": [1],
    "name": [SQL, "", "Accounts", "a" * 64, "accounts\n", "é", None, 7, ["accounts"]],
    "workspace": [SQL, "", "W", 7, ["w"]],
    "kind": ["table", None, 7, ["typed"]],
    "schema_version": [0, -1, 1.5, "1", None, True, 2**63],
    "count": [-1, 1, 3, "2", None],
    "definitions": [None, {}, "x"],
}
FAULTS |= {
    f"collection without {name}": with_entry(**{name: ...}) for name in ENTRIES[0]
}
FAULTS |= {f"record without {name}": with_record(**{name: ...}) for name in RECORDS[0]}
WRONG_IN_RECORD: dict[str, list[Any]] = {
    "more": [1],
    "id": [ONE.upper(), "x", SQL, "", None, 7, ONE + "\n", "{" + ONE + "}"],
    "collection": ["counters", SQL, "", None, 7],
    "workspace": ["w", SQL, "", 7],
    "revision": [0, -1, 1.5, "1", None, True, 2**63, 2**63 - 1],
    "schema_version": [0, -1, 1.5, "1", None, True],
    "created_at": [
        "",
        AT[:-1],
        AT.replace("T", " "),
        AT.replace("1", "\u0661"),
        7,
        None,
    ],
    "updated_at": [
        "2026-01-02T25:00:00.000000Z",
        "0000-01-01T00:00:00.000000Z",
        "2026-01-02T03:04:05Z",
    ],
    "data": [None, [], "x", 7],
}
for what, wrong, make in (
    ("manifest", WRONG_IN_MANIFEST, with_manifest),
    ("collection", WRONG_IN_COLLECTION, with_entry),
    ("record", WRONG_IN_RECORD, with_record),
):
    for name, values in wrong.items():
        FAULTS |= {
            f"{what} with {name} {value!r}"[:60]: make(**{name: value})
            for value in values
        }
FAULTS |= {
    f"data {text}"[:60]: with_data(text)
    for text in (
        '{"owner":NaN}',
        '{"owner":1e999}',
        '{"owner":-Infinity}',
        '{"owner":9223372036854775808}',
        '{"owner":"x","owner":"y"}',
        '{"owner":"\\u0000"}',
        '{"owner":"\\ud800"}',
        '{"owner":' + "[" * 63 + "]" * 63 + "}",
        '{"owner":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"owner":"x"},"data":{}',
        "{owner:1}",
        "{'owner':1}",
        '{"owner":01}',
        '{"owner":"x"}//',
    )
}


@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_refused_and_nothing_is_stored(
    snapshots: Snapshots, stored: Database, fault: str
) -> None:
    before = stored.contents()
    assert_problem(snapshots.upload(FAULTS[fault]), 422, "invalid-snapshot")
    assert stored.contents() == before


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("no closing line", "the closing line is missing"),
        ("two closing lines", "line 6 comes after the closing line"),
        ("lines swapped, all hashes fitting", "line 3 is out of order"),
        ("manifest with format_version 2", "line 1 has a format_version other than 1"),
        ("manifest with more 1", "line 1 lacks or does not know these members: more"),
        ("a record less than announced", "contains 2 records, its manifest says 3"),
        ("hash of the records of another", "do not have the hash of the manifest"),
        ("record with revision 0", "line 2 is not a record"),
    ],
)
def test_what_is_wrong_is_said(snapshots: Snapshots, fault: str, named: str) -> None:
    problem = assert_problem(snapshots.upload(FAULTS[fault]), 422, "invalid-snapshot")
    assert named in problem["detail"]
    if named.startswith("line"):
        assert problem["line"] == int(named.split()[1])


def test_an_altered_bit_is_refused_over_http(
    snapshots: Snapshots, stored: Database
) -> None:
    before = stored.contents()
    for position in range(0, len(SNAPSHOT), 41):
        altered = bytearray(SNAPSHOT)
        altered[position] ^= 1 << position % 8
        assert_problem(snapshots.upload(bytes(altered)), 422, "invalid-snapshot")
    assert stored.contents() == before


# --- the way it comes
# ------------------------------------------------------------------------------


def test_a_compressed_upload_is_refused_unread(
    client: httpx.Client, stored: Database
) -> None:
    before = stored.contents()
    bomb = gzip.compress(b"0" * 50_000_000)
    for encoding in ("gzip", "deflate", "br", "identity, gzip"):
        headers = NDJSON | {"content-encoding": encoding}
        response = client.post("/snapshots", content=bomb, headers=headers)
        assert_problem(response, 415, "unsupported-media-type")
    assert stored.contents() == before


def test_ten_gigabytes_are_refused_when_they_are_announced(
    server: Server, stored: Database
) -> None:
    before = stored.contents()
    announced = head(
        "POST",
        "/snapshots",
        server.url,
        content_type=NDJSON["content-type"],
        content_length="10000000000",
    )
    answer = answer_to(server.url, announced, SNAPSHOT)
    assert status_of(answer) == 413
    assert b"too-large" in answer
    assert stored.contents() == before


def test_more_than_a_snapshot_may_have_is_refused_while_it_comes(
    request: pytest.FixtureRequest,
    database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("small")
    url = empty_database(request, database, folder)
    settings = SHOP | {"MAX_IMPORT_BYTES": "2000"}
    with (
        serving(url, folder, settings=settings) as server,
        server.client() as client,
        opened(url) as stored,
    ):
        small = content([entry("accounts")], [])
        before = stored.contents()
        chunks = iter([SNAPSHOT, b"x" * 2000])
        assert_problem(
            client.post("/snapshots", content=chunks, headers=NDJSON), 413, "too-large"
        )
        assert stored.contents() == before
        assert (
            client.post("/snapshots", content=iter([small]), headers=NDJSON).status_code
            == 201
        )


def sent_in_part(server: Server, then: Callable[[socket.socket], None]) -> None:
    """Announce the whole snapshot, send half of it."""
    with connected(server.url) as connection:
        headers = {
            "content_type": NDJSON["content-type"],
            "content_length": str(len(SNAPSHOT)),
        }
        connection.sendall(
            head("POST", "/snapshots", server.url, **headers)
            + SNAPSHOT[: len(SNAPSHOT) // 2]
        )
        then(connection)


def test_an_upload_that_breaks_off_leaves_nothing_and_can_be_sent_again(
    server: Server, snapshots: Snapshots, client: httpx.Client, stored: Database
) -> None:
    before = stored.contents()
    sent_in_part(server, lambda connection: connection.shutdown(socket.SHUT_RDWR))
    answers: list[bytes] = []
    sent_in_part(server, lambda connection: answers.append(connection.recv(65536)))
    assert status_of(answers[0]) == 408
    assert stored.contents() == before
    assert snapshots.upload(SNAPSHOT).status_code == 201
    assert client.delete(f"/snapshots/{ID}").status_code == 204


def test_chunks_left_behind_by_an_upload_that_was_killed_are_no_obstacle(
    snapshots: Snapshots, client: httpx.Client, stored: Database
) -> None:
    stored.run(
        f"INSERT INTO snapshot_pieces (store, number, content) VALUES ('{ID}', 0,"
        " 'half')"
    )
    assert snapshots.upload(SNAPSHOT).status_code == 201
    assert client.post(f"/snapshots/{ID}/verify").json() == {"ok": True, "records": 3}
    assert client.delete(f"/snapshots/{ID}").status_code == 204
    stored.run("DELETE FROM snapshot_pieces")
