"""Where a proxy's clients may go: the ports of CONNECT, and those that no page has (THREATS A21), phase ADMIT."""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.target import Form, Target

# On a loopback-only proxy every port but these: remote shells, mail and a database that obeys plain text.
NEVER_BY_DEFAULT = frozenset((22, 25, 465, 587, 6379))


class DestinationOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which ports a tunnel may lead to."""

    connect_ports: tuple[int, ...] | None = None
    """The ports. Without it: every port but 22, 25, 465, 587 and 6379."""


class Destination:
    """The filter."""

    def __init__(self, options: DestinationOptions) -> None:
        self._named = frozenset(options.connect_ports or ())
        self._ports = None if options.connect_ports is None else frozenset(options.connect_ports)

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        self.judge(exchange, request.target)
        return forward(exchange, request)

    def judge(self, exchange: Exchange, target: Target) -> None:
        """Raise the refusal of where a request wants to go, with its note, unless it is allowed."""
        if target.form is Form.AUTHORITY:
            self.demand(exchange, target.authority.port)
        elif target.authority.port in NEVER_BY_DEFAULT and target.authority.port not in self._named:
            why = f"Port {target.authority.port} is not one for web pages; connect_ports would allow it."
            exchange.refused_by("destination", "connect_ports", why)
            raise Failure("http_request_denied", Side.DOWNSTREAM, why)

    def demand(self, exchange: Exchange, port: int | None) -> None:
        """Raise the refusal of a tunnel to `port`, with its note, unless it is allowed."""
        if port in NEVER_BY_DEFAULT if self._ports is None else port not in self._ports:
            why = f"Tunnels to port {port} are not allowed here; connect_ports would allow it."
            exchange.refused_by("destination", "connect_ports", why)
            raise Failure("http_request_denied", Side.DOWNSTREAM, why)
