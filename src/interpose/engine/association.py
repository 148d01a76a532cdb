"""UDP through SOCKS 5: the datagrams of one association (RFC 1928, 7).

An association lives as long as the TCP connection that asked for it. It has a socket on the address of the listener
that the client reached. Only the client's address may send there, and from its first datagram on only the port that
sent this one. Each datagram names where it goes, and every destination is judged like one of CONNECT. A destination has
a socket of its own, connected to the address that was judged: what anybody else sends there is dropped by the kernel,
and so are multicast and broadcast by what is judged and by what a socket may do without asking for more.

Everything is bounded, and what is above a bound is dropped, as datagrams may be: destinations (the one that was unused
for longest makes room), names that are looked up at the same time, datagrams that wait for an address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from interpose.core.datagram import Sender, WayBack
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.stream import Address
from interpose.core.target import Authority, Origin
from interpose.engine.conversations import Conversation
from interpose.net.address import IPAddress, SocketAddress, ip_address, parse_address
from interpose.net.errors import failure_of
from interpose.net.flows import Flow, Flows
from interpose.net.udp import DatagramListening, bind_datagrams
from interpose.protocol.socks import read_datagram, write_datagram, write_reply
from interpose.protocol.socks_grammar import VERSION_5, Reply, Unreadable

MAX_ASSOCIATIONS = 256
MAX_DESTINATIONS = 64
MAX_LOOKUPS = 16
MAX_WAITING_BYTES = 131_072
MAX_NOTED = 8
IDLE_TIMEOUT_S = 60.0
SWEEP_S = 15.0

Judge = Callable[[Origin], Awaitable[Sequence[IPAddress]]]
"""The addresses of an origin that the clients of this listener may reach, at least one; else `Failure`."""

DemandPort = Callable[[Exchange, int | None], None]
"""Raises the refusal of a port, with its note."""


Admit = Callable[[Exchange, Authority, str], Awaitable[Authority]]
"""See `engine.socks.Admit`."""


class Associations:
    """Makes the associations of one listener (an `engine.socks.Associate`)."""

    def __init__(
        self,
        judge: Judge,
        demand_port: DemandPort,
        *,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        admit: Admit | None = None,
    ) -> None:
        self.judge = judge
        self.admit = admit
        self.demand_port = demand_port
        self.idle_timeout_s = idle_timeout_s
        self._open = 0

    async def __call__(self, conversation: Conversation) -> None:
        """Relay the datagrams of `conversation` until its client ends it."""
        stream = conversation.stream
        if self._open >= MAX_ASSOCIATIONS:
            detail = f"{MAX_ASSOCIATIONS} clients have their datagrams relayed already, the most that one worker takes."
            raise Failure("connection_limit_reached", Side.INTERNAL, detail)
        association = Association(self, conversation)
        self._open += 1
        # The connection may be lost at any time, and its line in the log is written then: with the counts in it.
        conversation.exchange.at_end(lambda outcome: association.close())
        try:
            bound = association.address
            conversation.exchange.asked = f"SOCKS5-UDP {bound}"
            conversation.bytes_in = 0  # from now on what datagrams carry, as a tunnel counts what it carries
            stream.write(write_reply(VERSION_5, Reply.SUCCEEDED, bound.host, bound.port))
            while await _is_open(conversation):
                association.sweep()
        finally:
            self._open -= 1
            association.close()


async def _is_open(conversation: Conversation) -> bool:
    """Wait a while; False once the client has ended its side. What it sends there has no meaning."""
    try:
        async with asyncio.timeout(SWEEP_S):
            while await conversation.stream.read():
                pass
    except TimeoutError:
        return True
    return False


class Association:
    """One client's datagrams. Raises `Failure` when it cannot have a socket."""

    def __init__(self, owner: Associations, conversation: Conversation) -> None:
        self._owner = owner
        self._conversation = conversation
        self._exchange = conversation.exchange
        self._loop = asyncio.get_running_loop()
        self._flows = Flows()
        self._client: Sender | None = None
        self._way: WayBack | None = None
        self._destinations: dict[tuple[str, int], Destination] = {}
        self._lookups: set[asyncio.Task[None]] = set()
        self._noted: list[str] = []
        self._waiting_bytes = 0
        self._counts = {"datagrams_in": 0, "datagrams_out": 0, "datagrams_dropped": 0}
        self._listening = DatagramListening([], self._received)
        try:
            sock = _socket_at(conversation.stream.info.local)
        except Failure:
            self._flows.close()
            raise
        with sock:  # what listens has a copy
            self._listening.change([sock])

    @property
    def address(self) -> Address:
        """Where the client sends its datagrams."""
        bound = parse_address(self._listening.addresses[0])
        return Address(bound.host, bound.port)

    def _received(self, data: memoryview, sender: Sender, way: WayBack) -> None:
        """A datagram came, from the client or from somebody else."""
        if sender != self._client and (
            self._client is not None or way.address_of(sender).host != self._exchange.client.host
        ):
            self._counts["datagrams_dropped"] += 1
            return
        try:
            host, port, content = read_datagram(bytes(data))
            self._owner.demand_port(self._exchange, port)
        except Failure as failure:
            self._note(failure)
            self.drop()
            return
        self._client, self._way = sender, way
        self._conversation.bytes_in += len(content)
        self._counts["datagrams_in"] += 1
        destination = self._destinations.pop((host, port), None) or self._new(host, port)
        if destination is None:
            self.drop()
            return
        self._destinations[host, port] = destination  # the one used last is the last one
        destination.used = self._loop.time()
        destination.send(content)

    def _new(self, host: str, port: int) -> Destination | None:
        """A destination whose address is being judged; None while too many names are looked up."""
        if len(self._lookups) >= MAX_LOOKUPS and ip_address(host) is None:
            return None
        if len(self._destinations) >= MAX_DESTINATIONS:
            self._destinations.pop(next(iter(self._destinations))).close()
        destination = Destination(self, host, port)
        lookup = self._loop.create_task(self._look_up(destination))
        self._lookups.add(lookup)
        lookup.add_done_callback(self._lookups.discard)
        name = str(Authority(host, port))
        if len(self._noted) < MAX_NOTED and name not in self._noted:
            self._noted.append(name)
            self._exchange.notes["destinations"] = ", ".join(self._noted)
        return destination

    async def _look_up(self, destination: Destination) -> None:
        origin = Origin("udp", destination.host, destination.port)
        try:
            if self._owner.admit is not None:
                wanted = Authority(origin.host.lower().removesuffix("."), origin.port)
                admitted = await self._owner.admit(self._exchange, wanted, "udp")
                origin = origin._replace(host=admitted.host, port=admitted.port or origin.port)
            addresses = await self._owner.judge(origin)
            if destination.is_closed:
                return
            destination.open(self._flows.open(addresses[0], origin.port, destination))
        except (Failure, OSError) as error:
            self._note(failure_of(error, str(origin)))
            destination.close()

    def drop(self) -> None:
        """(destination) A datagram goes nowhere."""
        self._counts["datagrams_dropped"] += 1

    def _note(self, failure: Failure) -> None:
        """Leave the note that a refusal owes."""
        notes = self._exchange.notes
        if failure.kind in ("destination_ip_prohibited", "proxy_loop_detected"):
            self._exchange.refused_by("dial", failure.kind, failure.detail)
        elif "filter" not in notes:
            notes["why"] = failure.detail

    def may_wait(self, size: int) -> bool:
        """(destination) Whether so many bytes may wait for an address; negative when they do no more."""
        if self._waiting_bytes + size > MAX_WAITING_BYTES:
            return False
        self._waiting_bytes += size
        return True

    def answer(self, destination: Destination, peer: Address, data: memoryview) -> None:
        """(destination) Send the client what came from there."""
        destination.used = self._loop.time()
        assert self._way is not None  # nobody is asked before the client has sent something
        if self._way.send(write_datagram(peer.host, peer.port, bytes(data)), self._client):
            self._counts["datagrams_out"] += 1
            self._exchange.bytes_out += len(data)
        else:  # the kernel's queue is full, or it is too long with its header
            self.drop()

    def sweep(self) -> None:
        """Give up destinations that are no longer used, and forget which ones could not be reached."""
        oldest = self._loop.time() - self._owner.idle_timeout_s
        for place, destination in list(self._destinations.items()):
            if destination.is_closed or destination.used < oldest:
                destination.close()
                del self._destinations[place]

    def close(self) -> None:
        """The end: every socket is given back, and the log gets the counts. May be called again."""
        for lookup in self._lookups:
            lookup.cancel()
        for destination in self._destinations.values():
            destination.close()
        self._listening.cut()
        self._flows.close()
        self._exchange.notes.update({name: str(count) for name, count in self._counts.items()})


class Destination:
    """One place where the client sends datagrams: waits for an address, has a flow, or is closed (and drops)."""

    __slots__ = ("_association", "_flow", "_waiting", "host", "is_closed", "port", "used")

    def __init__(self, association: Association, host: str, port: int) -> None:
        self._association = association
        self.host = host
        self.port = port
        self.used = 0.0
        self.is_closed = False
        self._flow: Flow | None = None
        self._waiting: list[bytes] = []

    def send(self, content: bytes) -> None:
        """Send it now, or as soon as there is an address."""
        if self._flow is not None:
            self._send(self._flow, content)
        elif not self.is_closed and self._association.may_wait(len(content) + _COST_BYTES):
            self._waiting.append(content)
        else:
            self._association.drop()

    def open(self, flow: Flow) -> None:
        """There is an address: send what waits for it."""
        self._flow = flow
        for content in self._emptied():
            self._send(flow, content)

    def _send(self, flow: Flow, content: bytes) -> None:
        for _ in range(2):
            try:
                flow.send(content)
            except ConnectionRefusedError:  # what ICMP said of an earlier one; this one was not sent
                continue
            except OSError:  # a queue that is full, or more than the network takes
                break
            return
        self._association.drop()

    def answered(self, data: memoryview) -> None:
        """See `net.flows.FlowOwner`."""
        assert self._flow is not None
        self._association.answer(self, self._flow.peer, data)

    def failed(self, error: OSError) -> None:
        """See `net.flows.FlowOwner`. SOCKS has no words for it; the client waits, as without a proxy."""

    def close(self) -> None:
        """Drop what waits and what comes. May be called again."""
        self.is_closed = True
        for _ in self._emptied():
            self._association.drop()
        if self._flow is not None:
            self._flow.close()
            self._flow = None

    def _emptied(self) -> list[bytes]:
        waiting, self._waiting = self._waiting, []
        for content in waiting:
            self._association.may_wait(-len(content) - _COST_BYTES)
        return waiting


_COST_BYTES = 64  # of a datagram that waits, its content apart


def _socket_at(local: Address) -> Any:
    """A socket for datagrams on the address that the client reached."""
    if not local.port:
        detail = "Datagrams need a listener with an IP address, and this one is a Unix socket."
        raise Unreadable(detail, Reply.COMMAND_NOT_SUPPORTED, 501)
    try:
        return bind_datagrams(str(SocketAddress(local.host, 0)))
    except ValueError as error:
        raise Failure("connection_limit_reached", Side.INTERNAL, str(error)) from error
