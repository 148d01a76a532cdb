"""One line for each exchange, when it ends: combined format (`protocol.combined_line`), or a JSON object.

What the line says of the request is what the client sent: it is taken down before later filters may change the request.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from interpose.core.exchange import Exchange, Outcome
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.stream import UNKNOWN
from interpose.protocol.combined_line import (
    LONGEST_REMEMBERED,
    MOST_REMEMBERED,
    CombinedLines,
    Line,
    bytes_in,
    in_full,
)

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


class AccessLog:
    """The filter. `write` gets each line, as bytes with its line feed, and must return at once."""

    def __init__(
        self,
        format_: Literal["combined", "json"],
        write: Callable[[bytes], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._write = write
        self._spell = JsonLines(wall).spell if format_ == "json" else CombinedLines(wall).spell

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """Have the line written at the end of the exchange. (A coroutine of its own would add 0.2 µs for nothing.)"""
        exchange.at_end(Line(self, self._spell, self._write, exchange, request))
        return forward(exchange, request)

    def without_request(self, exchange: Exchange) -> None:
        """Have a line written for a conversation, or for an exchange whose request could not be read."""
        exchange.at_end(Line(self, self._spell, self._write, exchange, None))


class JsonLines:
    """Spells lines as JSON objects, for one log."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._second_begins = 0.0
        self._second_ends = -1.0
        self._stamp = ""
        self._texts: dict[bytes, str] = {}

    def spell(self, of: Line, outcome: Outcome) -> bytes:
        """The line, with its line feed."""
        exchange, received = of.exchange, of.received
        status, failure, ended = outcome.status, outcome.failure, outcome.ended
        if ended >= self._second_ends:
            self._begin_second(ended)
        line = JsonLine(
            f"{self._stamp}.{milliseconds(ended - self._second_begins)}Z",
            exchange.id,
            exchange.listener,
            exchange.client[0] if exchange.client[1] or exchange.client == UNKNOWN else "unix:",
            status,
            outcome.body_bytes,
            round((ended - exchange.started) * 1000, 3),
        )
        if exchange.asked:
            line.method, _, asked = exchange.asked.partition(" ")
            line.target = asked or None
            line.bytes_in = bytes_in(exchange)
        elif of.target is not None and received is not None:
            line.method = of.method
            line.target = in_full(of.target)
            texts = self._texts
            if (value := received.get(b"user-agent")) is not None:
                line.user_agent = texts.get(value) or self._remember(value)
            if (value := received.get(b"referer")) is not None:
                line.referer = texts.get(value) or self._remember(value)
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
        return encoded + b"\n"

    def _begin_second(self, ended: float) -> None:
        """Write down the time once for all lines of a second; the monotonic clock says when the second is over."""
        wall = self._wall()
        self._second_begins = ended - wall % 1
        self._second_ends = self._second_begins + 1
        self._stamp = json_stamp(wall)

    def _remember(self, value: bytes) -> str:
        text = readable(value)
        if len(value) <= LONGEST_REMEMBERED:
            if len(self._texts) >= MOST_REMEMBERED:
                self._texts.clear()
            self._texts[value] = text
        return text


def readable(value: bytes) -> str:
    """A field's value as text: UTF-8 where it is that, else Latin-1."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def json_stamp(wall: float) -> str:
    """Universal time up to the second (RFC 3339)."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall))


def milliseconds(fraction: float) -> str:
    """Three digits for a fraction of a second, cut and not rounded, so that no second has a thousand."""
    return f"{fraction * 1000 // 1:03.0f}"
