"""Requests no well-behaved client would send, written to the socket byte by byte."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 20.0


@contextmanager
def connected(url: str, source: str = "") -> Iterator[socket.socket]:
    """A connection to the service at ``url``, from the address ``source``."""
    address = urlsplit(url)
    assert address.hostname is not None
    with socket.create_connection(
        (address.hostname, address.port or 80),
        timeout=TIMEOUT_SECONDS,
        source_address=(source, 0),
    ) as connection:
        yield connection


def answer_to(url: str, *parts: bytes, then_close: bool = False) -> bytes:
    """All the service says to ``parts`` until it closes the connection.

    ``then_close`` ends the client's half first: no more is coming. Raises
    ``TimeoutError`` where the service leaves the connection hanging.
    """
    with connected(url) as connection:
        for part in parts:
            connection.sendall(part)
        if then_close:
            connection.shutdown(socket.SHUT_WR)
        received = bytearray()
        while chunk := _received(connection):
            received += chunk
        return bytes(received)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


def head(method: str, target: str, url: str, **headers: str) -> bytes:
    """The head of a request to the service at ``url``; ``_`` in a header's name is a
    hyphen."""
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        "Connection: close",
    ]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def status_of(answer: bytes) -> int:
    """The status of the first response in ``answer``."""
    return int(answer.split(b" ", 2)[1])
