"""So many bytes a second for all that share a key, one direction at a time.

A `Pace` is what one key may send; the lanes that have something for it wait in a ring, and each gets its piece in turn,
so that no exchange takes what belongs to all. One timer of the `Pacer` serves the rings of all keys, and runs only
while something waits. A lane alone, with its allowance unused, passes at once.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from interpose.core.lane import Clock, Lane, Timer

TICK_S = 0.05
LARGEST_PIECE = 65536
MOST_WAITING_BYTES = 65536
"""What a lane holds before it says that it is full. One more read of the event loop may come on top."""
CATCHING_UP_S = 0.1
"""What was not used is saved for no longer than this."""


class Pacer:
    """The timer of all paces of a worker."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._waiting: dict[Pace, None] = {}
        self._timer: Timer | None = None

    def wait(self, pace: Pace) -> None:
        """(pace) Something waits for it."""
        self._waiting[pace] = None
        if self._timer is None:
            self._timer = self.clock.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        waiting, self._waiting = self._waiting, {}
        for pace in waiting:
            pace.serve()

    def close(self) -> None:
        """Nothing passes any more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Pace:
    """What one key may send in one direction: `rate` bytes a second, 0 as much as comes. `passed` is told what does."""

    def __init__(self, pacer: Pacer, rate: float, passed: Callable[[int], None]) -> None:
        self.clock = pacer.clock
        self._pacer = pacer
        self._rate = rate
        self._passed = passed
        self._ring: deque[PacedLane] = deque()
        self._last = pacer.clock.time()
        self._left = self._most

    @property
    def _most(self) -> float:
        return max(2.0, self._rate * CATCHING_UP_S)  # more than one, so that fractions are not lost

    @property
    def rate(self) -> float:
        """Bytes a second; another one, which is not 0, counts from now on."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._refill()
        self._rate = rate
        self._left = min(self._left, self._most)

    def at_once(self, wanted: int) -> int:
        """How many bytes of somebody who does not wait yet may leave now; 0: wait (`join`)."""
        size = wanted
        if self._rate:
            self._refill()
            size = min(wanted, LARGEST_PIECE, math.floor(self._left))
            if self._ring or size < min(wanted, max(1, self._rate * TICK_S / 4)):
                return 0  # not before others, and a piece of a few bytes would cost more than it carries
            self._left -= size
        self._passed(size)
        return size

    def join(self, lane: PacedLane) -> None:
        """Wait for a turn."""
        self._ring.append(lane)
        self._pacer.wait(self)

    def serve(self) -> None:
        """(pacer) Give each lane its piece in turn, as far as it goes."""
        self._refill()
        piece = max(1, min(LARGEST_PIECE, math.floor(self._rate * TICK_S / max(1, len(self._ring)))))
        while self._ring and self._left >= 1:
            lane = self._ring.popleft()
            size = lane.turn(min(piece, math.floor(self._left)))
            self._left -= size
            self._passed(size)
            if lane.wants_more:
                self._ring.append(lane)
            else:
                lane.leave()
        if self._ring:
            self._pacer.wait(self)

    def _refill(self) -> None:
        now = self._pacer.clock.time()
        self._left = min(self._most, self._left + max(0.0, now - self._last) * self._rate)
        self._last = now


class PacedLane(Lane):
    """A lane whose pieces leave at a pace that it shares with others."""

    __slots__ = ("_allowed", "_is_waiting", "_pace")

    def __init__(self, pace: Pace, deliver: Callable[[bytes], bool]) -> None:
        super().__init__(pace.clock, (), deliver)
        self._most = MOST_WAITING_BYTES
        self._pace = pace
        self._is_waiting = False
        self._allowed = 0

    def turn(self, most: int) -> int:
        """(pace) So many bytes may leave; how many did."""
        self._allowed = most
        self._pump()
        left, self._allowed = self._allowed, 0
        return most - left

    @property
    def wants_more(self) -> bool:
        """(pace) Whether there is something for another turn."""
        return bool(self._queue) and not self._paused

    def leave(self) -> None:
        """(pace) It has left the ring."""
        self._is_waiting = False
        self._pump()  # what came while it was in there

    def _let_go(self, data: bytes, when: float, now: float) -> bool:
        """See `Lane._let_go`."""
        left = len(data) - self._offset
        if self._is_waiting:
            size = min(left, self._allowed)
            self._allowed -= size
        else:
            size = self._pace.at_once(left)
            if not size:
                self._is_waiting = True
                self._pace.join(self)
        if size:
            self._pass_on(data, size)
        return size > 0
