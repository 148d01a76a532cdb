"""Time that passes only when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class FakeTimer:
    def __init__(self, when: float, call: Callable[[], object]) -> None:
        self.when = when
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeClock:
    """A `core.lane.Clock`."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[FakeTimer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> FakeTimer:
        timer = FakeTimer(self.now + delay, lambda: callback(*args))
        self._timers.append(timer)
        return timer

    @property
    def waiting(self) -> int:
        """Timers that would still fire."""
        return len([timer for timer in self._timers if not timer.is_cancelled])

    def advance(self, seconds: float) -> None:
        """Let so much time pass; what is due is called in order, at its time."""
        end = self.now + seconds
        for _ in range(1_000_000):
            due = [timer for timer in self._timers if not timer.is_cancelled and timer.when <= end + 1e-9]
            if not due:
                break
            timer = min(due, key=lambda timer: timer.when)
            self._timers.remove(timer)
            self.now = max(self.now, timer.when)
            timer.call()
        else:
            raise AssertionError("timers without end")
        self._timers = [timer for timer in self._timers if not timer.is_cancelled]
        self.now = end
