"""How much one client may send, and how much of it at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from interpose.core.body import Body, too_large
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
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
                request.body = Capped(body, self._max_body_bytes, exchange).body
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


class Capped:
    """Sits between a body of unknown length and its reader, and breaks it off where it becomes too long."""

    __slots__ = ("_exchange", "_inner", "_left", "_limit", "_paused", "_started", "body", "on_drain")

    def __init__(self, inner: Body, limit: int, exchange: Exchange) -> None:
        self._inner = inner
        self._limit = limit
        self._left = limit
        self._exchange = exchange
        self._paused = False
        self._started = False
        self.on_drain: Callable[[], None] | None = None
        self.body = Body.streaming(self, None)

    def write(self, chunk: bytes) -> bool:
        """Pass a chunk on while there is room for it."""
        self._left -= len(chunk)
        if self._left < 0:
            if not self.body.ended:
                self.body.fail(refused(self._exchange, self._limit))
                self._inner.close()
            return True
        self.body.feed(chunk)
        return not self._paused

    def end(self, trailers: Fields | None) -> None:
        """The content is complete."""
        self.body.finish(trailers)

    def abort(self, failure: Failure) -> None:
        """The content breaks off."""
        self.body.fail(failure)

    def pause(self) -> None:
        """The reader has enough for now."""
        self._paused = True

    def resume(self) -> None:
        """The reader wants more, or its first."""
        self._paused = False
        if not self._started:
            self._started = True
            self._inner.pipe(self)
        elif self.on_drain is not None:
            self.on_drain()

    def cancel(self) -> None:
        """The reader wants no more."""
        self._inner.close()


def refused(exchange: Exchange, limit: int) -> Failure:
    """The failure for content above the limit, noted with the exchange."""
    failure = too_large(limit)
    exchange.refused_by("limits", f"max_body_bytes = {limit}", failure.detail)
    return failure
