"""One line for each exchange, when it ends: combined format as nginx writes it, or a JSON object.

What the line says of the request is what the client sent: it is taken down before later filters may change the request.
A conversation below HTTP has no request; its line says what its client asked for, and how much came and how long it
took.

    192.0.2.1 - - [20/Nov/2025:10:06:19 +0100] "TCP 127.0.0.1:5432" 200 1234 "-" "-" in=567 seconds=8.901
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache, partial
from typing import Literal

import msgspec

from interpose.core.exchange import Exchange, Outcome
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.stream import UNKNOWN
from interpose.core.target import Form, Target
from interpose.protocol.number import decimal

MOST_REMEMBERED = 1024
LONGEST_REMEMBERED = 512

# The client left before it was sent a status; nginx's number for that, since the format demands three digits.
CLIENT_LEFT = 499

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# How each byte is spelled between the quotes of a combined line, and in a word of it. A table, since it is the client
# who decides how many bytes are not safe.
_QUOTED = tuple(chr(b) if 0x20 <= b < 0x7F and b not in b'"\\' else f"\\x{b:02X}" for b in range(256))
_WORD = tuple("\\x20" if b == 0x20 else _QUOTED[b] for b in range(256))
# Controls that JSON lets stand: DEL and, in UTF-8, U+0080 to U+009F.
_CONTROL = re.compile(rb"\x7f|\xc2[\x80-\x9f]")
_CONTROLS = {chr(code).encode(): b"\\u%04x" % code for code in range(0x7F, 0xA0)}


class JsonLine(msgspec.Struct, omit_defaults=True):
    """A line of the JSON format; what an exchange does not have is left out."""

    time: str
    id: str
    listener: str
    client: str
    status: int
    bytes: int
    duration_ms: float
    bytes_in: int | None = None
    method: str | None = None
    target: str | None = None
    user: str | None = None
    upstream: str | None = None
    attempts: int = 0
    failure: str | None = None
    side: str | None = None
    detail: str | None = None
    referer: str | None = None
    user_agent: str | None = None
    notes: dict[str, str] = {}


encode = msgspec.json.Encoder().encode


Taken = tuple[str, Target, int, Mapping[bytes, bytes]]
"""What is taken down of a request before it goes on: method, target, version and the fields that came."""


class AccessLog:
    """The filter. `write` gets each line, as bytes with its line feed, and must return at once."""

    def __init__(
        self,
        format_: Literal["combined", "json"],
        write: Callable[[bytes], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._write = write
        self._end = AccessLog._json if format_ == "json" else AccessLog._combined
        self._wall = wall
        self._second_begins = 0.0
        self._second_ends = -1.0
        self._stamp = ""
        self._texts: dict[bytes, str] = {}

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """Have the line written at the end of the exchange. (A coroutine of its own would add 0.2 µs for nothing.)"""
        taken = request.method, request.target, request.version, request.received
        exchange.at_end(partial(self._end, self, exchange, taken))
        return forward(exchange, request)

    def without_request(self, exchange: Exchange) -> None:
        """Have a line written for a conversation, or for an exchange whose request could not be read."""
        exchange.at_end(partial(self._end, self, exchange, None))

    def _combined(self, exchange: Exchange, taken: Taken | None, outcome: Outcome) -> None:
        if outcome.ended >= self._second_ends:
            self._begin_second(outcome.ended, combined_stamp)
        request = referer = agent = "-"
        more = ""
        if exchange.asked:
            request = escaped(exchange.asked.encode("utf-8", "replace"), _QUOTED)
            more = f" in={_bytes_in(exchange)} seconds={outcome.ended - exchange.started:.3f}"
            if outcome.failure is not None:  # nobody was told in a page, so the line has to say it
                why = outcome.failure.detail or outcome.failure.consequence.says
                more += f' failure="{escaped(why.encode("utf-8", "replace"), _QUOTED)}"'
        elif taken is not None:
            method, target, version, received = taken
            form, _, _, path, query = target
            if form is Form.ORIGIN:
                request = (
                    f"{method} {path} HTTP/1.{version}"
                    if query is None
                    else f"{method} {path}?{query} HTTP/1.{version}"
                )
            else:
                request = f"{method} {in_full(target)} HTTP/1.{version}"
            if '"' in request or "\\" in request or not request.isprintable() or not request.isascii():
                request = escaped(request.encode("utf-8", "replace"), _QUOTED)
            texts = self._texts
            if (value := received.get(b"user-agent")) is not None:
                agent = texts.get(value) or self._remember(value, quotable(value))
            if (value := received.get(b"referer")) is not None:
                referer = texts.get(value) or self._remember(value, quotable(value))
        user = "-" if exchange.user is None else escaped(exchange.user.encode("utf-8", "replace"), _WORD) or "-"
        client, port = exchange.client
        if not port and client != UNKNOWN.host:
            client = "unix:"
        self._write(
            f'{client} - {user} {self._stamp} "{request}" {outcome.status or CLIENT_LEFT} '
            f'{outcome.body_bytes} "{referer}" "{agent}"{more}\n'.encode("ascii")
        )

    def _json(self, exchange: Exchange, taken: Taken | None, outcome: Outcome) -> None:
        status, body_bytes, failure, ended = outcome
        if ended >= self._second_ends:
            self._begin_second(ended, json_stamp)
        line = JsonLine(
            f"{self._stamp}.{milliseconds(ended - self._second_begins)}Z",
            exchange.id,
            exchange.listener,
            exchange.client[0] if exchange.client[1] or exchange.client == UNKNOWN else "unix:",
            status,
            body_bytes,
            round((ended - exchange.started) * 1000, 3),
        )
        if exchange.asked:
            line.method, _, asked = exchange.asked.partition(" ")
            line.target = asked or None
            line.bytes_in = _bytes_in(exchange)
        elif taken is not None:
            line.method, target, _, received = taken
            line.target = in_full(target)
            texts = self._texts
            if (value := received.get(b"user-agent")) is not None:
                line.user_agent = texts.get(value) or self._remember(value, readable(value))
            if (value := received.get(b"referer")) is not None:
                line.referer = texts.get(value) or self._remember(value, readable(value))
        if exchange.user is not None:
            line.user = exchange.user
        if exchange.attempts:
            last = exchange.attempts[-1]
            line.attempts = len(exchange.attempts)
            line.upstream = str(last.origin) if last.peer is None else str(last.peer)
        if failure is not None:
            line.failure = failure.kind
            line.side = failure.side
            line.detail = failure.detail
        line.notes = exchange.notes
        encoded = encode(line)
        if not encoded.isascii() or b"\x7f" in encoded:
            encoded = _CONTROL.sub(lambda control: _CONTROLS[control[0]], encoded)
        self._write(encoded + b"\n")

    def _begin_second(self, ended: float, stamp: Callable[[float], str]) -> None:
        """Write down the time once for all lines of a second; the monotonic clock says when the second is over."""
        wall = self._wall()
        self._second_begins = ended - wall % 1
        self._second_ends = self._second_begins + 1
        self._stamp = stamp(wall)

    def _remember(self, value: bytes, text: str) -> str:
        if len(value) <= LONGEST_REMEMBERED:
            if len(self._texts) >= MOST_REMEMBERED:
                self._texts.clear()
            self._texts[value] = text
        return text


def _bytes_in(exchange: Exchange) -> int:
    """What the client of a conversation sent, as the tunnel or the role has noted it."""
    return decimal(exchange.notes.get("bytes_in", "").encode()) or 0


@lru_cache(maxsize=1024)
def in_full(target: Target) -> str:
    """The target with scheme and authority, whichever way it was sent: `str(target)`, quicker for the usual case."""
    form, scheme, (host, port), path, query = target
    if port is not None or ":" in host or (form is not Form.ORIGIN and form is not Form.ABSOLUTE):
        return str(target)
    return f"{scheme}://{host}{path}" if query is None else f"{scheme}://{host}{path}?{query}"


def quotable(value: bytes) -> str:
    """A field's value as it may stand in the quotes of a combined line, `-` when it is empty."""
    return escaped(value, _QUOTED) or "-"


def readable(value: bytes) -> str:
    """A field's value as text: UTF-8 where it is that, else Latin-1."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def escaped(raw: bytes, spelling: tuple[str, ...]) -> str:
    """`raw` with each byte that is not safe as `\\xHH`."""
    return "".join([spelling[byte] for byte in raw])


def combined_stamp(wall: float) -> str:
    """Local time as `[20/Nov/2025:09:06:19 +0100]`; months in English whatever the locale."""
    local = time.localtime(wall)
    return time.strftime(f"[%d/{MONTHS[local.tm_mon - 1]}/%Y:%H:%M:%S %z]", local)


def json_stamp(wall: float) -> str:
    """Universal time up to the second (RFC 3339)."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall))


def milliseconds(fraction: float) -> str:
    """Three digits for a fraction of a second, cut and not rounded, so that no second has a thousand."""
    return f"{fraction * 1000 // 1:03.0f}"
