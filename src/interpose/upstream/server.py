"""One server of a group, as those who choose see it: its share, what runs on it, how long it takes, how it stands."""

from __future__ import annotations

from math import exp

from interpose.core.target import Origin
from interpose.upstream.health import Health

LATENCY_MEMORY_S = 10.0
"""After so long without a measurement two thirds of what was known of a latency are forgotten."""

LEAST_SHARE = 0.1
"""What a server that has come back begins with, of its weight."""


class Server:
    """What is known of one server. Only its group changes it.

    `share` is the weight that counts at the moment: less than `weight` while the server is new or has come back.
    """

    __slots__ = (
        "_latency_s",
        "_measured",
        "active",
        "chosen",
        "errors",
        "failures",
        "health",
        "index",
        "limit",
        "origin",
        "share",
        "tier",
        "warming_since",
        "weight",
    )

    def __init__(self, origin: Origin, index: int, weight: float = 1.0, limit: int = 0, tier: int = 0) -> None:
        self.origin = origin
        self.index = index
        self.weight = weight
        self.share = weight
        self.limit = limit
        """The most requests at the same time; 0 for as many as come."""
        self.tier = tier
        """It gets requests while none of a lower tier can."""
        self.active = 0
        self.chosen = 0
        self.errors = 0
        """Answers of 5xx."""
        self.failures = 0
        """Requests without an answer, or without the whole of one."""
        self.health = Health()
        self.warming_since: float | None = None
        self._latency_s = 0.0
        self._measured = 0.0

    @property
    def is_full(self) -> bool:
        """Whether it has all that it may have at the same time."""
        return 0 < self.limit <= self.active

    def took(self, latency_s: float, now: float) -> None:
        """An answer began after `latency_s`. What is slower than before counts at once, what is faster by and by."""
        if latency_s >= self._latency_s:
            self._latency_s = latency_s
        else:
            idle_s = now - self._measured
            kept = 0.9 if idle_s < 0.1 else 0.9 * exp(-idle_s / LATENCY_MEMORY_S)
            self._latency_s = self._latency_s * kept + latency_s * (1.0 - kept)
        self._measured = now

    def latency_s(self, now: float) -> float:
        """How long an answer is expected to take; 0 when nothing is known.

        A latency fades while nobody measures it: so a server that was slow once is tried again.
        """
        if now - self._measured < 1.0:
            return self._latency_s
        return self._latency_s * exp((self._measured - now) / LATENCY_MEMORY_S)

    def warm(self, now: float, slow_start_s: float) -> None:
        """Let the share grow to the whole weight within `slow_start_s` after its return."""
        since = self.warming_since
        if since is None:
            return
        done = 1.0 if slow_start_s <= 0 else (now - since) / slow_start_s
        if done >= 1.0:
            self.warming_since = None
        self.share = self.weight * min(1.0, max(LEAST_SHARE, done))
