"""Faults of connections: a stream around a stream, through which bytes pass as the faults say.

    the client's side                     FaultyStream                     who serves it
    inner.bytes_received ───> inbound lane (`core.lane`) ───> receiver.bytes_received, or `read`
    inner.write          <─── outbound lane              <─── write

Nothing is lost and nothing changes its order unless a fault says so: an end (`end`, `close`, the client's own) waits in
its lane behind what was sent before it. `abort` waits for nothing. What is on its way is bounded: a full lane pauses
whoever fills it. When the connection is lost, what the client had sent before is still delivered; then the receiver
is told.

A connection keeps the faults that it began with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from interpose.core.failure import Failure, Side
from interpose.core.fault import Chances, Drawn, affects
from interpose.core.faulty_body import LaneTo
from interpose.core.lane import Clock, Lane, Timer
from interpose.core.stream import Receiver, Stream, StreamHandler, StreamInfo

PULL_LIMIT_BYTES = 65536

Lanes = tuple[LaneTo, LaneTo]


class FaultStep:
    """A stream handler before another one: the connections that `chances` choose pass through faults."""

    def __init__(self, chances: Chances, handler: StreamHandler, clock: Clock | None = None) -> None:
        self._chances = chances
        self._handler = handler
        self._clock = clock or asyncio.get_running_loop()

    def __call__(self, stream: Stream) -> None:
        """Serve one stream."""
        drawn = self._chances.draw()
        self._handler(FaultyStream(stream, drawn, self._clock) if drawn else stream)


class FaultyStream:
    """A `Stream`, and the receiver of the one that it is around, from when it is made.

    `lanes` (inbound, outbound) are for what else than faults makes bytes wait: a pace.
    """

    __slots__ = (
        "_buffer", "_clock", "_ended", "_failure", "_full", "_has_said_enough", "_in", "_inner", "_is_closing",
        "_is_gone", "_is_lost", "_out", "_reading", "_receiver", "_room", "_task", "_timers", "_upgrading", "_waiter",
        "_when_lost", "_written",
    )  # fmt: skip

    def __init__(self, inner: Stream, drawn: Sequence[Drawn], clock: Clock, lanes: Lanes | None = None) -> None:
        self._inner = inner
        self._clock = clock
        inbound = [one for one in drawn if affects(one.fault, "inbound")]
        outbound = [one for one in drawn if affects(one.fault, "outbound")]
        self._in = lanes[0](self._arrived) if lanes else Lane(clock, inbound, self._arrived)
        self._out = lanes[1](inner.write) if lanes else Lane(clock, outbound, inner.write)
        self._in.on_room = self._read_on
        self._out.on_room = self._may_be_writable
        self._in.on_limit = self._said_enough
        self._out.on_limit = self.close
        self._receiver: Receiver | None = None
        self._buffer = b""
        self._written = 0
        self._reading = True
        self._full = self._ended = self._is_closing = self._is_gone = self._is_lost = self._upgrading = False
        self._has_said_enough = False
        self._failure: Failure | None = None
        self._when_lost: list[Callable[[Failure | None], None]] = []
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._timers: list[Timer] = []
        for fault, _ in drawn:
            if fault.kind == "timeout" and fault.after_s:
                self._timers.append(clock.call_later(fault.after_s, self.close))
            elif fault.kind == "reset_peer":
                self._timers.append(clock.call_later(fault.after_s, self._reset, fault.direction))
        inner.attach(self)

    # --- from the inner stream -------------------------------------------------------------------------------------

    def bytes_received(self, data: bytes) -> None:
        """See `Receiver`."""
        if not self._is_closing and not self._in.put(data):
            self._inner.pause()

    def end_received(self) -> None:
        """See `Receiver`."""
        self._in.then(self._end_arrived)

    def writable(self) -> None:
        """See `Receiver`."""
        self._out.resume()
        self._may_be_writable()

    def connection_lost(self, failure: Failure | None) -> None:
        """See `Receiver`. Told on behind what arrived before, unless nobody is to get that."""
        if self._upgrading:  # `start_tls` learns of it and says so
            return
        self._is_gone = True
        self._out.drop()
        if self._has_said_enough and self._receiver is None and not self._is_closing:
            return  # whoever comes gets what there is first
        if self._is_closing or self._in.is_hole or self._in.is_paused:
            self._lose(failure)
        else:
            self._in.then(partial(self._lose, failure))

    # --- what arrives ----------------------------------------------------------------------------------------------

    def _arrived(self, data: bytes) -> bool:
        if self._is_closing:
            return True
        if self._receiver is not None:
            self._receiver.bytes_received(data)
        else:
            self._buffer = self._buffer + data if self._buffer else data
            if len(self._buffer) >= PULL_LIMIT_BYTES:
                self.pause()
            self._wake()
        return self._reading

    def _end_arrived(self) -> None:
        if self._is_closing or self._ended:
            return
        self._ended = True
        if self._receiver is not None:
            self._receiver.end_received()
        self._wake()

    def _said_enough(self) -> None:
        """(limit_data) As if the client had said so much and had closed then."""
        self._has_said_enough = True
        self._end_arrived()
        if not self._is_closing:
            self._out.then(self._inner.close)

    def _lose(self, failure: Failure | None) -> None:
        """The connection is gone, for whoever has it."""
        if self._is_lost:
            return
        self._is_lost = self._is_gone = self._is_closing = self._ended = True
        if self._failure is None:
            self._failure = failure
        self._in.drop()
        self._out.drop()
        for timer in self._timers:
            timer.cancel()
        self._wake()
        if self._room is not None:
            self._room.set()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.connection_lost(self._failure)
        while self._when_lost:
            self._when_lost.pop(0)(self._failure)

    def _reset(self, direction: str) -> None:
        """Break off as the fault says: towards the client (outbound), towards who serves it (inbound), or both."""
        if direction != "outbound":
            self._failure = Failure("connection_terminated", Side.UPSTREAM, "A fault reset the connection.")
        if direction != "inbound":
            self.abort()
        else:
            self._inner.close()
            self._lose(self._failure)

    def _read_on(self) -> None:
        if self._reading and not self._is_gone:
            self._inner.resume()

    def _may_be_writable(self) -> None:
        if self._full and not self._out.is_full and not self._inner.is_full and not self._is_gone:
            self._full = False
            if self._receiver is not None:
                self._receiver.writable()
            if self._room is not None:
                self._room.set()

    # --- Stream ----------------------------------------------------------------------------------------------------

    @property
    def info(self) -> StreamInfo:
        """See `Stream.info`."""
        return self._inner.info

    @property
    def is_lost(self) -> bool:
        """Whether the connection is gone."""
        return self._is_lost

    @property
    def written_bytes(self) -> int:
        """See `Stream.written_bytes`."""
        return self._written

    @property
    def unsent_bytes(self) -> int:
        """See `Stream.unsent_bytes`. What a fault holds back does not count: that is not the peer's doing."""
        return self._inner.unsent_bytes

    @property
    def is_full(self) -> bool:
        """See `Stream.is_full`."""
        return self._full

    @property
    def is_reading(self) -> bool:
        """See `Stream.is_reading`."""
        return self._reading

    def write(self, data: bytes) -> bool:
        """See `Stream.write`."""
        if not self._is_closing and not self._is_gone and data:
            self._written += len(data)
            has_room = self._out.put(data)
            self._full = not has_room or self._inner.is_full
        return not self._full

    def end(self) -> None:
        """See `Stream.end`."""
        if not self._is_closing:
            self._out.then(self._inner.end)

    def close(self) -> None:
        """See `Stream.close`. In a hole nothing waits, and the client is told: who closes has given up."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._out.is_hole or self._is_gone:
            self._inner.close()
        else:
            self._out.then(self._inner.close)
        if self._is_gone:
            self._clock.call_later(0, self._lose, self._failure)

    def abort(self) -> None:
        """See `Stream.abort`."""
        if self._is_lost:
            return
        self._is_closing = True
        self._in.drop()
        self._out.drop()
        self._inner.abort()
        if self._is_gone:
            self._clock.call_later(0, self._lose, self._failure)

    def pause(self) -> None:
        """See `Stream.pause`."""
        if self._reading and not self._is_closing:
            self._reading = False
            self._in.pause()
            self._inner.pause()

    def resume(self) -> None:
        """See `Stream.resume`. What is in the lane already comes in the loop's next round, never from within."""
        if not self._reading and not self._is_lost:
            self._reading = True
            self._clock.call_later(0, self._deliver_on)

    def _deliver_on(self) -> None:
        if self._reading:
            self._in.resume()
            if not self._in.is_full:
                self._read_on()

    def receive_in_pieces(self) -> None:
        """See `Stream.receive_in_pieces`."""
        self._inner.receive_in_pieces()

    def attach(self, receiver: Receiver) -> None:
        """See `Stream.attach`."""
        self._receiver = receiver
        data, self._buffer = self._buffer, b""
        if data:
            receiver.bytes_received(data)
        if self._ended and self._receiver is receiver and self._failure is None:
            receiver.end_received()
        if self._receiver is not receiver:
            return
        if self._has_said_enough and self._is_gone:
            self._lose(None)
        elif self._is_lost:
            self._receiver = None
            receiver.connection_lost(self._failure)
        elif data:
            self.resume()

    def when_lost(self, function: Callable[[Failure | None], None]) -> None:
        """See `Stream.when_lost`."""
        if self._is_lost:
            function(self._failure)
        else:
            self._when_lost.append(function)

    def hand_over(self, early: bytes) -> None:
        """See `Stream.hand_over`."""
        self._receiver = None
        self._buffer = early

    async def peek(self, size: int) -> bytes:
        """See `Stream.peek`."""
        while len(self._buffer) < size and not self._ended:
            await self._more(size)
        return self._buffer

    async def read(self, limit: int = PULL_LIMIT_BYTES) -> bytes:
        """See `Stream.read`."""
        while not self._buffer and not self._ended:
            await self._more()
        data, self._buffer = self._buffer[:limit], self._buffer[limit:]
        return data

    async def drain(self) -> None:
        """See `Stream.drain`."""
        while self._full and not self._is_lost:
            self._room = self._room or asyncio.Event()
            self._room.clear()
            await self._room.wait()

    async def start_tls(self, context: Any, *, server_name: str | None = None) -> None:
        """See `Stream.start_tls`. The handshake itself passes beside the faults, and so does what came of it early."""
        early, self._buffer = self._buffer + self._in.take(), b""
        self._upgrading = True
        self._inner.hand_over(early)
        try:
            await self._inner.start_tls(context, server_name=server_name)
        except BaseException:
            self._upgrading = False
            self._lose(None)
            raise
        self._upgrading = False
        self._inner.attach(self)

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """See `Stream.run`."""
        self._task = asyncio.get_running_loop().create_task(coroutine)
        self._task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        is_current = self._task is task
        if is_current:
            self._task = None
        if task.cancelled():
            self.abort()
            return
        error = task.exception()
        if error is None:
            if self._receiver is None and is_current:
                self.close()
            return
        self.abort()
        if not isinstance(error, Failure):
            raise error

    async def _more(self, wanted: int = 0) -> None:
        if len(self._buffer) < max(PULL_LIMIT_BYTES, wanted):
            self.resume()
        await self._wait()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
