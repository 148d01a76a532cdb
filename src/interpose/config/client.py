"""What `interpose connect` and `interpose get` are made of: a resolver, a way to servers, a client.

The commands run in one process and end with their one conversation, so that everything is made when they begin and
closed when they end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from interpose.core.body import Sink
from interpose.core.exchange import Attempt, Exchange
from interpose.core.failure import Failure, Side
from interpose.core.message import Request, Response
from interpose.core.stream import UNKNOWN, Stream
from interpose.core.target import Authority, Origin
from interpose.engine.client import Dial, UpstreamClient
from interpose.engine.connections import Connections
from interpose.engine.recorded import Recorded
from interpose.engine.through_proxy import ProxyServer, ThroughProxy
from interpose.engine.tunnel import Tunnels
from interpose.net.datagram_client import DatagramClient
from interpose.net.dial import Dialler, DialOptions
from interpose.net.resolve import Resolver
from interpose.net.tls import ClientContexts
from interpose.protocol.head import HeadLimits, HeadParser

TICK_S = 0.1

LIMITS = HeadLimits(max_line_bytes=65536, max_head_bytes=262144, max_fields=1000)
"""Wider than a proxy's: here nobody stands behind us who could be overrun, and what was sent is what is wanted."""


class ReachOptions(Struct, frozen=True, kw_only=True):
    """How servers are reached."""

    proxy: ProxyServer | None = None
    verify: bool = True
    ca_file: str | None = None
    connect_timeout_s: float = 10.0


class Reach:
    """Ways to servers: `dial` for streams (`direct` past the proxy), `datagrams` for UDP."""

    def __init__(self, options: ReachOptions, resolver: Resolver) -> None:
        self._options = options
        contexts = ClientContexts()
        self.direct = Dialler(
            resolver,
            DialOptions(connect_timeout_s=options.connect_timeout_s, verify=options.verify, ca_file=options.ca_file),
            contexts=contexts,
        )
        self.dial: Dial = self.direct
        if options.proxy is not None:
            self.dial = ThroughProxy(
                self.direct,
                options.proxy,
                HeadParser(LIMITS),
                lambda http: contexts(options.ca_file, options.verify, http=http),
                timeout_s=options.connect_timeout_s,
            )

    def prepare(self) -> None:
        """ValueError, a sentence, when the file of authorities cannot be used."""
        self.direct.prepare()

    async def datagrams(self, host: str, port: int) -> DatagramClient:
        """A UDP socket for the first address of `host` that there is a way to. `Failure` when there is none."""
        failure = Failure("dns_error", Side.UPSTREAM, f"The name '{host}' has no address.")
        for address in await self.direct.judged(Origin("udp", host, port)):
            try:
                return DatagramClient(address, port)
            except Failure as error:
                failure = error
        raise failure


@asynccontextmanager
async def reaching(options: ReachOptions) -> AsyncIterator[Reach]:
    """Ways to servers while inside. ValueError, a sentence, when the file of authorities cannot be used."""
    resolver = Resolver()
    try:
        reach = Reach(options, resolver)
        if options.ca_file is not None:
            reach.prepare()
        yield reach
    finally:
        await resolver.close()


class Requesting:
    """A `Handler` that asks the origins of targets, or a proxy for them.

    `host` is said in Host instead of the first target's own, and to no other origin. `asked` is the last one asked.
    """

    def __init__(self, client: UpstreamClient, proxy: ProxyServer | None, host: Authority | None) -> None:
        self._client = client
        self._proxy = proxy
        self._host = host
        self._first: Origin | None = None
        self.asked: Origin | None = None

    async def __call__(self, exchange: Exchange, request: Request) -> Response:
        """See `core.handler.Handler`."""
        origin = request.target.origin
        self.asked = origin
        self._first = self._first or origin
        if self._host is not None and origin == self._first:
            request.target = request.target._replace(authority=self._host)
        proxy = self._proxy
        if proxy is None or proxy.scheme == "socks5" or origin.scheme == "https":
            return await self._client.send(exchange, request, origin)
        if (authorization := proxy.authorization) is not None:
            request.fields.set("Proxy-Authorization", authorization)
        return await self._client.send(exchange, request, proxy.origin, absolute=True)


@asynccontextmanager
async def requesting(
    options: ReachOptions, *, silence_s: float, host: Authority | None = None, record: Sink | None = None
) -> AsyncIterator[Requesting]:
    """A handler that asks servers, while inside. `silence_s` bounds every wait for them.

    `record` gets every byte that origins send, as it comes.
    """
    async with reaching(options) as reach:
        direct, through = reach.direct, reach.dial
        proxy = options.proxy

        async def dial(
            origin: Origin, attempt: Attempt | None = None, *, configured: bool = False, opening: bytes = b""
        ) -> Stream:
            is_proxy = proxy is not None and origin == proxy.origin
            stream = await (direct if is_proxy else through)(origin, attempt, configured=configured, opening=opening)
            return stream if record is None else Recorded(stream, record)

        tunnels = Tunnels(silence_s)
        client = UpstreamClient(
            dial,
            HeadParser(LIMITS),
            tunnels,
            Connections(
                connect_timeout_s=options.connect_timeout_s, answer_timeout_s=silence_s, body_timeout_s=silence_s
            ),
            answer_timeout_s=silence_s,
            stream_timeout_s=silence_s,
            configured=True,
        )
        ticking = asyncio.ensure_future(_tick(client))
        try:
            yield Requesting(client, proxy, host)
        finally:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking
            client.close()


async def _tick(client: UpstreamClient) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(TICK_S)
        client.tick(loop.time())


def own_exchange(now: float) -> Exchange:
    """The exchange of a client that serves nobody but whoever typed the command."""
    return Exchange(1, 0, "get", UNKNOWN, now)
