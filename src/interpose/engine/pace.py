"""Whether a conversation moves: judged once a second from byte counts, so that the bytes themselves cost nothing
extra."""

from __future__ import annotations

import msgspec

from interpose.core.units import Bytes, Timeout


class Timeouts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a client may take."""

    handshake_timeout_s: Timeout = 10.0
    """For the TLS handshake, in all."""

    head_timeout_s: Timeout = 10.0
    """For the head of a request, in all, from its first byte (from the connection's beginning for the first one)."""

    body_timeout_s: Timeout = 30.0
    """Without a byte of a request's body, and without a byte of the answer being taken."""

    keep_alive_timeout_s: Timeout = 75.0
    """For the next request on a connection."""

    tunnel_timeout_s: Timeout = 3600.0
    """Without a byte in either direction of a tunnel, an upgraded connection or an event stream."""

    min_rate_bytes_per_s: Bytes = 500
    """The slowest pace, after 10 s, of a request's body and of a client taking bytes that we have for it. 0: any."""


RATE_AFTER_S = 10.0
HALF_CLOSED = (10.0, 0)
"""Seconds and rate for a client that has ended its side. Half-closed and gone look the same until it is sent something:
the one may wait for its answer for a while, the other must not keep an exchange running."""


class Pace:
    """One direction of one exchange: how many bytes had moved when, and since when none have."""

    __slots__ = ("_count", "_first", "_moved", "_started")

    def __init__(self, now: float, count: int) -> None:
        self._started = self._moved = now
        self._first = self._count = count

    def complaint(self, now: float, count: int, idle_timeout_s: float, min_rate: int) -> str | None:
        """What is wrong with `count` bytes having moved by `now` (seconds, monotonic), in words; None when all is
        well."""
        if count != self._count:
            self._count = count
            self._moved = now
        elif now - self._moved >= idle_timeout_s:
            return f"nothing moved for {idle_timeout_s:g} s"
        elapsed = now - self._started
        if min_rate and elapsed > RATE_AFTER_S and (count - self._first) / elapsed < min_rate:
            return f"fewer than {min_rate} bytes per second"
        return None
