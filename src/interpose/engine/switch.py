"""An end that a filter has chosen, instead of the route's own."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from interpose.core.exchange import Exchange
from interpose.core.handler import Handler
from interpose.core.message import Request, Response


class Switch:
    """Hands a request to the upstream that `Exchange.upstream` names, else to `end`."""

    def __init__(self, end: Handler, others: Mapping[str, Handler]) -> None:
        self._end = end
        self._others = dict(others)

    def __call__(self, exchange: Exchange, request: Request) -> Awaitable[Response]:
        """See `core.handler.Handler`."""
        return self._others.get(exchange.upstream, self._end)(exchange, request)
