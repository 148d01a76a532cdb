"""Looking into tunnels: TLS that ends here, towards the client as its server and towards the server as its client.

A tunnel is joined in one of three ways, and its exchange has a note that says in which:

    passed        the bytes go through unread: a rule says so, what is spoken in it is not TLS or no HTTP/1, or the
                  client has refused our certificate for this host before
    refused       it is closed; a client that speaks TLS is told by an alert
    intercepted   what is inside is served as HTTP, by the server of the listener, through all of its filters

To decide, the first bytes of the client are peeked at. Protocols in which the server speaks first are told by that: its
first byte means that this is no TLS. The connection to the server was made before the client was told that there is a
tunnel, and it is the one that is used: first TLS with the server, verified, and only then TLS with the client. A server
that cannot be verified is shown as what it is: the handshake with the client is completed all the same, and each
request is answered with the reason (`filters.inside`), since nothing can be said in a handshake that fails.

Each inner exchange has the tunnel's as its parent, and the user of it. The verified connection is given to the upstream
client's pool, where the first inner request finds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Protocol

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.message import Request
from interpose.core.stream import Stream, StreamHandler
from interpose.core.target import Authority, Origin
from interpose.engine.interception_rules import Action, Decision, InterceptionRules
from interpose.engine.learned import Learned
from interpose.engine.tunnel import Tunnels
from interpose.engine.upstream_proxies import DIRECT
from interpose.net.address import ip_address

log = logging.getLogger("interpose")

HTTPS = 443
SPOKEN = frozenset(("http/1.1", "http/1.0"))
"""Protocols by their names in ALPN (RFC 7301)."""

TURNS_TO_SPEAK = 3
"""Turns of the loop after which a handshake that was begun has sent its first message."""

ACCESS_DENIED = bytes((21, 3, 3, 0, 2, 2, 49))
"""A fatal alert, in a record of its own (RFC 8446, 6.2)."""

# By which words of an alert a client says that it does not believe our certificate.
_DISBELIEF = ("unknown ca", "certificate")


class Hello(Protocol):
    """What of a ClientHello is asked for here."""

    @property
    def server_name(self) -> str | None:
        """The host the client wants, lower case."""

    @property
    def protocols(self) -> tuple[str, ...]:
        """What the client offers to speak inside (ALPN), empty when it does not say."""


class Counts:
    """What became of the tunnels of this process."""

    __slots__ = ("intercepted", "learned", "passed", "refused")

    def __init__(self) -> None:
        self.intercepted = self.passed = self.refused = self.learned = 0


class Ways(Protocol):
    """What interception is given: how both sides speak TLS, and where the verified connection goes."""

    async def secure(self, stream: Stream, host: str) -> None:
        """Continue in TLS with a server, verified; else `Failure`."""

    def context(self, host: str) -> Any:
        """What to be `host` with, towards a client."""

    def permits(self, host: str) -> bool:
        """Whether clients could believe a certificate of ours for `host`."""

    def read_hello(self, data: bytes) -> Hello | None:
        """The ClientHello at the beginning of some bytes, None while there are too few, `Failure` when it is none."""

    def adopt(self, origin: Origin, stream: Stream) -> None:
        """Take a verified connection, for the next exchange with `origin`."""


class Interception:
    """See the module. `serve` is set by whoever has the server: it serves HTTP on the plain side of a tunnel."""

    def __init__(
        self,
        ways: Ways,
        rules: InterceptionRules,
        tunnels: Tunnels,
        learned: Learned,
        counts: Counts,
        *,
        passes_not_tls: bool,
        handshake_timeout_s: float,
    ) -> None:
        self.serve: Callable[[Stream], None] | None = None
        self._ways = ways
        self._rules = rules
        self._tunnels = tunnels
        self._learned = learned
        self._counts = counts
        self._passes_not_tls = passes_not_tls
        self._timeout_s = handshake_timeout_s
        self._clock = asyncio.get_running_loop().time

    def join(self, exchange: Exchange, upstream: Stream, request: Request | None) -> StreamHandler:
        """See `engine.client.Join`."""
        tunnel = _Tunnel(exchange, upstream, request, self)
        exchange.at_end(lambda outcome: tunnel.release())
        return lambda client: client.run(tunnel.serve(client))

    # --- what a tunnel asks ----------------------------------------------------------------------------------------

    async def begins_with_tls(self, client: Stream, upstream: Stream) -> bool:
        """Whether the client speaks first, and its first byte is that of a handshake."""
        asked, said = asyncio.ensure_future(client.peek(1)), asyncio.ensure_future(upstream.peek(1))
        try:
            done, _ = await asyncio.wait((asked, said), timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
            return asked in done and asked.result()[:1] == b"\x16"
        finally:
            asked.cancel()
            said.cancel()
            await asyncio.wait((asked, said))

    async def hello(self, exchange: Exchange, client: Stream) -> Hello | None:
        """What the client says first; None when it is not TLS after all, or ends in the middle of it. `Failure` when it
        takes too long."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._hello(client)
        except TimeoutError:
            exchange.notes["interception"] = f"the client did not begin its handshake within {self._timeout_s:g} s"
            raise Failure("connection_timeout", Side.DOWNSTREAM, exchange.notes["interception"]) from None

    async def _hello(self, client: Stream) -> Hello | None:
        seen = 0
        while True:
            data = await client.peek(seen + 1)
            if len(data) == seen:
                return None
            seen = len(data)
            try:
                hello = self._ways.read_hello(data)
            except Failure:
                return None
            if hello is not None:
                return hello

    def decide(self, exchange: Exchange, request: Request | None, asked: Authority, hello: Hello) -> Decision:
        """What becomes of a tunnel in which the client speaks TLS."""
        host = verified_host(asked, hello)
        decision = self._rules.decide(exchange, request, asked, hello.server_name or asked.host)
        if decision.action is not Action.INTERCEPT:
            return decision
        if hello.protocols and not SPOKEN.intersection(hello.protocols):
            return self._of_something_else(
                "alpn", f"its client speaks {', '.join(hello.protocols)[:80]}, and no HTTP/1"
            )
        if not self._ways.permits(host):
            return Decision(Action.PASS, "", f"our authority may not sign for {host}")
        left_s = self._learned.lets_through(exchange.client.host, host, self._clock())
        if left_s is not None:
            why = f"this client has refused our certificate for {host}; for {left_s:.0f} s more it passes"
            return Decision(Action.PASS, "learned", why)
        return decision

    def of_not_tls(self) -> Decision:
        """What becomes of a tunnel in which no TLS is spoken."""
        return self._of_something_else("not_tls", "it does not begin with TLS")

    def _of_something_else(self, rule: str, why: str) -> Decision:
        return Decision(Action.PASS if self._passes_not_tls else Action.REFUSE, rule, why)

    def pass_on(self, exchange: Exchange, client: Stream, upstream: Stream, decision: Decision) -> None:
        """Join both sides, unread."""
        self._counts.passed += 1
        exchange.notes["interception"] = f"passed: {decision.why}"
        self._tunnels.between(exchange, upstream)(client)

    def refuse(self, exchange: Exchange, client: Stream, upstream: Stream, decision: Decision, *, tls: bool) -> None:
        """Close both sides; the client is told if it understands."""
        self._counts.refused += 1
        exchange.refused_by("interception", decision.rule, decision.why)
        exchange.notes["interception"] = "refused"
        if exchange.attempts:
            exchange.attempts[-1].failure = Failure("http_request_denied", Side.INTERNAL, decision.why)
        upstream.abort()
        if tls:
            client.write(ACCESS_DENIED)
        client.close()

    async def verify(self, exchange: Exchange, upstream: Stream, host: str) -> bool:
        """TLS with the server; what is wrong with it stays with the attempt, and so with the tunnel."""
        try:
            await self._ways.secure(upstream, host)
        except Failure as failure:
            exchange.attempts[-1].failure = failure
            exchange.notes["why"] = failure.detail
            if failure.kind == "tls_alert_received":  # up to TLS 1.2 that is how it asks for a certificate
                let_through(self._learned, self._counts, exchange, host, self._clock())
            return False
        exchange.attempts[-1].tls = upstream.info.tls
        return True

    async def verified_meanwhile(self, exchange: Exchange, upstream: Stream, host: str) -> bool:
        """See `verify`. The certificate for the client is made while the server thinks about its own: that is a
        millisecond less for the first who asks for a host."""
        verifying = asyncio.ensure_future(self.verify(exchange, upstream, host))
        try:
            for _ in range(TURNS_TO_SPEAK):
                await asyncio.sleep(0)
            with contextlib.suppress(ValueError):  # which is said when it is asked for
                self._ways.context(host)
            return await verifying
        finally:
            verifying.cancel()

    async def be(self, host: str, exchange: Exchange, client: Stream) -> bool:
        """TLS with the client, as `host`. False when the client does not want that; it may be let through next time."""
        try:
            context = self._ways.context(host)
        except ValueError as error:
            exchange.notes["interception"] = f"no certificate for {host}: {error}"
            log.error("no certificate can be made for %s: %s", host, error)
            client.close()
            return False
        exchange.notes["interception"] = "the client did not complete the handshake"  # if it fails, all is over by then
        try:
            async with asyncio.timeout(self._timeout_s):
                await client.start_tls(context)
        except TimeoutError:
            client.abort()
            return False
        except Failure as failure:
            self._learn(exchange.client.host, host, failure)
            return False
        self._learned.trusts(exchange.client.host, host)
        return True

    def _learn(self, client: str, host: str, failure: Failure) -> None:
        refuses = failure.kind == "tls_alert_received" and any(word in failure.detail for word in _DISBELIEF)
        leaves = failure.kind == "connection_terminated"
        if (refuses or leaves) and self._learned.learn(client, host, self._clock(), is_certain=refuses):
            self._counts.learned += 1
            words = "%s does not believe our certificate for %s: tunnels of this client to there pass unread for %g s"
            log.warning(words, client, host, self._learned.lasts_s)

    def serve_inside(self, exchange: Exchange, client: Stream, upstream: Stream | None, inside: Authority) -> None:
        """Serve what the client asks; `upstream` is the verified connection, None when there is none."""
        self._counts.intercepted += 1
        exchange.notes["interception"] = "intercepted"
        authority = str(Authority(inside.host, None if inside.port == HTTPS else inside.port))
        client.info.on_exchange = _Inside(exchange, authority)
        if upstream is not None and exchange.through not in (None, "", DIRECT):
            upstream.abort()  # it is a proxy's: the first request inside has one made for its own way
        elif upstream is not None:
            self._ways.adopt(Origin("https", inside.host, inside.port or HTTPS), upstream)
        assert self.serve is not None
        self.serve(client)


class _Tunnel:
    """One tunnel on its way to be joined. Whoever takes the upstream stream sets `_upstream` to None."""

    __slots__ = ("_exchange", "_interception", "_request", "_upstream")

    def __init__(
        self, exchange: Exchange, upstream: Stream, request: Request | None, interception: Interception
    ) -> None:
        self._exchange = exchange
        self._upstream: Stream | None = upstream
        self._request = request
        self._interception = interception

    def release(self) -> None:
        """The exchange has ended, or nobody wants the other side."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()

    async def serve(self, client: Stream) -> None:
        """From the client's first byte to who carries on."""
        try:
            await self._serve(client)
        finally:
            self.release()

    async def _serve(self, client: Stream) -> None:
        it, exchange, upstream = self._interception, self._exchange, self._upstream
        if upstream is None:
            return
        asked = self._asked()
        hello = await it.hello(exchange, client) if await it.begins_with_tls(client, upstream) else None
        decision = it.of_not_tls() if hello is None else it.decide(exchange, self._request, asked, hello)
        if decision.action is Action.PASS:
            self._upstream = None
            it.pass_on(exchange, client, upstream, decision)
            return
        if decision.action is Action.REFUSE or hello is None:
            it.refuse(exchange, client, upstream, decision, tls=hello is not None)
            return
        host = verified_host(asked, hello)
        is_verified = await it.verified_meanwhile(exchange, upstream, host)
        if await it.be(host, exchange, client):
            self._upstream = None
            it.serve_inside(exchange, client, upstream if is_verified else None, Authority(host, asked.port))

    def _asked(self) -> Authority:
        if self._request is not None:
            return self._request.target.authority
        origin = self._exchange.attempts[-1].origin
        return Authority(origin.host, origin.port)


class _Inside:
    """What every exchange of one intercepted tunnel is told."""

    __slots__ = ("_authority", "_tunnel")

    def __init__(self, tunnel: Exchange, authority: str) -> None:
        self._tunnel = tunnel
        self._authority = authority

    def __call__(self, exchange: Exchange) -> None:
        exchange.parent = self._tunnel
        exchange.authority = self._authority
        exchange.user = self._tunnel.user
        exchange.groups = self._tunnel.groups
        exchange.through = self._tunnel.through


def let_through(learned: Learned, counts: Counts, exchange: Exchange, host: str, now: float) -> None:
    """A server does not go on without something that only the client may have: let its next tunnel to there pass."""
    if learned.learn(exchange.client.host, host, now, is_certain=True):
        counts.learned += 1
        words = "%s ended TLS with an alert, as for want of a certificate: tunnels of %s to there pass unread for %g s"
        log.warning(words, host, exchange.client.host, learned.lasts_s)


def verified_host(asked: Authority, hello: Hello) -> str:
    """Whom the server must prove to be: the name that the tunnel was opened for, since the rules of access were asked
    about it; where that is an address, the name that the client wants at it."""
    if hello.server_name is not None and ip_address(asked.host) is not None:
        return hello.server_name
    return asked.host
