"""Framing of HTTP messages: what a parser drops is never acknowledged as done, and no
body is read as a request (contract 13, RFC 9112)."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Service
from tests.support.collection import Collection
from tests.support.proxy import proxy
from tests.support.raw import answer_to, connected, head, status_of

UPGRADES = [
    "h2c",
    "H2C",
    "websocket",
    "WebSocket",
    "TLS/1.0",
    "HTTP/2.0",
    "HTTP/3",
    "h2c, websocket",
    "unheard-of",
    "irc/6.9, rta/x11",
    "a" * 2_000,
    "",
]
SMUGGLED = b"DELETE /api/counters?name=%s&max_affected=9 HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(params=["directly", "through the proxy"])
def url(
    request: pytest.FixtureRequest, service: Service, tmp_path: Path
) -> Iterator[str]:
    """The address of the service, and that of the shipped proxy in front of it."""
    if request.param == "directly":
        yield service.url
        return
    with proxy([service.url.removeprefix("http://")], tmp_path) as running:
        yield running.url


def upgrading(url: str, method: str, target: str, upgrade: str, **more: str) -> bytes:
    """The head of a request that asks for an upgrade, the connection kept open."""
    text = head(method, target, url, Upgrade=upgrade, **more).decode()
    asks = "Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__"
    return text.replace("Connection: close", asks).encode()


def ended(url: str) -> bytes:
    """A request after which the server ends the connection."""
    return head("GET", "/health/live", url)


def bodies(received: bytes) -> list[Any]:
    """The JSON bodies of all responses."""
    return [
        json.loads(text)
        for text in re.findall(rb"\r\n\r\n(?:[0-9a-f]+\r\n)?({[^\r]*})", received)
    ]


def pour(connection: socket.socket) -> None:
    """Send far more than any buffer between here and the server has room for."""
    for _ in range(10_000):
        connection.sendall(b"x" * 16_384)


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("split", [False, True], ids=["in one packet", "in two"])
def test_a_create_that_asks_for_an_upgrade_creates_what_it_says(
    url: str, counters: Collection, marker: str, upgrade: str, split: bool
) -> None:
    body = json.dumps({"name": marker}).encode()
    asked = upgrading(
        url,
        "POST",
        counters.path,
        upgrade,
        Content_Type="application/json",
        Content_Length=str(len(body)),
    )
    parts = [asked, body, ended(url)] if split else [asked + body + ended(url)]
    received = answer_to(url, *parts)
    assert status_of(received) == 201, received
    assert received.count(b"HTTP/1.1 ") == 2, received
    assert [item["data"]["name"] for item in counters.items(name=marker)] == [marker]


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "unheard-of"])
def test_a_chunked_body_after_an_upgrade_is_read(
    url: str, counters: Collection, marker: str, upgrade: str
) -> None:
    body = json.dumps({"name": marker}).encode()
    asked = upgrading(
        url,
        "POST",
        counters.path,
        upgrade,
        Content_Type="application/json",
        Transfer_Encoding="chunked",
    )
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    received = answer_to(url, asked, chunks, ended(url))
    assert status_of(received) == 201, received
    assert counters.items(name=marker)[0]["data"]["name"] == marker


@pytest.mark.parametrize("upgrade", UPGRADES)
def test_a_body_behind_an_upgrade_never_runs_as_a_request(
    url: str, counters: Collection, marker: str, upgrade: str
) -> None:
    counters.created(name=marker)
    smuggled = SMUGGLED.replace(b"/api/counters", counters.path.encode())
    body = smuggled % marker.encode()
    asked = upgrading(
        url,
        "POST",
        f"{counters.path}/import",
        upgrade,
        Content_Type="application/x-ndjson",
        Content_Length=str(len(body)),
    )
    received = answer_to(url, asked, body, ended(url))
    assert status_of(received) == 400, received
    assert received.count(b"HTTP/1.1 ") == 2, received
    assert len(counters.items(name=marker)) == 1


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "unheard-of"])
def test_a_read_that_asks_for_an_upgrade_is_answered(
    url: str, counters: Collection, marker: str, upgrade: str
) -> None:
    record = counters.created(name=marker)
    asked = upgrading(url, "GET", f"{counters.path}/{record['id']}", upgrade)
    received = answer_to(url, asked + ended(url))
    assert status_of(received) == 200, received
    assert marker.encode() in received
    assert received.count(b"HTTP/1.1 ") == 2, received


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
def test_requests_in_a_pipeline_that_all_ask_for_an_upgrade_are_all_answered(
    service: Service, counters: Collection, marker: str, upgrade: str
) -> None:
    sent = b""
    for number in range(20):
        body = json.dumps({"name": f"{marker}-{number}"}).encode()
        sent += upgrading(
            service.url,
            "POST",
            counters.path,
            upgrade,
            Content_Type="application/json",
            Content_Length=str(len(body)),
        )
        sent += body
    received = answer_to(service.url, sent + ended(service.url))
    assert received.count(b"HTTP/1.1 201") == 20, received
    assert len(counters.items(name__startswith=marker)) == 20


def test_connect_ends_the_connection(service: Service, counters: Collection) -> None:
    asked = b"CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\n\r\n"
    received = answer_to(service.url, asked + ended(service.url))
    assert status_of(received) == 400
    assert received.count(b"HTTP/1.1 ") == 1, received


@pytest.mark.parametrize("coding", ["gzip, chunked", "deflate,chunked", "x, chunked"])
def test_an_unknown_transfer_coding_is_501_and_ends_the_connection(
    service: Service, counters: Collection, marker: str, coding: str
) -> None:
    body = json.dumps({"name": marker}).encode()
    asked = head(
        "POST",
        counters.path,
        service.url,
        Content_Type="application/json",
        Transfer_Encoding=coding,
    ).replace(b"Connection: close", b"Connection: keep-alive")
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    received = answer_to(service.url, asked + chunks)
    assert status_of(received) == 501, received
    assert b"\r\nconnection: close\r\n" in received.lower()
    assert bodies(received)[0]["code"] == "not-implemented"
    assert counters.items(name=marker) == []


@pytest.mark.parametrize("target", ["export", "history"])
def test_http_1_0_has_no_chunks_but_a_body_until_the_connection_ends(
    service: Service, counters: Collection, marker: str, target: str
) -> None:
    record = counters.created(name=marker)
    path = f"{counters.path}/export?name={marker}"
    if target == "history":
        path = f"{counters.path}/{record['id']}/history"
    asked = f"GET {path} HTTP/1.0\r\n\r\n".encode()
    received = answer_to(service.url, asked)
    headers, _, body = received.partition(b"\r\n\r\n")
    assert status_of(received) == 200
    assert b"chunked" not in headers.lower()
    assert json.loads(body)
    assert marker.encode() in body


def test_a_target_with_a_fragment_is_refused(
    service: Service, counters: Collection, marker: str
) -> None:
    """The parser drops it: of this deletion only ``?name=…`` would be left."""
    counters.created(name=marker)
    target = f"{counters.path}?name={marker}#b&value=7&max_affected=9"
    answer = answer_to(service.url, head("DELETE", target, service.url))
    assert status_of(answer) == 400
    assert b"write # as %23" in answer
    assert len(counters.items(name=marker)) == 1


@pytest.mark.parametrize("version", ["", " HTTP/2.0", " HTTP/0.9"])
def test_other_versions_of_http_are_refused(service: Service, version: str) -> None:
    asked = f"GET /health/live{version}\r\nHost: localhost\r\n\r\n".encode()
    answer = answer_to(service.url, asked, then_close=True)
    assert status_of(answer) == 400


def test_an_encoded_slash_separates_nothing(
    service: Service, counters: Collection
) -> None:
    record = counters.created(value=1)["id"]
    for path in (f"/api%2F{counters.name}", f"/api/{counters.name}%2f{record}"):
        answer = answer_to(service.url, head("DELETE", path, service.url))
        assert status_of(answer) == 404
        assert b'"code":"not-found"' in answer
    assert counters.record(record)["revision"] == 1


def test_http_1_0_has_no_transfer_coding(
    service: Service, counters: Collection, marker: str
) -> None:
    body = json.dumps({"name": marker}).encode()
    lines = f"POST {counters.path} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    answer = answer_to(service.url, lines.encode() + chunks)
    assert status_of(answer) == 400
    assert counters.items(name=marker) == []


@pytest.mark.parametrize(
    "trailer",
    [
        "Idempotency-Key: from-a-trailer",
        "Content-Type: text/html",
        'If-Match: "7"',
        "Host: elsewhere.example",
        "X-Request-ID: from-a-trailer",
    ],
)
def test_fields_after_a_chunked_body_are_no_headers(
    service: Service, counters: Collection, marker: str, trailer: str
) -> None:
    body = json.dumps({"name": marker}).encode()
    asked = head(
        "POST",
        counters.path,
        service.url,
        Content_Type="application/json",
        Transfer_Encoding="chunked",
    )
    chunks = b"%x\r\n%s\r\n0\r\n%s\r\n\r\n" % (len(body), body, trailer.encode())
    received = answer_to(service.url, asked + chunks)
    assert status_of(received) == 201, received
    assert b"from-a-trailer" not in received
    again = answer_to(service.url, asked + chunks)
    assert status_of(again) == 201, again
    assert b"idempotency-replayed" not in again.lower()
    assert len(counters.items(name=marker)) == 2


def test_fields_without_end_after_a_body_end_the_connection(service: Service) -> None:
    asked = head(
        "POST",
        "/api/counters",
        service.url,
        Content_Type="application/json",
        Transfer_Encoding="chunked",
    )
    with connected(service.url) as connection:
        connection.sendall(asked + b"0\r\nX-Endless: ")
        with pytest.raises(ConnectionError):
            pour(connection)


@pytest.mark.parametrize(
    "hosts",
    [
        ["127.0.0.1", "127.0.0.1"],
        ["127.0.0.1", "localhost"],
        ["127.0.0.1 localhost"],
        ["127.0.0.1/path"],
        ["user@127.0.0.1"],
        ["127.0.0.1:port"],
        ["127.0.0.1:80:80"],
        ["[::1"],
        [""],
        ["127.0.0.1, 127.0.0.1"],
    ],
)
def test_two_hosts_and_malformed_ones_are_refused(
    service: Service, hosts: list[str]
) -> None:
    lines = [f"Host: {host}" for host in hosts]
    asked = "\r\n".join(["GET /collections HTTP/1.1", *lines, "Connection: close"])
    received = answer_to(service.url, f"{asked}\r\n\r\n".encode())
    assert status_of(received) == 400, received
    assert bodies(received)[0]["code"] == "malformed-request"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:80", "[::1]:8000", "LOCALHOST"]
)
def test_well_formed_hosts_of_this_machine_are_taken(
    service: Service, host: str
) -> None:
    asked = f"GET /health/live HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    assert status_of(answer_to(service.url, asked.encode())) == 200
