"""Content that is paced or counted: what one limit knows in one worker of those whose bytes pass.

The exchanges of one key share a `Pace` for each direction while any of them lasts. What has passed is told in batches
to whoever counts the day's bytes, which answers whether they are used up, and which share of the bytes a second is this
worker's; nobody waits for that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.faulty_body import detoured
from interpose.core.message import Request, Response
from interpose.core.pacing import Pace, PacedLane, Pacer
from interpose.core.stream import Stream, StreamHandler

MOST_GONE = 100_000
"""Keys whose bytes wait to be told of, while nobody can be; then those of the one that went first are lost."""

LaneTo = Callable[[Callable[[bytes], bool]], PacedLane]
Wrap = Callable[[Stream, tuple[LaneTo, LaneTo]], Stream]
"""Puts lanes, inbound and outbound, into the way of a stream."""


class Flow:
    """The exchanges of one key, as far as bytes go."""

    def __init__(self, pacer: Pacer, rate: float) -> None:
        self.clock = pacer.clock
        self.spent = 0
        """Bytes that were not told yet."""
        self.inbound = Pace(pacer, rate, self._passed)
        self.outbound = Pace(pacer, rate, self._passed)
        self.exchanges: dict[Exchange, list[Callable[[], None]]] = {}
        """Those that last, and how each is broken off."""

    def _passed(self, size: int) -> None:
        self.spent += size

    def set_rate(self, rate: float) -> None:
        """So many bytes a second from now on."""
        self.inbound.rate = self.outbound.rate = rate

    def break_off(self) -> None:
        """End what is under way."""
        for cuts in self.exchanges.values():
            while cuts:
                cuts.pop()()


class Flows:
    """Those of one limit. Each key has `rate` bytes a second, 0 without limit; `first_rate` until somebody has said
    what this worker's share is."""

    def __init__(self, name: str, rate: float, first_rate: float, pacer: Pacer, wrap: Wrap) -> None:
        self.name = name
        self.rate = rate
        self._first_rate = first_rate
        self.by_key: dict[str, Flow] = {}
        self.gone: dict[str, int] = {}
        """Bytes of keys that have no exchange any more, not told yet."""
        self.on_change: Callable[[], None] | None = None
        """Called when there is something to tell soon."""
        self._pacer = pacer
        self._wrap = wrap

    def request(self, key: str, exchange: Exchange, request: Request) -> None:
        """An exchange of `key` begins: pace and count what it sends."""
        flow = self.by_key.get(key)
        if flow is None:
            flow = self.by_key[key] = Flow(self._pacer, self._first_rate)
            if self.on_change is not None:
                self.on_change()
        flow.exchanges[exchange] = []
        exchange.at_end(lambda outcome: self._ended(key, flow, exchange))
        if exchange in flow.exchanges and has_content(request.body):  # else the client has left already
            request.body = self._detour(flow, flow.inbound, exchange, request.body)

    def response(self, key: str, exchange: Exchange, request: Request, response: Response) -> None:
        """It is answered: pace and count what it gets, or all that passes its tunnel."""
        flow = self.by_key.get(key)
        if flow is None or exchange not in flow.exchanges:
            return  # the client has left meanwhile
        if response.then is not None:
            response.then = self._joined(flow, exchange, response.then)
        elif has_content(response.body) and request.method != "HEAD":
            response.body = self._detour(flow, flow.outbound, exchange, response.body)

    def _detour(self, flow: Flow, pace: Pace, exchange: Exchange, body: Body) -> Body:
        over = Failure("http_request_denied", Side.INTERNAL, f"The bytes of the day are used up ({self.name}).")
        paced = detoured(body, partial(PacedLane, pace), flow.clock, over)

        def cut() -> None:
            paced.fail(over)
            body.close()

        flow.exchanges[exchange].append(cut)
        return paced

    def conversation(self, key: str, exchange: Exchange) -> None:
        """A conversation below HTTP begins, which `request` was told of: pace and count all that passes."""
        flow, before = self.by_key.get(key), exchange.around
        if flow is None or (cuts := flow.exchanges.get(exchange)) is None:
            return  # the client has left already
        lanes = (partial(PacedLane, flow.inbound), partial(PacedLane, flow.outbound))

        def around(stream: Stream) -> Stream:
            cuts.append(stream.abort)
            return self._wrap(stream if before is None else before(stream), lanes)

        exchange.around = around

    def _joined(self, flow: Flow, exchange: Exchange, then: StreamHandler) -> StreamHandler:
        def join(stream: Stream) -> None:
            if (cuts := flow.exchanges.get(exchange)) is not None:
                cuts.append(stream.abort)
            lanes = (partial(PacedLane, flow.inbound), partial(PacedLane, flow.outbound))
            then(self._wrap(stream, lanes))

        return join

    def _ended(self, key: str, flow: Flow, exchange: Exchange) -> None:
        flow.exchanges.pop(exchange, None)
        if not flow.exchanges and self.by_key.get(key) is flow:
            del self.by_key[key]
            if len(self.gone) >= MOST_GONE:
                del self.gone[next(iter(self.gone))]
            self.gone[key] = self.gone.get(key, 0) + flow.spent
            if self.on_change is not None:
                self.on_change()


def has_content(body: Body) -> bool:
    """Whether anything of it may still come."""
    return not body.is_complete or bool(body.length)
