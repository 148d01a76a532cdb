"""Sends clients that came without TLS to the same place with it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import NamedTuple

from interpose.core.exchange import Exchange
from interpose.core.failure import bad_request
from interpose.core.fields import Fields
from interpose.core.handler import Answered, Handler
from interpose.core.message import Request, Response
from interpose.core.target import Authority, Form


class ToHttpsOptions(NamedTuple):
    """Where to, and how."""

    status: int = 308
    """301 lets old clients make a GET of a POST; 308 does not."""
    port: int = 443
    """The port of the listener that speaks TLS."""


class ToHttps:
    """The filter (phase ADMIT): it answers everything itself."""

    def __init__(self, options: ToHttpsOptions) -> None:
        self._options = options

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        target = request.target
        if target.form not in (Form.ORIGIN, Form.ABSOLUTE) or not target.authority.host:
            raise bad_request("This port only leads to HTTPS, and the request does not say of which host.")
        status, port = self._options
        authority = Authority(target.authority.host, None if port == 443 else port)
        location = f"https://{authority}{target.path_and_query}"
        return Answered(Response(status, Fields([("Location", location)])))
