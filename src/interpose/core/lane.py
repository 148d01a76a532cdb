"""A lane: one direction of a connection, or the content of a message, on its way through faults.

What is put in comes out in the same order and in time, later, in other pieces, or not at all, as the faults say:

    put ──> limit_data ──> latency ──> queue ──> slicer, bandwidth ──> deliver
              cuts          dates                 when the next piece may leave

Latency is added when something arrives, for it does not depend on what is before; pieces are made only when they leave,
so that a slow line does not hold thousands of them. Time comes from a clock that is given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from interpose.core.fault import Drawn

LIMIT_BYTES = 262144
"""What a lane holds before it says that it is full. One more read of the event loop may come on top."""

MOST_PIECES = 64
"""Pieces that leave in one round of the loop."""

SHORTEST_WAIT_S = 0.001
SMALLEST_STEPS_PER_S = 20
"""A narrow line carries a piece that often, instead of much at once and then nothing for long."""

MOST_CATCHING_UP_S = 0.1
"""A line that was not used, or that nobody took from, does not make up for more than this."""


class Timer(Protocol):
    """Something that will be called."""

    def cancel(self) -> object:
        """Do not."""


class Clock(Protocol):
    """An event loop, as far as time goes."""

    def time(self) -> float:
        """Seconds, monotonic."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call `callback` after so many seconds."""


class Lane:
    """See the module. `deliver` takes a piece; False means no more until `resume`.

    `on_room` is called when a lane that was full is not any more; `on_limit` when the last byte that may pass has.
    """

    __slots__ = (
        "_clock", "_deliver", "_due", "_free", "_handle", "_is_limited", "_is_pumping", "_latency", "_left", "_most",
        "_offset", "_paused", "_queue", "_rate", "_slices", "_slow_close", "_was_full", "held", "is_hole", "on_limit",
        "on_room",
    )  # fmt: skip

    def __init__(self, clock: Clock, drawn: Sequence[Drawn], deliver: Callable[[bytes], bool]) -> None:
        self._clock = clock
        self._deliver = deliver
        self._queue: deque[tuple[float, bytes | Callable[[], object]]] = deque()
        self._offset = 0
        self._most = LIMIT_BYTES
        self._due = self._free = 0.0
        self._handle: Timer | None = None
        self._paused = self._is_pumping = self._is_limited = self._was_full = False
        self.held = 0
        """Bytes that are on their way."""
        self.on_room: Callable[[], None] | None = None
        self.on_limit: Callable[[], None] | None = None
        of_kind: dict[str, list[Drawn]] = {}
        for one in drawn:
            of_kind.setdefault(one.fault.kind, []).append(one)
        self._latency = of_kind.get("latency", [])
        self._slices = of_kind.get("slicer", [])[:1]
        self._rate = min((one.fault.rate_bytes_per_s or 1 for one in of_kind.get("bandwidth", ())), default=0)
        self._slow_close = sum(one.fault.delay_s or 0.0 for one in of_kind.get("slow_close", ()))
        limits = [one.fault.bytes or 0 for kind in ("limit_data", "truncate") for one in of_kind.get(kind, ())]
        self._left = min(limits, default=None)
        self.is_hole = "timeout" in of_kind
        """Whether nothing comes out."""

    @property
    def is_full(self) -> bool:
        """Whether it holds as much as it should."""
        return self.held >= self._most

    @property
    def is_paused(self) -> bool:
        """Whether nothing leaves until `resume`."""
        return self._paused

    def put(self, data: bytes) -> bool:
        """Take bytes; False when it is full now: no more until `on_room`."""
        if self.is_hole or self._is_limited:
            return True
        if self._left is not None:
            if len(data) > self._left:
                data = data[: self._left]
                self._is_limited = True
            self._left -= len(data)
        if data:
            self.held += len(data)
            self._queue.append((self._dated(0.0), data))
        if self._is_limited:
            self._queue.append((self._due, self._limit_reached))
        self._pump()
        self._was_full = self.held >= self._most
        return not self._was_full

    def then(self, function: Callable[[], object]) -> None:
        """Call `function` when all that was put in before has left: an end, as late as everything else or later."""
        if self.is_hole:
            return
        delay, self._slow_close = self._slow_close, 0.0
        self._queue.append((self._dated(delay), function))
        self._pump()

    def pause(self) -> None:
        """Deliver nothing until `resume`."""
        self._paused = True
        self._stop_waiting()

    def resume(self) -> None:
        """Deliver again, at once what is due."""
        if self._paused:
            self._paused = False
            self._pump()

    def drop(self) -> None:
        """Forget what is on its way."""
        self._queue.clear()
        self.held = self._offset = 0
        self._stop_waiting()

    def take(self) -> bytes:
        """What is on its way, out of turn."""
        pieces = [item for _, item in self._queue if isinstance(item, bytes)]
        data = b"".join(pieces)[self._offset :]
        ends = [(due, item) for due, item in self._queue if not isinstance(item, bytes)]
        self.drop()
        self._queue.extend(ends)
        return data

    def _limit_reached(self) -> None:
        if self.on_limit is not None:
            self.on_limit()

    def _dated(self, more_s: float) -> float:
        """When what arrives now is due: never before what came before it."""
        due = self._clock.time() + more_s
        for one in self._latency:
            jitter = one.fault.jitter_s
            due += max(0.0, (one.fault.latency_s or 0.0) + (one.random.uniform(-jitter, jitter) if jitter else 0.0))
        self._due = max(self._due, due)
        return self._due

    def _pump(self) -> None:
        """Let leave what is due."""
        if self._is_pumping:
            return
        self._is_pumping = True
        self._stop_waiting()
        try:
            for _ in range(MOST_PIECES):
                if not self._queue or self._paused:
                    break
                due, item = self._queue[0]
                now = self._clock.time()
                when = max(due, self._free)
                if when > now:
                    self._wait(when - now)
                    break
                if isinstance(item, bytes):
                    if not self._let_go(item, when, now):
                        break
                else:
                    self._queue.popleft()
                    item()
            else:
                self._wait(0.0)
        finally:
            self._is_pumping = False
        if self._was_full and not self.is_full:
            self._was_full = False
            if self.on_room is not None:
                self.on_room()

    def _let_go(self, data: bytes, when: float, now: float) -> bool:
        """Deliver the next piece of `data`, and say when another one may follow. False: none may leave before somebody
        pumps again."""
        left = len(data) - self._offset
        size, pause_s = left, 0.0
        if self._slices:
            fault, random = self._slices[0]
            size = (fault.average_bytes or 1) + random.randint(-fault.variation_bytes, fault.variation_bytes)
            pause_s = fault.delay_s or 0.0
        if self._rate:
            size = min(size, max(1, self._rate // SMALLEST_STEPS_PER_S))
        size = min(size, left)
        if self._rate:
            pause_s = max(pause_s, size / self._rate)
        if pause_s:
            self._free = (when if now - when < MOST_CATCHING_UP_S else now) + pause_s
        self._pass_on(data, size)
        return True

    def _pass_on(self, data: bytes, size: int) -> None:
        """Deliver the next `size` bytes of `data`, which is the first in the queue."""
        end = self._offset + size
        piece = data if size == len(data) else data[self._offset : end]
        if end == len(data):
            self._queue.popleft()
            self._offset = 0
        else:
            self._offset = end
        self.held -= size
        if not self._deliver(piece):
            self._paused = True

    def _wait(self, seconds: float) -> None:
        if self._queue:
            self._handle = self._clock.call_later(max(SHORTEST_WAIT_S, seconds) if seconds else 0.0, self._pump)

    def _stop_waiting(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
