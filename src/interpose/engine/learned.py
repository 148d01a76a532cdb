"""Clients that do not believe our certificate: for how long their tunnels to a host are let through unread.

A program may have the certificate of its server built in, or trust a list of its own: it can never be looked into, and
all that interception does is break it. So the one that says with an alert that it does not believe us is let through
from its next connection on. One that merely leaves in the middle of the handshake may have had other reasons: it is let
through when it has done so twice in a row.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

MOST_KEPT = 4096
LEFT_TWICE_WITHIN_S = 60.0


class Row(NamedTuple):
    """One client and host, and how long it is still let through."""

    client: str
    host: str
    left_s: float


class Learned:
    """See the module. `lasts_s` 0: nothing is learned. Times are monotonic.

    `tell` hears of what is learned here, so that others can `take` it.
    """

    def __init__(self, lasts_s: float, *, most: int = MOST_KEPT) -> None:
        self.lasts_s = lasts_s
        self.tell: Callable[[str, str], None] | None = None
        self._most = most
        self._until: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._left: OrderedDict[tuple[str, str], float] = OrderedDict()

    def lets_through(self, client: str, host: str, now: float) -> float | None:
        """For how many seconds more; None when it is to be looked into."""
        until = self._until.get((client, host))
        if until is None:
            return None
        if until <= now:
            del self._until[client, host]
            return None
        return until - now

    def learn(self, client: str, host: str, now: float, *, is_certain: bool) -> bool:
        """A handshake with `client` as `host` came to nothing. Whether its next one is let through."""
        if not self.lasts_s:
            return False
        key = (client, host)
        if not is_certain:
            before = self._left.pop(key, None)
            if before is None or now - before > LEFT_TWICE_WITHIN_S:
                _keep(self._left, key, now, self._most)
                return False
        self.take(client, host, now)
        if self.tell is not None:
            self.tell(client, host)
        return True

    def take(self, client: str, host: str, now: float) -> None:
        """Let a client through of which somebody has learned."""
        if self.lasts_s:
            _keep(self._until, (client, host), now + self.lasts_s, self._most)

    def trusts(self, client: str, host: str) -> None:
        """A handshake went well."""
        self._left.pop((client, host), None)

    def forget(self, host: str = "") -> int:
        """Look into tunnels to `host` again, or to all; how many clients that is about."""
        keys = [key for key in self._until if not host or key[1] == host]
        for key in keys:
            del self._until[key]
        self._left.clear()
        return len(keys)

    def rows(self, now: float) -> list[Row]:
        """Who is let through where."""
        return [Row(client, host, until - now) for (client, host), until in self._until.items() if until > now]


def _keep(table: OrderedDict[tuple[str, str], float], key: tuple[str, str], value: float, most: int) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > most:
        table.popitem(last=False)
