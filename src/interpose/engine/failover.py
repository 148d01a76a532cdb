"""Two ends as one: the second while the first has nobody who could serve."""

from __future__ import annotations

from collections.abc import Callable

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.engine.group_client import GroupClient
from interpose.upstream.retry import may_try_another


class Failover:
    """Sends requests to `first`, and to `second` while no server of the first is up.

    Back they go as soon as one is: with a check when it has risen, else after the rest of an ejected one, when a single
    request tries it. A request that finds out that the first is down goes on to the second where that can do no harm.
    """

    def __init__(self, first: GroupClient, second: Handler, clock: Callable[[], float]) -> None:
        self._first = first
        self._second = second
        self._clock = clock

    async def __call__(self, exchange: Exchange, request: Request) -> Response:
        """See `core.handler.Handler`."""
        if not self._first.may_serve(self._clock()):
            return await self._second(exchange, request)
        is_whole = request.body.ended
        before = len(exchange.attempts)
        try:
            return await self._first(exchange, request)
        except Failure as failure:
            tried = exchange.attempts[before:]
            if self._first.may_serve(self._clock()) or not may_try_another(
                failure,
                request.method,
                answer_has_begun=any(attempt.first_byte > 0 for attempt in tried),
                body_can_be_replayed=is_whole or not failure.sent,
            ):
                raise
        return await self._second(exchange, request)
