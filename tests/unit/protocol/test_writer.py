"""Heads as they are written, octet for octet."""

from __future__ import annotations

import pytest

from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.target import Authority, Form, Target
from interpose.protocol.framing import CHUNKED, UNTIL_CLOSE
from interpose.protocol.writer import CONTINUE, interim_head, request_head, response_head, switch_head

NO_LINES = Fields().lines
SOME = Fields([("X", "y"), ("z", "")]).lines
TARGET = Target(Form.ORIGIN, "http", Authority("a"), "/x", "y=z")


@pytest.mark.parametrize(
    ("arguments", "wire"),
    [
        ((200, b"", NO_LINES, 0, b""), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ((200, b"Fine", SOME, 12, b""), b"HTTP/1.1 200 Fine\r\nX: y\r\nz: \r\nContent-Length: 12\r\n\r\n"),
        ((299, b"", NO_LINES, None, b""), b"HTTP/1.1 299 \r\n\r\n"),
        ((204, b"", NO_LINES, None, b"close"), b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
        ((200, b"", NO_LINES, CHUNKED, b""), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ((200, b"", NO_LINES, UNTIL_CLOSE, b"close"), b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
        ((200, b"", NO_LINES, 0, b"", b"Date: x\r\n"), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: x\r\n\r\n"),
    ],
)
def test_the_head_of_an_answer(arguments: tuple[object, ...], wire: bytes) -> None:
    assert response_head(*arguments) == wire  # type: ignore[arg-type]
    assert response_head(*arguments) == wire  # type: ignore[arg-type]  # and again, from memory


@pytest.mark.parametrize(
    ("method", "target", "framing", "absolute", "wire"),
    [
        ("GET", TARGET, 0, False, b"GET /x?y=z HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("GET", TARGET, 0, True, b"GET http://a/x?y=z HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("GET", TARGET._replace(query=None), 0, False, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("GET", TARGET._replace(query=""), 0, False, b"GET /x? HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("GET", TARGET, 3, False, b"GET /x?y=z HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"),
        ("POST", TARGET, 0, False, b"POST /x?y=z HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
        ("PUT", TARGET, CHUNKED, False, b"PUT /x?y=z HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (
            "GET",
            TARGET._replace(authority=Authority("::1", 81)),
            0,
            False,
            b"GET /x?y=z HTTP/1.1\r\nHost: [::1]:81\r\n\r\n",
        ),
        (
            "OPTIONS",
            Target(Form.ASTERISK, "http", Authority("a", 80), ""),
            0,
            False,
            b"OPTIONS * HTTP/1.1\r\nHost: a:80\r\n\r\n",
        ),
        (
            "CONNECT",
            Target(Form.AUTHORITY, "", Authority("a", 443), ""),
            0,
            False,
            b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        ),
    ],
)
def test_the_head_of_a_request(method: str, target: Target, framing: int, absolute: bool, wire: bytes) -> None:
    request = Request(method, target, Fields())
    assert request_head(request, framing, absolute) == wire
    assert request_head(request, framing, absolute) == wire


def test_what_a_connection_needs_is_added_behind_the_fields() -> None:
    request = Request("GET", TARGET, Fields.of(SOME))
    request.upgrade = "websocket"
    assert request_head(request, 0, False).endswith(b"z: \r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    request.upgrade = None
    request.wants_trailers = request.expects_continue = True
    assert request_head(request, 3, False).endswith(
        b"z: \r\nContent-Length: 3\r\nConnection: TE\r\nTE: trailers\r\nExpect: 100-continue\r\n\r\n"
    )


def test_interim_answers_and_switches_have_no_framing() -> None:
    assert CONTINUE == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert interim_head(103, SOME) == b"HTTP/1.1 103 Early Hints\r\nX: y\r\nz: \r\n\r\n"
    response = Response(101, Fields.of(SOME))
    response.upgrade = "websocket"
    head = switch_head(response)
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\nX: y\r\nz: \r\n")
    assert head.endswith(b"\r\n\r\n")
    assert sorted(head.split(b"\r\n")[3:5]) == [b"Connection: Upgrade", b"Upgrade: websocket"]
    tunnel = Response(200, reason=b"Connection established")
    assert switch_head(tunnel) == b"HTTP/1.1 200 Connection established\r\n\r\n"
