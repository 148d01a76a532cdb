"""Servers in turn: which one a connection tries first, and which ones after it. Pure, given a clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Server = TypeVar("Server")

PUT_BACK_S = 10.0
"""How long a server that could not be reached is tried only after the others."""


class Rotation(Generic[Server]):
    """`servers` in turn. One that failed comes last for a while: it may be all there is, so it is never left out."""

    def __init__(
        self, servers: Sequence[Server], clock: Callable[[], float], *, put_back_s: float = PUT_BACK_S
    ) -> None:
        self.servers = list(servers)
        self._clock = clock
        self._put_back_s = put_back_s
        self._turn = 0
        self._failed: dict[Server, float] = {}

    def order(self) -> list[Server]:
        """Every server once, in the order in which to try them; the next call begins with another one."""
        servers = self.servers
        turn = self._turn
        self._turn += 1
        if not self._failed:
            return _from(servers, turn)
        now = self._clock()
        self._failed = {server: since for server, since in self._failed.items() if now - since < self._put_back_s}
        good = [server for server in servers if server not in self._failed]
        # Of those that failed, the one that did so longest ago is the likeliest to be back.
        return _from(good, turn) + sorted(self._failed, key=self._failed.__getitem__)

    def failed(self, server: Server) -> None:
        """A connection to `server` could not be made."""
        self._failed[server] = self._clock()

    def succeeded(self, server: Server) -> None:
        """A connection to `server` was made."""
        if self._failed:
            self._failed.pop(server, None)


def _from(servers: list[Server], turn: int) -> list[Server]:
    """The servers in a circle that begins with the one whose turn it is."""
    first = turn % len(servers) if servers else 0
    return servers[first:] + servers[:first]
