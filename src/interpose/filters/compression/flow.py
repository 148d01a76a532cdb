"""Content that is compressed while it flows.

No more is compressed in one turn of the loop than TURN_S allow, so that a large content that is there at once stands in
nobody's way (THREATS F21). What a server has sent is flushed when nothing follows for a while; of a stream of events,
each time. Backpressure passes through: while the client's side is paused nothing is compressed, and as long as pieces
wait the server's side is paused.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from interpose.core.body import Body
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.lane import Clock, Timer
from interpose.protocol.content_coding import Encoder

PIECE_BYTES = 65536
"""Between two of these the time is looked at. One of text takes 4 ms at the slowest level that can be configured, less
than one at the usual ones."""

TURN_S = 0.002

IDLE_FLUSH_S = 0.05
"""How long the encoder may keep what came, waiting for more: half of what people notice."""

LONG_IDLE_FLUSH_S = 1.0
"""The same for content whose length was known, which nobody makes while it is sent."""


class Loop(Clock, Protocol):
    """An event loop, as far as turns and time go."""

    def call_soon(self, callback: Callable[[], object]) -> Timer:
        """Call `callback` in the next turn."""


class Copy(Protocol):
    """Who wants to keep what the content becomes. Exactly one of `end` and `abort` is called."""

    def write(self, data: bytes) -> None:
        """The next octets."""

    def end(self) -> None:
        """That was all."""

    def abort(self) -> None:
        """It broke off."""


class Flow:
    """Sits between two bodies: the sink of `inner`, the source of `body`."""

    __slots__ = (
        "_clock", "_copy", "_encoder", "_flushes", "_has_ended", "_has_started", "_idle_s", "_inner", "_is_kept_back",
        "_is_paused", "_last", "_loop", "_pieces", "_timer", "_trailers", "_turn", "body", "on_drain",
    )  # fmt: skip

    def __init__(
        self,
        inner: Body,
        encoder: Encoder,
        loop: Loop,
        *,
        flushes: bool = False,
        copy: Copy | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.on_drain: Callable[[], None] | None = None
        self._flushes = flushes
        self._inner = inner
        self._encoder = encoder
        self._loop = loop
        self._copy = copy
        self._clock = clock  # an event loop's own stands still during a turn
        self._idle_s = IDLE_FLUSH_S if inner.length is None else LONG_IDLE_FLUSH_S
        self._pieces: deque[bytes | memoryview] = deque()
        self._trailers: Fields | None = None
        self._is_paused = self._has_started = self._has_ended = False
        self._is_kept_back = False
        """Whether the encoder has something that was not flushed."""
        self._last = 0.0
        self._timer: Timer | None = None
        self._turn: Timer | None = None
        self.body = Body.streaming(self, None)

    # --- the sink of the first -------------------------------------------------------------------------------------

    def write(self, chunk: bytes) -> bool:
        """See `core.body.Sink`."""
        if len(chunk) <= PIECE_BYTES:
            self._pieces.append(chunk)
        else:
            whole = memoryview(chunk)
            self._pieces.extend([whole[at : at + PIECE_BYTES] for at in range(0, len(chunk), PIECE_BYTES)])
        if self._turn is None and not self._is_paused:
            self._compress()
        return not self._is_paused and not self._pieces

    def end(self, trailers: Fields | None) -> None:
        """See `core.body.Sink`."""
        self._has_ended = True
        self._trailers = trailers
        if not self._pieces:
            self._finish()

    def abort(self, failure: Failure) -> None:
        """See `core.body.Sink`."""
        self._stop()
        self.body.fail(failure)

    # --- the source of the second ----------------------------------------------------------------------------------

    def pause(self) -> None:
        """See `core.body.Source`."""
        self._is_paused = True

    def resume(self) -> None:
        """See `core.body.Source`."""
        self._is_paused = False
        if not self._has_started:
            self._has_started = True
            self._inner.pipe(self)
        elif self._pieces:
            self._take_turn()
        else:
            self._ask()

    def cancel(self) -> None:
        """See `core.body.Source`."""
        self._stop()
        self._inner.close()

    # --- in between ------------------------------------------------------------------------------------------------

    def _take_turn(self) -> None:
        if self._turn is None:
            self._turn = self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """More of it, in a turn of its own."""
        self._turn = None
        if self._is_paused or not self._pieces:
            return
        self._compress()
        if self._pieces:
            return
        if self._has_ended:
            self._finish()
        elif not self._is_paused:
            self._ask()

    def _ask(self) -> None:
        if not self._has_ended and not self.body.ended and self.on_drain is not None:
            self.on_drain()

    def _compress(self) -> None:
        """What there is, as long as there is time. It leaves in one write."""
        encode, pieces, until = self._encoder.encode, self._pieces, self._clock() + TURN_S
        made = [encode(pieces.popleft())]
        while pieces and self._clock() < until:
            made.append(encode(pieces.popleft()))
        if pieces:
            self._take_turn()
        elif self._flushes:
            made.append(self._encoder.flush())
        else:
            self._is_kept_back = True
            self._last = self._loop.time()
            if self._timer is None:
                self._timer = self._loop.call_later(self._idle_s, self._flush_if_idle)
        self._send(b"".join(made))

    def _flush_if_idle(self) -> None:
        """(a timer) Flush when nothing came for so long; else look again when it may be so."""
        self._timer = None
        if not self._is_kept_back or self._has_ended:
            return
        left = self._last + self._idle_s - self._loop.time()
        if left > 0.001:
            self._timer = self._loop.call_later(left, self._flush_if_idle)
            return
        self._is_kept_back = False
        self._send(self._encoder.flush())

    def _send(self, data: bytes) -> None:
        if data:
            if self._copy is not None:
                self._copy.write(data)
            self.body.feed(data)

    def _finish(self) -> None:
        if self.body.ended:
            return
        self._send(self._encoder.finish())
        copy, self._copy = self._copy, None
        if copy is not None:
            copy.end()
        self._stop()
        self.body.finish(self._trailers)

    def _stop(self) -> None:
        """Let go of what is kept, of timers and of turns."""
        copy, self._copy = self._copy, None
        if copy is not None:
            copy.abort()
        self._pieces.clear()
        for handle in (self._timer, self._turn):
            if handle is not None:
                handle.cancel()
        self._timer = self._turn = None
