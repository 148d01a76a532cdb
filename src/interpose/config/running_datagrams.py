"""One listener of datagrams at work: the counterpart of `config.running` where there are no connections.

A `DatagramChain` is what a configuration says of it, built; it makes its kind of server once and then changes it in
place, so that sessions live through a reload.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from interpose.config.observers import of_conversations
from interpose.core.datagram import DatagramHandler
from interpose.core.networks import Networks
from interpose.engine.datagram_relay import DatagramRelay
from interpose.engine.datagram_table import DatagramOptions
from interpose.engine.datagram_targets import Refuse, Resolve
from interpose.engine.datagrams import Admission, Answers, DatagramServer, PassOn, Show
from interpose.engine.held_datagrams import HeldDatagrams
from interpose.engine.memory_ladder import MemoryLevel
from interpose.filters.access_log import AccessLog
from interpose.filters.recorder import Recorder
from interpose.net.address import SocketAddress, parse_address
from interpose.net.udp import DatagramListening


class Entry(NamedTuple):
    """What every listener of datagrams has. Without `allow_from` everybody may send who can."""

    name: str
    allow_from: Networks
    show: Show | None
    faults_inbound: PassOn | None = None
    faults_outbound: PassOn | None = None


class DatagramChain(Protocol):
    """What a commit swaps in for one listener of datagrams."""

    @property
    def entry(self) -> Entry:
        """What it has whatever it does."""

    def serves_with(self, server: Any) -> bool:
        """Whether `server` is of the kind that this makes."""

    def make_server(self, worker: int, numbers: Iterator[int]) -> DatagramServer:
        """A server for this, whose sessions take the next of `numbers`."""

    def install(self, server: Any) -> None:
        """Have `server` serve with this from the next datagram on."""


class AnswerChain(NamedTuple):
    """A listener that answers by itself: echo, upper."""

    entry: Entry
    transform: Any
    """(bytes) -> bytes; None sends back what came."""

    def serves_with(self, server: Any) -> bool:
        """See `DatagramChain`."""
        return isinstance(server, Answers)

    def make_server(self, worker: int, numbers: Iterator[int]) -> Answers:
        """See `DatagramChain`."""
        return Answers()

    def install(self, server: Answers) -> None:
        """See `DatagramChain`."""
        server.make = self.transform
        server.show = self.entry.show
        server.set_faults(self.entry.faults_inbound, self.entry.faults_outbound)


class RelayChain(NamedTuple):
    """A listener that passes datagrams on."""

    entry: Entry
    options: DatagramOptions
    servers: tuple[SocketAddress, ...]
    resolve: Resolve
    refuse: Refuse
    access_log: AccessLog | None
    recorder: Recorder | None = None
    held: HeldDatagrams | None = None

    def serves_with(self, server: Any) -> bool:
        """See `DatagramChain`."""
        return isinstance(server, DatagramRelay)

    def make_server(self, worker: int, numbers: Iterator[int]) -> DatagramRelay:
        """See `DatagramChain`."""
        return DatagramRelay(self.entry.name, worker, self.options, numbers)

    def install(self, server: DatagramRelay) -> None:
        """See `DatagramChain`."""
        server.show = self.entry.show
        if server.held is not None and server.held is not self.held:
            server.held.close()
        server.held = self.held
        server.watch = None if self.recorder is None else self.recorder.passages
        server.observe = of_conversations(self.recorder, self.access_log)
        server.set_faults(self.entry.faults_inbound, self.entry.faults_outbound)
        server.hold_to(self.options)
        server.lead_to(self.servers, self.resolve, self.refuse)


class RunningDatagrams:
    """One listener (a `config.running.AtWork`). `sockets` are those it reads from, as they were given."""

    def __init__(self, first: DatagramChain, worker: int, numbers: Iterator[int], level: MemoryLevel) -> None:
        self.sockets: list[Any] = []
        self._server = first.make_server(worker, numbers)
        self._listening = DatagramListening([], self._server)
        self._admission: Admission | None = None
        self._refused = 0
        self._level = MemoryLevel.OK
        self.swap(first)
        self.relieve(level)

    def can_be(self, new: Any) -> bool:
        """See `AtWork`."""
        serves_with: bool = new.serves_with(self._server)
        return serves_with

    def swap(self, new: DatagramChain) -> None:
        """See `AtWork`."""
        new.install(self._server)
        self._listening.handler = self._first_step(new.entry)

    def _first_step(self, entry: Entry) -> DatagramHandler:
        """What datagrams begin with: the server, or who may send to it."""
        if self._admission is not None:
            self._refused += self._admission.refused
            self._admission = None
        if not entry.allow_from:
            return self._server
        self._admission = Admission(entry.name, entry.allow_from, self._server)
        return self._admission

    async def listen(self, sockets: Sequence[Any]) -> None:
        """See `AtWork`."""
        self.sockets = list(sockets)
        self._listening.change(sockets)
        self._server.listens_on([parse_address(address).port for address in self.addresses])

    def begin_drain(self) -> None:
        """See `AtWork`. What is in the kernel's queue is still served."""

    def close(self) -> None:
        """Read no more. Answers that clients wait for are passed on, for a moment."""
        self._listening.close()
        self._server.finish()
        self._cut_if_over()

    def close_idle(self) -> int:
        """See `AtWork`."""
        return self._server.close_idle()

    def cut(self) -> None:
        """End every session, and close all sockets."""
        self._server.cut()
        self._listening.cut()

    def tick(self, now: float) -> None:
        """See `AtWork`."""
        self._server.tick(now)
        if self._level >= MemoryLevel.SHED:
            self._server.shed()
        self._cut_if_over()

    def _cut_if_over(self) -> None:
        """As long as a socket is open, nobody else can have its port."""
        if self._listening.is_closed and self.is_empty:
            self.cut()

    def relieve(self, level: MemoryLevel) -> None:
        """See `AtWork`."""
        before, self._level = self._level, level
        if level >= MemoryLevel.SHED:
            self._server.shed()
        if level >= MemoryLevel.STOP > before:
            self._listening.pause()
        elif level < MemoryLevel.STOP <= before:
            self._listening.resume()

    @property
    def addresses(self) -> list[str]:
        """See `AtWork`."""
        return self._listening.addresses

    @property
    def is_full(self) -> bool:
        """See `AtWork`. What is too much is dropped, so that nothing waits."""
        return False

    @property
    def has_waiting(self) -> bool:
        """See `AtWork`."""
        return self._listening.has_waiting

    @property
    def is_empty(self) -> bool:
        """Whether no session is left."""
        return not self._server.sessions

    @property
    def connections(self) -> int:
        """See `AtWork`. Nothing is connected."""
        return 0

    @property
    def running_exchanges(self) -> int:
        """See `AtWork`. A session keeps nobody waiting: it is counted as one of `sessions`."""
        return 0

    @property
    def sessions(self) -> int:
        """Clients that are being relayed for."""
        return self._server.sessions

    @property
    def totals(self) -> dict[str, int]:
        """See `AtWork`."""
        totals = self._server.totals
        refused = self._refused + (self._admission.refused if self._admission is not None else 0)
        totals["datagrams_refused_total"] = totals.get("datagrams_refused_total", 0) + refused
        totals["datagrams_received_total"] = self._listening.received
        totals["datagrams_dropped_total"] = totals.get("datagrams_dropped_total", 0) + self._listening.unsendable
        return totals
