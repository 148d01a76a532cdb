"""What a gateway does not let through: paths that servers read differently from rules (THREATS A13), CONNECT, and
https URLs on plain connections; phase ADMIT."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, Literal, NamedTuple

from interpose.core.exchange import Exchange
from interpose.core.failure import bad_request
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.target import Form
from interpose.protocol.target import hazard

_ORIGIN: Final = Form.ORIGIN
ENCODED_SLASHES = ("an encoded slash", "an encoded backslash")


class PathOptions(NamedTuple):
    """What happens to ambiguous paths. (No struct of msgspec: what has one cannot be compiled.)"""

    encoded_slash: Literal["reject", "keep"] = "reject"
    """What happens to `%2F` and `%5C` in a path: 400, or passed on as they are."""


class PathCheck:
    """The filter."""

    def __init__(self, options: PathOptions) -> None:
        self._keeps_slashes = options.encoded_slash == "keep"

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        form, scheme, _, path, _ = request.target
        if form is not _ORIGIN:
            if form is Form.AUTHORITY:
                exchange.refused_by("path", "CONNECT", "a gateway has no tunnels")
                raise bad_request("This is a gateway: it has no tunnels, so CONNECT is for proxies only.", 501)
            if scheme == "https" and exchange.tls is None:
                exchange.refused_by("path", "scheme", "https asked for on a connection without TLS")
                raise bad_request("An https URL was asked for on a connection without TLS.", 421)  # RFC 9110, 7.4
        if "%" not in path and "/." not in path and "\\" not in path:  # nearly always; no hazard is without these
            return forward(exchange, request)
        found = hazard(path)
        if found is not None and not (self._keeps_slashes and found in ENCODED_SLASHES):
            exchange.refused_by("path", "encoded_slash" if found in ENCODED_SLASHES else "ambiguous path", found)
            raise bad_request(f"The path has {found}, which servers read in different ways.")
        return forward(exchange, request)
