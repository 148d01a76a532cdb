"""How many requests may be sent again: so few that retries never become a second load on servers that are weak."""

from __future__ import annotations

REQUESTS_PER_RETRY = 5
"""So many requests earn one retry: a fifth of them may be sent again."""

RESERVE = 10
"""Retries that there are each second in any case, or who is seldom asked would have none."""

MOST = 100
"""Retries that can be saved up: a server that dies under load fails many requests at once."""


class RetryBudget:
    """Counts what may be sent again. `tick` once a second."""

    __slots__ = ("_earned", "refused")

    def __init__(self) -> None:
        self._earned = RESERVE * REQUESTS_PER_RETRY
        self.refused = 0
        """Retries that there was nothing left for."""

    def requested(self) -> None:
        """A request was sent for the first time."""
        if self._earned < MOST * REQUESTS_PER_RETRY:
            self._earned += 1

    def take(self) -> bool:
        """Whether one more may be sent again; it counts as sent."""
        if self._earned < REQUESTS_PER_RETRY:
            self.refused += 1
            return False
        self._earned -= REQUESTS_PER_RETRY
        return True

    def tick(self) -> None:
        """See `RESERVE`."""
        self._earned = max(self._earned, RESERVE * REQUESTS_PER_RETRY)
