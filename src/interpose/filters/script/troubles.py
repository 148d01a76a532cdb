"""What went wrong in a script: where, how often, when last; and which of its functions are not called for that."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from interpose.core.failure import Failure, Side
from interpose.storage.script_file import place_of, told

log = logging.getLogger("interpose")

MOST_TOLD: Final = 20
"""Different errors of one script that are remembered, those that came last."""
MINUTE_S: Final = 60.0


class Trouble(msgspec.Struct, kw_only=True):
    """An error of a function at a line: how often, when last (seconds since 1970), and in which exchange then."""

    function: str
    file: str
    line: int
    error: str
    count: int = 0
    at: float = 0.0
    exchange: str = ""


class Troubles:
    """Those of one script. `max_per_minute` 0: functions are called however often they raise."""

    def __init__(
        self, path: Path, max_per_minute: int, clock: Callable[[], float], wall: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self.total = 0
        self.some_are_off = False
        """Whether `is_off` has to be asked."""
        self._stands_still = False
        self._max_per_minute = max_per_minute
        self._clock = clock
        self._wall = wall
        self._latest: dict[tuple[str, str, int, str], Trouble] = {}
        self._recent: dict[str, deque[float]] = {}
        self._off: dict[str, float] = {}

    @property
    def latest(self) -> list[Trouble]:
        """Those that came last, the last one first."""
        return list(reversed(self._latest.values()))

    @property
    def off(self) -> list[str]:
        """The functions that are not called at the moment."""
        now = self._clock() if self._off else 0.0
        return [name for name, until in self._off.items() if now < until]

    def begin_anew(self) -> None:
        """The file has changed: its functions have a clean slate."""
        self._latest.clear()
        self._recent.clear()
        self._off.clear()
        self.stands_still = False

    @property
    def stands_still(self) -> bool:
        """Whether nothing may be called, since `@interpose.started` has not succeeded."""
        return self._stands_still

    @stands_still.setter
    def stands_still(self, it_does: bool) -> None:
        self._stands_still = it_does
        self.some_are_off = it_does or bool(self._off)

    def is_off(self, name: str) -> bool:
        """Whether this function is not to be called."""
        return self.stands_still or self._clock() < self._off.get(name, 0.0)

    def refusal(self, name: str) -> Failure:
        """The failure of an exchange whose function is not called."""
        why = "its script could not start" if self.stands_still else "it has failed too often"
        detail = f"{name} in {self.path.name} is not called at the moment: {why}."
        return Failure("proxy_internal_error", Side.INTERNAL, detail, status=503)

    def blame(self, exchange: Any, name: str, function: Any, error: BaseException) -> str:
        """Note, log and count an error of a function; what it was, with the line. `exchange` None: it was in none."""
        file, line = place_of(error, function, self.path)
        detail = f"{file.name}:{line} in {name}: {told(error)}"
        who = "" if exchange is None else f"exchange {exchange.id}: "
        if exchange is not None:
            exchange.refused_by("script", f"{name} in {self.path.name}", detail)
        log.error("%sscript %s:%d in %s: %s", who, file, line, name, told(error))
        self.total += 1
        key = (name, str(file), line, type(error).__name__)
        trouble = self._latest.pop(key, None) or Trouble(function=name, file=str(file), line=line, error="")
        trouble.error, trouble.at = told(error), self._wall()
        trouble.count += 1
        trouble.exchange = "" if exchange is None else exchange.id
        self._latest[key] = trouble
        while len(self._latest) > MOST_TOLD:
            del self._latest[next(iter(self._latest))]
        self._count(name)
        return detail

    def _count(self, name: str) -> None:
        if not self._max_per_minute:
            return
        recent = self._recent.setdefault(name, deque(maxlen=self._max_per_minute + 1))
        now = self._clock()
        recent.append(now)
        if len(recent) == recent.maxlen and now - recent[0] < MINUTE_S:
            self._off[name] = now + MINUTE_S
            self.some_are_off = True
            recent.clear()
            says = "script %s: %s has failed %d times in a minute and is not called for the next one"
            log.error(says, self.path, name, self._max_per_minute + 1)
