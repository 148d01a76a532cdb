"""Records every exchange for the journal: what the client sent and what it was sent, and what went upstream.

The fields are those of the client's side, as they came and as they go; what was sent upstream is in the attempts.
Content that is in memory already is kept by reference; content that streams is tapped (`core.tapped_body`), up to a
cap. Nothing is encoded here: a batch of records is, when it goes to the supervisor.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import lru_cache, partial

from interpose.core.body import EMPTY, Body
from interpose.core.exchange import Attempt, Exchange, Outcome
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.record import Kind, Part, Record, Try
from interpose.core.tapped_body import Tap
from interpose.core.target import Form
from interpose.protocol.number import decimal
from interpose.protocol.passages import Passages, WebSocketPassages

REMEMBERED_ORIGINS = 256
"""To spell one costs as much as all else of an attempt."""


class Recorder:
    """The filter (phase OBSERVE). `tell` gets each record when its exchange ends, and must return at once.

    Of the content of a request, and of a response, `max_body_bytes` are kept; the rest is only counted.
    """

    def __init__(
        self, max_body_bytes: int, tell: Callable[[Record], object], wall: Callable[[], float] = time.time
    ) -> None:
        self._most = max_body_bytes
        self._tell = tell
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self._spell = lru_cache(REMEMBERED_ORIGINS)(str)

    async def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Response:
        """See `core.handler.Filter`."""
        seen = Seen(request)
        exchange.at_end(partial(self._end, exchange, seen))
        body = request.body
        if body is not EMPTY:
            request.body = self._watched(body, seen.request)
        response = await forward(exchange, request)
        seen.response = response
        seen.response_at = self._loop.time()
        seen.response_fields = b"".join([line[3] for line in response.fields.lines])
        if response.status == 101 and seen.upgrade == "websocket":
            exchange.watcher = WebSocketPassages(self._loop.time, exchange.started, self._most)
        body = response.body
        if body is not EMPTY:
            response.body = self._watched(body, seen.answer)
        return response

    def without_request(self, exchange: Exchange) -> None:
        """Record an exchange whose request could not be read."""
        exchange.at_end(partial(self._end, exchange, None))

    def conversation(self, exchange: Exchange) -> None:
        """Record a conversation below HTTP, with what passes in it."""
        if exchange.watcher is None:  # a session of datagrams is told of when it ends, and brings its own
            exchange.watcher = self.passages(exchange.started)
        exchange.at_end(partial(self._end, exchange, None))

    def passages(self, started: float) -> Passages:
        """What writes down what passes in a conversation that began then (monotonic)."""
        return Passages(self._loop.time, started, self._most)

    def _watched(self, body: Body, content: Content) -> Body:
        if not body.is_complete:
            tap = Tap(body, self._most, self._loop)
            content.tap = tap
            return tap.body
        data = body.arrived
        content.size = len(data)
        content.data = data if len(data) <= self._most else data[: self._most]
        return body

    def _end(self, exchange: Exchange, seen: Seen | None, outcome: Outcome) -> None:
        status, body_bytes, failure, ended = outcome.status, outcome.body_bytes, outcome.failure, outcome.ended
        started = exchange.started
        record = Record(
            exchange=exchange.id,
            started=self._wall() - (ended - started),
            duration_s=ended - started,
            listener=exchange.listener,
            route=exchange.route,
            client=exchange.client,
            local=exchange.local,
            status=status,
            notes=exchange.notes,
        )
        if exchange.tls is not None:
            record.tls = exchange.tls.version
        if exchange.user is not None:
            record.user = exchange.user
        if exchange.parent is not None:
            record.parent = exchange.parent.id
        if failure is not None:
            record.failure, record.side, record.detail = failure.kind, failure.side, failure.detail
        if (notes := record.notes) and ("hold" in notes or "replay_of" in notes):
            record.held = notes.get("hold", "")
            record.replay_of = decimal(notes.get("replay_of", "").encode()) or 0
        if exchange.attempts:
            record.attempts = [tried(attempt, started, self._spell(attempt.origin)) for attempt in exchange.attempts]
        if seen is not None:
            seen.tell(record, started, body_bytes)
        elif exchange.asked:
            tell_of_conversation(exchange, record, body_bytes)
        if isinstance(exchange.watcher, Passages):
            record.messages, record.messages_total = exchange.watcher.kept, exchange.watcher.total
        self._tell(record)


class Content:
    """What was seen of one message's content."""

    __slots__ = ("data", "size", "tap")

    def __init__(self) -> None:
        self.data = b""
        self.size = 0
        self.tap: Tap | None = None

    def part(self, fields: bytes, started: float) -> Part:
        """The message as it is recorded."""
        tap = self.tap
        if tap is None:
            return Part(fields, self.data, self.size)
        return Part(fields, tap.kept, tap.size, tap.ended - started if tap.ended else 0.0)


class Seen:
    """What was seen of one exchange so far. Of the request: what the client sent, before filters may change it."""

    __slots__ = (
        "answer", "fields", "method", "request", "response", "response_at", "response_fields", "target", "upgrade",
        "version",
    )  # fmt: skip

    def __init__(self, request: Request) -> None:
        self.method = request.method
        self.target = request.target
        self.version = request.version
        self.upgrade = request.upgrade
        self.fields = b"".join([line[3] for line in request.fields.lines])
        self.request = Content()
        self.answer = Content()
        self.response: Response | None = None
        self.response_at = 0.0
        self.response_fields = b""

    def tell(self, record: Record, started: float, body_bytes: int) -> None:
        """Add what was seen to `record`."""
        target = self.target
        form, record.scheme, (record.host, port), _, _ = target
        record.port = target.origin.port if port is None else port
        record.method = self.method
        record.version = self.version
        record.target = str(target)
        record.request = self.request.part(self.fields, started)
        response = self.response
        if response is None:
            return
        record.reason = response.reason.decode("latin-1")
        record.response_s = self.response_at - started
        record.response = self.answer.part(self.response_fields, started)
        if form is Form.AUTHORITY and response.then is not None:
            record.kind = Kind.TUNNEL
        elif response.status == 101:
            record.kind = Kind.WEBSOCKET if self.upgrade == "websocket" else Kind.TUNNEL
        if record.kind is not Kind.HTTP:  # what passed after the head, which nobody taps
            record.request = Part(self.fields, size=decimal(record.notes.get("bytes_in", "").encode()) or 0)
            record.response = Part(self.response_fields, size=body_bytes)


def tell_of_conversation(exchange: Exchange, record: Record, body_bytes: int) -> None:
    """Add what is known of a conversation: it has no request, so its target is where it led, or else where it came."""
    record.kind = Kind.UDP if exchange.scheme == "udp" else Kind.TCP
    record.status = 0
    record.target = exchange.asked.partition(" ")[2] or str(exchange.local)
    record.host, record.port = exchange.local
    if exchange.attempts:
        _, record.host, record.port, _ = exchange.attempts[-1].origin
    record.request = Part(size=decimal(exchange.notes.get("bytes_in", "").encode()) or 0)
    record.response = Part(size=body_bytes)


def tried(attempt: Attempt, started: float, origin: str) -> Try:
    """An attempt as it is recorded."""
    return Try(
        origin,
        attempt.started - started,
        attempt.connected - started if attempt.connected else 0.0,
        attempt.first_byte - started if attempt.first_byte else 0.0,
        attempt.local or ("", 0),
        attempt.peer or ("", 0),
        attempt.reused,
        "" if attempt.tls is None else attempt.tls.version,
        attempt.head,
        attempt.status,
        "" if attempt.failure is None else attempt.failure.kind,
    )
