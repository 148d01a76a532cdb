"""Tunnels: bytes between two streams, both ways, until both have ended (CONNECT, 101, and plain relaying)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.message import Response
from interpose.core.stream import Stream, StreamHandler
from interpose.core.watcher import Watcher, together
from interpose.engine.filtered_tunnel import FilteredTunnel, Octets, Speech, WebSocket
from interpose.engine.pace import Pace
from interpose.protocol.websocket_frames import agreed_deflate

HALF_CLOSED_TIMEOUT_S = 60.0


class OpenTunnel(Protocol):
    """One that carries bytes."""

    idle_timeout_s: float | None

    def tick(self, now: float, idle_timeout_s: float) -> None:
        """Judge the deadlines."""

    def abort(self) -> None:
        """Break off both directions."""


class Tunnels:
    """The open tunnels of a worker; `tick` ends the idle ones."""

    def __init__(self, idle_timeout_s: float) -> None:
        self.idle_timeout_s = idle_timeout_s
        self._open: set[OpenTunnel] = set()

    def between(
        self,
        exchange: Exchange,
        upstream: Stream,
        *,
        idle_timeout_s: float | None = None,
        keeps_end: bool = False,
        watcher: Watcher | None = None,
        switched: Response | None = None,
    ) -> StreamHandler:
        """The stream handler that joins the client's stream to `upstream`, for `Response.then`.

        `idle_timeout_s` is for this tunnel instead of that of all. `keeps_end`: that the client sends no more is not
        told to the upstream, which could not be half-closed and has to answer yet (TLS). `watcher` is shown everything,
        and so is that of the exchange. `switched` is the 101 that a WebSocket began with. When it is joined, and the
        exchange has filters for messages then, they are asked (`engine.filtered_tunnel`).
        """
        tunnel = Tunnel(exchange, upstream, self, idle_timeout_s, keeps_end, watcher, switched)
        exchange.at_end(lambda outcome: tunnel.client_is_gone())
        return tunnel.join

    def opened(self, tunnel: OpenTunnel) -> None:
        """(tunnel) It carries bytes."""
        self._open.add(tunnel)

    def closed(self, tunnel: OpenTunnel) -> None:
        """(tunnel) It is over."""
        self._open.discard(tunnel)

    def tick(self, now: float) -> None:
        """Once a second: end tunnels in which nothing moved, or that have been half closed for too long."""
        for tunnel in list(self._open):
            tunnel.tick(now, tunnel.idle_timeout_s or self.idle_timeout_s)

    def close(self) -> None:
        """Break off every tunnel."""
        for tunnel in list(self._open):
            tunnel.abort()

    def __len__(self) -> int:
        return len(self._open)


class Tunnel:
    """One pair of streams."""

    __slots__ = (
        "_client", "_exchange", "_filtered", "_half_closed_since", "_keeps_end", "_pace", "_switched", "_tunnels",
        "_upstream", "_upstream_stream", "_watcher", "idle_timeout_s",
    )  # fmt: skip

    def __init__(
        self,
        exchange: Exchange,
        upstream: Stream,
        tunnels: Tunnels,
        idle_timeout_s: float | None,
        keeps_end: bool,
        watcher: Watcher | None,
        switched: Response | None,
    ) -> None:
        self.idle_timeout_s = idle_timeout_s
        self._switched = switched
        self._filtered: FilteredTunnel | None = None
        self._keeps_end = keeps_end
        self._watcher = watcher
        self._exchange = exchange
        self._tunnels = tunnels
        self._upstream_stream = upstream
        self._client: Direction | None = None
        self._upstream: Direction | None = None
        self._pace: Pace | None = None
        self._half_closed_since = 0.0

    def join(self, client: Stream) -> None:
        """Connect the client's stream with the upstream one (a `StreamHandler`)."""
        if self._exchange.message_filters is not None:
            self._join_filtered(client)
            return
        self._tunnels.opened(self)
        watcher = together(self._watcher, self._exchange.watcher)
        if watcher is None:
            self._client = Direction(client, self._upstream_stream, self)
            self._upstream = Direction(self._upstream_stream, client, self)
        else:
            show, answer = watcher.received, watcher.answered
            self._client = ShownDirection(client, self._upstream_stream, self, show, watcher.sends_no_more)
            self._upstream = ShownDirection(self._upstream_stream, client, self, answer)
        self._client.keeps_end = self._keeps_end
        self._client.other, self._upstream.other = self._upstream, self._client
        client.attach(self._client)
        self._upstream_stream.attach(self._upstream)

    def _join_filtered(self, client: Stream) -> None:
        """The same with filters for messages."""
        switched, filters = self._switched, self._exchange.message_filters
        assert filters is not None
        speech: tuple[Speech, Speech]
        if switched is None:
            speech = (Octets(inbound=True), Octets(inbound=False))
        else:
            deflate = agreed_deflate(switched.fields.get_all("sec-websocket-extensions"))
            speech = (WebSocket(deflate, inbound=True), WebSocket(deflate, inbound=False))
        self._filtered = FilteredTunnel(
            self._exchange,
            client,
            self._upstream_stream,
            filters,
            speech,
            idle_timeout_s=self.idle_timeout_s,
            keeps_end=self._keeps_end,
            watcher=together(self._watcher, self._exchange.watcher),
        )
        self._tunnels.opened(self._filtered)
        client.run(self._filtered.serve())

    def client_is_gone(self) -> None:
        """The exchange ended; when the tunnel was never joined, nobody else closes the upstream side."""
        if self._filtered is not None:
            self._filtered.client_is_gone()
            self._tunnels.closed(self._filtered)
        elif self._client is None:
            self._upstream_stream.abort()
        self._exchange.notes["bytes_in"] = str(self.bytes_in)

    @property
    def bytes_in(self) -> int:
        """Bytes that went inbound."""
        if self._filtered is not None:
            return self._filtered.bytes_in
        return 0 if self._client is None else self._client.received

    def account(self) -> None:
        """(side) Bring the exchange's count up to date."""
        if self._upstream is not None:
            self._exchange.bytes_out = self._upstream.received

    def tick(self, now: float, idle_timeout_s: float) -> None:
        """Judge the deadlines of this tunnel."""
        if self._client is None or self._upstream is None:
            return
        count = self._client.moved + self._upstream.moved
        if self._pace is None:
            self._pace = Pace(now, count)
        elif self._pace.complaint(now, count, idle_timeout_s, 0):
            self._exchange.notes["why"] = f"nothing moved in the tunnel for {idle_timeout_s:g} s"
            self.abort()
            return
        if self._client.has_ended or self._upstream.has_ended:
            self._half_closed_since = self._half_closed_since or now
            idle = self._pace.complaint(now, count, HALF_CLOSED_TIMEOUT_S, 0)
            if idle and now - self._half_closed_since >= HALF_CLOSED_TIMEOUT_S:
                self.abort()

    def abort(self) -> None:
        """Break off both directions."""
        if self._client is not None:
            self._client.stream.abort()
        self._upstream_stream.abort()

    def lost(self, side: Direction, failure: Failure | None) -> None:
        """(side) A stream is gone. The tunnel is over when the other one is too: it may have much to send yet."""
        self.account()
        side.is_lost = side.has_ended = True
        if side.other.is_lost:
            self._tunnels.closed(self)
        if side is self._upstream and self._exchange.attempts:
            self._exchange.attempts[-1].failure = failure


class Direction:
    """One direction: receives from `stream`, writes to the other one, and slows its peer down when that one is full."""

    __slots__ = ("_target", "_tunnel", "has_ended", "is_lost", "keeps_end", "other", "received", "stream")

    other: Direction

    def __init__(self, stream: Stream, target: Stream, tunnel: Tunnel) -> None:
        self.stream = stream
        self._target = target
        self._tunnel = tunnel
        self.received = 0
        self.keeps_end = False
        self.has_ended = False
        self.is_lost = False

    @property
    def moved(self) -> int:
        """What came and was taken on the other side: that is how a slow reader differs from one that is gone."""
        return self.received - self._target.unsent_bytes

    def bytes_received(self, data: bytes) -> None:
        """See `core.stream.Receiver`."""
        self.received += len(data)
        if not self._target.write(data):
            self.stream.pause()

    def end_received(self) -> None:
        """Pass the end on; the other direction goes on (half-close). After both ends nobody else would close."""
        self.has_ended = True
        if not self.keeps_end:
            self._target.end()
        if self.other.has_ended:
            self._target.close()
            self.stream.close()

    def writable(self) -> None:
        """This stream takes bytes again: read from the other one."""
        self.other.stream.resume()

    def connection_lost(self, failure: Failure | None) -> None:
        """This stream is gone: let the other one send what it has, then close it; a reset goes on as a reset."""
        self._tunnel.lost(self, failure)
        if failure is None:
            self._target.close()
        else:
            self._target.abort()


class ShownDirection(Direction):
    """One direction of a tunnel of which everything is shown."""

    __slots__ = ("_show", "_show_end")

    def __init__(
        self,
        stream: Stream,
        target: Stream,
        tunnel: Tunnel,
        show: Callable[[bytes], object],
        show_end: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(stream, target, tunnel)
        self._show = show
        self._show_end = show_end

    def bytes_received(self, data: bytes) -> None:
        """See `Direction.bytes_received`."""
        self._show(data)
        super().bytes_received(data)

    def end_received(self) -> None:
        """See `Direction.end_received`."""
        if self._show_end is not None:
            self._show_end()
        super().end_received()
