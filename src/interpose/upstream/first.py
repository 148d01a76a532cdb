"""The first server that may be had: the others stand by."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from interpose.upstream.server import Server


class First:
    """Servers in the order of the configuration: one takes all, until it fails or is full."""

    def __init__(self) -> None:
        self._servers: Sequence[Server] = ()

    def have(self, servers: Sequence[Server]) -> None:
        """See `Picker`."""
        self._servers = servers

    def pick(self, key: bytes, active: int, now: float, avoid: Collection[Server]) -> Server | None:
        """See `Picker`."""
        for server in self._servers:
            if not (server.limit and server.is_full) and not (avoid and server in avoid):
                return server
        return None

    def ended(self, server: Server) -> None:
        """See `Picker`."""
