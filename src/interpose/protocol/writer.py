"""Heads of HTTP/1 messages, from values to bytes.

Framing comes from the body and connection fields from the connection; neither ever comes from the message's fields,
which cannot hold them. Every field line was checked when it was made, and start lines were read from the wire or, where
scripts may have changed them, judged by `fitness`. So writing is joining.
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import Final

from interpose.core.fields import FieldLine
from interpose.core.message import Request, Response
from interpose.core.target import Form, Target
from interpose.protocol.framing import CHUNKED, UNTIL_CLOSE

_STATUS_LINES: Final = {
    status.value: (status.phrase.encode(), b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()))
    for status in HTTPStatus
}
_NO_STATUS_LINE: Final = (b"", b"")

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def status_line(status: int, reason: bytes) -> bytes:
    """The first line of an answer, CRLF included; without `reason` the standard phrase."""
    phrase, line = _STATUS_LINES.get(status, _NO_STATUS_LINE)
    return line if line and (not reason or reason == phrase) else b"HTTP/1.1 %d %b\r\n" % (status, reason)


def response_head(
    status: int, reason: bytes, lines: list[FieldLine], framing: int | None, connection: bytes, more: bytes = b""
) -> bytes:
    """The head of an answer with its empty line.

    `framing` is None where no framing field is written (1xx, 204, HEAD without a length, UNTIL_CLOSE). `connection`
    is the value of the Connection field, b"" for none; `more` are finished field lines (with CRLF) that go last.
    """
    parts = [status_line(status, reason)]
    for line in lines:
        parts.append(line[3])
    if framing is None or framing == UNTIL_CLOSE:
        pass
    elif framing == CHUNKED:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    else:
        parts.append(_length_line(framing))
    if connection:
        parts.append(b"Connection: %b\r\n" % connection)
    parts.append(more)
    parts.append(b"\r\n")
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _length_line(length: int) -> bytes:
    return b"Content-Length: %d\r\n" % length


def request_head(request: Request, framing: int, absolute: bool) -> bytes:
    """The head of a request with its empty line, for HTTP/1.1.

    `framing` is a length (0 without content) or CHUNKED. `absolute` writes the absolute-form, for a proxy further on. A
    method that usually has content says Content-Length: 0 when it has none (RFC 9110, 8.6).
    """
    method = request.method
    parts = [_request_start(method, request.target, absolute)]
    parts += [line[3] for line in request.fields.lines]
    if framing == CHUNKED:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    elif framing or method in _USUALLY_WITH_CONTENT:
        parts.append(b"Content-Length: %d\r\n" % framing)
    if request.upgrade is not None:
        parts.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n" % request.upgrade.encode("ascii"))
    elif request.wants_trailers:
        parts.append(b"Connection: TE\r\nTE: trailers\r\n")
    if framing and request.expects_continue:
        parts.append(b"Expect: 100-continue\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)


@lru_cache(maxsize=256)
def _request_start(method: str, target: Target, absolute: bool) -> bytes:
    """Request line and Host field; the same targets are asked for again and again."""
    form, _, authority, path, query = target
    if form is Form.ASTERISK:
        wire_target = "*"
    elif form is Form.AUTHORITY:
        wire_target = str(authority)
    elif absolute:
        wire_target = str(target)
    else:
        wire_target = (path or "*") if query is None else f"{path}?{query}"
    return f"{method} {wire_target} HTTP/1.1\r\nHost: {authority}\r\n".encode("ascii")


def switch_head(response: Response) -> bytes:
    """The head of the answer after which the connection speaks another protocol (101, or 2xx to CONNECT)."""
    if response.upgrade is None:
        return response_head(response.status, response.reason, response.fields.lines, None, b"")
    upgrade = b"Upgrade: %b\r\n" % response.upgrade.encode("ascii")
    return response_head(response.status, response.reason, response.fields.lines, None, b"Upgrade", upgrade)


def interim_head(status: int, lines: list[FieldLine]) -> bytes:
    """An interim answer (1xx)."""
    return response_head(status, b"", lines, None, b"")


_USUALLY_WITH_CONTENT = frozenset(("POST", "PUT", "PATCH"))
