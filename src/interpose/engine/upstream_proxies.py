"""Other people's proxies between us and origins: which of them a request goes through, and how.

An HTTP proxy is asked for plain http as any browser asks it, with the whole URL on a connection that is kept; for all
else, and at a SOCKS proxy, there is a tunnel to the origin. Each proxy has pools of its own, so that a connection that
was made through one is never used for a request that is to go through another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from interpose.core.exchange import Attempt, Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.stream import Stream
from interpose.core.target import Form, Origin
from interpose.engine.client import Join, UpstreamClient
from interpose.engine.live_group import LiveGroup
from interpose.engine.through_proxy import ProxyServer, ThroughProxy
from interpose.upstream.server import Server

T = TypeVar("T")
DIRECT = "direct"
"""What is said instead of the name of a proxy where none is wanted."""

Key = Callable[[Exchange, Origin], bytes]
"""What is to come to the same proxy each time."""

Judge = Callable[[Origin], Awaitable[object]]
"""`Failure` for an origin whose address may not be reached. Names that only a proxy looks up it lets pass."""


class ProxyWay:
    """One proxy. `plain` has connections to it, `behind` connections to origins that it made."""

    def __init__(self, server: ProxyServer, plain: UpstreamClient, behind: UpstreamClient, dial: ThroughProxy) -> None:
        self.server = server
        self.dial = dial
        self._plain = plain
        self._behind = behind

    async def send(self, exchange: Exchange, request: Request, join: Join | None) -> Response:
        """See `core.handler.Handler`."""
        target = request.target
        if target.form is Form.AUTHORITY:
            return await self._behind.connect(exchange, request, join)
        origin = target.origin
        if self.server.is_socks or origin.scheme != "http" or request.upgrade is not None:
            return await self._behind.send(exchange, request, origin)
        if (authorization := self.server.authorization) is not None:
            request.fields.set("Proxy-Authorization", authorization)
        try:
            response = await self._plain.send(exchange, request, self.server.origin, absolute=True)
        except Failure:
            request.fields.remove("Proxy-Authorization")  # whoever is asked instead is not to know it
            raise
        if response.status == 407:  # which would ask our client for what the proxy wants of us
            response.body.close()
            raise Failure("http_request_denied", Side.UPSTREAM, _unknown_there(self.server), status=502)
        return response


class ProxyPool:
    """Proxies of which any will do. `key` only where the same one is wanted each time."""

    def __init__(
        self, name: str, live: LiveGroup, ways: Mapping[Origin, ProxyWay], judge: Judge, key: Key | None
    ) -> None:
        self.name = name
        self._live = live
        self._ways = dict(ways)
        self._judge = judge
        self._key = key
        self._clock = asyncio.get_running_loop().time
        self._known: Sequence[Server] = ()
        self._strangers: tuple[Server, ...] = ()

    async def send(self, exchange: Exchange, request: Request, join: Join | None = None) -> Response:
        """The answer of the origin, through one of the proxies; through another one where a proxy cannot be reached."""
        origin = request.target.origin
        await self._judged(exchange, origin)

        async def through(way: ProxyWay) -> Response:
            exchange.notes["through"] = f"{self.name} ({way.server})"
            return await way.send(exchange, request, join)

        response, server = await self._tried(self._key_of(exchange, origin), lambda: exchange.attempts[-1], through)
        exchange.at_end(partial(self._over, server))
        return response

    async def dial(self, exchange: Exchange, origin: Origin, attempt: Attempt) -> Stream:
        """A stream to `origin` through one of the proxies."""
        await self._judged(exchange, origin)

        async def through(way: ProxyWay) -> Stream:
            exchange.notes["through"] = f"{self.name} ({way.server})"
            return await way.dial(origin, attempt)

        stream, server = await self._tried(self._key_of(exchange, origin), lambda: attempt, through)
        exchange.at_end(partial(self._over, server))
        return stream

    async def reach(
        self, origin: Origin, attempt: Attempt | None = None, *, configured: bool = False, opening: bytes = b""
    ) -> Stream:
        """(an `engine.client.Dial`) A stream to a proxy behind these. Where none of them leads there, that one has not
        been connected to, whatever else has."""
        about = attempt or Attempt(origin, self._clock())

        async def through(way: ProxyWay) -> Stream:
            return await way.dial(origin, about, opening=opening)

        try:
            stream, server = await self._tried(origin.host.encode(), lambda: about, through)
        except Failure:
            about.connected = 0.0
            raise
        self._live.group.ended(server)
        return stream

    def _key_of(self, exchange: Exchange, origin: Origin) -> bytes:
        return b"" if self._key is None else self._key(exchange, origin)

    async def _judged(self, exchange: Exchange, origin: Origin) -> None:
        try:
            await self._judge(origin)
        except Failure as failure:
            if failure.kind in ("destination_ip_prohibited", "proxy_loop_detected"):
                exchange.refused_by("dial", failure.kind, failure.detail)
            raise

    async def _tried(
        self, key: bytes, attempt: Callable[[], Attempt], send: Callable[[ProxyWay], Awaitable[T]]
    ) -> tuple[T, Server]:
        """What `send` gives for the first proxy that can be reached, on which it counts as under way from then on.
        `attempt` is that of the last `send`."""
        group = self._live.group
        avoid = self._without_way()
        while True:
            server = self._chosen(key, avoid)
            way = self._ways[server.origin]
            began = self._clock()
            try:
                done = await send(way)
            except Failure as failure:
                group.ended(server)
                if failure.side is not Side.UPSTREAM or failure.sent or attempt().connected:
                    raise _for_our_client(failure, way.server) from None
                group.failed(server, failure.detail or failure.kind, self._clock(), unreachable=True)
                avoid = (*avoid, server)
                if len(avoid) == len(group.servers):
                    raise
            except BaseException:
                group.ended(server)
                raise
            else:
                now = self._clock()
                group.answered(server, 200, now - began, now)
                return done, server

    def _without_way(self) -> tuple[Server, ...]:
        """Servers that another configuration has brought: who still runs on this one cannot use them."""
        servers = self._live.group.servers
        if servers is not self._known:
            self._known = servers
            self._strangers = tuple(server for server in servers if server.origin not in self._ways)
        return self._strangers

    def _chosen(self, key: bytes, avoid: Sequence[Server]) -> Server:
        group = self._live.group
        server = group.choose(key, self._clock(), avoid)
        if server is None:  # all rest: the one whose rest is over first may be all there is
            resting = [one for one in group.servers if one not in avoid and not one.health.is_drained]
            if not resting:
                raise Failure("destination_unavailable", Side.UPSTREAM, f"No proxy of {self.name} can be reached.")
            server = min(resting, key=lambda one: one.health.until)
            server.active += 1
            group.active += 1
        return server

    def _over(self, server: Server, outcome: Outcome) -> None:
        self._live.group.ended(server)


class Choice:
    """Which pool an exchange goes through: what a rule or a script has named, else `default`."""

    def __init__(self, pools: Mapping[str, ProxyPool], default: str) -> None:
        self._pools = dict(pools)
        self._default = default

    def __call__(self, exchange: Exchange) -> ProxyPool | None:
        """The pool, None for no proxy. `Failure` where a script named what there is not."""
        if exchange.through is None:
            exchange.through = self._default or DIRECT
        name = exchange.through
        if name in ("", DIRECT):
            return None
        pool = self._pools.get(name)
        if pool is None:
            why = f"There is no upstream proxy called {name!r}."
            raise Failure("proxy_configuration_error", Side.INTERNAL, why)
        return pool


class Through:
    """The end handler of a listener whose requests may go through proxies: `direct` is the end of all others."""

    def __init__(self, direct: Handler, choice: Choice, join: Join | None) -> None:
        self._direct = direct
        self._choice = choice
        self._join = join

    def __call__(self, exchange: Exchange, request: Request) -> Awaitable[Response]:
        """See `core.handler.Handler`."""
        pool = self._choice(exchange)
        return self._direct(exchange, request) if pool is None else pool.send(exchange, request, self._join)


def _for_our_client(failure: Failure, server: ProxyServer) -> Failure:
    """What a proxy said to us, as it is told to our client: its 407 is about us."""
    if failure.status != 407:
        return failure
    return Failure(failure.kind, failure.side, _unknown_there(server), sent=failure.sent, status=502)


def _unknown_there(server: ProxyServer) -> str:
    return f"The proxy {server} wants another user and password than it was given."
