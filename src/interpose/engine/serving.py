"""What the connections of one listener share."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Protocol

from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.stream import StreamInfo
from interpose.engine.pace import Timeouts
from interpose.protocol.head import HeadParser

Render = Callable[[Exchange, Request | None, Failure], Response]
"""Makes the answer that tells a client about a failure; the request is None when it could not be read."""


_NO_REQUEST = frozenset((400, 408, 413, 414, 421, 431, 501, 505))


class Census(Protocol):
    """A connection, as the server counts and calls it."""

    @property
    def is_busy(self) -> bool:
        """Whether an exchange runs."""

    def tick(self, now: float) -> None:
        """Judge deadlines."""

    def close_if_idle(self) -> bool:
        """Close when no request has begun."""

    def shed(self) -> bool:
        """Close when no request has begun since the last one; not when none has come yet, for then one will."""

    def cut(self) -> None:
        """Break off."""


class Serving:
    """Shared by all connections of a listener. A reload swaps `handler`, `render`, `parser` and `timeouts` in place.

    `needs_tasks` says that handlers hold code of users (see `engine.run`). `observe_refused` hears of requests that
    cannot be read. `numbers` are those of exchanges, which all listeners of a worker share; else they are its own.
    """

    def __init__(
        self,
        name: str,
        handler: Handler,
        render: Render,
        parser: HeadParser,
        timeouts: Timeouts,
        worker: int,
        numbers: Iterator[int] | None = None,
    ) -> None:
        self.name = name
        self.handler = handler
        self.render = render
        self.parser = parser
        self.timeouts = timeouts
        self.worker = worker
        self.numbers = numbers or itertools.count(1)
        self.loop = asyncio.get_running_loop()
        self.connections: set[Census] = set()
        self.is_draining = False
        self.needs_tasks = False
        self.observe_refused: Callable[[Exchange], None] | None = None
        self.accepted = 0
        self.exchanges = 0
        self.failures = 0
        self.date_line = date_line()

    def new_exchange(self, info: StreamInfo, scheme: str) -> Exchange:
        """The next exchange, of the client that `info` tells of."""
        self.exchanges += 1
        started = self.loop.time()
        exchange = Exchange(
            next(self.numbers), self.worker, self.name, info.peer, started, scheme, info.tls, info.local
        )
        if info.on_exchange is not None:
            info.on_exchange(exchange)
        return exchange

    def answer_to(self, exchange: Exchange, request: Request | None, failure: Failure) -> Response:
        """The answer that tells the client about `failure`; after a request that is no request, the connection ends.

        So does one inside a tunnel whose server failed: only with the next tunnel it is verified again.
        """
        self.failures += 1
        response = self.render(exchange, request, failure)
        if failure.kind == "http_request_error" and failure.status in _NO_REQUEST:
            response.must_close = True
        if exchange.authority is not None and failure.side is Side.UPSTREAM:
            response.must_close = True
        return response

    def stream_ended(self, exchange: Exchange, status: int, failure: Failure | None) -> None:
        """The stream of a tunnel is gone, and with it the exchange that opened it.

        A failure that is the client's for certain is one of the handshake inside.
        """
        if failure is not None and failure.side is not Side.DOWNSTREAM:
            failure = Failure("connection_terminated", Side.DOWNSTREAM, "The client broke the connection off.")
        elif failure is None and exchange.attempts:
            failure = exchange.attempts[-1].failure
        exchange.finish(Outcome(status, exchange.bytes_out, failure, self.loop.time()))


def date_line() -> bytes:
    """The Date of now, as a field line."""
    return b"Date: %b\r\n" % formatdate(usegmt=True).encode("ascii")
