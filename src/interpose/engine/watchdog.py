"""Notices when the event loop stands still, says what stood in its way, and for how long.

A thread asks the loop for an answer ten times a second. When none has come for a quarter of a second, something runs
on the loop that should not: the thread takes the loop's stack, once per stall, and writes it down when the loop moves
again (or while it still does not, since it may never). Whoever reads the log sees the line of the script that slept.

`Lag` decides, from times that it is told; `Watchdog` is the thread and the clock.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable

log = logging.getLogger("interpose")

STALL_S = 0.25
"""A loop that has not answered for so long is stalled."""

PERIOD_S = 0.1
"""How often the loop is asked."""

FORSAKEN_S = 10.0
"""A loop that stands still for so long while the supervisor is gone will not notice it; the process ends itself."""


class Lag:
    """How long the loop has owed an answer. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.stalls = 0
        """Stalls so far."""
        self.longest_s = 0.0
        """The longest of them."""
        self._asked: float | None = None
        self._is_stalled = False

    def ask(self, now: float) -> bool:
        """Whether to ask the loop now: not while it still owes an answer."""
        if self._asked is not None:
            return False
        self._asked = now
        return True

    def look(self, now: float) -> bool:
        """Whether a stall began to show just now: the moment to take the stack."""
        if self._asked is None or self._is_stalled or now - self._asked < STALL_S:
            return False
        self._is_stalled = True
        self.stalls += 1
        return True

    def owed_s(self, now: float) -> float:
        """For how long the loop has owed an answer."""
        return 0.0 if self._asked is None else now - self._asked

    def answer(self, now: float) -> float | None:
        """The loop answered. How long the stall was, when there was one."""
        asked, self._asked = self._asked, None
        was_stalled, self._is_stalled = self._is_stalled, False
        if asked is None or not was_stalled:
            return None
        self.longest_s = max(self.longest_s, now - asked)
        return now - asked


class Watchdog:
    """Watches the running loop from `start` to `stop`."""

    def __init__(self, who: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.lag = Lag()
        self._who = who
        self._clock = clock
        self._answered = threading.Event()
        self._stopped = threading.Event()
        self._parent = os.getppid()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Watch the loop that runs in this thread."""
        arguments = (asyncio.get_running_loop(), threading.get_ident())
        self._thread = threading.Thread(target=self._watch, args=arguments, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()
        self._answered.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self, loop: asyncio.AbstractEventLoop, ident: int) -> None:
        stack = ""
        said = 0.0
        while not self._stopped.is_set():
            if self.lag.ask(self._clock()):
                self._answered.clear()
                try:
                    loop.call_soon_threadsafe(self._answered.set)
                except RuntimeError:  # the loop is closed
                    return
            answered = self._answered.wait(STALL_S if not stack else PERIOD_S)
            now = self._clock()
            if not answered:
                if self.lag.look(now):
                    stack = _stack_of(ident)
                    said = 1.0
                elif self.lag.owed_s(now) >= said:
                    log.warning("%s: its event loop has been blocked for %.1f s by:\n%s", self._who, said, stack)
                    said *= 4
                if self.lag.owed_s(now) >= FORSAKEN_S and os.getppid() != self._parent:
                    os._exit(1)
                continue
            stalled_s = self.lag.answer(now)
            if stalled_s is not None:
                log.warning("%s: its event loop was blocked for %.2f s by:\n%s", self._who, stalled_s, stack)
                stack = ""
            self._stopped.wait(PERIOD_S)


def _stack_of(ident: int) -> str:
    frame = sys._current_frames().get(ident)
    return "  (gone)" if frame is None else "".join(traceback.format_stack(frame, limit=8)[-8:]).rstrip("\n")
