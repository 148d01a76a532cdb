"""Listeners of datagrams: what serves one, and the servers that answer by themselves (echo, upper).

There are no connections, so there is nothing to accept, to half-close or to count as open. A server is called with
each datagram and answers it through the socket that it came by, or passes it on (`engine.datagram_relay`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from interpose.core.datagram import DatagramHandler, Sender, WayBack
from interpose.core.networks import Networks
from interpose.core.stream import Address

log = logging.getLogger("interpose")

Show = Callable[[Address, bytes, str], object]
"""Tells people of a datagram: the client, what it holds, and what happened to it ("sent", "was sent")."""


class PassOn(Protocol):
    """Faults of one direction."""

    def pass_on(self, data: bytes, send: Callable[[bytes], object]) -> None:
        """Call `send` with the datagram, now, later, twice or not at all. One client always has the same `send`."""

    def close(self) -> None:
        """Forget what is held back."""


QUIET_S = 60.0
"""How long the same warning is not repeated: it is strangers who decide how often its cause happens."""

ANSWERS_TO_ANYTHING = frozenset((0, 7, 13, 17, 19, 37))
"""Ports of services that answer whatever comes (echo, daytime, quote, chargen, time), and no port at all. A datagram
with one of them as its sender is a forgery that would have two servers answer each other for ever. So is one that comes
from the port that we listen on: from ourselves, or from another echo like this one."""


class DatagramServer(Protocol):
    """What serves the datagrams of one listener."""

    def __call__(self, data: memoryview, sender: Sender, back: WayBack) -> None:
        """Serve one (a `DatagramHandler`)."""

    def listens_on(self, ports: Iterable[int]) -> None:
        """These are the ports that it is called for."""

    def tick(self, now: float) -> None:
        """Once a second: deadlines."""

    def finish(self) -> None:
        """No datagram of a client comes any more: end what waits for no answer, and the rest soon."""

    def close_idle(self) -> int:
        """End every session, and say how many there were."""

    def shed(self) -> int:
        """Memory is short: end the sessions that matter least, and say how many there were."""

    def cut(self) -> None:
        """End everything, sockets included."""

    @property
    def sessions(self) -> int:
        """Clients that are being relayed for."""

    @property
    def totals(self) -> dict[str, int]:
        """What only grows."""


class Faulty:
    """Datagrams may pass through faults, in each direction."""

    def __init__(self) -> None:
        self.faults_inbound: PassOn | None = None
        self.faults_outbound: PassOn | None = None

    def set_faults(self, inbound: PassOn | None, outbound: PassOn | None) -> None:
        """Have these from the next datagram on; what the ones before hold back is lost."""
        for before in (self.faults_inbound, self.faults_outbound):
            if before is not None and before is not inbound and before is not outbound:
                before.close()
        self.faults_inbound = inbound
        self.faults_outbound = outbound


class Answers(Faulty):
    """A server that answers each datagram with one: with what `make` makes of it, or the same. Empty ones too.

    The plain attributes are swapped by a reload.
    """

    def __init__(self) -> None:
        super().__init__()
        self.make: Callable[[bytes], bytes] | None = None
        self.show: Show | None = None
        self._ignored_ports = ANSWERS_TO_ANYTHING
        self.answered = 0
        self.ignored = 0

    def __call__(self, data: memoryview, sender: Sender, back: WayBack) -> None:
        """See `DatagramServer`."""
        client = back.address_of(sender)
        if client.port in self._ignored_ports:
            self.ignored += 1
            return
        if self.show is not None:
            self.show(client, bytes(data), "sent")
        if self.faults_inbound is not None:
            self.faults_inbound.pass_on(bytes(data), _Answer(self, sender, back))
        else:
            self.answer(data, sender, back)

    def answer(self, data: memoryview | bytes, sender: Sender, back: WayBack) -> None:
        """Send the answer to a datagram."""
        made = data if self.make is None else self.make(bytes(data))
        if self.faults_outbound is not None:
            self.faults_outbound.pass_on(bytes(made), _Send(self, sender, back))
        else:
            self.answered += back.send(made, sender)

    def listens_on(self, ports: Iterable[int]) -> None:
        """See `DatagramServer`."""
        self._ignored_ports = ANSWERS_TO_ANYTHING.union(ports)

    def tick(self, now: float) -> None:
        """See `DatagramServer`."""

    def finish(self) -> None:
        """See `DatagramServer`."""

    def close_idle(self) -> int:
        """See `DatagramServer`."""
        return 0

    def shed(self) -> int:
        """See `DatagramServer`."""
        return 0

    def cut(self) -> None:
        """See `DatagramServer`."""
        self.set_faults(None, None)

    @property
    def sessions(self) -> int:
        """See `DatagramServer`."""
        return 0

    @property
    def totals(self) -> dict[str, int]:
        """See `DatagramServer`."""
        return {"datagrams_answered_total": self.answered, "datagrams_refused_total": self.ignored}


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is done with a datagram that passed the inbound faults; equal for the same client."""

    server: Answers
    sender: Sender
    back: WayBack

    def __call__(self, data: bytes) -> None:
        self.server.answer(data, self.sender, self.back)


@dataclass(frozen=True, slots=True)
class _Send:
    """What is done with an answer that passed the outbound faults."""

    server: Answers
    sender: Sender
    back: WayBack

    def __call__(self, data: bytes) -> None:
        self.server.answered += self.back.send(data, self.sender)


class Admission:
    """The step before a server for `allow_from`: datagrams of others are dropped, counted, and now and then spoken
    of."""

    def __init__(self, name: str, networks: Networks, server: DatagramHandler) -> None:
        self._name = name
        self._networks = networks
        self._server = server
        self._warn = Seldom()
        self.refused = 0

    def __call__(self, data: memoryview, sender: Sender, back: WayBack) -> None:
        """Let the datagram through to the server, or not."""
        host = back.address_of(sender).host
        if host in self._networks:
            self._server(data, sender, back)
            return
        self.refused += 1
        self._warn(
            "listener %s: %s is in none of the networks of allow_from; its datagrams are dropped", self._name, host
        )


class Seldom:
    """Writes a warning, and not again within QUIET_S."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._next = 0.0

    def __call__(self, message: str, *arguments: Any) -> None:
        """Write it, or not."""
        now = self._loop.time()
        if now >= self._next:
            self._next = now + QUIET_S
            log.warning(message, *arguments)
