"""The brake on guessing: how many wrong credentials one client may try in a minute (THREATS A37).

What was wrong is remembered for that minute: repeating it (browsers do, on every connection) is no new try, while
others count, and after `per_minute` of them the client waits. Each worker counts for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from interpose.filters.authentication.verdict import Refusal

MOST_CLIENTS = 4096
WINDOW_S = 60.0


class Tries:
    """What one client tried since `began`: the digests of wrong credentials. The lock lets one check run at a time."""

    __slots__ = ("began", "lock", "wrong")

    def __init__(self, began: float) -> None:
        self.began = began
        self.wrong: set[bytes] = set()
        self.lock = asyncio.Lock()


class Brake:
    """The tries of all clients of one authenticator; of `what` they try."""

    def __init__(self, per_minute: int, what: str, clock: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._why = f"Too many wrong {what} came from this address."
        self._clock = clock
        self._tries: dict[str, Tries] = {}

    def of(self, host: str) -> Tries:
        """What the client at `host` tried in this minute."""
        client = network_of(host)
        tries = self._tries.get(client)
        now = self._clock()
        if tries is None or now - tries.began >= WINDOW_S:
            self._tries.pop(client, None)
            if len(self._tries) >= MOST_CLIENTS:
                del self._tries[next(iter(self._tries))]
            tries = self._tries[client] = Tries(now)
        return tries

    def holds(self, tries: Tries) -> bool:
        """Whether the client has to wait."""
        return len(tries.wrong) >= self._per_minute

    def refusal(self, tries: Tries) -> Refusal:
        """What it is told: 429, and when to come again."""
        left = max(tries.began + WINDOW_S - self._clock(), 0.0)
        return Refusal(self._why, 429, f"tries_per_minute = {self._per_minute}", retry_after_s=left)


def network_of(host: str) -> str:
    """What counts as one client: an IPv4 address, the /64 of an IPv6 address (one household has all of it)."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return address.packed[:8].hex()
    return host
