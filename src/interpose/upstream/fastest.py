"""The better one of two servers drawn by lot."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from interpose.upstream.picker import Random
from interpose.upstream.server import Server

UNKNOWN_LATENCY_S = 0.001
"""What a server is taken for when nothing is known of it, nor of the other one."""


class Fastest:
    """Of two drawn by lot the one that is expected to answer first: its latency times what is under way there.

    Two are enough: the load of the fullest of n servers grows with log log n instead of log n / log log n
    (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001), and workers that know the same do not
    all run to the same server.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._servers: Sequence[Server] = ()

    def have(self, servers: Sequence[Server]) -> None:
        """See `Picker`."""
        self._servers = servers

    def pick(self, key: bytes, active: int, now: float, avoid: Collection[Server]) -> Server | None:
        """See `Picker`."""
        servers, random = self._servers, self._random
        count = len(servers)
        if count < 2:
            return self._one_of(servers, now, avoid)
        first = int(random() * count)
        second = int(random() * (count - 1))
        one, other = servers[first], servers[second + 1 if second >= first else second]
        if (one.limit and one.is_full) or (other.limit and other.is_full) or avoid:
            return self._one_of((one, other), now, avoid) or self._one_of(servers, now, avoid)
        return self._better(one, other, now)

    def ended(self, server: Server) -> None:
        """See `Picker`."""

    def _one_of(self, servers: Sequence[Server], now: float, avoid: Collection[Server]) -> Server | None:
        """The best of the first two that may be had: all of them may be asked for when most are full."""
        free = [server for server in servers if not server.is_full and server not in avoid]
        if len(free) < 2:
            return free[0] if free else None
        start = int(self._random() * len(free))
        return self._better(free[start], free[start - 1], now)

    @staticmethod
    def _better(one: Server, other: Server, now: float) -> Server:
        ours, theirs = one.latency_s(now), other.latency_s(now)
        if not ours or not theirs:  # who is unknown is taken to be as fast as the other
            ours = ours or theirs or UNKNOWN_LATENCY_S
            theirs = theirs or ours
        if ours * (one.active + 1) * other.share <= theirs * (other.active + 1) * one.share:
            return one
        return other
