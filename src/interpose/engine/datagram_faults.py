"""Faults of datagrams: one direction of a UDP relay or server, through which each passes once, twice, later or
never."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Literal

from interpose.core.fault import Fault, affects, seed_of
from interpose.core.lane import LIMIT_BYTES, Clock, Timer

OVERTAKEN_WITHIN_S = 1.0
"""How long a datagram waits for another one to overtake it."""

OVERHEAD_BYTES = 512
"""What a datagram that is held back costs besides its content, which may be empty."""

Send = Callable[[bytes], object]


class DatagramFaults:
    """The faults of one direction, for all its flows. Chances are drawn for each datagram, in the order of arrival.

    Datagrams that are held back are bounded (LIMIT_BYTES in all): more are lost, as in any queue of a network.
    """

    def __init__(self, faults: Sequence[Fault], direction: Literal["inbound", "outbound"], clock: Clock) -> None:
        self._clock = clock
        self._faults = [(fault, Random(seed_of(fault))) for fault in faults if affects(fault, direction)]
        self._overtaken: dict[Send, tuple[bytes, Timer]] = {}
        self._timers: set[Timer] = set()
        self._held = 0
        self.drawn = 0
        """Faults that have befallen something."""

    def __bool__(self) -> bool:
        return bool(self._faults)

    def pass_on(self, data: bytes, send: Send) -> None:
        """Call `send` with the datagram, now, later, twice or not at all. One flow always has the same `send`."""
        copies, delay_s, waits_s = 1, 0.0, 0.0
        for fault, random in self._faults:
            if random.random() >= fault.probability:
                continue
            self.drawn += 1
            match fault.kind:
                case "loss":
                    copies = 0
                case "duplicate":
                    copies *= 2
                case "reorder":
                    waits_s = OVERTAKEN_WITHIN_S if fault.delay_s is None else fault.delay_s
                case "latency":
                    jitter = random.uniform(-fault.jitter_s, fault.jitter_s) if fault.jitter_s else 0.0
                    delay_s += max(0.0, (fault.latency_s or 0.0) + jitter)
        for _ in range(copies):
            if delay_s:
                self._later(delay_s, data, send, waits_s)
            else:
                self._leave(data, send, waits_s)

    def close(self) -> None:
        """Forget what is held back."""
        for timer in [*self._timers, *(timer for _, timer in self._overtaken.values())]:
            timer.cancel()
        self._timers.clear()
        self._overtaken.clear()
        self._held = 0

    def _later(self, delay_s: float, data: bytes, send: Send, waits_s: float) -> None:
        size = len(data) + OVERHEAD_BYTES
        if self._held + size > LIMIT_BYTES:
            return
        self._held += size

        def due() -> None:
            self._timers.discard(timer)
            self._held -= size
            self._leave(data, send, waits_s)

        timer = self._clock.call_later(delay_s, due)
        self._timers.add(timer)

    def _leave(self, data: bytes, send: Send, waits_s: float) -> None:
        size = len(data) + OVERHEAD_BYTES
        if waits_s and send not in self._overtaken and self._held + size <= LIMIT_BYTES:
            self._held += size
            self._overtaken[send] = data, self._clock.call_later(waits_s, self._release, send)
            return
        send(data)
        self._release(send)

    def _release(self, send: Send) -> None:
        """The datagram of a flow that waited for another one goes now."""
        waiting = self._overtaken.pop(send, None)
        if waiting is not None:
            data, timer = waiting
            timer.cancel()
            self._held -= len(data) + OVERHEAD_BYTES
            send(data)
