"""The same server for the same key, as far as its load allows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from zlib import crc32

from interpose.upstream.server import Server

POINTS = 128
"""Places on the ring of a server of weight 1. The parts of the ring then differ by about a tenth."""

MOST_POINTS = 1 << 17
"""Places that all servers have together; with more weight than that, each has fewer."""

BOUND = 1.25
"""How far above its fair part of what is under way a server may be before its keys go on to the next one."""

BUSY = 16
"""With fewer under way than that no server is too busy: the six requests of one browser stay together."""


class HashRing:
    """A ring of places that belong to servers; a key belongs to the first place after it (consistent hashing).

    When a server comes or goes, only the keys of its own places move. A server that has more than `BOUND` times its
    fair part of the requests under way is passed over (Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with
    Bounded Loads", 2017), so no key that everybody asks for can bury one. Places follow from addresses alone: all
    workers, and all machines with the same configuration, agree.
    """

    def __init__(self) -> None:
        self._every: list[tuple[int, Server]] = []
        self._known: frozenset[Server] = frozenset()
        self._places: list[int] = []
        self._owners: list[Server] = []
        self._servers: Sequence[Server] = ()
        self._share = 1.0

    def have(self, servers: Sequence[Server]) -> None:
        """See `Picker`. Who leaves takes its places along, who comes back has them again."""
        wanted = frozenset(servers)
        if not wanted <= self._known:
            self._known |= wanted
            self._every = _places_of(self._known)
        mine = [entry for entry in self._every if entry[1] in wanted]
        self._places = [place for place, _ in mine]
        self._owners = [owner for _, owner in mine]
        self._servers = servers
        self._share = sum(server.share for server in servers)

    def pick(self, key: bytes, active: int, now: float, avoid: Collection[Server]) -> Server | None:
        """See `Picker`."""
        owners = self._owners
        if not owners:
            return None
        place = bisect_left(self._places, _spread(crc32(key))) % len(owners)
        server = owners[place]
        most = BOUND * (active + 1.0) / self._share
        if server.active < max(BUSY, most * server.share) and not server.is_full and not avoid:
            return server
        passed = set(avoid)
        for step in range(len(owners)):
            server = owners[(place + step) % len(owners)]
            if server in passed:
                continue
            if not server.is_full and server.active < max(BUSY, most * server.share):
                return server
            passed.add(server)
            if len(passed) >= len(self._servers):
                break
        return next((one for one in self._servers if not one.is_full and one not in avoid), None)

    def ended(self, server: Server) -> None:
        """See `Picker`."""


def _places_of(servers: Collection[Server]) -> list[tuple[int, Server]]:
    """Every place with its owner, in order."""
    weight = sum(server.weight for server in servers)
    each = min(float(POINTS), MOST_POINTS / weight)
    places = []
    for server in servers:
        name = str(server.origin).encode()
        for number in range(max(1, round(each * server.weight))):
            places.append((_spread(crc32(b"%d %b" % (number, name))), server.index, server))
    places.sort()
    return [(place, server) for place, _, server in places]


def _spread(checksum: int) -> int:
    """A checksum with its bits mixed: CRC-32 alone puts similar keys near each other. (The last step of MurmurHash3,
    twice as fast as the shortest hash of `hashlib`; what a client can do with it, the bound undoes.)"""
    checksum = ((checksum ^ (checksum >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    checksum = ((checksum ^ (checksum >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return checksum ^ (checksum >> 16)
