"""Servers in turn, by weight."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from heapq import heapify, heapreplace

from interpose.upstream.picker import Random
from interpose.upstream.server import Server


class RoundRobin:
    """Each server is due again one part of its weight after its last turn, and the one that is due first is next.

    So turns of a server with a greater weight come evenly between those of the others. Where a server begins is left to
    chance, or all workers would begin with the same one. A turn costs the logarithm of the number of servers.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._due: list[tuple[float, int, Server]] = []

    def have(self, servers: Sequence[Server]) -> None:
        """See `Picker`. Who stays keeps its turn; who is new comes in where the others are."""
        before = {server: due for due, _, server in self._due}
        start = min(before.values(), default=0.0)
        self._due = [
            (before.get(server, start + self._random() / server.share), server.index, server) for server in servers
        ]
        heapify(self._due)

    def pick(self, key: bytes, active: int, now: float, avoid: Collection[Server]) -> Server | None:
        """See `Picker`."""
        due = self._due
        for _ in due:
            when, index, server = due[0]
            heapreplace(due, (when + 1.0 / server.share, index, server))
            if not (server.limit and server.is_full) and not (avoid and server in avoid):
                return server
        # Servers of little weight may be due so late that those of much came up again and again.
        return next((server for _, _, server in sorted(due) if not server.is_full and server not in avoid), None)

    def ended(self, server: Server) -> None:
        """See `Picker`."""
