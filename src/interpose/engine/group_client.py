"""The end handler of a gateway: one of the servers of an upstream, and another one when that can do no harm.

Who gets a request decides `upstream.group`; here it is sent, and the group is told how that went. A request counts as
under way on its server until its exchange is over, so a slow download keeps its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.message import Request, Response
from interpose.core.target import Authority, Origin
from interpose.engine.client import UpstreamClient
from interpose.engine.live_group import LiveGroup
from interpose.upstream.retry import may_try_another
from interpose.upstream.server import Server

Key = Callable[[Exchange, Request], bytes]
"""What requests are told apart by, for choosing by hash."""


class ServerClient:
    """The end handler for a lone server: nothing is chosen."""

    def __init__(self, client: UpstreamClient, server: Origin) -> None:
        self._client = client
        self._server = server

    def __call__(self, exchange: Exchange, request: Request) -> Awaitable[Response]:
        """See `core.handler.Handler`."""
        if not request.target.authority.host:
            _name_host(request, self._server)
        return self._client.send(exchange, request, self._server)


class GroupClient:
    """The end handler for a group. `key` only where the group chooses by hash."""

    def __init__(self, client: UpstreamClient, live: LiveGroup, key: Key | None = None) -> None:
        self._client = client
        self._live = live
        self._group = live.group
        self._key = key
        self._clock = asyncio.get_running_loop().time

    def may_serve(self, now: float) -> bool:
        """Whether a server is up, or ought to be tried."""
        return self._group.may_serve(now)

    async def __call__(self, exchange: Exchange, request: Request) -> Response:
        """See `core.handler.Handler`. A request that names no host (HTTP/1.0) is for the server's own."""
        live, group = self._live, self._group
        key = b"" if self._key is None else self._key(exchange, request)
        sticky = live.sticky
        wanted = None if sticky is None else sticky.preferred(request)
        group.budget.requested()
        failure: Failure | None = None
        avoid: tuple[Server, ...] = ()
        while True:
            server = None if live.line and not avoid else group.choose(key, self._clock(), avoid, wanted)
            if server is None:
                if failure is not None:
                    raise failure
                server = await live.line.server(exchange, key)
            if not request.target.authority.host:
                _name_host(request, server.origin)
            is_whole = request.body.ended
            try:
                response = await self._client.send(exchange, request, server.origin)
            except Failure as error:
                self._failed(server, error)
                self._ended(server)
                if len(avoid) >= live.retries or not self._may_try_another(exchange, request, error, is_whole):
                    raise
                failure = error
                avoid = (*avoid, server)
            except BaseException:
                self._ended(server)
                raise
            else:
                attempt = exchange.attempts[-1]
                now = attempt.first_byte
                group.answered(server, response.status, now - attempt.started, now)
                exchange.at_end(partial(self._over, server))
                if sticky is not None and server is not wanted:
                    sticky.tell(exchange, response, server)
                return response

    def _may_try_another(self, exchange: Exchange, request: Request, failure: Failure, is_whole: bool) -> bool:
        attempts = exchange.attempts  # none, where the content had broken off before there was one
        return (
            may_try_another(
                failure,
                request.method,
                answer_has_begun=bool(attempts) and attempts[-1].first_byte > 0,
                body_can_be_replayed=is_whole or not failure.sent,
            )
            and self._group.budget.take()
        )

    def _failed(self, server: Server, failure: Failure) -> None:
        if failure.side is Side.UPSTREAM:
            never_arrived = failure.consequence.retry_is_safe and not failure.sent
            self._group.failed(server, failure.detail or failure.kind, self._clock(), unreachable=never_arrived)

    def _over(self, server: Server, outcome: Outcome) -> None:
        """(at the end of the exchange)"""
        failure = outcome.failure
        if failure is not None:
            self._failed(server, failure)
        self._ended(server)

    def _ended(self, server: Server) -> None:
        self._group.ended(server)
        if self._live.line:
            self._live.line.wake()


def _name_host(request: Request, server: Origin) -> None:
    authority = Authority("localhost") if server.scheme == "unix" else server.authority
    request.target = request.target._replace(authority=authority)
