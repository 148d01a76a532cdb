"""How much one client may send, and how much of it at once."""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec

from interpose.core.body import Transform, too_large
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.handler import Handler
from interpose.core.message import Request, Response


class LimitOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client may ask for."""

    max_body_bytes: int = 0
    """The largest content of a request; above it the answer is 413. 0: no limit."""

    max_exchanges_per_client: int = 0
    """Exchanges of one client address at the same time, tunnels among them; above it the answer is 429. 0: no limit."""


class Limit:
    """The filter."""

    def __init__(self, options: LimitOptions) -> None:
        self._max_body_bytes = options.max_body_bytes
        self._max_exchanges = options.max_exchanges_per_client
        self._running: dict[str, int] = {}

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """Forward, with a body that fails where it becomes too long, or raise the refusal."""
        if self._max_exchanges and exchange.client.port:  # clients of a Unix socket cannot be told apart
            self._count(exchange)
        if self._max_body_bytes:
            body = request.body
            if body.length is None:
                request.body = body.map(up_to(self._max_body_bytes, exchange))
            elif body.length > self._max_body_bytes:
                raise refused(exchange, self._max_body_bytes)
        return forward(exchange, request)

    def _count(self, exchange: Exchange) -> None:
        client = exchange.client.host
        running = self._running.get(client, 0)
        if running >= self._max_exchanges:
            rule = f"max_exchanges_per_client = {self._max_exchanges}"
            exchange.refused_by("limits", rule, f"{running} exchanges of {client} were running")
            detail = f"{self._max_exchanges} requests of your address are being served already."
            raise Failure("http_request_denied", Side.DOWNSTREAM, detail, status=429)
        self._running[client] = running + 1
        exchange.at_end(lambda outcome: self._uncount(client, outcome))

    def _uncount(self, client: str, outcome: Outcome) -> None:
        running = self._running[client] - 1
        if running:
            self._running[client] = running
        else:
            del self._running[client]


def up_to(limit: int, exchange: Exchange) -> Transform:
    """Lets content of unknown length through unchanged, and breaks it off where it becomes longer than `limit`."""
    left = limit

    def count(chunk: bytes | None) -> bytes:
        nonlocal left
        left -= len(chunk or b"")
        if left < 0:
            raise refused(exchange, limit)
        return chunk or b""

    return count


def refused(exchange: Exchange, limit: int) -> Failure:
    """The failure for content above the limit, noted with the exchange."""
    failure = too_large(limit)
    exchange.refused_by("limits", f"max_body_bytes = {limit}", failure.detail)
    return failure
