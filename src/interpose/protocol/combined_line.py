"""The line of the combined format, as nginx and Apache write it, for one exchange that has ended.

Apart from the filter so that it can be compiled: it is a good part of what a cache hit costs. Nothing that repeats is
spelled twice: the time is written once a second, and what clients say of themselves is remembered.

A conversation below HTTP has no request; its line says what its client asked for, and how much came and how long it
took.

    192.0.2.1 - - [20/Nov/2025:10:06:19 +0100] "TCP 127.0.0.1:5432" 200 1234 "-" "-" in=567 seconds=8.901
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from interpose.core.exchange import Exchange, Outcome
from interpose.core.message import Request
from interpose.core.stream import UNKNOWN
from interpose.core.target import Form, Target
from interpose.protocol.number import decimal

MOST_REMEMBERED: Final = 1024
LONGEST_REMEMBERED: Final = 512

# The client left before it was sent a status; nginx's number for that, since the format demands three digits.
CLIENT_LEFT: Final = 499

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# How each byte is spelled between the quotes of a combined line, and in a word of it. A table, since it is the client
# who decides how many bytes are not safe.
_QUOTED: Final = tuple([chr(b) if 0x20 <= b < 0x7F and b not in b'"\\' else f"\\x{b:02X}" for b in range(256)])
_WORD: Final = tuple(["\\x20" if b == 0x20 else _QUOTED[b] for b in range(256)])


_ORIGIN: Final = Form.ORIGIN  # to look up a member of an enumeration each time costs more than it seems


class Line:
    """The line of one exchange: called with the outcome, it writes itself.

    What it says of the request is what the client sent, taken down here, before filters may change the request. `log`
    is whose line it is: what is still to be written keeps it alive.
    """

    __slots__ = ("_log", "_spell", "_write", "exchange", "method", "received", "target", "version")

    def __init__(
        self,
        log: object,
        spell: Callable[[Line, Outcome], bytes],
        write: Callable[[bytes], None],
        exchange: Exchange,
        request: Request | None,
    ) -> None:
        self._log = log
        self._spell = spell
        self._write = write
        self.exchange = exchange
        self.method = ""
        self.target: Target | None = None
        self.version = 1
        self.received: Mapping[bytes, bytes] | None = None
        if request is not None:
            self.method = request.method
            self.target = request.target
            self.version = request.version
            self.received = request.received

    def __call__(self, outcome: Outcome) -> None:
        """(for `Exchange.at_end`) Write the line."""
        self._write(self._spell(self, outcome))


class CombinedLines:
    """Spells lines, for one log."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._second_ends = -1.0
        self._stamp = ""
        self._texts: dict[bytes, str] = {}

    def spell(self, line: Line, outcome: Outcome) -> bytes:
        """The line, with its line feed."""
        exchange = line.exchange
        if outcome.ended >= self._second_ends:
            self._begin_second(outcome.ended)
        request = referer = agent = "-"
        more = ""
        target, received = line.target, line.received
        if exchange.asked:
            request = escaped(exchange.asked.encode("utf-8", "replace"), _QUOTED)
            more = _of_conversation(exchange, outcome)
        elif target is not None and received is not None:
            form, _, _, path, query = target
            if form is not _ORIGIN or exchange.authority is not None:  # in a tunnel a path alone says too little
                request = f"{line.method} {in_full(target)} HTTP/1.{line.version}"
            elif query is None:
                request = f"{line.method} {path} HTTP/1.{line.version}"
            else:
                request = f"{line.method} {path}?{query} HTTP/1.{line.version}"
            if '"' in request or "\\" in request or not request.isprintable() or not request.isascii():
                request = escaped(request.encode("utf-8", "replace"), _QUOTED)
            texts = self._texts
            value = received.get(b"user-agent")
            if value is not None:
                agent = texts.get(value) or self._remember(value)
            value = received.get(b"referer")
            if value is not None:
                referer = texts.get(value) or self._remember(value)
        user = "-" if exchange.user is None else escaped(exchange.user.encode("utf-8", "replace"), _WORD) or "-"
        client, port = exchange.client
        if not port and client != UNKNOWN.host:
            client = "unix:"
        text = (
            f'{client} - {user} {self._stamp} "{request}" {outcome.status or CLIENT_LEFT} '
            f'{outcome.body_bytes} "{referer}" "{agent}"{more}\n'
        )
        return text.encode("ascii")

    def _begin_second(self, ended: float) -> None:
        """Write down the time once for all lines of a second; the monotonic clock says when the second is over."""
        wall = self._wall()
        self._second_ends = ended - wall % 1 + 1
        self._stamp = combined_stamp(wall)

    def _remember(self, value: bytes) -> str:
        text = quotable(value)
        if len(value) <= LONGEST_REMEMBERED:
            if len(self._texts) >= MOST_REMEMBERED:
                self._texts.clear()
            self._texts[value] = text
        return text


def _of_conversation(exchange: Exchange, outcome: Outcome) -> str:
    more = f" in={bytes_in(exchange)} seconds={outcome.ended - exchange.started:.3f}"
    if outcome.failure is not None:  # nobody was told in a page, so the line has to say it
        why = outcome.failure.detail or outcome.failure.consequence.says
        more += f' failure="{escaped(why.encode("utf-8", "replace"), _QUOTED)}"'
    return more


def bytes_in(exchange: Exchange) -> int:
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


def escaped(raw: bytes, spelling: tuple[str, ...]) -> str:
    """`raw` with each byte that is not safe as `\\xHH`."""
    return "".join([spelling[byte] for byte in raw])


def combined_stamp(wall: float) -> str:
    """Local time as `[20/Nov/2025:09:06:19 +0100]`; months in English whatever the locale."""
    local = time.localtime(wall)
    return time.strftime(f"[%d/{MONTHS[local.tm_mon - 1]}/%Y:%H:%M:%S %z]", local)
