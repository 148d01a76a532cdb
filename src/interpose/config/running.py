"""One listener at work: what accepts for it, the server of its connections, and what that server serves with.

A `Chain` is what a configuration says of one listener, built: of an HTTP role the filters and the end, of a role below
HTTP its `Serve`. It makes its kind of server once and then changes it in place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from interpose.config.observers import of_conversations, of_refusals
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure
from interpose.core.fault import Chances
from interpose.core.handler import Handler, chain
from interpose.core.networks import Networks
from interpose.core.stream import Stream, StreamHandler
from interpose.engine.conversations import ConversationServer, Serve
from interpose.engine.faults import FaultStep
from interpose.engine.interception import Interception
from interpose.engine.memory_ladder import MemoryLevel
from interpose.engine.narration import Narration
from interpose.engine.pace import Timeouts
from interpose.engine.proxy_line_step import ProxyLineStep
from interpose.engine.serve import HttpServer
from interpose.engine.serving import Render
from interpose.filters.access_log import AccessLog
from interpose.filters.meter import Meter
from interpose.filters.overload import overloaded
from interpose.filters.recorder import Recorder
from interpose.net.certificate import Identities
from interpose.net.listen import Listening, ListenOptions
from interpose.net.terminate import TlsTermination
from interpose.protocol.client_hello import read_client_hello
from interpose.protocol.head import HeadParser

log = logging.getLogger("interpose")

_NOT_TLS = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 43\r\nConnection: close\r\n\r\n"
    b"This port speaks HTTPS; use https:// here.\n"
)


class Entry(NamedTuple):
    """What connections of a listener pass through before its server, and how many there may be.

    `proxies` are those that begin each connection with a PROXY line; `access_log` hears of connections that never
    come to the server.
    """

    options: ListenOptions
    timeouts: Timeouts
    identities: Identities | None = None
    proxies: Networks | None = None
    access_log: AccessLog | None = None
    chances: Chances | None = None
    """Of faults."""


class Server(Protocol):
    """What serves the connections of one listener."""

    name: str
    worker: int
    numbers: Iterator[int]
    is_draining: bool
    accepted: int
    exchanges: int
    failures: int

    def __call__(self, stream: Stream) -> None:
        """Serve one (a `StreamHandler`)."""

    def tick(self, now: float) -> None:
        """Once a second: deadlines."""

    def close_idle(self) -> int:
        """Close connections in which nothing runs, and say how many there were."""

    def shed(self) -> int:
        """The same, but spare those that have not asked anything yet."""

    def cut(self) -> None:
        """Break off every connection."""

    @property
    def connections(self) -> Collection[Any]:
        """Those that are open, tunnels not included."""

    @property
    def running_exchanges(self) -> int:
        """Exchanges that have not ended."""


class Chain(Protocol):
    """What a commit swaps in for one listener."""

    @property
    def entry(self) -> Entry:
        """The steps before the server."""

    def serves_with(self, server: Server) -> bool:
        """Whether `server` is of the kind that this makes."""

    def make_server(self, worker: int, numbers: Iterator[int]) -> Server:
        """A server for this, whose exchanges take the next of `numbers`, as those of the worker's other listeners."""

    def install(self, server: Any, level: MemoryLevel) -> None:
        """Have `server` serve with this from the next request on, with what a level of memory allows."""


class AtWork(Protocol):
    """One listener at work, whatever it serves. `sockets` are those it takes from, as they were given."""

    sockets: list[Any]

    def can_be(self, new: Any) -> bool:
        """Whether this listener can change to `new` in place: not when it is to speak another kind of protocol."""

    def swap(self, new: Any) -> None:
        """Serve with `new` from the next request on."""

    async def listen(self, sockets: Sequence[Any]) -> None:
        """Take from exactly these."""

    def begin_drain(self) -> None:
        """Each answer is the last one of its connection from now on."""

    def close(self) -> None:
        """Take no more."""

    def close_idle(self) -> int:
        """End what nothing runs in, and say how much that was."""

    def cut(self) -> None:
        """Break everything off."""

    def tick(self, now: float) -> None:
        """Once a second: deadlines."""

    def relieve(self, level: MemoryLevel) -> None:
        """Give up what this level of memory says."""

    @property
    def addresses(self) -> list[str]:
        """The addresses really listened on."""

    @property
    def is_full(self) -> bool:
        """Whether who comes now has to wait until somebody else is gone."""

    @property
    def has_waiting(self) -> bool:
        """Whether somebody waits in the kernel's queue."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of anybody."""

    @property
    def connections(self) -> int:
        """Those that are open, tunnels not included."""

    @property
    def running_exchanges(self) -> int:
        """Exchanges that have not ended."""

    @property
    def totals(self) -> dict[str, int]:
        """What only grows."""


class HttpChain(NamedTuple):
    """A listener that speaks HTTP."""

    name: str
    handler: Handler
    render: Render
    parser: HeadParser
    entry: Entry
    access_log: AccessLog | None
    needs_tasks: bool
    own_handler: Handler
    """For requests of the instance's own."""
    recorder: Recorder | None = None
    meter: Meter | None = None
    interception: Interception | None = None

    def serves_with(self, server: Server) -> bool:
        """See `Chain`."""
        return isinstance(server, HttpServer)

    def make_server(self, worker: int, numbers: Iterator[int]) -> HttpServer:
        """See `Chain`."""
        return HttpServer(self.name, self.handler, self.render, self.parser, self.entry.timeouts, worker, numbers)

    def install(self, server: HttpServer, level: MemoryLevel) -> None:
        """See `Chain`."""
        server.handler = self._handler_at(level)
        server.render = self.render
        server.parser = self.parser
        server.timeouts = self.entry.timeouts
        server.needs_tasks = self.needs_tasks
        server.observe_refused = of_refusals(self.recorder, self.access_log, self.meter)
        if self.interception is not None:
            self.interception.serve = server.serve_inside

    def _handler_at(self, level: MemoryLevel) -> Handler:
        if level < MemoryLevel.REFUSE:
            return self.handler
        return chain([one for one in (self.access_log, self.meter) if one is not None], overloaded)


class ConversationChain(NamedTuple):
    """A listener of a role below HTTP."""

    name: str
    serve: Serve
    entry: Entry
    access_log: AccessLog | None
    allow_from: Networks
    narration: Narration | None = None
    recorder: Recorder | None = None

    def serves_with(self, server: Server) -> bool:
        """See `Chain`."""
        return isinstance(server, ConversationServer)

    def make_server(self, worker: int, numbers: Iterator[int]) -> ConversationServer:
        """See `Chain`."""
        return ConversationServer(self.name, self.serve, worker, self.entry.timeouts.tunnel_timeout_s, numbers)

    def install(self, server: ConversationServer, level: MemoryLevel) -> None:
        """See `Chain`. (There is no answer that would be cheaper than serving: memory is saved by accepting less.)"""
        server.serve = self.serve
        server.idle_timeout_s = self.entry.timeouts.tunnel_timeout_s
        server.write_timeout_s = self.entry.timeouts.body_timeout_s
        server.allow_from = self.allow_from
        server.turned_away = None if self.narration is None else self.narration.turned_away
        server.observe = of_conversations(self.recorder, self.access_log)


class Running:
    """One listener that accepts connections (an `AtWork`)."""

    def __init__(self, first: Chain, worker: int, numbers: Iterator[int], level: MemoryLevel) -> None:
        self.server: Server = first.make_server(worker, numbers)
        self.sockets: list[Any] = []
        self._failed_handshakes = 0
        self._chain = first
        self._level = MemoryLevel.OK
        self._listening = Listening([], self.server, first.entry.options, on_full=self.server.shed)
        self._options = first.entry.options
        self.swap(first)
        self.relieve(level)

    def can_be(self, new: Any) -> bool:
        """See `AtWork`."""
        serves_with: bool = new.serves_with(self.server)
        return serves_with

    def swap(self, new: Chain) -> None:
        """Serve with `new` from the next request on, and begin new connections with its TLS or without."""
        self._chain = new
        new.install(self.server, self._level)
        self._listening.handler = self._first_step(new.entry)

    def _first_step(self, entry: Entry) -> StreamHandler:
        """What streams begin with: the PROXY line, TLS, faults, then the server, as far as they are asked for."""
        first: StreamHandler = self.server
        if entry.chances is not None:
            first = FaultStep(entry.chances, first)
        limit_s = entry.timeouts.handshake_timeout_s
        if entry.identities is not None:
            not_tls = _NOT_TLS if isinstance(self.server, HttpServer) else b""
            first = TlsTermination(
                entry.identities.choose,
                first,
                read_client_hello,
                handshake_timeout_s=limit_s,
                not_tls=not_tls,
                on_failure=self._without_tls,
            )
        if entry.proxies is not None:
            first = ProxyLineStep(entry.proxies, first, timeout_s=limit_s, refused=self._without_line)
        return first

    def _without_tls(self, stream: Stream, failure: Failure) -> None:
        """Count a handshake that came to nothing. Who makes thousands of them must not fill a log."""
        self._failed_handshakes += 1
        log.debug("no TLS with %s: %s", stream.info.peer, failure.detail)

    def _without_line(self, stream: Stream, failure: Failure) -> None:
        """Write down that a proxy did not say who its client is, and was cut off."""
        server, access_log = self.server, self._chain.entry.access_log
        server.failures += 1
        if access_log is None:
            return
        now = asyncio.get_running_loop().time()
        server.exchanges += 1
        exchange = Exchange(next(server.numbers), server.worker, server.name, stream.info.peer, now, "tcp")
        exchange.asked = "TCP"
        exchange.refused_by("proxy protocol", "proxy_protocol_from", failure.detail)
        access_log.without_request(exchange)
        exchange.finish(Outcome(failure.status, 0, failure, now))

    async def listen(self, sockets: Sequence[Any]) -> None:
        """Accept from exactly these, within the limits of the present chain."""
        options = self._chain.entry.options
        if list(sockets) != self.sockets or options != self._options:
            self.sockets, self._options = list(sockets), options
            await self._listening.change([sock.dup() for sock in sockets], options)

    def begin_drain(self) -> None:
        """See `AtWork`."""
        self.server.is_draining = True

    def close_idle(self) -> int:
        """See `AtWork`."""
        return self.server.close_idle()

    def close(self) -> None:
        """Accept no more; each connection ends with its next answer."""
        self.server.is_draining = True
        self._listening.close()

    def cut(self) -> None:
        """Break off every connection, those included that became tunnels or are still shaking hands."""
        self.close()
        self._listening.cut()
        self.server.cut()

    def tick(self, now: float) -> None:
        """Once a second: deadlines. While nobody else can come in, or memory is short, idle connections go."""
        self.server.tick(now)
        if self._listening.is_full or self._level >= MemoryLevel.SHED:
            self.server.shed()

    def relieve(self, level: MemoryLevel) -> None:
        """Give up what this level of memory says."""
        before, self._level = self._level, level
        self._chain.install(self.server, level)
        if level >= MemoryLevel.SHED:
            self.server.shed()
        if level >= MemoryLevel.STOP > before:
            self._listening.pause()
        elif level < MemoryLevel.STOP <= before:
            self._listening.resume()

    @property
    def addresses(self) -> list[str]:
        """The addresses really listened on."""
        return self._listening.addresses

    @property
    def is_full(self) -> bool:
        """Whether new connections wait until another one ends."""
        return self._listening.is_full

    @property
    def has_waiting(self) -> bool:
        """Whether new connections are about to be accepted."""
        return self._listening.has_waiting

    @property
    def connections(self) -> int:
        """See `AtWork`."""
        return len(self.server.connections)

    @property
    def running_exchanges(self) -> int:
        """See `AtWork`."""
        return self.server.running_exchanges

    @property
    def is_empty(self) -> bool:
        """Whether no connection is left, in whatever state."""
        return not self._listening.streams and not self.server.connections  # a fault may hold a last word back

    @property
    def totals(self) -> dict[str, int]:
        """What only grows."""
        return {
            "connections_total": self.server.accepted,
            "requests_total": self.server.exchanges,
            "failures_total": self.server.failures,
            "refused_connections_total": self._listening.refused,
            **({"failed_handshakes_total": self._failed_handshakes} if self._failed_handshakes else {}),
        }
