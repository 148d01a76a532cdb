"""A26, A27: what a client sends, or does not take, never makes us hold more than a bounded amount for it."""

from __future__ import annotations

import tracemalloc
from functools import partial

import pytest
from tests.support.product import product
from tests.support.raw_client import RawClient
from tests.support.raw_origin import OK, RawOrigin, answering

from interpose import gateway_config
from interpose.core.exchange import Exchange, Outcome
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.filters.access_log import AccessLog
from interpose.filters.forwarding import Forwarding, ForwardingOptions
from interpose.protocol.head import HeadParser
from interpose.protocol.writer import request_head

LOCAL = ["127.0.0.1:0"]


@pytest.mark.parametrize("begins", [b"\r\n\r\n", b"\r\n\r\nGET", b"\r\n\n"], ids=repr)
async def test_a27_nothing_is_collected_behind_more_than_one_empty_line(begins: bytes) -> None:
    async with RawOrigin(answering(OK)) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        async with RawClient(running.address()) as client:
            client.send(begins + b"A" * 1000)
            [answer] = await client.answers("GET")
            assert answer.status == 400
            await client.rest()
        assert not origin.connections


HEADS = [
    lambda n: b"GET / HTTP/1.1\r\nHost: a" + b"".join(b"\r\nx%x:%d" % (n, i) for i in range(98)),
    lambda n: b"GET / HTTP/1.1\r\nHost: a" + b"".join(b"\r\nx%x-%d:%b" % (n, i, b"v" * 490) for i in range(60)),
    lambda n: b"GET / HTTP/1.1\r\nHost: a" + b"".join(b"\r\nx%x-%d:%b" % (n, i, b"v" * 600) for i in range(3)),
    lambda n: b"GET /%d%b HTTP/1.1\r\nHost: a" % (n, b"a" * 2000),
    lambda n: b"GET /%d%b HTTP/1.1\r\nHost: a" % (n, b"a" * 8000),
    lambda n: b"GET / HTTP/1.1\r\nHost: %d%b" % (n, b"a" * 240),
    lambda n: b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: %d%b" % (n, b"\xff" * 8000),
    lambda n: b"GET / HTTP/1.1\r\nHost: a\r\nReferer: %d%b" % (n, b"\xff" * 500),
]


async def test_a27_what_is_remembered_to_save_time_stays_small() -> None:
    """Heads of which no two are alike, large and small, pass everything that remembers anything of them."""
    parser = HeadParser(merge_slashes=True, underscores=False)
    log = AccessLog("combined", lambda line: None)
    forwarding = Forwarding(ForwardingOptions())

    async def end(exchange: Exchange, request: Request) -> Response:
        request_head(request, 0, absolute=False)
        return Response(200)

    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for head in HEADS:
            for number in range(1200):
                request = parser.request(head(number), "http")[0]
                exchange = Exchange(number, 0, "main", Address("192.0.2.1", 1), 0.0)
                await log(exchange, request, partial(forwarding, forward=end))
                exchange.finish(Outcome(200, 0, None, 1.0))
        del request, exchange
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 24 << 20
