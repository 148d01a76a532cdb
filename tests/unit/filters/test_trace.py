"""Traces that pass, are noted and begin; and how long an answer took."""

from __future__ import annotations

import pytest

from interpose.core.exchange import Attempt, Exchange
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Origin, Target
from interpose.filters.server_timing import ServerTiming
from interpose.filters.trace import Trace

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-00"


class Passed:
    """What came of one request with these fields."""

    def __init__(self) -> None:
        self.exchange = Exchange(1, 0, "front", Address("192.0.2.1", 50000), 10.0)
        self.fields = Fields()

    async def forward(self, exchange: Exchange, request: Request) -> Response:
        self.fields = request.fields
        return Response(200, Fields([("Server-Timing", "db;dur=1")]))

    async def by(self, filter_: Trace | ServerTiming, *fields: tuple[str, str]) -> Response:
        target = Target(Form.ORIGIN, "http", Authority("a"), "/")
        return await filter_(self.exchange, Request("GET", target, Fields(fields)), self.forward)


async def test_a_trace_passes_as_it_came_and_is_noted() -> None:
    passed = Passed()
    await passed.by(Trace(start=True), ("Traceparent", PARENT), ("tracestate", "a=1"))
    assert list(passed.fields) == [("Traceparent", PARENT), ("tracestate", "a=1")]
    assert passed.exchange.notes == {"trace": TRACE, "span": SPAN}


async def test_a_trace_begins_where_there_is_none() -> None:
    passed = Passed()
    await passed.by(Trace(start=True, random=lambda count: bytes(range(1, count + 1))), ("Accept", "*/*"))
    trace, span = "0102030405060708090a0b0c0d0e0f10", "1112131415161718"
    assert passed.fields.get_all("traceparent") == [f"00-{trace}-{span}-01"]
    assert passed.exchange.notes == {"trace": trace, "span": span}


@pytest.mark.parametrize("bad", [["00-1-2-3"], [PARENT, PARENT]])
async def test_what_is_no_trace_is_replaced_with_what_belongs_to_it(bad: list[str]) -> None:
    passed = Passed()
    await passed.by(Trace(start=True), *[("traceparent", one) for one in bad], ("tracestate", "a=1"))
    (begun,) = passed.fields.get_all("traceparent")
    assert begun not in bad
    assert "tracestate" not in passed.fields
    assert begun.split("-")[1] == passed.exchange.notes["trace"]


async def test_what_is_no_trace_passes_where_none_is_begun() -> None:
    passed = Passed()
    await passed.by(Trace(start=False), ("traceparent", "00-1-2-3"))
    assert passed.fields.get_all("traceparent") == ["00-1-2-3"]
    assert passed.exchange.notes == {}


async def test_numbers_of_zeros_are_drawn_again() -> None:
    draws = [bytes(24), bytes(16) + b"\1" * 8, b"\1" * 16 + bytes(8), b"\2" * 24]
    passed = Passed()
    await passed.by(Trace(start=True, random=lambda _: draws.pop(0)))
    assert passed.fields.get_all("traceparent") == [f"00-{'02' * 16}-{'02' * 8}-01"]


async def test_two_traces_have_different_numbers() -> None:
    one, other = Passed(), Passed()
    trace = Trace(start=True)
    await one.by(trace)
    await other.by(trace)
    assert one.exchange.notes["trace"] != other.exchange.notes["trace"]


async def test_an_answer_says_how_long_it_took_beside_what_the_server_says() -> None:
    passed = Passed()
    response = await passed.by(ServerTiming(lambda: 10.25))
    assert response.fields.get_all("server-timing") == ["db;dur=1", "interpose;dur=250"]


async def test_the_time_upstream_is_that_of_all_attempts() -> None:
    passed = Passed()
    refused, answered = (Attempt(Origin("http", "a", 80), started) for started in (10.0, 10.1))
    refused.connected = 10.02
    answered.first_byte = 10.2
    passed.exchange.attempts += [refused, answered]
    response = await passed.by(ServerTiming(lambda: 10.25))
    assert response.fields.get_all("server-timing")[-1] == "interpose;dur=250, upstream;dur=120"
