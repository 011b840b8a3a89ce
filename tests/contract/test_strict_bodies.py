"""Bodies: strict JSON within limits, and a service no body breaks or holds up (contract
5)."""

import gzip
import json
import select
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.conftest import Service
from tests.support import raw
from tests.support.collection import JSON_PATCH, Collection
from tests.support.databases import sqlite_only
from tests.support.problems import assert_problem

MIB = 1024 * 1024
HANGING_SECONDS = 20.0
"""What is bounded takes a fraction of it on a busy machine, too."""

ATTEMPTS = 10
"""Times that a long body is sent until others are seen to be answered meanwhile."""

AS_JSON = {"content-type": "application/json"}

NOT_JSON: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b"  \n ",
    "half an object": b'{"amount": 1',
    "half a text": b'{"name": "x',
    "a bare word": b"amount",
    "a trailing comma": b'{"amount": 1,}',
    "a trailing comma in a list": b'{"tags": ["a",]}',
    "single quotes": b"{'amount': 1}",
    "a comment": b'{"amount": 1} // one',
    "a second value": b'{"amount": 1}{"amount": 2}',
    "rubbish behind": b'{"amount": 1}]',
    "NaN": b'{"ratio": NaN}',
    "Infinity": b'{"ratio": Infinity}',
    "minus Infinity": b'{"ratio": -Infinity}',
    "NaN deep inside": b'{"payload": {"a": [NaN]}}',
    "a leading zero": b'{"amount": 01}',
    "a leading plus": b'{"amount": +1}',
    "a bare point": b'{"ratio": .5}',
    "a point without digits": b'{"ratio": 1.}',
    "hexadecimal": b'{"amount": 0x10}',
    "a number with underscores": b'{"amount": 1_0}',
    "duplicate members": b'{"amount": 1, "amount": 1}',
    "duplicate members deep inside": b'{"payload": {"a": [{"b": 1, "b": 2}]}}',
    "duplicate members in disguise": b'{"payload": {"a": 1, "\\u0061": 2}}',
    "three of a kind": b'{"name": "a", "name": "b", "name": "c"}',
    "a raw control character": b'{"name": "a\x01b"}',
    "a raw newline in text": b'{"name": "a\nb"}',
    "a raw U+0000": b'{"name": "a\x00b"}',
    "U+0000 behind": b'{"amount": 1}\x00',
    "an unknown escape": b'{"name": "\\x41"}',
    "half an escape": b'{"name": "\\u00"}',
    "Latin-1": b'{"name": "\xe9"}',
    "an encoded surrogate": b'{"name": "\xed\xa0\x80"}',
    "an overlong encoding": b'{"name": "\xc0\xaf"}',
    "UTF-16": '{"amount": 1}'.encode("utf-16"),
    "UTF-32": '{"amount": 1}'.encode("utf-32-be"),
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_no_strict_json_is_refused(samples: Collection, body: bytes) -> None:
    record = samples.created(amount=1)
    address = samples.at(record["id"])
    client = samples.client
    assert_problem(
        client.post(samples.path, content=body, headers=AS_JSON), 400, "invalid-json"
    )
    assert_problem(
        client.put(address, content=body, headers=AS_JSON), 400, "invalid-json"
    )
    assert_problem(
        client.patch(address, content=body, headers=AS_JSON), 400, "invalid-json"
    )
    operations = {"content-type": JSON_PATCH}
    assert_problem(
        client.patch(address, content=body, headers=operations), 400, "invalid-json"
    )
    if body:
        response = client.post(f"{address}/commands/set", content=body, headers=AS_JSON)
        assert_problem(response, 400, "invalid-json")
    assert samples.record(record["id"]) == record


UNSTORABLE: dict[str, bytes] = {
    "U+0000 in a value": b'{"name": "a\\u0000b"}',
    "U+0000 in a nested value": b'{"payload": {"a": ["\\u0000"]}}',
    "U+0000 in a key": b'{"payload": {"a\\u0000": 1}}',
    "U+0000 in an unknown member": b'{"\\u0000": 1}',
    "a lone high surrogate": b'{"name": "\\ud800"}',
    "a lone low surrogate": b'{"name": "\\udc00"}',
    "surrogates the wrong way round": b'{"name": "\\udc00\\ud800"}',
    "a lone surrogate in a key": b'{"payload": {"\\ud800": 1}}',
    "a lone surrogate in an unknown member": b'{"\\ud800": 1}',
    "a lone surrogate deep inside": b'{"payload": {"a": [[{"b": "x\\udfffx"}]]}}',
    "2**70": b'{"amount": 1180591620717411303424}',
    "2**70 in a number": b'{"ratio": 1180591620717411303424}',
    "2**70 deep inside": b'{"payload": {"a": 1180591620717411303424}}',
    "-2**70": b'{"amount": -1180591620717411303424}',
    "1e400": b'{"ratio": 1e400}',
    "-1e400": b'{"ratio": -1e400}',
    "1e400 in an integer": b'{"amount": 1e400}',
    "1e400 deep inside": b'{"payload": {"a": [1e400]}}',
    "a huge exponent": b'{"ratio": 1e99999999999999999999}',
    "a number of 5,000 digits": b'{"amount": ' + b"1" * 5_000 + b"}",
    "a number of 900,000 digits": b'{"amount": ' + b"1" * 900_000 + b"}",
    "a number of 900,000 digits deep inside": b'{"payload": {"a": '
    + b"1" * 900_000
    + b"}}",
}


@pytest.mark.parametrize("body", UNSTORABLE.values(), ids=UNSTORABLE)
def test_what_cannot_be_stored_is_refused(samples: Collection, body: bytes) -> None:
    record = samples.created(amount=1)
    address = samples.at(record["id"])
    for method, target in (
        ("POST", samples.path),
        ("PUT", address),
        ("PATCH", address),
        ("POST", f"{address}/commands/set"),
    ):
        response = samples.client.request(method, target, content=body, headers=AS_JSON)
        assert response.status_code in (400, 413, 422), response.text[:300]
        assert_problem(response, response.status_code, response.json()["code"])
    assert samples.record(record["id"]) == record


@pytest.mark.parametrize(
    "text",
    ["\\ud83d\\ude00", "é", "\\u00e9", "\\/", "\x7f", "\u2028", "\ufeff", "\uffff"],
)
def test_odd_but_lawful_text_is_kept(samples: Collection, text: str) -> None:
    body = f'{{"name": "{text}", "payload": {{"{text}": 1}}}}'.encode()
    response = samples.client.post(samples.path, content=body, headers=AS_JSON)
    assert response.status_code == 201, response.text
    plain = json.loads(f'"{text}"')
    data = samples.record(response.json()["id"])["data"]
    assert (data["name"], data["payload"]) == (plain, {plain: 1})


def test_blanks_around_json_do_no_harm(samples: Collection) -> None:
    response = samples.client.post(
        samples.path, content=b' \t\r\n{"amount" : 1 } \n', headers=AS_JSON
    )
    assert response.status_code == 201


def test_a_byte_order_mark_is_ignored_or_refused(samples: Collection) -> None:
    """RFC 8259, section 8.1 allows both."""
    response = samples.client.post(
        samples.path, content=b'\xef\xbb\xbf{"amount": 1}', headers=AS_JSON
    )
    if response.status_code != 201:
        assert_problem(response, 400, "invalid-json")


# --- depth and size
# ------------------------------------------------------------------------------


def nested(depth: int, *, array: bool) -> bytes:
    """Data whose containers, its own object counted, stand ``depth`` deep."""
    inner = depth - 2
    opening, closing = (
        (b"[" * inner, b"]" * inner) if array else (b'{"a":' * inner, b"}" * inner)
    )
    return b'{"payload": {"x": ' + opening + b"1" + closing + b"}}"


@pytest.mark.parametrize("array", [True, False], ids=["arrays", "objects"])
def test_64_levels_are_allowed_and_no_more(samples: Collection, array: bool) -> None:
    response = samples.client.post(
        samples.path, content=nested(64, array=array), headers=AS_JSON
    )
    assert response.status_code == 201, response.text[:300]
    response = samples.client.post(
        samples.path, content=nested(65, array=array), headers=AS_JSON
    )
    assert response.status_code in (400, 413, 422)
    assert_problem(response, response.status_code, response.json()["code"])


def padded(size: int) -> bytes:
    return b'{"amount": 1}'.ljust(size)


def test_one_mebibyte_is_allowed_and_no_more(samples: Collection) -> None:
    client = samples.client
    assert (
        client.post(samples.path, content=padded(MIB), headers=AS_JSON).status_code
        == 201
    )
    record_id = samples.created()["id"]
    for method, target in (
        ("POST", samples.path),
        ("PUT", samples.at(record_id)),
        ("PATCH", samples.at(record_id)),
        ("POST", f"{samples.at(record_id)}/commands/set"),
    ):
        response = client.request(
            method, target, content=padded(MIB + 1), headers=AS_JSON
        )
        assert_problem(response, 413, "too-large")


def test_a_body_in_chunks_has_the_same_limit(samples: Collection) -> None:
    def chunks(size: int) -> Iterator[bytes]:
        body = padded(size)
        return (body[start : start + 65536] for start in range(0, size, 65536))

    client = samples.client
    assert (
        client.post(samples.path, content=chunks(MIB), headers=AS_JSON).status_code
        == 201
    )
    assert_problem(
        client.post(samples.path, content=chunks(MIB + 1), headers=AS_JSON),
        413,
        "too-large",
    )


HOSTILE: dict[str, bytes] = {
    "900 kB of [": b"[" * 900_000,
    "900 kB of {": b"{" * 900_000,
    "depth 100,000 of objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "depth 100,000 of arrays": b'{"payload": {"a": '
    + b"[" * 100_000
    + b"]" * 100_000
    + b"}}",
    "5 MB": b'{"name": "' + b"x" * 5_000_000 + b'"}',
    "5 MB of [": b"[" * 5_000_000,
    "unclosed members": b'{"a":' * 180_000,
    "many escapes": b'{"name": "' + b"\\u0041" * 150_000,
    "many backslashes": b'{"name": "' + b"\\" * 900_001 + b'"}',
    "many unknown members": b"{"
    + b",".join(b'"m%d":1' % n for n in range(60_000))
    + b"}",
    "many wrong tags": b'{"tags": [' + b",".join([b"1"] * 400_000) + b"]}",
    "many duplicate members": b"{" + b",".join([b'"a":1'] * 150_000) + b"}",
    "commas": b"[" + b"," * 900_000,
    "quotes": b'"' * 900_000,
    "zeroes": b'{"ratio": 0.' + b"0" * 900_000 + b"1}",
    "minus signs": b"-" * 900_000,
}


@sqlite_only  # no database meets a body that is refused
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_body_is_refused_at_once(samples: Collection, body: bytes) -> None:
    address = samples.at(samples.created()["id"])
    for method, target, media_type in (
        ("POST", samples.path, "application/json"),
        ("PATCH", address, "application/json"),
        ("PATCH", address, JSON_PATCH),
    ):
        before = time.monotonic()
        response = samples.client.request(
            method, target, content=body, headers={"content-type": media_type}
        )
        assert time.monotonic() - before < HANGING_SECONDS
        if b"0.0" in body and media_type != JSON_PATCH:
            assert response.status_code in (200, 201, 400, 422)
            continue
        assert response.status_code in (400, 413, 422), response.text[:300]
        assert_problem(response, response.status_code, response.json()["code"])


LONG_WORK = {
    "many wrong tags": ("POST", "application/json", HOSTILE["many wrong tags"]),
    "many unknown members": (
        "POST",
        "application/json",
        HOSTILE["many unknown members"],
    ),
    "a large lawful body": (
        "POST",
        "application/json",
        b'{"payload": {"rows": [' + b",".join([b'{"a":[1,"x"]}'] * 60_000) + b"]}}",
    ),
    "an import": (
        "IMPORT",
        "application/x-ndjson",
        b'{"tags": ["a", "b"], "payload": {"a": [1]}}\n' * 5_000,
    ),
}


@pytest.mark.parametrize(
    ("method", "media_type", "body"), LONG_WORK.values(), ids=LONG_WORK
)
def test_a_body_that_takes_long_does_not_keep_others_waiting(
    service: Service, samples: Collection, method: str, media_type: str, body: bytes
) -> None:
    record_id = samples.created()["id"]
    address = f"{samples.path}/import" if method == "IMPORT" else samples.path
    headers = {"content-type": media_type}

    def reads_meanwhile() -> int:
        count = 0
        with service.server.client() as other, ThreadPoolExecutor(1) as pool:
            long = pool.submit(other.post, address, content=body, headers=headers)
            while not long.done():
                assert samples.read(record_id).status_code == 200
                count += not long.done()
            assert long.result().status_code in (200, 201, 413, 422)
        return count

    # A service that works at a body and at nothing else may answer one read before it
    # and one behind it. A busy machine may leave too little time for more.
    assert any(reads_meanwhile() > 2 for _ in range(ATTEMPTS))


MOST_ATTACKS = 6
LEAK_KILOBYTES = 50_000


@sqlite_only  # no database meets a body that is refused
def test_hostile_bodies_leave_the_memory_flat(
    service: Service, samples: Collection
) -> None:
    def memory_after_attack() -> int:
        for body in HOSTILE.values():
            samples.client.post(samples.path, content=body, headers=AS_JSON)
        return service.server.resident_kilobytes()

    most = memory_after_attack()
    for _ in range(MOST_ATTACKS):
        memory = memory_after_attack()
        # The allocator gives memory back now and then, so one attack says little.
        if memory - most < LEAK_KILOBYTES:
            return
        most = memory
    pytest.fail(f"each of {MOST_ATTACKS} attacks left over {LEAK_KILOBYTES:,} kB more")


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_a_client_that_sends_a_large_body_first_sees_the_refusal(
    service: Service, samples: Collection, connection: str
) -> None:
    size = 20 * MIB
    start = raw.head(
        "POST",
        samples.path,
        service.url,
        Content_Length=str(size),
        Content_Type="application/json",
    ).replace(b"Connection: close", f"Connection: {connection}".encode())
    with raw.connected(service.url) as client:
        client.sendall(start)
        for _ in range(20):
            client.sendall(b"[" * MIB)
        assert raw.status_of(client.recv(65536)) == 413


def test_a_request_behind_a_refused_body_of_a_last_request_is_not_run(
    service: Service, samples: Collection
) -> None:
    body = b"[" * 2 * MIB
    start = raw.head(
        "POST",
        samples.path,
        service.url,
        Content_Length=str(len(body)),
        Content_Type="application/json",
    )
    record_id = samples.created()["id"]
    second = raw.head("DELETE", samples.at(record_id), service.url)
    answer = raw.answer_to(service.url, start, body, second)
    assert raw.status_of(answer) == 413
    assert answer.count(b"HTTP/1.1") == 1
    assert samples.read(record_id).status_code == 200


def test_a_large_lawful_body_is_taken(samples: Collection) -> None:
    payload = {"rows": [{"a": n, "b": str(n)} for n in range(30_000)]}
    record = samples.created(payload=payload)
    assert samples.record(record["id"])["data"]["payload"] == payload


def test_a_compressed_body_is_refused(samples: Collection) -> None:
    response = samples.client.post(
        samples.path,
        content=gzip.compress(b'{"amount": 1}'),
        headers=AS_JSON | {"content-encoding": "gzip"},
    )
    assert response.status_code in (400, 415)
    assert_problem(response, response.status_code, response.json()["code"])


# --- bodies that lie about themselves
# ------------------------------------------------------------

BODY = b'{"value": 1}'


def test_a_body_that_stops_arriving_is_408(
    service: Service, counters: Collection
) -> None:
    for target, media_type in (
        (counters.path, "application/json"),
        (f"{counters.path}/import", "application/x-ndjson"),
    ):
        start = raw.head(
            "POST", target, service.url, Content_Type=media_type, Content_Length="500"
        )
        answer = raw.answer_to(service.url, start, BODY)
        assert raw.status_of(answer) == 408, answer
        assert b"request-timeout" in answer
        assert b"application/problem+json" in answer


def test_a_chunked_body_that_stops_arriving_is_408(
    service: Service, counters: Collection
) -> None:
    start = raw.head(
        "POST",
        counters.path,
        service.url,
        Content_Type="application/json",
        Transfer_Encoding="chunked",
    )
    answer = raw.answer_to(service.url, start, b"5\r\n" + BODY[:5] + b"\r\n")
    assert raw.status_of(answer) == 408, answer


def test_a_body_that_breaks_off_stores_nothing(
    service: Service, counters: Collection, record_id: str
) -> None:
    start = raw.head(
        "PUT",
        counters.at(record_id),
        service.url,
        Content_Type="application/json",
        Content_Length="500",
    )
    raw.answer_to(service.url, start, BODY, then_close=True)
    assert_problem(counters.read(record_id), 404, "record-not-found")


def test_a_body_shorter_than_announced_is_not_taken_for_the_next_request(
    service: Service, counters: Collection, marker: str
) -> None:
    body = json.dumps({"name": marker}).encode()
    start = raw.head(
        "POST",
        counters.path,
        service.url,
        Content_Type="application/json",
        Content_Length=str(len(body)),
    )
    smuggled = raw.head(
        "DELETE", f"{counters.path}?name={marker}&max_affected=5", service.url
    )
    answer = raw.answer_to(service.url, start, body, smuggled)
    assert raw.status_of(answer) == 201
    assert answer.count(b"HTTP/1.1 ") == 1
    assert len(counters.items(name=marker)) == 1


LIES: dict[str, dict[str, str]] = {
    "negative": {"Content_Length": "-5"},
    "no number": {"Content_Length": "many"},
    "with a sign": {"Content_Length": "+12"},
    "two lengths": {"Content_Length": "12, 13"},
    "both": {"Content_Length": "12", "Transfer_Encoding": "chunked"},
    "unknown coding": {"Transfer_Encoding": "cow"},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_length_that_means_nothing_stores_nothing(
    service: Service, counters: Collection, record_id: str, lie: dict[str, str]
) -> None:
    start = raw.head(
        "PUT",
        counters.at(record_id),
        service.url,
        Content_Type="application/json",
        **lie,
    )
    answer = raw.answer_to(service.url, start, BODY)
    assert answer == b"" or raw.status_of(answer) in (400, 408, 501), answer
    assert_problem(counters.read(record_id), 404, "record-not-found")


def test_a_length_past_the_limit_is_refused_before_the_body_comes(
    service: Service, counters: Collection
) -> None:
    start = raw.head(
        "POST",
        counters.path,
        service.url,
        Content_Type="application/json",
        Content_Length=str(10**12),
    )
    answer = raw.answer_to(service.url, start)
    assert raw.status_of(answer) == 413
    assert b"too-large" in answer


def test_a_client_that_waits_for_a_sign_to_go_on_gets_one(
    service: Service, counters: Collection, marker: str
) -> None:
    body = json.dumps({"name": marker}).encode()
    start = raw.head(
        "POST",
        counters.path,
        service.url,
        Content_Type="application/json",
        Content_Length=str(len(body)),
        Expect="100-continue",
    )
    with raw.connected(service.url) as connection:
        connection.sendall(start)
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert raw.status_of(connection.recv(100_000)) == 201
    assert len(counters.items(name=marker)) == 1


def test_a_body_that_trickles_in_is_waited_for(
    service: Service, counters: Collection, marker: str
) -> None:
    body = json.dumps({"name": marker}).encode()

    def trickle() -> Iterator[bytes]:
        for byte in body:
            yield bytes([byte])

    with service.server.client() as client:
        response = client.post(counters.path, content=trickle(), headers=AS_JSON)
    assert response.status_code == 201
    assert response.json()["data"]["name"] == marker


def test_bodies_that_stop_arriving_do_not_keep_others_waiting(
    service: Service, counters: Collection
) -> None:
    start = raw.head(
        "POST",
        counters.path,
        service.url,
        Content_Type="application/json",
        Content_Length="500",
    )
    connections = [raw.connected(service.url) for _ in range(60)]
    opened = [connection.__enter__() for connection in connections]
    try:
        for connection in opened:
            connection.sendall(start + BODY)
        assert counters.create({"value": 1}).status_code == 201
        answered, _, _ = select.select(opened, [], [], 0)
        assert answered == []
    finally:
        for connection in opened:
            connection.close()


def test_a_body_where_none_belongs_does_no_harm(counters: Collection) -> None:
    record_id = counters.created()["id"]
    response = counters.client.request(
        "GET", counters.at(record_id), content=b"{" * 1000
    )
    assert response.status_code == 200
    response = counters.client.request(
        "DELETE", counters.at(record_id), content=b"{" * 1000
    )
    assert response.status_code in (204, 400)
    assert isinstance(response, httpx.Response)
