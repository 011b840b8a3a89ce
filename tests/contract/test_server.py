"""The HTTP server itself: what it does with clients that never finish speaking."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from persist import server
from persist.server import protocol

ANSWER = b"HTTP/1.1 200 OK"


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    body = await receive()
    headers = [(b"content-length", str(len(body["body"])).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body["body"]})


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    announced = threading.Event()
    bound = server.listen("127.0.0.1", 0)
    running = server.AnnouncingServer(server.configuration(application), announced.set)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]})
    thread.start()
    assert announced.wait(10)
    yield bound.getsockname()
    running.should_exit = True
    thread.join(10)


def everything(connection: socket.socket) -> bytes:
    """What the server sends until it ends the connection; fails where it leaves it
    open."""
    connection.settimeout(5)
    received = b""
    while chunk := connection.recv(65_536):
        received += chunk
    return received


def pour(connection: socket.socket) -> None:
    """Far more than any buffer between here and the server holds."""
    for _ in range(10_000):
        connection.sendall(b"x" * 16_384)


def test_a_connection_on_which_nothing_is_said_is_ended(
    address: tuple[str, int],
) -> None:
    with socket.create_connection(address) as connection:
        assert everything(connection) == b""


def test_a_head_that_stops_half_way_is_ended(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Half")
        assert everything(connection) == b""


def test_a_head_that_stops_half_way_is_ended_after_a_whole_request_too(
    address: tuple[str, int],
) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65_536).startswith(ANSWER)
        connection.sendall(b"GET / HTT")
        assert everything(connection) == b""


def test_an_endless_head_is_ended_long_before_its_time_is_up(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 60)
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Endless: ")
        with pytest.raises(ConnectionError):
            pour(connection)


def test_a_head_of_forty_kilobytes_is_served(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET /?" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65_536).startswith(ANSWER)


def test_a_slow_body_is_not_mistaken_for_a_slow_head(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.settimeout(5)
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
        pause = threading.Event()
        pause.wait(3 * protocol.HEAD_SECONDS)
        connection.sendall(b"body")
        assert connection.recv(65_536).startswith(ANSWER)


def test_pipelined_requests_are_answered_in_order(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        bodies = [b"one", b"two"]
        connection.sendall(
            b"".join(
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n" + body
                for body in bodies
            )
            + b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length:"
            b" 5\r\n\r\nthree"
        )
        answers = everything(connection)
    assert [
        answers.count(ANSWER),
        answers.index(b"one") < answers.index(b"two") < answers.index(b"three"),
    ] == [
        3,
        True,
    ]


def test_a_port_that_is_taken_is_named() -> None:
    taken = server.listen("127.0.0.1", 0)
    taken.listen()
    with pytest.raises(
        server.CannotListen, match=r"cannot listen on 127.0.0.1:.* in use"
    ):
        server.listen("127.0.0.1", taken.getsockname()[1])
    taken.close()


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")]
)
def test_the_address_is_a_url_a_browser_understands(host: str, expected: str) -> None:
    bound = server.listen(host, 0)
    assert server.address(bound).startswith(expected)
    assert not server.address(bound).endswith(":0")
    bound.close()
