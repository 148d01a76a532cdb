"""Content that is changed while it flows.

    coding undone (protocol.content_coding, within its bounds)  ->  steps  ->  coding made again

No more is done in one turn of the loop than TURN_S allow, so that a large content that is there at once, or one that
was made small by its coding, stands in nobody's way (THREATS F21, A29). Backpressure passes through. What the encoder
keeps is flushed when nothing follows for a while.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from interpose.core.body import Body
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.lane import Clock, Timer
from interpose.filters.content.replacing import Step
from interpose.protocol.content_coding import Bounds, CodingError, Decoder, Encoder

PIECE_BYTES: Final = 8192
"""Between two of these the time is looked at."""

TURN_S: Final = 0.002

IDLE_FLUSH_S: Final = 0.05
"""How long the encoder may keep what came, waiting for more: half of what people notice."""

_DIGESTS: Final = ("content-digest", "repr-digest", "digest")


class Loop(Clock, Protocol):
    """An event loop, as far as turns and time go."""

    def call_soon(self, callback: Callable[[], object]) -> Timer:
        """Call `callback` in the next turn."""


class Work:
    """What is done to one content: `changed` with each chunk, then with None.

    `limit` is how much is changed of a content whose coding is undone; `excess` is called once when there is more, and
    raises, or returns: then the rest goes on as it is.
    """

    __slots__ = ("_decoder", "_encoder", "_excess", "_left", "_steps")

    def __init__(self, steps: list[Step], coding: str, limit: int, excess: Callable[[], None]) -> None:
        self._steps = steps
        self._decoder = Decoder(coding, Bounds(max_bytes=1 << 62)) if coding else None
        self._encoder = Encoder(coding) if coding else None
        self._left = limit
        self._excess = excess

    def changed(self, chunk: bytes | None) -> Iterator[bytes]:
        """What comes of `chunk`, in pieces. Take all of them before the next call. CodingError."""
        if chunk is None:
            if self._decoder is not None:
                self._decoder.finish()
            yield self._coded(self._finished())
            if self._encoder is not None:
                yield self._encoder.finish()
            return
        if self._decoder is None:
            yield from self._pieces(chunk)
            return
        for piece in self._decoder.decode(chunk):
            if self._left >= 0:
                self._left -= len(piece)
                if self._left < 0:
                    self._excess()
                    yield self._coded(self._finished())
                    self._steps = []
            yield from self._pieces(piece)

    def flushed(self) -> bytes:
        """What the encoder keeps."""
        return b"" if self._encoder is None else self._encoder.flush()

    @property
    def keeps_back(self) -> bool:
        """Whether there may be something to flush."""
        return self._encoder is not None

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), PIECE_BYTES):
            piece = data[start : start + PIECE_BYTES]
            for step in self._steps:
                piece = step.feed(piece)
                if not piece:
                    break
            yield self._coded(piece)

    def _finished(self) -> bytes:
        rest = b""
        for step in self._steps:
            rest = step.feed(rest) + step.finish() if rest else step.finish()
        return rest

    def _coded(self, data: bytes) -> bytes:
        return self._encoder.encode(data) if self._encoder is not None and data else data


class Flow:
    """Sits between two bodies: the sink of `inner`, the source of `body`."""

    __slots__ = (
        "_chunks", "_clock", "_has_ended", "_has_started", "_inner", "_is_done", "_is_paused", "_loop", "_making",
        "_side", "_timer", "_trailers", "_turn", "_work", "body", "on_drain",
    )  # fmt: skip

    def __init__(
        self,
        inner: Body,
        work: Work,
        loop: Loop,
        clock: Callable[[], float] = time.perf_counter,
        *,
        side: Side = Side.UPSTREAM,
    ) -> None:
        self.on_drain: Callable[[], None] | None = None
        self._inner = inner
        self._work = work
        self._side = side
        self._loop = loop
        self._clock = clock  # an event loop's own stands still during a turn
        self._chunks: deque[bytes | None] = deque()
        self._making: Iterator[bytes] | None = None
        self._trailers: Fields | None = None
        self._is_paused = self._has_started = self._has_ended = self._is_done = False
        self._timer: Timer | None = None
        self._turn: Timer | None = None
        self.body = Body.streaming(self, None)

    # --- the sink of the first -------------------------------------------------------------------------------------

    def write(self, chunk: bytes) -> bool:
        """See `core.body.Sink`."""
        if self._is_done:
            return False
        self._chunks.append(chunk)
        if self._turn is None and not self._is_paused:
            self._change()
        return not self._is_paused and not self._has_work

    def end(self, trailers: Fields | None) -> None:
        """See `core.body.Sink`."""
        self._has_ended = True
        if trailers is not None:
            trailers.remove(*_DIGESTS)
        self._trailers = trailers
        self._chunks.append(None)
        if self._turn is None and not self._is_paused:
            self._change()

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
        elif self._has_work:
            self._take_turn()
        else:
            self._ask()

    def cancel(self) -> None:
        """See `core.body.Source`."""
        self._stop()
        self._inner.close()

    # --- in between ------------------------------------------------------------------------------------------------

    @property
    def _has_work(self) -> bool:
        return bool(self._chunks) or self._making is not None

    def _take_turn(self) -> None:
        if self._turn is None:
            self._turn = self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._turn = None
        if self._is_paused or self._is_done or not self._has_work:
            return
        self._change()
        if not self._has_work and not self._is_paused:
            self._ask()

    def _ask(self) -> None:
        if not self._has_ended and not self._is_done and self.on_drain is not None:
            self.on_drain()

    def _change(self) -> None:
        """What there is, as long as there is time. It leaves in one write."""
        made: list[bytes] = []
        try:
            self._collect(made, self._clock() + TURN_S)
        except Exception as error:
            self._stop()
            self.body.fail(_failure(error, self._side))
            self._inner.close()
            return
        if self._has_work:
            self._take_turn()
        elif not self._has_ended and self._work.keeps_back and self._timer is None:
            self._timer = self._loop.call_later(IDLE_FLUSH_S, self._flush)
        if data := b"".join(made):
            self.body.feed(data)
        if self._has_ended and not self._has_work and not self._is_done:
            self._stop()
            self.body.finish(self._trailers)

    def _collect(self, made: list[bytes], until: float) -> None:
        while self._has_work:
            if self._making is None:
                self._making = self._work.changed(self._chunks.popleft())
            for piece in self._making:
                made.append(piece)
                if self._clock() >= until:
                    return
            self._making = None

    def _flush(self) -> None:
        """(a timer) What was kept back leaves; nothing followed for a while, or not much."""
        self._timer = None
        if not self._has_work and not self._has_ended and not self._is_done and (data := self._work.flushed()):
            self.body.feed(data)

    def _stop(self) -> None:
        self._is_done = True
        self._chunks.clear()
        self._making = None
        for timer in (self._timer, self._turn):
            if timer is not None:
                timer.cancel()
        self._timer = self._turn = None


def _failure(error: Exception, side: Side) -> Failure:
    """How a content ends that cannot be changed to its end: it has begun, so all that is left is to break it off."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, CodingError):
        kind = "http_request_error" if side is Side.DOWNSTREAM else "http_response_transfer_coding"
        return Failure(kind, side, f"While it was edited: {error}")
    failure = Failure("proxy_internal_error", Side.INTERNAL, f"Changing the content failed: {error!r}")
    failure.__cause__ = error
    return failure
