"""The upstream client: a Handler that sends the request to an origin and returns the origin's answer.

`OriginClient` goes where the request's target says (a proxy). The clients of a gateway, which go to the servers of an
upstream and keep the target's authority in Host, are in `engine.group_client`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from interpose.core.exchange import Attempt, Exchange
from interpose.core.failure import Failure, Side
from interpose.core.message import Request, Response
from interpose.core.stream import Stream, StreamHandler
from interpose.core.target import Form, Origin
from interpose.engine.connections import Connections
from interpose.engine.pool import Pool
from interpose.engine.tunnel import Tunnels
from interpose.engine.upstream_connection import UpstreamConnection
from interpose.protocol.head import HeadParser
from interpose.upstream.retry import may_retry


class Dial(Protocol):
    """Connects to an origin (`net.dial.Dialler`): a stream, or `Failure`. `attempt` is told addresses and times.

    `configured`: the origin is one of the operator's, not the client's choice. `opening` is sent first, before TLS.
    """

    def __call__(
        self, origin: Origin, attempt: Attempt | None = None, *, configured: bool = False, opening: bytes = b""
    ) -> Awaitable[Stream]:
        """Connect."""


Join = Callable[[Exchange, Stream, Request | None], StreamHandler]
"""What is done with a client's stream and the one to where it asked to be led; without a request, it asked in SOCKS."""


class UpstreamClient:
    """Sends requests to origins over kept connections. `tick` once a second; `close` at the end."""

    def __init__(
        self,
        dial: Dial,
        parser: HeadParser,
        tunnels: Tunnels,
        options: Connections,
        *,
        answer_timeout_s: float,
        configured: bool,
        stream_timeout_s: float = 3600.0,
    ) -> None:
        self._dial = dial
        self._parser = parser
        self._tunnels = tunnels
        self._options = options
        self._answer_timeout_s = options.answer_timeout_s or answer_timeout_s
        self._stream_timeout_s = stream_timeout_s
        self._configured = configured
        self._pool = Pool(options.max_idle, options.idle_timeout_s)
        self._open: dict[UpstreamConnection, Origin] = {}
        self._is_retired = False
        self._clock = asyncio.get_running_loop().time

    async def send(self, exchange: Exchange, request: Request, origin: Origin, *, absolute: bool = False) -> Response:
        """The answer of `origin` to `request`; a second try where one is safe (see `upstream.retry`).

        `absolute`: `origin` is a proxy, which has to be told the whole URL (RFC 9112, 3.2.2).
        """
        body = request.body
        if body.failure is not None:
            raise body.failure
        content = body.take() if body.ended else b""
        was_complete = body.ended
        connection = self._pool.take(origin)
        while True:
            attempt = Attempt(origin, self._clock())
            attempt.fields = request.fields
            exchange.attempts.append(attempt)
            reused = connection is not None
            try:
                if connection is None:
                    connection = await self._connect(origin, attempt)
                else:
                    attempt.reused = True
                    attempt.peer, attempt.local = connection.stream.info.peer, connection.stream.info.local
                if body.ended and not was_complete:  # it came to its end while the connection was made
                    if body.failure is not None:
                        self._idle(connection)
                        raise body.failure
                    content = body.take()
                    was_complete = True
                response: Response = await connection.send(exchange, request, attempt, content, absolute=absolute)
            except Failure as failure:
                _note(exchange, attempt, failure)
                if connection is not None and connection.has_begun_answering and not attempt.first_byte:
                    attempt.first_byte = self._clock()  # an interim answer, or a part of a head
                if reused and may_retry(
                    failure,
                    request.method,
                    connection_was_reused=reused,
                    answer_has_begun=connection is not None and connection.has_begun_answering,
                    body_can_be_replayed=was_complete,
                ):
                    connection = None  # a new one: other idle ones may be as dead as this one
                    continue
                body.put_back(content)
                raise
            except asyncio.CancelledError:
                if connection is not None and connection.attempt is attempt:  # else it may be another exchange's by now
                    connection.abort()
                raise
            if response.status == 101:
                response.then = self._tunnels.between(exchange, connection.stream, switched=response)
            return response

    async def connect(self, exchange: Exchange, request: Request, join: Join | None = None) -> Response:
        """A tunnel to the authority of a CONNECT request (RFC 9110, 9.3.6). `join` says what passes in it; without one
        everything does."""
        authority = request.target.authority
        origin = Origin("tcp", authority.host, authority.port or 443)
        attempt = Attempt(origin, self._clock())
        exchange.attempts.append(attempt)
        try:
            stream = await self._dialled(origin, attempt)
        except Failure as failure:
            _note(exchange, attempt, failure)
            raise
        response = Response(200, reason=b"Connection established")
        response.then = self._tunnels.between(exchange, stream) if join is None else join(exchange, stream, request)
        return response

    def adopt(self, origin: Origin, stream: Stream) -> None:
        """Take a connected stream to `origin`, in TLS and verified if its scheme says so, for the next exchange."""
        connection = UpstreamConnection(stream, self._parser, self._idle, self._gone)
        if not connection.is_lost:
            self._open[connection] = origin
            self._idle(connection)

    async def _dialled(self, origin: Origin, attempt: Attempt) -> Stream:
        """A stream to `origin`, dialled in a task of its own: what runs an exchange need not be one (see
        `engine.run`)."""
        dialling = asyncio.ensure_future(self._dial(origin, attempt, configured=self._configured))
        try:
            return await dialling
        except asyncio.CancelledError:
            dialling.cancel()
            dialling.add_done_callback(lambda done: done.cancelled() or done.exception())
            if dialling.done() and not dialling.cancelled() and dialling.exception() is None:
                dialling.result().abort()
            raise

    async def _connect(self, origin: Origin, attempt: Attempt) -> UpstreamConnection:
        stream = await self._dialled(origin, attempt)
        connection = UpstreamConnection(stream, self._parser, self._idle, self._gone)
        if connection.is_lost:
            raise Failure("connection_terminated", Side.UPSTREAM, f"{origin} closed the connection at once.")
        self._open[connection] = origin
        return connection

    def _idle(self, connection: UpstreamConnection) -> None:
        origin = self._open.get(connection)
        if origin is None or self._is_retired or not self._pool.put(origin, connection, self._clock()):
            connection.close()

    def _gone(self, connection: UpstreamConnection) -> None:
        origin = self._open.pop(connection, None)
        if origin is not None:
            self._pool.forget(origin, connection)

    def tick(self, now: float) -> None:
        """Once a second: deadlines of running exchanges, and connections that have been idle for too long."""
        for connection in list(self._open):
            connection.tick(now, self._answer_timeout_s, self._options.body_timeout_s, self._stream_timeout_s)
        for connection in self._pool.expired(now):
            connection.close()

    def close_idle(self) -> None:
        """Close every connection that waits for an exchange."""
        for connection in self._pool.clear():
            connection.close()

    def close_oldest(self) -> None:
        """Close a quarter of the connections that wait for an exchange, those that have waited longest."""
        for connection in self._pool.oldest():
            connection.close()

    def retire(self) -> None:
        """Keep no connection beyond its exchange any more: a newer client has taken over."""
        self._is_retired = True
        self.close_idle()

    def close(self) -> None:
        """Break off what is in the middle of something. What waits for an exchange ends in order, not by a reset."""
        idle = set(self._pool.clear())
        for connection in list(self._open):
            if connection in idle:
                connection.close()
            else:
                connection.stream.abort()

    @property
    def open_connections(self) -> int:
        """Connections to origins, idle ones included."""
        return len(self._open)


def _note(exchange: Exchange, attempt: Attempt, failure: Failure) -> None:
    """Write down how an attempt failed; that an address may not be reached is a refusal like any filter's."""
    attempt.failure = failure
    if failure.kind in ("destination_ip_prohibited", "proxy_loop_detected"):
        exchange.refused_by("dial", failure.kind, failure.detail)


class OriginClient:
    """The end handler of a proxy: the target's own origin, or a tunnel for CONNECT, in which `join` may look."""

    def __init__(self, client: UpstreamClient, join: Join | None = None) -> None:
        self._client = client
        self._join = join

    def __call__(self, exchange: Exchange, request: Request) -> Awaitable[Response]:
        """See `core.handler.Handler`."""
        if request.target.form is Form.AUTHORITY:
            return self._client.connect(exchange, request, self._join)
        return self._client.send(exchange, request, request.target.origin)
