"""Connections that send what no request needs (F1, F2, F20): every byte outside a body
that is read is bounded and timed."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.hostile.conftest import Target
from tests.support.raw import answer_to, connected, head, status_of

MEGABYTE = 1_048_576
POURED = 400 * MEGABYTE
"""Bytes that one who is not stopped sends."""

POST = {"Content_Type": "application/json", "Transfer_Encoding": "chunked"}


def accepted(target: Target, beginning: bytes, chunk: bytes) -> int:
    """How many bytes the service takes on one connection before it ends it."""
    sent = 0
    with connected(target.url) as connection:
        connection.sendall(beginning)
        try:
            while sent < POURED:
                sent += connection.send(chunk)
        except ConnectionError:
            pass
    return sent


@pytest.mark.parametrize(
    ("beginning", "chunk"),
    [
        (b"0\r\n", b"X-Trailer: " + b"x" * 1_000 + b"\r\n"),
        (b"0\r\nX-Trailer: ", b"x" * 65_536),
        (b"", b"1\r\nx\r\n" * 10_000),
        (b"", b"1;" + b"x" * 65_536),
        (b"", b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
    ],
    ids=["trailers", "a trailer", "chunks of a byte", "an extension", "a body"],
)
def test_what_follows_a_refused_head_ends(
    target: Target, beginning: bytes, chunk: bytes
) -> None:
    asked = head("POST", "/api/plain", target.url, **POST)
    with target.unharmed():
        assert accepted(target, asked + beginning, chunk) < 32 * MEGABYTE


def test_a_field_behind_a_body_is_no_header(target: Target) -> None:
    asked = head("POST", "/api/plain", target.url, **POST)
    body = b'7\r\n{"n":1}\r\n0\r\n'
    key = target.keys["writer"]
    trailers = f"Authorization: Bearer {key}\r\nIdempotency-Key: t\r\n\r\n".encode()
    assert status_of(answer_to(target.url, asked + body + trailers)) == 401
    trusted = head(
        "POST", "/api/plain", target.url, Authorization=f"Bearer {key}", **POST
    )
    first = answer_to(target.url, trusted + body + trailers)
    second = answer_to(target.url, trusted + body + trailers)
    assert status_of(first) == status_of(second) == 201
    assert b"idempotency-replayed" not in second.lower()


@pytest.mark.parametrize(
    "hosts",
    [b"", b"Host: a\r\nHost: b\r\n", b"Host: a b\r\n", b"Host: a/b\r\n"],
    ids=["none", "two", "a space", "a path"],
)
def test_a_request_has_one_host(target: Target, hosts: bytes) -> None:
    asked = b"GET / HTTP/1.1\r\nConnection: close\r\n" + hosts + b"\r\n"
    assert status_of(answer_to(target.url, asked)) == 400


def test_requests_without_end_in_a_pipeline_end_the_connection(target: Target) -> None:
    request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with target.unharmed():
        assert accepted(target, b"", request * 1_000) < 32 * MEGABYTE


def test_a_head_without_end_ends_the_connection(target: Target) -> None:
    with target.unharmed():
        assert (
            accepted(target, b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 10_000) < MEGABYTE * 8
        )


@pytest.mark.parametrize("name", [b"x-%d", b"x"], ids=["names", "one name"])
def test_thousands_of_headers_end_the_connection(target: Target, name: bytes) -> None:
    names = [name % number if b"%" in name else name for number in range(5_000)]
    headers = b"".join(each + b":\r\n" for each in names)
    asked = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n"
    with target.unharmed():
        for _ in range(20):
            answer = answer_to(target.url, asked)
            assert status_of(answer) == 400
            assert b"more than 200 headers" in answer


def test_thousands_of_fields_behind_a_body_end_the_connection(target: Target) -> None:
    asked = head("POST", "/api/plain", target.url, **POST)
    fields = b"x:\r\n" * 5_000
    answer = answer_to(target.url, asked + b"0\r\n" + fields + b"\r\n")
    assert status_of(answer) in (400, 401)


def test_requests_with_long_heads_take_turns(target: Target) -> None:
    asked = head(
        "GET",
        "/changes?limit=1",
        target.url,
        Accept=",".join(f"a{number}/b;q=0.1" for number in range(3_000)),
        Authorization=f"Bearer {target.keys['reader']}",
    )
    with target.unharmed(), ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: answer_to(target.url, asked), range(64)))
    assert {status_of(answer) for answer in answers} == {200}
