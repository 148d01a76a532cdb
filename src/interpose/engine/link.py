"""The link between supervisor and worker: one Unix stream socket, messages both ways, bounded.

Two kinds of messages, told apart by the method they are given to. `send` is for what the other side acts upon; it is
never dropped, and there is little of it. `offer` is for what it only hears of (counters, records): when the other side
is too slow to read, that is dropped and counted, so that traffic never waits and memory never grows for it. The end of
the link is the end of the other process, or as good as that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from interpose.engine.messages import FrameReader, Message, ToSupervisor, ToWorker, encode

log = logging.getLogger("interpose")

MAX_WAITING_BYTES = 4 << 20
"""Above so many octets that the other side has not read yet, offers are dropped. (Of records that is a quarter of a
second of a busy worker; with one MiB, moments in which the supervisor had no core cost some.)"""


class Link(asyncio.Protocol):
    """One end. `on_message` gets every message in order, `on_end` is called once when no more will come."""

    def __init__(self, on_message: Callable[[ToWorker | ToSupervisor], None], on_end: Callable[[], None]) -> None:
        self.dropped = 0
        """Offers that the other side was too slow for."""
        self._on_message = on_message
        self._on_end = on_end
        self._reader = FrameReader()
        self._transport: asyncio.WriteTransport | None = None
        self._flushed: asyncio.Future[None] | None = None

    @classmethod
    async def over(
        cls, sock: Any, on_message: Callable[[ToWorker | ToSupervisor], None], on_end: Callable[[], None]
    ) -> Link:
        """The link over one end of a socket pair, which it owns from now on."""
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(lambda: cls(on_message, on_end), sock=sock)
        return link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop has taken the socket over."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Hand on the messages that are complete. What is no message ends the link: the other side is not sane."""
        try:
            messages = list(self._reader.feed(data))
        except ValueError as error:
            log.error("the link between supervisor and worker broke: %s", error)
            if self._transport is not None:
                self._transport.abort()
            return
        for message in messages:
            self._on_message(message)

    def connection_lost(self, error: Exception | None) -> None:
        """The other side is gone, or `close` is done."""
        self._transport = None
        if self._flushed is not None and not self._flushed.done():
            self._flushed.set_result(None)
        self._on_end()

    def send(self, message: Message) -> None:
        """Deliver `message`, however slow the other side is; nothing happens when it is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(message))

    def offer(self, message: Message) -> bool:
        """Deliver `message` unless the other side is too slow; False, and counted, when it was dropped."""
        if self._transport is None or self._transport.get_write_buffer_size() > MAX_WAITING_BYTES:
            self.dropped += 1
            return False
        self.send(message)
        return True

    async def close(self) -> None:
        """Send what waits, then end the link. `on_end` is called."""
        if self._transport is None:
            return
        self._flushed = asyncio.get_running_loop().create_future()
        self._transport.close()
        await self._flushed
