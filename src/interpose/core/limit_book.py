"""What one limit has counted, and what it says to the next who comes: rates, exchanges under way, bytes of a day.

A rate is kept as one number for each key, the time at which all that was taken would have been allowed (GCRA): there is
no window at whose edge twice as much passes, and an entry that lies in the past says nothing and is forgotten. Times
come from whoever asks and are monotonic; only the day is the wall clock's.

Keys are what clients can make many of, so each table has `max_keys` at most, and the one that was used least lately
goes first: it has recovered most of what it took.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Literal, NamedTuple

Reason = Literal["", "requests", "exchanges", "bytes", "away"]

DAY_S = 86400


class Terms(NamedTuple):
    """What a limit allows for each key; 0 is no limit."""

    requests_per_s: float = 0.0
    burst: int = 1
    """Requests that may come at once when none came for a while."""
    max_exchanges: int = 0
    bytes_per_day: int = 0

    def share(self, of: int) -> Terms:
        """What one of so many may allow that cannot ask each other: together never more, but for one exchange each."""
        return Terms(
            self.requests_per_s / of,
            max(1, self.burst // of),
            max(1, self.max_exchanges // of) if self.max_exchanges else 0,
            self.bytes_per_day // of,
        )


class Verdict(NamedTuple):
    """Whether one more may come: `refusal` is what there was too much of. `retry_s` is when asking again may help,
    `left` what may still come at once, `reset_s` when nothing of the rate is used up any more."""

    refusal: Reason = ""
    retry_s: float = 0.0
    left: int = 0
    reset_s: float = 0.0


GO = Verdict()


def rate_verdict(terms: Terms, until: float, now: float) -> tuple[Verdict, float]:
    """What a rate says to one more at `now`, and until when its allowance is used up then; `until` is that before."""
    interval = 1 / terms.requests_per_s
    most = interval * terms.burst
    used = min(max(until - now, 0.0), most)
    if used > most - interval + 1e-9:
        return Verdict("requests", used - (most - interval), 0, used), now + used
    used += interval
    return Verdict("", 0.0, math.floor((most - used) / interval + 1e-9), used), now + used


class LimitBook:
    """See the module."""

    def __init__(self, terms: Terms, max_keys: int) -> None:
        self.terms = terms
        self._max_keys = max_keys
        self._until: OrderedDict[str, float] = OrderedDict()
        self._running: dict[str, Counter[str]] = {}
        self._bytes: OrderedDict[str, int] = OrderedDict()
        self._day = -1

    def take(self, key: str, now: float, owner: str = "") -> Verdict:
        """One more of `key` wants to come. When it may, and exchanges are limited, `owner` has to `release` it."""
        terms = self.terms
        if terms.bytes_per_day and self.is_used_up(key):
            return Verdict("bytes")
        running = self._running.get(key)
        if terms.max_exchanges and running is not None and running.total() >= terms.max_exchanges:
            return Verdict("exchanges", 1.0)
        verdict = GO
        if terms.requests_per_s:
            verdict, until = rate_verdict(terms, self._until.get(key, 0.0), now)
            self._until[key] = until
            self._until.move_to_end(key)
            self._forget_the_past(now)
            if verdict.refusal:
                return verdict
        if terms.max_exchanges:
            if running is None:
                running = self._running[key] = Counter()
            running[owner] += 1
        return verdict

    def release(self, key: str, owner: str = "") -> None:
        """One that was let in has ended. What was forgotten already does not count twice."""
        running = self._running.get(key)
        if running is not None and running[owner] > 0:
            running[owner] -= 1
            if not running.total():
                del self._running[key]

    def forget(self, owner: str) -> None:
        """All exchanges of `owner` have ended: it is dead."""
        for key, running in list(self._running.items()):
            del running[owner]
            if not running.total():
                del self._running[key]

    def restore_running(self, key: str, owner: str, count: int) -> None:
        """`owner` has so many under way, whatever was let in."""
        if count > 0:
            self._running.setdefault(key, Counter())[owner] = count

    def spend(self, key: str, size: int) -> None:
        """So many bytes of `key` have passed."""
        self._bytes[key] = self._bytes.get(key, 0) + size
        self._bytes.move_to_end(key)
        if len(self._bytes) > self._max_keys:
            self._bytes.popitem(last=False)

    def is_used_up(self, key: str) -> bool:
        """Whether the bytes of the day are."""
        return bool(self.terms.bytes_per_day) and self._bytes.get(key, 0) >= self.terms.bytes_per_day

    def at(self, wall: float) -> bool:
        """It is `wall` now: a later day (UTC) begins anew, and True is returned; an earlier one is a clock that was put
        back, and changes nothing."""
        day = math.floor(wall / DAY_S)
        if day <= self._day:
            return False
        is_new = self._day >= 0
        self._day = day
        if is_new:
            self._bytes.clear()
        return is_new

    @property
    def used(self) -> tuple[int, Mapping[str, int]]:
        """The day, and the bytes of it."""
        return self._day, self._bytes

    def restore(self, day: int, used: Mapping[str, int]) -> None:
        """What an earlier run had counted, if that day is still going on."""
        if day == self._day:
            self._bytes = OrderedDict(list(used.items())[-self._max_keys :])

    def __len__(self) -> int:
        return len(self._until) + len(self._running) + len(self._bytes)

    @property
    def exchanges(self) -> int:
        """Exchanges under way that are counted."""
        return sum(running.total() for running in self._running.values())

    def _forget_the_past(self, now: float) -> None:
        """Remove what says nothing any more, as far as it was used least lately, and what is too much."""
        until = self._until
        while until:
            oldest = next(iter(until))
            if until[oldest] > now and len(until) <= self._max_keys:
                return
            del until[oldest]
