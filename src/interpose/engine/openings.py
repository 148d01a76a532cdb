"""One port for several protocols: which one a connection speaks is told by its first byte.

    0x04, 0x05    SOCKS, which no HTTP request and no TLS record begins with
    0x16          a TLS handshake, where the listener has a certificate: it is terminated, and what is inside is looked
                  at in the same way (and is not taken for TLS once more)
    else          HTTP, which also finds the words for what is none of these

Nothing is consumed: who serves the stream reads its first byte again. Clients of all three protocols speak first, so
waiting for a byte keeps nobody from being served; who is silent is cut off as one who does not send a head.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from interpose.core.stream import Stream, StreamHandler
from interpose.engine.conversations import ConversationServer
from interpose.engine.serve import HttpServer
from interpose.protocol.socks_grammar import VERSION_4, VERSION_5

TLS_HANDSHAKE = 22


class Openings:
    """A stream handler that gives each stream to who speaks its protocol. `tls` None: no certificate."""

    def __init__(
        self, http: StreamHandler, socks: StreamHandler, *, timeout_s: float, tls: StreamHandler | None = None
    ) -> None:
        self._http = http
        self._socks = socks
        self._tls = tls
        self._timeout_s = timeout_s

    def __call__(self, stream: Stream) -> None:
        """Serve one stream."""
        stream.run(self._serve(stream))

    async def _serve(self, stream: Stream) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                first = await stream.peek(1)
        except TimeoutError:
            return  # which closes it
        if first:
            self._handler_for(first[0])(stream)

    def _handler_for(self, first: int) -> StreamHandler:
        if first in (VERSION_4, VERSION_5):
            return self._socks
        if first == TLS_HANDSHAKE and self._tls is not None:
            return self._tls
        return self._http


class AutoServer:
    """The server of a listener that speaks HTTP and SOCKS: one server for each, and the sum of both to the outside.

    `entry` is what streams begin with; whoever installs a configuration makes it anew, around `http` and `socks`.
    """

    def __init__(self, http: HttpServer, socks: ConversationServer) -> None:
        self.http = http
        self.socks = socks
        self.name = http.name
        self.worker = http.worker
        self.numbers = http.numbers
        self.accepted = 0
        self.entry: StreamHandler = http

    def __call__(self, stream: Stream) -> None:
        """Serve one stream (a `StreamHandler`)."""
        self.accepted += 1
        self.entry(stream)

    def tick(self, now: float) -> None:
        """Once a second: deadlines."""
        self.http.tick(now)
        self.socks.tick(now)

    def close_idle(self) -> int:
        """Close the connections in which nothing runs, and say how many there were."""
        return self.http.close_idle() + self.socks.close_idle()

    def shed(self) -> int:
        """The same, but spare those that have not asked anything yet."""
        return self.http.shed() + self.socks.shed()

    def cut(self) -> None:
        """Break off every connection."""
        self.http.cut()
        self.socks.cut()

    @property
    def connections(self) -> Collection[Any]:
        """Those that are open and have said what they speak, tunnels not included."""
        return [*self.http.connections, *self.socks.connections]

    @property
    def running_exchanges(self) -> int:
        """Exchanges that have not ended."""
        return self.http.running_exchanges + self.socks.running_exchanges

    @property
    def is_draining(self) -> bool:
        """Whether connections end with their next answer."""
        return self.http.is_draining

    @is_draining.setter
    def is_draining(self, value: bool) -> None:
        self.http.is_draining = self.socks.is_draining = value

    @property
    def exchanges(self) -> int:
        """Exchanges so far."""
        return self.http.exchanges + self.socks.exchanges

    @exchanges.setter
    def exchanges(self, value: int) -> None:
        self.socks.exchanges = value - self.http.exchanges

    @property
    def failures(self) -> int:
        """Exchanges that went wrong."""
        return self.http.failures + self.socks.failures

    @failures.setter
    def failures(self, value: int) -> None:
        self.socks.failures = value - self.http.failures
