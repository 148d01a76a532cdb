"""One listener at work: what accepts for it, the server of its connections, and the chain that the server asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from interpose.core.handler import Handler, chain
from interpose.core.stream import StreamHandler
from interpose.engine.memory_ladder import MemoryLevel
from interpose.engine.pace import Timeouts
from interpose.engine.serve import HttpServer
from interpose.filters.access_log import AccessLog
from interpose.filters.error_answer import ErrorAnswer
from interpose.filters.overload import overloaded
from interpose.net.certificate import Identities
from interpose.net.listen import Listening, ListenOptions
from interpose.net.terminate import TlsTermination
from interpose.protocol.client_hello import read_client_hello
from interpose.protocol.head import HeadParser

_NOT_TLS = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 43\r\nConnection: close\r\n\r\n"
    b"This port speaks HTTPS; use https:// here.\n"
)


class Chain(NamedTuple):
    """What a commit swaps in for one listener."""

    name: str
    handler: Handler
    render: ErrorAnswer
    parser: HeadParser
    timeouts: Timeouts
    options: ListenOptions
    access_log: AccessLog | None
    identities: Identities | None
    needs_tasks: bool

    def handler_at(self, level: MemoryLevel) -> Handler:
        """What answers at a level of memory."""
        if level < MemoryLevel.REFUSE:
            return self.handler
        return chain([] if self.access_log is None else [self.access_log], overloaded)


class Running:
    """One listener. `sockets` are those it accepts from, as they were given."""

    def __init__(self, first: Chain, worker: int, level: MemoryLevel) -> None:
        self.server = HttpServer(first.name, first.handler, first.render, first.parser, first.timeouts, worker)
        self.sockets: list[Any] = []
        self._chain = first
        self._level = MemoryLevel.OK
        self._listening = Listening([], self.server, first.options, on_full=self.server.shed)
        self._options = first.options
        self.swap(first)
        self.relieve(level)

    def swap(self, new: Chain) -> None:
        """Serve with `new` from the next request on, and begin new connections with its TLS or without."""
        self._chain = new
        server = self.server
        server.handler = new.handler_at(self._level)
        server.render = new.render
        server.parser = new.parser
        server.timeouts = new.timeouts
        server.needs_tasks = new.needs_tasks
        server.observe_refused = None if new.access_log is None else new.access_log.without_request
        self._listening.handler = self._entry(new)

    def _entry(self, new: Chain) -> StreamHandler:
        """What streams begin with: the server, or TLS before it."""
        if new.identities is None:
            return self.server
        return TlsTermination(
            new.identities.choose,
            self.server,
            read_client_hello,
            handshake_timeout_s=new.timeouts.handshake_timeout_s,
            not_tls=_NOT_TLS,
        )

    async def listen(self, sockets: Sequence[Any]) -> None:
        """Accept from exactly these, within the limits of the present chain."""
        options = self._chain.options
        if list(sockets) != self.sockets or options != self._options:
            self.sockets, self._options = list(sockets), options
            await self._listening.change([sock.dup() for sock in sockets], options)

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
        self.server.handler = self._chain.handler_at(level)
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
    def is_empty(self) -> bool:
        """Whether no connection is left, in whatever state."""
        return not self._listening.streams

    @property
    def totals(self) -> dict[str, int]:
        """What only grows."""
        return {
            "connections_total": self.server.accepted,
            "requests_total": self.server.exchanges,
            "failures_total": self.server.failures,
            "refused_connections_total": self._listening.refused,
        }
