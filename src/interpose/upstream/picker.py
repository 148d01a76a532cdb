"""How one of several servers is picked: one interface for five ways of doing it.

A picker knows only servers that may get requests; its group tells it when those change. What each way is good for, and
what it costs, is in docs/balancing.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from interpose.upstream.server import Server

Random = Callable[[], float]
"""A number from 0 to just below 1."""


class Picker(Protocol):
    """Picks servers."""

    def have(self, servers: Sequence[Server]) -> None:
        """Pick from these from now on."""

    def pick(self, key: bytes, active: int, now: float, avoid: Collection[Server]) -> Server | None:
        """The next one; None when all are full, or in `avoid`: those have failed with this request already.

        `key` is what requests are told apart by, where that matters; `active` how many are under way in the group.
        """

    def ended(self, server: Server) -> None:
        """A request on `server` is over; `server.active` says so already."""
