"""A filter that is asked only for what a query means; for everything else it is not there."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from interpose.core.exchange import Exchange
from interpose.core.handler import Filter, Handler
from interpose.core.message import Request, Response
from interpose.core.query import compile_query, parse
from interpose.core.query.live import Live


class OnlyWhen:
    """The filter. `when` is about the request; `wall` is the clock that `time:` in it means."""

    def __init__(self, when: str, inner: Filter, wall: Callable[[], float] = time.time) -> None:
        self._matcher = compile_query(parse(when))
        self._inner = inner
        self._wall = wall

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        if self._matcher.matches(Live(exchange, request, time=self._wall(), route=exchange.route)):
            return self._inner(exchange, request, forward)
        return forward(exchange, request)
