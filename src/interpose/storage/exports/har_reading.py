"""A HAR file (HTTP Archive 1.2) as records, so that what a browser or another tool has seen is looked at like the rest.

What such a file lacks a record does without: the client is nobody, and there is one attempt where the server's address
is known. Content is without its coding there, so the field that names it is left out. Entries are read one at a time:
of the whole only the file itself is in memory.
"""

from __future__ import annotations

import base64
import binascii
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from interpose.core.record import NOWHERE, Kind, Part, Passage, Record, Try
from interpose.storage.exports.packets import octets_of
from interpose.storage.journal.rows import is_storable

MAX_FILE_BYTES: Final = 128 << 20
IMPORTED: Final = "har"
"""The listener of such records."""

_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_KINDS: Final = {1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS = re.compile(r"[\r\n\0]+")
_NOT_IN_URLS = re.compile(r"[^!-~]+")
_OF_A_HOP: Final = frozenset(
    ("host", "content-length", "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
     "upgrade")
)  # fmt: skip


class BadArchive(ValueError):
    """It is no HAR file, or an entry is none; one sentence."""


class _Pair(msgspec.Struct, frozen=True):
    name: str
    value: str | None = None


class _Post(msgspec.Struct, frozen=True):
    text: str | None = None
    encoding: str | None = msgspec.field(default=None, name="_encoding")
    coding: str | None = msgspec.field(default=None, name="_coding")


class _Request(msgspec.Struct, frozen=True):
    method: str
    url: str
    http_version: str | None = msgspec.field(default=None, name="httpVersion")
    headers: list[_Pair] = []
    post: _Post | None = msgspec.field(default=None, name="postData")
    size: float | None = msgspec.field(default=None, name="bodySize")


class _Content(msgspec.Struct, frozen=True):
    size: float | None = None
    text: str | None = None
    encoding: str | None = None
    coding: str | None = msgspec.field(default=None, name="_coding")


class _Response(msgspec.Struct, frozen=True):
    status: int
    reason: str | None = msgspec.field(default=None, name="statusText")
    headers: list[_Pair] = []
    content: _Content = _Content()


class _Timings(msgspec.Struct, frozen=True):
    blocked: float | None = None
    dns: float | None = None
    connect: float | None = None
    send: float | None = None
    wait: float | None = None


class _Message(msgspec.Struct, frozen=True):
    type: str
    time: float
    data: str
    opcode: int = 1


class _Entry(msgspec.Struct, frozen=True):
    started: str = msgspec.field(name="startedDateTime")
    request: _Request
    response: _Response
    time: float | None = None
    timings: _Timings = _Timings()
    server: str | None = msgspec.field(default=None, name="serverIPAddress")
    messages: list[_Message] | None = msgspec.field(default=None, name="_webSocketMessages")
    comment: str | None = None


class _Log(msgspec.Struct, frozen=True):
    entries: list[msgspec.Raw]


class _Archive(msgspec.Struct, frozen=True):
    log: _Log


_ARCHIVE = msgspec.json.Decoder(_Archive)
_ENTRY = msgspec.json.Decoder(_Entry)


def records_of(data: bytes) -> Iterator[Record]:
    """The records in a HAR file, in its order. Raises BadArchive."""
    try:
        entries = _ARCHIVE.decode(data.removeprefix(BOM_UTF8)).log.entries
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadArchive(f"it is no HAR file: {error}.") from None
    for number, raw in enumerate(entries, 1):
        try:
            yield _record(_ENTRY.decode(raw), number)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
            raise BadArchive(f"entry {number} is none: {error}.") from None


def _record(entry: _Entry, number: int) -> Record:
    request, response = entry.request, entry.response
    target = _NOT_IN_URLS.sub(lambda found: quote(found[0]), request.url.partition("#")[0])
    url = urlsplit(target)
    if not url.scheme or not url.hostname or not _TOKEN.fullmatch(request.method):
        raise ValueError("its request names no method or no URL")
    port = url.port or _PORTS.get(url.scheme, 0)
    started = datetime.fromisoformat(entry.started).timestamp()
    sent_s, head_s = _moments(entry.timings)
    record = Record(
        kind=Kind.HTTP if entry.messages is None else Kind.WEBSOCKET,
        exchange=f"{IMPORTED}-{number}",
        started=started,
        duration_s=max(0.0, (entry.time or 0.0) / 1000),
        listener=IMPORTED,
        version=0 if request.http_version in ("HTTP/1.0", "http/1.0") else 1,
        scheme=url.scheme,
        method=request.method,
        host=url.hostname,
        port=port,
        target=target,
        request=_request_part(request),
        status=response.status if 0 <= response.status < 1000 else 0,
        reason=_line(response.reason or ""),
        response_s=head_s,
        response=_response_part(response),
        notes={"imported": entry.comment or IMPORTED},
    )
    if entry.messages is not None:
        record.messages = [_passage(message, started) for message in entry.messages]
        record.messages_total = len(record.messages)
    if entry.server and octets_of(server := entry.server.strip("[]")):
        record.attempts = [_attempt(record, (server, port), sent_s)]
    if not is_storable(record):
        raise ValueError("it has a number that is too large")
    return record


def _attempt(record: Record, peer: tuple[str, int], sent_s: float) -> Try:
    url = urlsplit(record.target)
    path = f"{url.path or '/'}{'?' if url.query else ''}{url.query}"
    length = f"Content-Length: {len(record.request.content)}\r\n" if record.request.content else ""
    host = url.netloc.rpartition("@")[2]
    first = f"{record.method} {path} HTTP/1.1\r\nHost: {host}\r\n"
    return Try(
        f"{record.scheme}://{host}",
        started_s=sent_s,
        connected_s=sent_s,
        first_byte_s=record.response_s,
        local=NOWHERE,
        peer=peer,
        head=first.encode() + record.request.fields + length.encode() + b"\r\n",
        status=record.status,
    )


def _moments(timings: _Timings) -> tuple[float, float]:
    """When the request was sent and when the answer came, in seconds. What is -1 did not happen."""
    before = [timings.blocked, timings.dns, timings.connect, timings.send]
    sent_ms = sum(value for value in before if value is not None and value > 0)
    wait_ms = max(0.0, timings.wait or 0.0)
    return sent_ms / 1000, (sent_ms + wait_ms) / 1000


def _request_part(request: _Request) -> Part:
    post = request.post
    if post is None or post.text is None:
        return Part(_section(request.headers), size=_size(request.size))
    data = _octets(post.text, post.encoding)
    return Part(_section(request.headers, is_coded=bool(post.coding)), data, len(data))


def _response_part(response: _Response) -> Part:
    content = response.content
    data = _octets(content.text or "", content.encoding)
    return Part(_section(response.headers, is_coded=bool(content.coding)), data, max(len(data), _size(content.size)))


def _passage(message: _Message, started: float) -> Passage:
    kind = _KINDS.get(message.opcode, "binary")
    data = message.data.encode() if kind == "text" else _octets(message.data, "base64")
    return Passage(max(0.0, message.time - started), message.type == "send", data, len(data), kind)


def _octets(text: str, encoding: str | None) -> bytes:
    if encoding != "base64":
        return text.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("a content is not the base64 that it says it is") from None


def _size(size: float | None) -> int:
    return max(0, int(size)) if size is not None else 0


def _section(pairs: list[_Pair], *, is_coded: bool = False) -> bytes:
    """The field lines. Those that hold for one hop and what is no field (HTTP/2's `:path`) are left out, and so is the
    content's coding unless it is still there."""
    lines: list[bytes] = []
    for pair in pairs:
        name = pair.name.lower()
        if name in _OF_A_HOP or (name == "content-encoding" and not is_coded) or not _TOKEN.fullmatch(pair.name):
            continue
        lines.append(_latin(f"{pair.name}: {_line(pair.value or '')}\r\n"))
    return b"".join(lines)


def _line(text: str) -> str:
    """The text without what would end a line."""
    return _CONTROLS.sub(" ", text)


def _latin(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
