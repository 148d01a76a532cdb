"""A `core.stream.Stream` in memory: the product has one end, the test is the other side.

It behaves as a socket does where the difference could be seen: what comes while reading is paused waits, and is
delivered from the loop, never from within `resume`; a loss is told from the loop; nothing is delivered after `close`,
which lasts until everything is taken; a `window` makes the other side take so many octets and no more until `take`.

    stream = MemoryStream()
    server(stream)
    stream.receive(b"GET / HTTP/1.1\\r\\n...")      the other side sends
    stream.receive_end()                            ... and half-closes
    stream.lose()                                   the connection breaks
    stream.sent                                     what the product wrote
    stream.has_ended, is_closed, was_aborted        how it ended its side
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from interpose.core.failure import Failure, Side
from interpose.core.stream import Address, Receiver, StreamInfo, TlsInfo

CLIENT = Address("192.0.2.1", 50000)
SERVER = Address("127.0.0.1", 8080)
RESET = Failure("connection_terminated", Side.UPSTREAM, "The other side reset the connection.")


class MemoryStream:
    """See the module and `core.stream.Stream`."""

    def __init__(
        self, peer: Address = CLIENT, local: Address = SERVER, *, tls: TlsInfo | None = None, window: int | None = None
    ) -> None:
        self.info = StreamInfo(peer, local, tls)
        self.sent = b""
        self.has_ended = False
        self.is_closed = False
        self.was_aborted = False
        self.is_lost = False
        self.is_reading = True
        self.pauses = 0
        self._window = window
        self._taken = 0
        self._is_full = False
        self._receiver: Receiver | None = None
        self._arrived: list[bytes] = []
        self._end_arrived = False
        self._end_told = False
        self._is_delivering = False
        self._failure: Failure | None = None
        self._buffer = b""
        self._waiters: list[asyncio.Future[None]] = []
        self._when_lost: list[Callable[[Failure | None], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    # --- the other side --------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """The other side's octets arrive."""
        if data:
            self._arrived.append(data)
            self._deliver()

    def receive_end(self) -> None:
        """The other side sends no more."""
        self._end_arrived = True
        self._deliver()

    def lose(self, failure: Failure | None = RESET) -> None:
        """The connection is gone."""
        if self.is_lost:
            return
        self.is_lost = True
        self._arrived.clear()
        if self._task is not None:
            self._task.cancel()
        receiver, self._receiver = self._receiver, None
        self._failure = failure  # for the receiver that may come yet
        if receiver is not None:
            receiver.connection_lost(failure)
        while self._when_lost:
            self._when_lost.pop(0)(failure)
        self._wake()

    def take(self, size: int | None = None) -> None:
        """(with a window) The other side reads so many of the octets that were sent, or all."""
        self._taken = len(self.sent) if size is None else min(len(self.sent), self._taken + size)
        if self._is_full and self.unsent_bytes == 0:
            self._is_full = False
            if self._receiver is not None:
                self._receiver.writable()
            self._wake()
        if self.is_closed and self.unsent_bytes == 0:
            self._loop.call_soon(self.lose, None)

    def _deliver(self) -> None:
        if self._is_delivering:
            return
        self._is_delivering = True
        try:
            while self.is_reading and not self.is_closed and not self.is_lost and self._arrived:
                data = self._arrived.pop(0)
                if self._receiver is not None:
                    self._receiver.bytes_received(data)
                else:
                    self._buffer += data
                    self._wake()
            if self.is_reading and not self._arrived and self._end_arrived and not self._end_told:
                if not self.is_closed and not self.is_lost:
                    self._end_told = True
                    if self._receiver is not None:
                        self._receiver.end_received()
                    self._wake()
        finally:
            self._is_delivering = False

    # --- the product's side ----------------------------------------------------------------------------------------

    @property
    def written_bytes(self) -> int:
        return len(self.sent)

    @property
    def unsent_bytes(self) -> int:
        return 0 if self._window is None else max(0, len(self.sent) - self._taken - self._window)

    @property
    def is_full(self) -> bool:
        return self._is_full

    def write(self, data: bytes) -> bool:
        assert isinstance(data, bytes)
        assert not self.has_ended or self.is_closed or self.is_lost, "written after the end of this side"
        if not self.is_closed and not self.is_lost:
            self.sent += data
            if self.unsent_bytes:
                self._is_full = True
        return not self._is_full

    def end(self) -> None:
        self.has_ended = True

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            if self.unsent_bytes == 0:
                self._loop.call_soon(self.lose, None)

    def abort(self) -> None:
        if not self.is_lost:
            self.is_closed = self.was_aborted = True
            self._loop.call_soon(self.lose, None)

    def pause(self) -> None:
        if self.is_reading:
            self.is_reading = False
            self.pauses += 1

    def resume(self) -> None:
        if not self.is_reading:
            self.is_reading = True
            self._loop.call_soon(self._deliver)

    def receive_in_pieces(self) -> None:
        pass

    def attach(self, receiver: Receiver) -> None:
        self._receiver = receiver
        data, self._buffer = self._buffer, b""
        if data:
            receiver.bytes_received(data)
        if (self._end_told or self.is_lost) and self._receiver is receiver and self._failure is None:
            receiver.end_received()
        if self.is_lost and self._receiver is receiver:
            self._receiver = None
            receiver.connection_lost(self._failure)
        self._deliver()

    def when_lost(self, function: Callable[[Failure | None], None]) -> None:
        if self.is_lost:
            function(self._failure)
        else:
            self._when_lost.append(function)

    def hand_over(self, early: bytes) -> None:
        self._receiver = None
        self._buffer = early

    async def peek(self, size: int) -> bytes:
        while len(self._buffer) < size and not self._end_told and not self.is_lost:
            await self._wait()
        return self._buffer

    async def read(self, limit: int = 65536) -> bytes:
        while not self._buffer and not self._end_told and not self.is_lost:
            await self._wait()
        data, self._buffer = self._buffer[:limit], self._buffer[limit:]
        return data

    async def drain(self) -> None:
        while self._is_full and not self.is_lost:
            await self._wait()

    async def start_tls(self, context: Any, *, server_name: str | None = None) -> None:
        raise NotImplementedError

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._task = self._loop.create_task(coroutine)

    async def _wait(self) -> None:
        self.resume()
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
