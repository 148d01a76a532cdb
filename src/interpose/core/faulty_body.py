"""Content that passes through faults: later, more slowly, or not to its end; and a head that drips before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from interpose.core.body import Body, Sink
from interpose.core.failure import Failure
from interpose.core.fault import Drawn, Fault
from interpose.core.fields import Fields
from interpose.core.head_sink import HeadSink
from interpose.core.lane import Clock, Lane

LaneTo = Callable[[Callable[[bytes], bool]], Lane]
"""Makes the lane that delivers to a function."""

CUT_AFTER_S = 0.01
"""What was written before a cut is to leave first: the end of a connection that is broken off drops what waits."""


def faulty_body(inner: Body, drawn: Sequence[Drawn], clock: Clock, cut: Failure, head_s: float = 0.0) -> Body:
    """A body with the content of `inner`, as `drawn` say. Where they cut it off it fails with `cut`.

    Its length stays what it was, so that a cut is seen. `head_s` is how long the head before it is to take.
    """
    return _Detour(inner, lambda deliver: Lane(clock, drawn, deliver), clock, cut, head_s).body


def detoured(inner: Body, lane_to: LaneTo, clock: Clock, cut: Failure) -> Body:
    """A body with the content of `inner`, by way of a lane."""
    return _Detour(inner, lane_to, clock, cut, 0.0).body


class _Detour:
    """Sits between two bodies: the sink of the first, the source of the second."""

    def __init__(self, inner: Body, lane_to: LaneTo, clock: Clock, cut: Failure, head_s: float) -> None:
        self.on_drain: Callable[[], None] | None = None
        self.clock = clock
        self.head_s = head_s
        self.head: Lane | None = None
        self._inner = inner
        self._cut = cut
        self._lane = lane_to(self._feed)
        self._lane.on_room = self._has_room
        self._lane.on_limit = self._limit_reached
        self._is_paused = self._has_started = self._is_cut = False
        self.body = _AfterHead()
        self.body.detour = self
        self.body.expect(self, inner.length)

    # --- the sink of the first -------------------------------------------------------------------------------------

    def write(self, chunk: bytes) -> bool:
        return self._lane.put(chunk)

    def end(self, trailers: Fields | None) -> None:
        self._lane.then(partial(self._finish, trailers))

    def abort(self, failure: Failure) -> None:
        self._lane.then(partial(self._fail, failure))

    # --- the source of the second ----------------------------------------------------------------------------------

    def pause(self) -> None:
        self._is_paused = True
        self._lane.pause()

    def resume(self) -> None:
        self._is_paused = False
        self._lane.resume()
        if self._has_started:
            return
        self._has_started = True
        if not self._inner.is_complete:
            self._inner.pipe(self)
            return
        if data := self._inner.take():  # not piped: EMPTY is everybody's
            self.write(data)
        self.end(self._inner.trailers)

    def cancel(self) -> None:
        self._lane.drop()
        if self.head is not None:
            self.head.drop()
        self._inner.close()

    def _feed(self, piece: bytes) -> bool:
        self.body.feed(piece)
        return not self._is_paused

    def _finish(self, trailers: Fields | None) -> None:
        if not self._is_cut:
            self.body.finish(trailers)

    def _fail(self, failure: Failure) -> None:
        if not self._is_cut:
            self.body.fail(failure)

    def _has_room(self) -> None:
        if self.on_drain is not None:
            self.on_drain()

    def _limit_reached(self) -> None:
        self._is_cut = True
        self.clock.call_later(CUT_AFTER_S, self._cut_off)

    def _cut_off(self) -> None:
        self.body.fail(self._cut)
        self._inner.close()


class _AfterHead(Body):
    """A body that waits for the head before it, where that takes its time."""

    __slots__ = ("detour",)

    detour: _Detour

    def pipe(self, sink: Sink) -> None:
        """See `Body.pipe`."""
        detour = self.detour
        if not detour.head_s or not isinstance(sink, HeadSink):
            super().pipe(sink)
            return
        head, write = sink.take_head()
        byte_by_byte = Fault(kind="slicer", average_bytes=1, delay_s=detour.head_s / max(1, len(head)))
        detour.head = Lane(detour.clock, [Drawn(byte_by_byte, Random(0))], lambda piece: write(piece) or True)
        detour.head.put(head)
        detour.head.then(partial(super().pipe, sink))
