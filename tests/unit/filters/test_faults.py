"""Faults of exchanges, over a server in memory: what the client gets, and what the origin was asked."""

import asyncio
from collections.abc import Callable

import pytest
from tests.support.memory_stream import MemoryStream

from interpose.core.body import Body
from interpose.core.exchange import Exchange, Outcome
from interpose.core.fault import Chances, Fault
from interpose.core.handler import chain
from interpose.core.message import Request, Response
from interpose.engine.pace import Timeouts
from interpose.engine.serve import HttpServer
from interpose.filters.error_answer import ErrorAnswer, ErrorAnswerOptions
from interpose.filters.faults import Faults
from interpose.protocol.head import HeadParser

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"


class Site:
    """An origin behind the faults, and a client's connection before them."""

    def __init__(self, *faults: Fault, content: bytes = b"the answer") -> None:
        self.client = MemoryStream()
        self.asked: list[Request] = []
        self.bodies: list[bytes] = []
        self.outcomes: list[Outcome] = []
        self.exchanges: list[Exchange] = []
        self.content = content
        handler = chain([self.observe, Faults(Chances(faults))], self.answer)
        server = HttpServer("site", handler, ErrorAnswer(ErrorAnswerOptions()), HeadParser(), Timeouts(), 0)
        server(self.client)

    def observe(self, exchange: Exchange, request: Request, forward):  # type: ignore[no-untyped-def]
        self.exchanges.append(exchange)
        exchange.at_end(self.outcomes.append)
        return forward(exchange, request)

    async def answer(self, exchange: Exchange, request: Request) -> Response:
        self.asked.append(request)
        self.bodies.append(await request.body.read(1 << 20))
        return Response(200, body=Body(self.content))

    async def when(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - nothing here sets an event
                await asyncio.sleep(0.001)

    async def ended(self) -> Outcome:
        await self.when(lambda: bool(self.outcomes))
        return self.outcomes[0]

    @property
    def head(self) -> bytes:
        return self.client.sent.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        return self.client.sent.partition(b"\r\n\r\n")[2]


async def test_who_is_not_chosen_notices_nothing() -> None:
    site = Site(Fault(kind="status", probability=0.0))
    site.client.receive(GET)
    assert site.body == b"the answer"
    assert site.exchanges[0].notes == {}


@pytest.mark.parametrize(("direction", "asked"), [("both", 0), ("inbound", 0), ("outbound", 1)])
async def test_a_status_stands_for_the_exchange_or_for_the_answer(direction: str, asked: int) -> None:
    site = Site(Fault(kind="status", status=429, direction=direction))  # type: ignore[arg-type]
    site.client.receive(GET + GET)
    await site.when(lambda: site.client.sent.count(b"429 Too Many Requests") == 2)
    assert len(site.asked) == asked * 2
    assert not site.client.is_closed
    assert site.exchanges[0].notes["filter"] == "faults"
    assert site.exchanges[0].notes["rule"].startswith("status")


async def test_a_status_without_content_has_none() -> None:
    site = Site(Fault(kind="status", status=204))
    site.client.receive(GET)
    assert site.head.startswith(b"HTTP/1.1 204 ")
    assert site.body == b""


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
async def test_latency_is_before_the_origin_or_behind_it(direction: str) -> None:
    site = Site(Fault(kind="latency", latency_s=0.02, direction=direction))  # type: ignore[arg-type]
    before = asyncio.get_running_loop().time()
    site.client.receive(GET)
    assert site.client.sent == b""
    assert len(site.asked) == (direction == "outbound")
    assert site.exchanges[0].is_waiting
    await site.ended()
    assert asyncio.get_running_loop().time() - before >= 0.019
    assert site.body == b"the answer"


@pytest.mark.parametrize("kind", ["reset_peer", "timeout"])
@pytest.mark.parametrize(("direction", "asked"), [("inbound", 0), ("outbound", 1)])
async def test_a_connection_is_broken_off_without_an_answer(kind: str, direction: str, asked: int) -> None:
    after_s = 0.01 if kind == "timeout" else 0.0
    site = Site(Fault(kind=kind, after_s=after_s, direction=direction))  # type: ignore[arg-type]
    site.client.receive(GET)
    outcome = await site.ended()
    assert (site.client.sent, site.client.was_aborted, len(site.asked)) == (b"", True, asked)
    assert (outcome.status, outcome.failure is not None) == (0, True)


async def test_a_black_hole_lasts_until_the_client_leaves_even_in_a_long_upload() -> None:
    site = Site(Fault(kind="timeout"))
    site.client.receive(POST)
    for _ in range(9):
        site.client.receive(bytes(10_000))
        await asyncio.sleep(0)
    assert site.client.is_reading
    assert site.outcomes == []
    site.client.lose()
    outcome = await site.ended()
    assert (site.client.sent, outcome.status, site.asked) == (b"", 0, [])


@pytest.mark.parametrize(("method", "declared"), [(b"GET", b"Content-Length: 10"), (b"HEAD", b"Content-Length: 10")])
async def test_truncated_content_is_seen_to_be(method: bytes, declared: bytes) -> None:
    site = Site(Fault(kind="truncate", bytes=4))
    site.client.receive(GET.replace(b"GET", method))
    outcome = await site.ended()
    assert declared in site.head
    if method == b"HEAD":
        assert (site.body, site.client.was_aborted) == (b"", False)
    else:
        assert (site.body, site.client.was_aborted) == (b"the ", True)
        assert outcome.failure is not None


async def test_content_takes_its_time_in_both_directions() -> None:
    fault = Fault(kind="bandwidth", rate_bytes_per_s=1_000_000)
    site = Site(fault, content=bytes(100_000))
    before = asyncio.get_running_loop().time()
    site.client.receive(POST)
    site.client.receive(bytes(60_000))
    await asyncio.sleep(0)
    site.client.receive(bytes(40_000))
    await site.ended()
    assert asyncio.get_running_loop().time() - before >= 0.1
    assert (site.bodies, site.body) == ([bytes(100_000)], bytes(100_000))


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_a_head_drips(method: bytes) -> None:
    site = Site(Fault(kind="slow_head", delay_s=0.2))
    site.client.receive(GET.replace(b"GET", method))
    if method == b"GET":
        await site.when(lambda: 0 < len(site.client.sent) < 20)
    await site.ended()
    assert site.body == (b"the answer" if method == b"GET" else b"")
    assert site.head.startswith(b"HTTP/1.1 200 OK\r\n")
    site.client.receive(GET)  # and the connection is as good as before
    await site.when(lambda: len(site.outcomes) == 2)


async def test_a_client_that_leaves_while_a_head_drips_ends_it() -> None:
    site = Site(Fault(kind="slow_head", delay_s=100.0))
    site.client.receive(GET)
    await site.when(lambda: bool(site.client.sent))
    site.client.lose()
    outcome = await site.ended()
    assert outcome.failure is not None
    assert len(site.client.sent) < 20


async def test_faults_add_up() -> None:
    site = Site(
        Fault(kind="latency", latency_s=0.01), Fault(kind="slow_head", delay_s=0.01), Fault(kind="truncate", bytes=3)
    )
    site.client.receive(GET)
    await site.ended()
    assert (site.body, site.client.was_aborted) == (b"the", True)
    assert site.exchanges[0].notes["faults"] == "latency latency_s=0.01, slow_head delay_s=0.01, truncate bytes=3"
