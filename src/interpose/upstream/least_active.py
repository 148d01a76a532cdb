"""The server with the fewest requests under way."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from heapq import heapify, heappop, heappush

from interpose.upstream.picker import Random
from interpose.upstream.server import Server

Entry = tuple[float, float, int, int, Server]
"""Load, turn, place in the group (so that servers are never compared), number of the entry, server."""


class LeastActive:
    """The one with the fewest requests under way for its weight; among equals the one whose turn it is.

    The heap gets an entry for each change of a load. Those that are out of date are dropped when they come up, or all
    together when they have become many: so to choose among a thousand costs hardly more than among three.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._heap: list[Entry] = []
        self._current: dict[Server, Entry] = {}
        self._made = 0

    def have(self, servers: Sequence[Server]) -> None:
        """See `Picker`."""
        turns = {server: entry[1] for server, entry in self._current.items()}
        start = min(turns.values(), default=0.0)
        self._current = {}
        for server in servers:
            turn = turns.get(server, start + self._random() / server.share)
            self._made += 1
            self._current[server] = (server.active / server.share, turn, server.index, self._made, server)
        self._tidy()

    def pick(self, key: bytes, active: int, now: float, avoid: Collection[Server]) -> Server | None:
        """See `Picker`."""
        heap, current = self._heap, self._current
        while heap:
            entry = heap[0]
            server = entry[4]
            latest = current.get(server)
            if latest is None or latest[3] != entry[3]:
                heappop(heap)
            elif (server.limit and server.is_full) or (avoid and server in avoid):
                return self._another(avoid)
            else:
                heappop(heap)
                self._note(server, server.active + 1, entry[1] + 1.0 / server.share)
                return server
        return None

    def ended(self, server: Server) -> None:
        """See `Picker`."""
        entry = self._current.get(server)
        if entry is not None:
            self._note(server, server.active, entry[1])

    def _another(self, avoid: Collection[Server]) -> Server | None:
        """The same, but for those that are full or to be avoided: seldom, so all are looked at."""
        entries = [entry for entry in self._current.values() if not entry[4].is_full and entry[4] not in avoid]
        if not entries:
            return None
        _, turn, _, _, server = min(entries)
        self._note(server, server.active + 1, turn + 1.0 / server.share)
        return server

    def _note(self, server: Server, active: int, turn: float) -> None:
        self._made += 1
        entry = (active / server.share, turn, server.index, self._made, server)
        self._current[server] = entry
        heappush(self._heap, entry)
        if len(self._heap) > 4 * len(self._current) + 16:
            self._tidy()

    def _tidy(self) -> None:
        self._heap = list(self._current.values())
        heapify(self._heap)
