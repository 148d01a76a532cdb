"""Requests from inside an intercepted tunnel (phase ADMIT): they are for the server that the tunnel leads to.

The server of that name was verified, and the rules of access were asked about it, so a request that names another one
in Host is refused (RFC 9110, 7.4). Where the server could not be verified, every request is answered with the reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side, bad_request
from interpose.core.handler import Filter, Handler
from interpose.core.message import Request, Response
from interpose.core.target import DEFAULT_PORTS, Form

HTTPS = DEFAULT_PORTS["https"]


class Inside:
    """The filter. What is not from inside a tunnel passes untouched.

    `wants_certificate` is told of exchanges, and hosts, whose server ended TLS with an alert after the handshake: that
    is how it says, from TLS 1.3 on, that it wants a certificate of the client, whose tunnel has to pass for that.
    """

    def __init__(self, wants_certificate: Callable[[Exchange, str], None] | None = None) -> None:
        self._wants_certificate = wants_certificate

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        if exchange.authority is None:
            return forward(exchange, request)
        _settle(exchange, request, exchange.authority)
        return self._watched(exchange, request, forward)

    async def _watched(self, exchange: Exchange, request: Request, forward: Handler) -> Response:
        host = request.target.authority.host
        try:
            return await forward(exchange, request)
        except Failure as failure:
            if failure.kind == "tls_alert_received" and self._wants_certificate is not None:
                self._wants_certificate(exchange, host)
            raise


class OutsideOnly:
    """A filter for what is not from inside a tunnel: who opened the tunnel has answered it already."""

    def __init__(self, of: Filter) -> None:
        self._of = of

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        return forward(exchange, request) if exchange.authority is not None else self._of(exchange, request, forward)


def _settle(exchange: Exchange, request: Request, verified: str) -> None:
    """Have `request` say whom it is for, or raise why it goes no further."""
    target = request.target
    authority = target.authority
    asked = str(authority._replace(port=None)) if authority.port == HTTPS else str(authority)
    if target.form is Form.AUTHORITY:
        why = "A tunnel inside a tunnel is not opened."
        exchange.refused_by("interception", "CONNECT", why)
        raise bad_request(why)
    if asked != verified or target.scheme != "https":
        why = f"This tunnel leads to {verified}, and the request is for {asked or 'no host'}."
        exchange.refused_by("interception", "authority", why)
        raise Failure("http_request_error", Side.DOWNSTREAM, why, status=421)
    tunnel = exchange.parent
    if tunnel is not None and tunnel.attempts and (failure := tunnel.attempts[-1].failure) is not None:
        raise Failure(failure.kind, failure.side, failure.detail, status=failure.status)
    # From here on it is like any request whose client wrote the whole URL; `OPTIONS *` has no path in that form.
    path = "" if target.form is Form.ASTERISK else target.path
    request.target = target._replace(form=Form.ABSOLUTE, path=path)
