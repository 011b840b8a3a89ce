"""Connections that send what no request needs (F1, F2, F20): every byte outside a body
that is read is bounded and timed."""

import pytest

from tests.hostile.conftest import Target
from tests.support.raw import connected, head

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


def test_requests_without_end_in_a_pipeline_end_the_connection(target: Target) -> None:
    request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with target.unharmed():
        assert accepted(target, b"", request * 1_000) < 32 * MEGABYTE


def test_a_head_without_end_ends_the_connection(target: Target) -> None:
    with target.unharmed():
        assert (
            accepted(target, b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 10_000) < MEGABYTE * 8
        )
