"""Who may use a listener, by the address that the connection comes from."""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.networks import Networks


class AllowOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which clients are served."""

    allow_from: tuple[str, ...]
    """Addresses or networks (`192.0.2.0/24`, `2001:db8::/32`) whose clients are served; others get 403."""


class Allow:
    """The filter. Raises ValueError for an option that is no network."""

    def __init__(self, options: AllowOptions) -> None:
        self._networks = Networks(options.allow_from)
        self._rule = f"allow_from = {list(options.allow_from)}"

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """Forward, or raise the refusal. (Nothing is waited for, so this is no coroutine of its own.)"""
        host, port = exchange.client
        # A Unix socket has no address: the permissions of its file have decided already.
        if host not in self._networks and port != 0:
            why = f"{host} is in none of the networks that this listener serves."
            exchange.refused_by("allow", self._rule, why)
            raise Failure("http_request_denied", Side.DOWNSTREAM, why)
        return forward(exchange, request)
