"""A tunnel whose messages pass filters: of a WebSocket its messages, else the octets as they are read.

    read ──> messages ──> queue ──> filters ──> frames ──> write          (each direction by itself)

A message that waits, for a person's decision say, stops its own direction only. Reading goes on until the queue holds
what one direction may hold: so a peer that leaves is noticed, and the pings of a WebSocket pass by what waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.message_filter import PIECE, Message, MessageFilter, together
from interpose.core.stream import Stream
from interpose.core.watcher import Watcher
from interpose.engine.pace import Pace
from interpose.protocol.websocket import Messages
from interpose.protocol.websocket_frames import Deflate, Frames

QUEUE_BYTES: Final = 256 * 1024
MESSAGE_BYTES: Final = 16 << 20
"""The longest message of a WebSocket that can be asked about; at a longer one the conversation ends (status 1009)."""
QUEUED_AT_LEAST: Final = 512
"""What each message in the queue counts as: so that those with nothing in them cannot fill the memory either."""
HALF_CLOSED_TIMEOUT_S: Final = 60.0

_AROUND = ("ping", "pong")
_PROTOCOL_ERROR, _TOO_BIG = 1002, 1009


class Speech(Protocol):
    """How the octets of one direction are messages."""

    def heard(self, data: bytes) -> Iterable[Message]:
        """The messages that end in `data`. ValueError for what is none."""

    def said(self, message: Message) -> bytes:
        """The octets of a message."""

    def last_words(self, why: str) -> bytes:
        """What tells the receiver that the conversation ends, and why."""


class Octets:
    """A stream of octets: every piece that was read is a message."""

    def __init__(self, *, inbound: bool) -> None:
        self._inbound = inbound

    def heard(self, data: bytes) -> Iterable[Message]:
        """See `Speech`."""
        return (Message(bytes(data), self._inbound, PIECE),)

    def said(self, message: Message) -> bytes:
        """See `Speech`."""
        return message.data

    def last_words(self, why: str) -> bytes:
        """See `Speech`. There are none."""
        return b""


class WebSocket:
    """A WebSocket with what was agreed on about compression."""

    def __init__(self, deflate: Deflate | None, *, inbound: bool) -> None:
        self._inbound = inbound
        self._may_compress = deflate is not None
        self._messages = Messages(MESSAGE_BYTES)
        self._frames = Frames(masks=inbound, deflate=deflate)

    def heard(self, data: bytes) -> Iterable[Message]:
        """See `Speech`."""
        for message in self._messages.feed(data):
            if message.size > MESSAGE_BYTES:
                raise ValueError("a message is longer than what is kept of one")
            if message.is_compressed and not self._may_compress:
                raise ValueError("a message is compressed, which was not agreed on")
            yield Message(message.data, self._inbound, message.kind, message.is_compressed)

    def said(self, message: Message) -> bytes:
        """See `Speech`."""
        return self._frames.write(message.kind, message.data, compressed=message.is_compressed)

    def last_words(self, why: str) -> bytes:
        """See `Speech`."""
        status = _TOO_BIG if "longer" in why else _PROTOCOL_ERROR
        return self._frames.write("close", status.to_bytes(2, "big") + why.encode()[:100])


class FilteredTunnel:
    """One tunnel. `speech` are the messages inbound and outbound; `watcher` is shown what the client sent and what it
    was sent; `keeps_end`: see `Tunnels.between`."""

    def __init__(
        self,
        exchange: Exchange,
        client: Stream,
        upstream: Stream,
        filters: Sequence[MessageFilter],
        speech: tuple[Speech, Speech],
        *,
        idle_timeout_s: float | None,
        keeps_end: bool,
        watcher: Watcher | None,
    ) -> None:
        self.idle_timeout_s = idle_timeout_s
        self.exchange = exchange
        self.ask = together(filters)
        self._client = client
        self._upstream = upstream
        self._pace: Pace | None = None
        self._half_closed_since = 0.0
        self._inbound = _Way(self, client, upstream, speech[0], watcher, inbound=True, keeps_end=keeps_end)
        self._outbound = _Way(self, upstream, client, speech[1], watcher, inbound=False)

    async def serve(self) -> None:
        """(the task of the client's stream) Pass messages on until both directions have ended."""
        ways = (self._inbound, self._outbound)
        try:
            async with asyncio.TaskGroup() as group:
                for way in ways:
                    group.create_task(way.read())
                    group.create_task(way.pass_on())
        except* Failure as failures:
            failure = failures.exceptions[0]
            assert isinstance(failure, Failure)
            self._failed(failure)
        except* _Unspeakable as errors:
            self._give_up(str(errors.exceptions[0]))
        finally:
            self.account()
            self.client_is_gone()

    def client_is_gone(self) -> None:
        """Nobody is there any more for whom the server could answer; when all is said it may take what it is sent."""
        if self._inbound.has_ended and self._outbound.has_ended:
            self._upstream.close()
        else:
            self._upstream.abort()

    def _failed(self, failure: Failure) -> None:
        if failure.side is Side.UPSTREAM and self.exchange.attempts:
            self.exchange.attempts[-1].failure = failure
        self.exchange.notes.setdefault("why", failure.detail)
        self._client.abort()

    def _give_up(self, why: str) -> None:
        """Say to both sides that it cannot go on, and end it."""
        self.exchange.notes["why"] = f"{why[0].upper()}{why[1:]}."
        for way in (self._inbound, self._outbound):
            way.say_last(why)

    def account(self) -> None:
        """Bring the exchange's count up to date."""
        self.exchange.bytes_out = self._outbound.sent

    @property
    def bytes_in(self) -> int:
        """Bytes that went inbound."""
        return self._inbound.received

    def tick(self, now: float, idle_timeout_s: float) -> None:
        """Judge the deadlines. While somebody thinks about a message there are none."""
        if self.exchange.is_waiting:
            self._pace = None
            return
        count = self._inbound.moved + self._outbound.moved
        has_half = self._inbound.has_ended or self._outbound.has_ended
        if has_half and not self._half_closed_since:
            self._half_closed_since = now
        limit_s = min(idle_timeout_s, HALF_CLOSED_TIMEOUT_S) if has_half else idle_timeout_s
        if self._pace is None:
            self._pace = Pace(now, count)
        elif self._pace.complaint(now, count, limit_s, 0):
            self.exchange.notes["why"] = f"nothing moved in the tunnel for {limit_s:g} s"
            self.abort()

    def abort(self) -> None:
        """Break off both directions."""
        self._client.abort()
        self._upstream.abort()


class _Unspeakable(Exception):
    """What came are no messages."""


class _Way:
    """One direction: from `source` to `target`."""

    def __init__(
        self,
        tunnel: FilteredTunnel,
        source: Stream,
        target: Stream,
        speech: Speech,
        watcher: Watcher | None,
        *,
        inbound: bool,
        keeps_end: bool = False,
    ) -> None:
        self.received = 0
        self.sent = 0
        self.has_ended = False
        self._tunnel = tunnel
        self._source = source
        self._target = target
        self._speech = speech
        self._watcher = watcher
        self._inbound = inbound
        self._keeps_end = keeps_end
        self._queue: deque[Message] = deque()
        self._queued_bytes = 0
        self._is_read = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def moved(self) -> int:
        """What came and was taken on the other side."""
        return self.received + self.sent - self._target.unsent_bytes

    async def read(self) -> None:
        """Take messages from the source until it ends."""
        while data := await self._source.read():
            self.received += len(data)
            if self._inbound and self._watcher is not None:
                self._watcher.received(data)
            try:
                for message in self._speech.heard(data):
                    await self._take(message)
            except ValueError as error:
                raise _Unspeakable(str(error)) from None
        self._is_read = True
        self._news.set()

    async def _take(self, message: Message) -> None:
        if message.kind in _AROUND:
            await self._forward(message)
            return
        while self._queued_bytes >= QUEUE_BYTES:
            self._room.clear()
            await self._room.wait()
        self._queue.append(message)
        self._queued_bytes += _weight(message)
        self._news.set()

    async def pass_on(self) -> None:
        """Ask about one message after the other."""
        while True:
            while not self._queue:
                if self._is_read:
                    self._end()
                    return
                self._news.clear()
                await self._news.wait()
            message = self._queue.popleft()
            await self._tunnel.ask(self._tunnel.exchange, message, self._forward)
            self._queued_bytes -= _weight(message)
            self._room.set()

    async def _forward(self, message: Message) -> None:
        if not self._write(message):
            await self._target.drain()

    def _write(self, message: Message) -> bool:
        data = self._speech.said(message)
        if not data:
            return True
        if not self._inbound and self._watcher is not None:
            self._watcher.answered(data)
        self.sent += len(data)
        self._tunnel.account()
        return self._target.write(data)

    def _end(self) -> None:
        self.has_ended = True
        if self._inbound and self._watcher is not None:
            self._watcher.sends_no_more()
        if not self._keeps_end:
            self._target.end()

    def say_last(self, why: str) -> None:
        """Tell the target why nothing follows."""
        self.has_ended = True
        if data := self._speech.last_words(why):
            self._target.write(data)
        self._target.end()


def _weight(message: Message) -> int:
    return max(len(message.data), QUEUED_AT_LEAST)
