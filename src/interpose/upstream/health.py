"""Whether a server may get requests: what its checks say, how its requests went, and what an operator wants.

        ── cannot be reached, or errs more than the others ──>          rest is over, one request is tried
    UP                                                         EJECTED ───────────────────────────────────> TRYING
     ^                                                            ^ ── it failed: rest twice as long ──────────┘ │
     └──────────────────────────────────────────── it was answered ──────────────────────────────────────────────┘

That is a circuit breaker for each server. Above it stand the results of checks (`DOWN` after `fall` failures in a row,
back after `rise` successes) and `DRAINED`, which only whoever ordered it takes back.

Two kinds of failure are told apart. That a connection cannot be made says something about the server alone: so it is
ejected however many others are. An answer of 5xx, a connection broken off or a timeout may be the fault of the request,
and whoever sends requests could have all servers ejected with it: so those count only where they are more than twice as
frequent as elsewhere, and only for a part of the group.
"""

from __future__ import annotations

import enum
from math import inf

from interpose.upstream.options import GroupOptions

LEAST_ANSWERS = 10.0
"""Answers of the last seconds below which a share says nothing."""

KEPT = 0.9
"""What a count of the last seconds keeps from one second to the next: it remembers about ten."""

FORGIVEN_S = 60.0
"""After so long without an ejection the next rest is a short one again."""


class State(enum.StrEnum):
    """How a server stands, in the words that people are shown."""

    UP = "up"
    DOWN = "down"
    EJECTED = "ejected"
    TRYING = "trying"
    DRAINED = "drained"


class Health:
    """How one server stands. Decides nothing about others: whether errors may eject it, its group says."""

    __slots__ = (
        "_ejections",
        "_fallen",
        "_rising",
        "_since",
        "answers",
        "errors",
        "is_down",
        "is_drained",
        "is_ejected",
        "is_trying",
        "unreachable",
        "until",
        "why",
    )

    def __init__(self) -> None:
        self.answers = 0.0
        self.errors = 0.0
        self.unreachable = 0
        """Connections in a row that could not be made."""
        self.is_down = False
        self.is_drained = False
        self.is_ejected = False
        self.is_trying = False
        self.until = 0.0
        """When the rest of an ejected one is over."""
        self.why = ""
        self._ejections = 0
        self._since = 0.0
        self._fallen = 0
        self._rising = 0

    @property
    def state(self) -> State:
        """What people are shown."""
        if self.is_drained:
            return State.DRAINED
        if self.is_down:
            return State.DOWN
        if self.is_trying:
            return State.TRYING
        return State.EJECTED if self.is_ejected else State.UP

    @property
    def is_usable(self) -> bool:
        """Whether it gets its share of requests."""
        return not (self.is_ejected or self.is_down or self.is_drained)

    def tried_from(self, soonest_s: float) -> float:
        """When one request may find out if it is back: after its rest, `soonest_s` after it was ejected at best; never
        when that is being found out, or no question."""
        if not self.is_ejected or self.is_trying or self.is_down or self.is_drained:
            return inf
        return min(self.until, self._since + soonest_s)

    def eject(self, why: str, now: float, options: GroupOptions, lot: float) -> None:
        """Rest: the longer the more often. A tenth is left to `lot` (0 to 1), so that workers do not try together."""
        if not self.is_ejected and now - self._since > FORGIVEN_S:
            self._ejections = 0
        rest = min(options.most_eject_s, options.eject_s * 2.0 ** min(self._ejections, 30))
        self._ejections += 1
        self.is_ejected, self.is_trying, self.why = True, False, why
        self._since = now
        self.until = now + rest * (0.9 + 0.2 * lot)
        self.answers = self.errors = 0.0
        self.unreachable = 0

    def restore(self, now: float) -> None:
        """It was answered by it."""
        self.is_ejected = self.is_trying = False
        self._since = now
        self.why = ""

    def checked(self, why: str, rise: int, fall: int) -> bool:
        """A check has ended, well when `why` is empty; whether that changed anything."""
        if not why:
            self._fallen, self._rising = 0, self._rising + 1
            if self.is_down and self._rising >= rise:
                self.is_down = self.is_ejected = self.is_trying = False
                self.why = ""
                return True
            return False
        self._rising, self._fallen = 0, self._fallen + 1
        if not self.is_down and self._fallen >= fall:
            self.is_down, self.why = True, why
            return True
        return False

    @property
    def error_share(self) -> float:
        """Of its last answers; 0 where there were too few."""
        return self.errors / self.answers if self.answers >= LEAST_ANSWERS else 0.0

    def fade(self) -> None:
        """(once a second) What was long ago counts less."""
        self.answers *= KEPT
        self.errors *= KEPT
