"""When a worker that died is started again."""

from __future__ import annotations

LONG_LIFE_S = 10.0
"""A worker that served for so long does not die of what it is."""

MAX_DELAY_S = 30.0


class Backoff:
    """At once for the first death, then 1, 2, 4, ... 30 s while every worker dies soon after it began."""

    def __init__(self) -> None:
        self._deaths = 0

    def delay_s(self, served_s: float) -> float:
        """How long to wait after the death of a worker that had served for `served_s` (0: it never did)."""
        if served_s >= LONG_LIFE_S:
            self._deaths = 0
        self._deaths += 1
        return 0.0 if self._deaths == 1 else min(MAX_DELAY_S, 2.0 ** (self._deaths - 2))
