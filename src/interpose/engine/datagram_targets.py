"""Where a datagram relay leads: its configured servers in turn, their names looked up, their addresses judged (A33).

Datagrams do not wait, so addresses are known beforehand: those of names are looked up when the relay starts, and again
in the background when a session begins and what is known is older than a second (the resolver keeps to the TTL). A
client has no say in where its datagrams go.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple

from interpose.core.failure import Failure
from interpose.net.address import IPAddress, SocketAddress, ip_address
from interpose.net.policy import unmapped
from interpose.upstream.rotation import Rotation

log = logging.getLogger("interpose")

FRESH_S = 1.0
"""How long what the resolver said is taken for granted; it remembers by itself, for as long as the TTL says."""

Resolve = Callable[[str], Awaitable[tuple[IPAddress, ...]]]
Refuse = Callable[[IPAddress, int], str | None]
"""Why datagrams must not be sent to an address; None when they may."""


class Target(NamedTuple):
    """One address of one server."""

    server: SocketAddress
    address: IPAddress


class _Server:
    """What is known of one server."""

    def __init__(self, where: SocketAddress) -> None:
        self.where = where
        self.addresses: tuple[IPAddress, ...] = ()
        self.known_since = -FRESH_S
        self.asking: asyncio.Task[None] | None = None
        self.complaint = ""


class Targets:
    """The servers of one relay. `changed` is called when a name has been looked up."""

    def __init__(
        self,
        servers: Sequence[SocketAddress],
        resolve: Resolve,
        refuse: Refuse,
        changed: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._servers = [_Server(where) for where in servers]
        self._rotation = Rotation(self._servers, clock)
        self._resolve = resolve
        self.refuse = refuse
        self._changed = changed
        self._clock = clock
        for server in self._servers:
            literal = ip_address(server.where.host)
            if literal is None:
                self._ask(server)
            else:
                server.addresses = (unmapped(literal),)
                server.known_since = math.inf

    @property
    def servers(self) -> list[SocketAddress]:
        """As they were given."""
        return [server.where for server in self._servers]

    @property
    def are_being_looked_up(self) -> bool:
        """Whether it is not known yet where datagrams may go."""
        return any(server.asking is not None for server in self._servers)

    def in_turn(self) -> Iterator[Target]:
        """Where a new session may lead, best first: the server whose turn it is, those that refused lately last."""
        now = self._clock()
        for server in self._rotation.order():
            if now - server.known_since > FRESH_S and server.asking is None:
                self._ask(server)
            if why := self._objection(server):
                self._complain(server, why)
                continue
            for address in server.addresses:
                yield Target(server.where, address)

    def _objection(self, server: _Server) -> str | None:
        """Why nothing is sent to `server`: one bad address among those of a name is enough."""
        for address in server.addresses:
            if why := self.refuse(address, server.where.port):
                return f"{address} {why}"
        return None

    def refused(self, target: Target) -> None:
        """A datagram could not be delivered there."""
        for server in self._servers:
            if server.where == target.server:
                self._rotation.failed(server)

    def close(self) -> None:
        """Ask no more."""
        for server in self._servers:
            if server.asking is not None:
                server.asking.cancel()

    def _ask(self, server: _Server) -> None:
        server.asking = asyncio.get_running_loop().create_task(self._look_up(server))

    async def _look_up(self, server: _Server) -> None:
        try:
            addresses = await self._resolve(server.where.host)
            server.addresses = tuple(map(unmapped, addresses))
            server.complaint = ""
        except Failure as failure:
            server.addresses = ()
            self._complain(server, failure.detail or failure.consequence.says)
        server.known_since = self._clock()
        server.asking = None
        self._changed()

    def _complain(self, server: _Server, why: str) -> None:
        """Say why nothing can be sent to a server: once, until it changes."""
        if why != server.complaint:
            server.complaint = why
            if why:
                log.warning("datagrams cannot be sent to %s: %s", server.where, why)
