"""Requests for another host than their connection was made for: 421 (RFC 9110, 7.4 and 15.5.20; THREATS A25).

Whose certificate a client was shown, and which of its own it had to show, was decided by the host that it asked for in
the handshake. A request on that connection for a host of another certificate would go round both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.handler import Handler
from interpose.core.message import Request, Response


class Misdirected:
    """The filter (phase ADMIT). `identity_of` gives who answers for a host, None for one that nobody answers for."""

    def __init__(self, identity_of: Callable[[str | None], object]) -> None:
        self._identity_of = identity_of

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """Forward, or raise the refusal."""
        tls = exchange.tls
        if tls is not None:
            host = request.target.authority.host
            if host != tls.server_name:
                asked = self._identity_of(host or None)
                if asked is None or asked is not self._identity_of(tls.server_name):
                    connected = tls.server_name or "no host by name"
                    why = f"The connection was made for {connected}, and {host or 'no host'} is answered for elsewhere."
                    exchange.refused_by("misdirected", "certificates", why)
                    raise Failure("http_request_error", Side.DOWNSTREAM, why, status=421)
        return forward(exchange, request)
