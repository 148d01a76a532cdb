"""Records as a HAR file (HTTP Archive 1.2), which browsers and test tools read, one entry at a time.

An entry is a request over HTTP; a WebSocket has its messages where Chromium's own archives have them. Tunnels and what
is below HTTP have no entry. Content is without its coding, as text where it is UTF-8 and in base64 where it is not.
What the format has no name for is in fields that begin with an underscore, as it asks for.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from interpose.core.record import Kind, Part, Record, field_pairs
from interpose.core.version import __version__
from interpose.protocol.content_coding import CodingError, Decoder, coding_of
from interpose.storage.exports.packets import octets_of
from interpose.storage.exports.spoken import host_of
from interpose.storage.journal.redaction import MARKER

MAX_CONTENT_BYTES: Final = 16 << 20
"""A content that is longer without its coding stays coded."""

_OPCODES: Final = {"text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}
_ATTRIBUTES: Final = {"path": "path", "domain": "domain", "httponly": "httpOnly", "secure": "secure"}
_REDACTED: Final = MARKER.decode()

Values = dict[str, Any]
Pairs = list[tuple[str, str]]


def archive(records: Iterable[tuple[int, Record]]) -> Iterator[bytes]:
    """The pieces of a HAR file with these records, each with its number (0: it has none)."""
    creator = {"name": "Interpose", "version": __version__}
    yield b'{"log":{"version":"1.2","creator":%b,"pages":[],"entries":[' % msgspec.json.encode(creator)
    comma, left_out = b"\n", 0
    for number, record in records:
        if record.method and record.kind is not Kind.TUNNEL:
            yield comma + msgspec.json.encode(entry(record, number))
            comma = b",\n"
        else:
            left_out += 1
    about = f"Left out, as they are no requests over HTTP: {left_out} tunnels and conversations." if left_out else ""
    yield b'\n],"comment":%b}}\n' % msgspec.json.encode(about)


def entry(record: Record, number: int = 0) -> Values:
    """One record as an entry."""
    timings = _timings(record)
    request, sent = _request(record)
    response, answered = _response(record)
    made: Values = {
        "startedDateTime": _moment(record.started),
        "time": sum(value for value in timings.values() if value > 0),
        "request": request,
        "response": response,
        "cache": {},
        "timings": timings,
        "_interpose": _more(record, number),
    }
    if record.attempts:
        last = record.attempts[-1]
        if octets_of(last.peer[0]):
            made["serverIPAddress"] = last.peer[0]
        if last.local[1]:
            made["connection"] = str(last.local[1])
    if record.kind is Kind.WEBSOCKET:
        made["_resourceType"] = "websocket"
        made["_webSocketMessages"] = [
            {
                "type": "send" if message.inbound else "receive",
                "time": record.started + message.at_s,
                "opcode": _OPCODES.get(message.kind, 2),
                "data": message.data.decode("utf-8", "replace") if message.kind == "text" else _base64(message.data),
            }
            for message in record.messages
        ]
    comments = [*sent, *answered]
    if record.failure:
        comments.append(f"{record.failure}: {record.detail}")
    if comments:
        made["comment"] = " ".join(comments)
    return made


def _moment(at: float) -> str:
    """A time in text; one that a calendar does not have (it was taken in) is its beginning."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC).isoformat(timespec="milliseconds")


def _request(record: Record) -> tuple[Values, list[str]]:
    pairs, comments = _fields(record.request, "request")
    host = host_of(record)
    part = record.request
    made: Values = {
        "method": record.method,
        "url": record.target,
        "httpVersion": f"HTTP/1.{record.version & 1}",
        "cookies": [cookie for name, value in pairs if name.lower() == "cookie" for cookie in _cookies(value)],
        "headers": _named([("Host", host), *pairs] if host else pairs),
        "queryString": _named(_query(record.target)),
        "headersSize": -1,
        "bodySize": part.size if record.kind is Kind.HTTP else 0,
    }
    if part.content:
        data, coding, problem = plain(part)
        text, is_text = _text(data)
        post: Values = {"mimeType": _first(pairs, "content-type"), "params": [], "text": text}
        if not is_text:
            post["_encoding"] = "base64"
        if coding:
            post["_coding"] = coding
        made["postData"] = post
        comments += [problem] if problem else []
    comments += _cut(part, "request", record)
    return made, comments


def _response(record: Record) -> tuple[Values, list[str]]:
    pairs, comments = _fields(record.response, "response")
    part = record.response
    data, coding, problem = plain(part)
    text, is_text = _text(data)
    is_whole = len(part.content) >= part.size
    size = len(data) if is_whole or len(data) > part.size else part.size
    content: Values = {"size": size, "mimeType": _first(pairs, "content-type"), "text": text}
    if is_whole and len(data) != part.size:
        content["compression"] = len(data) - part.size
    if not is_text:
        content["encoding"] = "base64"
    if coding:
        content["_coding"] = coding
    if record.kind is not Kind.HTTP:
        content = {"size": 0, "mimeType": ""}
    comments += [problem] if problem else []
    made = {
        "status": record.status,
        "statusText": record.reason,
        "httpVersion": "HTTP/1.1",
        "cookies": [cookie for name, value in pairs if name.lower() == "set-cookie" for cookie in _cookies(value)],
        "headers": _named(pairs),
        "content": content,
        "redirectURL": _first(pairs, "location"),
        "headersSize": -1,
        "bodySize": part.size if record.kind is Kind.HTTP else -1,
    }
    return made, comments + _cut(part, "response", record)


def plain(part: Part) -> tuple[bytes, str, str]:
    """The content without its coding; when that cannot be undone, as it is, the coding's name and why."""
    if not part.content:
        return b"", "", ""
    pieces: list[bytes] = []
    try:
        coding = coding_of([value for name, value in field_pairs(part.fields) if name.lower() == b"content-encoding"])
        if not coding:
            return part.content, "", ""
        decoder = Decoder(coding)
        size = 0
        for piece in decoder.decode(part.content):
            pieces.append(piece)
            size += len(piece)
            if size > MAX_CONTENT_BYTES:
                return part.content, coding, f"The content is left as {coding}: it is long."
        if len(part.content) >= part.size:
            decoder.finish()
    except CodingError as error:
        return part.content, "unknown", f"The content is left as it was sent: {error}"
    return b"".join(pieces), "", ""


def _timings(record: Record) -> dict[str, float]:
    """In milliseconds; -1 for what did not happen or is not known, as the format has it."""
    last = record.attempts[-1] if record.attempts else None
    blocked = connect = -1.0
    sent_s = 0.0
    if last is not None:
        blocked = max(0.0, last.started_s) * 1000
        sent_s = max(last.started_s, last.connected_s)
        if not last.reused and last.connected_s:
            connect = max(0.0, last.connected_s - last.started_s) * 1000
    head_s = max(record.response_s or record.duration_s, sent_s)
    end_s = max(record.response.ended_s or record.duration_s, head_s)
    return {
        "blocked": blocked,
        "dns": -1,
        "connect": connect,
        "ssl": -1,
        "send": 0,
        "wait": (head_s - sent_s) * 1000,
        "receive": (end_s - head_s) * 1000,
    }


def _more(record: Record, number: int) -> Values:
    known: Values = {
        "flow": number,
        "exchange": record.exchange,
        "client": f"{record.client[0]}:{record.client[1]}" if record.client[0] else "",
        "user": record.user,
        "listener": record.listener,
        "failure": record.failure,
        "notes": record.notes,
    }
    return {name: value for name, value in known.items() if value}


def _fields(part: Part, side: str) -> tuple[Pairs, list[str]]:
    """The fields, and what is to be said of them."""
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in field_pairs(part.fields)]
    redacted = dict.fromkeys(name for name, value in pairs if value == _REDACTED)
    return pairs, [f"Redacted in the {side}: {', '.join(redacted)}."] if redacted else []


def _cut(part: Part, side: str, record: Record) -> list[str]:
    kept = len(part.content)
    if kept >= part.size or record.kind is not Kind.HTTP:
        return []
    return [f"Of the {side}'s content {kept} of {part.size} octets were kept."]


def _named(pairs: Pairs) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs]


def _first(pairs: Pairs, name: str) -> str:
    return next((value for known, value in pairs if known.lower() == name), "")


def _query(target: str) -> Pairs:
    try:
        return parse_qsl(target.partition("#")[0].partition("?")[2], keep_blank_values=True)
    except ValueError:  # too many of them
        return []


def _cookies(value: str) -> list[Values]:
    """The cookies in a line of Cookie or Set-Cookie."""
    if value == _REDACTED:
        return []
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(value)
    except CookieError:
        return []
    found: list[Values] = []
    for name, morsel in jar.items():
        cookie: Values = {"name": name, "value": morsel.value}
        cookie.update({ours: morsel[theirs] for theirs, ours in _ATTRIBUTES.items() if morsel[theirs]})
        found.append(cookie)
    return found


def _text(data: bytes) -> tuple[str, bool]:
    """The content for JSON, and whether it is the text itself."""
    if b"\0" not in data:
        try:
            return data.decode(), True
        except UnicodeDecodeError:
            pass
    return _base64(data), False


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
