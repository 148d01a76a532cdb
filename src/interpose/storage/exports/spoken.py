"""What was said on a connection, octets of HTTP/1 and of WebSockets, made from a record.

A record has the field lines of the client's side, without those that hold for one hop, and the whole head of each
request that went upstream. What is missing is made: start lines from method, target and status, Host from the target,
framing from the content that was kept. Content is as long as was kept, and the framing agrees with it, so that what
comes next on the same connection is read where it begins; whoever writes the packets says what was cut.
"""

from __future__ import annotations

import re
import struct
from http import HTTPStatus
from typing import Final

from interpose.core.record import Kind, Part, Passage, Record, Try

_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}
_USUALLY_WITH_CONTENT: Final = ("POST", "PUT", "PATCH")
_OPCODES: Final = {"text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}
_NO_MASK: Final = bytes(4)
_LENGTH = re.compile(rb"\r\ncontent-length: ([^\r]*)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)
_UPGRADE = re.compile(rb"\r\nupgrade: ([^\r]*)", re.IGNORECASE)


def request_of_client(record: Record) -> bytes:
    """The request as the client sent it."""
    part = record.request
    lines = [b"%b %b HTTP/1.%d\r\n" % (record.method.encode(), _target(record).encode(), record.version & 1)]
    if host := host_of(record):
        lines.append(b"Host: %b\r\n" % host.encode())
    lines.append(part.fields)
    lines.append(_upgrade(record))
    if part.content or (record.method in _USUALLY_WITH_CONTENT and record.kind is Kind.HTTP):
        lines.append(b"Content-Length: %d\r\n" % len(part.content))
    return b"".join((*lines, b"\r\n", part.content))


def response_to_client(record: Record) -> tuple[bytes, bytes]:
    """The answer's head as the client was sent it, and its content."""
    return _response(record, record.status, record.reason, record.response)


def request_of_attempt(record: Record, attempt: Try) -> bytes:
    """The request as it went upstream: its head as it was, with the client's content. b"" when none was sent."""
    head, content = attempt.head, record.request.content
    if not head or record.kind is not Kind.HTTP:
        return head
    if _CHUNKED.search(head):
        return head + (b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content) if content else b"0\r\n\r\n")
    found = _LENGTH.search(head)
    if found is None:
        return head
    return b"%b%d%b%b" % (head[: found.start(1)], len(content), head[found.end(1) :], content)


def response_to_attempt(record: Record, attempt: Try) -> tuple[bytes, bytes]:
    """The answer that an attempt got. Only that of the last one is recorded, as the client was sent it; of the others
    there is the status."""
    if has_answer(record, attempt):
        return _response(record, attempt.status, record.reason, record.response)
    return _response(record, attempt.status, "", Part())


def has_answer(record: Record, attempt: Try) -> bool:
    """Whether the fields of what an attempt was answered are recorded."""
    return attempt is record.attempts[-1] and attempt.status == record.status


def frame(message: Passage) -> bytes:
    """A message of a WebSocket as one frame (RFC 6455, 5.2). A client's is masked with zeros, which leaves it readable.
    What was no message passed as it is."""
    opcode = _OPCODES.get(message.kind)
    data = message.data
    if opcode is None:
        return data
    size, mask = len(data), 0x80 if message.inbound else 0
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, mask | size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, mask | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, mask | 127, size)
    return head + (_NO_MASK if message.inbound else b"") + data


def _response(record: Record, status: int, reason: str, part: Part) -> tuple[bytes, bytes]:
    content = part.content
    phrase = reason or _PHRASES.get(status, "")
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode("latin-1", "replace")), part.fields]
    if record.kind is not Kind.HTTP:  # what follows the head are messages, or octets that nobody recorded
        lines.append(_upgrade(record) if status == 101 else b"")
        content = b""
    elif record.method == "HEAD" or status == 304 or status == 204 or status < 200:
        content = b""
    else:
        lines.append(b"Content-Length: %d\r\n" % len(content))
    return b"".join((*lines, b"\r\n")), content


_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


def _target(record: Record) -> str:
    """What stood in the request line: a URL where the client meant a proxy, else the path."""
    target = record.target
    _, slashes, rest = target.partition("://")
    if not slashes or _means_proxy(record):
        return target
    place = min(place for place in (rest.find("/"), rest.find("?"), len(rest)) if place >= 0)
    path = rest[place:]
    return path if path.startswith("/") else f"/{path}"


def _means_proxy(record: Record) -> bool:
    """Whether it is likely that the client asked a proxy: what it wanted is where the request went. The form itself is
    not recorded."""
    if record.parent or record.tls or (record.kind is not Kind.HTTP and record.scheme in ("https", "wss")):
        return False
    if record.attempts:
        origin = record.attempts[-1].origin
        return record.target.startswith(origin) and record.target[len(origin) : len(origin) + 1] in ("", "/", "?")
    return record.port != record.local[1]


def host_of(record: Record) -> str:
    """What the Host field of the client's request said, as far as the target tells."""
    scheme, slashes, rest = record.target.partition("://")
    if not slashes:
        return record.target
    authority = rest.split("/", 1)[0].split("?", 1)[0]
    return authority.removesuffix(_DEFAULT_PORTS.get(scheme, ""))


def _upgrade(record: Record) -> bytes:
    """The lines of a change of protocol, which hold for one hop and are not recorded on the client's side."""
    if record.status != 101 or record.kind is Kind.HTTP:
        return b""
    found = _UPGRADE.search(record.attempts[-1].head) if record.attempts else None
    protocol = found[1] if found else b"websocket"
    return b"Connection: Upgrade\r\nUpgrade: %b\r\n" % protocol
