"""Exchanges as spans of their traces: whose children they are, what goes upstream, what is said of them."""

from __future__ import annotations

from itertools import count

import pytest

from interpose.core.exchange import Attempt, Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.span import CLIENT, SERVER, Span
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Origin, Target
from interpose.filters.spans import Spans

TRACE = "0af7651916cd43dd8448eb211c80319c"
CAME = "b7ad6b7169203331"
REFUSED = Failure("connection_refused", Side.UPSTREAM, "Nobody is there.")


def octets() -> object:
    """Random octets that are known: 01 01 ..., then 02 02 ..."""
    numbers = count(1)
    return lambda size: bytes([next(numbers)]) * size


class World:
    """One request through the filter, and the spans that came of it."""

    def __init__(self, share: float = 1.0) -> None:
        self.spans: list[Span] = []
        self.filter = Spans(self.spans.extend, share=share, random=octets(), wall=lambda: 10**18)  # type: ignore[arg-type]
        self.exchange = Exchange(1, 0, "front", Address("192.0.2.1", 50000), self.filter._clock())
        self.exchange.route = "shop"
        self.sent = Fields()

    async def forward(self, exchange: Exchange, request: Request) -> Response:
        self.sent = request.fields
        return Response(200)

    async def asked(self, *fields: tuple[str, str], attempts: tuple[Attempt, ...] = (), status: int = 200) -> None:
        target = Target(Form.ORIGIN, "http", Authority("a.example", 8080), "/cart", "token=secret")
        await self.filter(self.exchange, Request("GET", target, Fields(fields)), self.forward)
        self.exchange.attempts.extend(attempts)
        self.exchange.finish(Outcome(status, 5, None, self.exchange.started + 0.5))


def attempt(status: int = 200, failure: Failure | None = None, started: float = 0.0) -> Attempt:
    made = Attempt(Origin("http", "10.0.0.1", 9000), started)
    made.peer = Address("10.0.0.1", 9000)
    made.status, made.failure = status, failure
    return made


async def test_a_trace_that_came_goes_on_with_spans_of_ours_between() -> None:
    world = World()
    await world.asked(("traceparent", f"00-{TRACE}-{CAME}-01"), ("tracestate", "a=1"), attempts=(attempt(),))
    assert world.sent.get("traceparent") == f"00-{TRACE}-{'01' * 8}-01"
    exchange, tried = world.spans
    assert (exchange.trace, exchange.span, exchange.parent, exchange.kind) == (TRACE, "01" * 8, CAME, SERVER)
    assert (tried.trace, tried.parent, tried.kind) == (TRACE, exchange.span, CLIENT)
    assert f"00-{TRACE}-{tried.span}-01" == world.sent.get("traceparent")
    assert exchange.state == tried.state == "a=1"
    assert world.exchange.notes["trace"] == TRACE


async def test_a_span_says_what_was_asked_and_how_it_went_but_no_query() -> None:
    world = World()
    await world.asked(("User-Agent", "curl"), attempts=(attempt(503),), status=503)
    exchange, tried = world.spans
    assert exchange.name == "GET shop"
    assert exchange.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/cart",
        "server.address": "a.example",
        "server.port": 8080,
        "client.address": "192.0.2.1",
        "network.protocol.version": "1.1",
        "http.route": "shop",
        "user_agent.original": "curl",
        "http.response.status_code": 503,
        "error.type": "503",
    }
    assert tried.attributes == {
        "http.request.method": "GET",
        "server.address": "10.0.0.1",
        "server.port": 9000,
        "url.full": "http://10.0.0.1:9000/cart",
        "network.peer.address": "10.0.0.1",
        "network.peer.port": 9000,
        "http.response.status_code": 503,
        "error.type": "503",
    }
    assert exchange.is_error
    assert tried.is_error
    assert exchange.ended_ns - exchange.began_ns == pytest.approx(5 * 10**8, abs=1000)


async def test_each_try_is_a_span_and_the_last_one_has_the_name_that_was_sent() -> None:
    world = World()
    start = world.exchange.started
    await world.asked(attempts=(attempt(0, REFUSED, start), attempt(200, None, start + 0.1)))
    _, first, second = world.spans
    assert first.attributes["error.type"] == "connection_refused"
    assert second.attributes["http.request.resend_count"] == 1
    assert first.ended_ns == second.began_ns
    assert (world.sent.get("traceparent") or "").split("-")[2] == second.span != first.span


@pytest.mark.parametrize(("share", "fields", "spans"), [
    (1.0, (), 1),
    (0.0, (), 0),
    (1.0, (("traceparent", f"00-{TRACE}-{CAME}-00"),), 0),
    (0.0, (("traceparent", f"00-{TRACE}-{CAME}-01"),), 1),
    (1.0, (("traceparent", "nonsense"), ("tracestate", "a=1")), 1),
], ids=["begun", "not chosen", "not recorded by the client", "recorded by the client", "unreadable"])  # fmt: skip
async def test_what_is_recorded(share: float, fields: tuple[tuple[str, str], ...], spans: int) -> None:
    world = World(share)
    await world.asked(*fields)
    assert len(world.spans) == spans
    flags = (world.sent.get("traceparent") or "").split("-")[3]
    assert flags == ("01" if spans else "00")
    if fields and fields[0][1] == "nonsense":
        assert world.sent.get("tracestate") is None


async def test_a_trace_that_is_not_recorded_passes_as_it_came() -> None:
    world = World()
    await world.asked(("traceparent", f"00-{TRACE}-{CAME}-00"))
    assert world.sent.get("traceparent") == f"00-{TRACE}-{CAME}-00"
