"""Requests that are meant for the proxy itself, not for somewhere else (phase ADMIT, proxies only)."""

from __future__ import annotations

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.target import Form


class OwnPage:
    """The filter: `page` answers requests in origin-form, and GETs whose URL turns out to lead back to this proxy.

    The second is known only once the name was looked up, so it comes as the dialler's refusal. Other methods keep
    that refusal (508).
    """

    def __init__(self, page: Handler) -> None:
        self._page = page

    async def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Response:
        """See `core.handler.Filter`."""
        form = request.target.form
        if form is Form.ORIGIN or form is Form.ASTERISK:
            return await self._page(exchange, request)
        try:
            return await forward(exchange, request)
        except Failure as failure:
            if failure.kind == "proxy_loop_detected" and request.method in ("GET", "HEAD") and form is Form.ABSOLUTE:
                return await self._page(exchange, request)
            raise
