"""A server connection whose client sends more than it takes: nothing grows, nothing is forgotten."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.memory_stream import MemoryStream

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.message import Request, Response
from interpose.engine.client_pace import ClientPace
from interpose.engine.pace import Timeouts
from interpose.engine.request_receiver import RequestReceiver
from interpose.engine.serve import HttpServer
from interpose.protocol.head import HeadParser

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LONG = b"HEAD / HTTP/1.1\r\nHost: a\r\nPadding: " + b"x" * 2000 + b"\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000
CONTENT = 50_000
TIMEOUTS = Timeouts(body_timeout_s=20.0, keep_alive_timeout_s=70.0, min_rate_bytes_per_s=500)


async def handler(exchange: Exchange, request: Request) -> Response:
    await request.body.read(2000)
    return Response(200, body=Body(b"x" * (CONTENT if request.method == "GET" else 10)))


def render(exchange: Exchange, request: Request | None, failure: Failure) -> Response:
    return Response.text(failure.status, failure.detail)


def serve(stream: MemoryStream) -> HttpServer:
    server = HttpServer("main", handler, render, HeadParser(), TIMEOUTS, 0)
    server(stream)
    return server


async def rounds(times: int = 50) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_a26_pipelined_requests_wait_until_the_client_takes_its_answers() -> None:
    stream = MemoryStream(window=100_000)
    serve(stream)
    stream.receive(GET * 40)
    await rounds(200)
    assert len(stream.sent) < 100_000 + 2 * CONTENT
    while len(stream.sent) < 40 * CONTENT:
        before = len(stream.sent)
        stream.take()
        await rounds(200)
        assert before < len(stream.sent) < before + 100_000 + 2 * CONTENT
    assert stream.sent.count(b"HTTP/1.1 200") == 40


async def test_a26_requests_one_by_one_wait_for_that_too() -> None:
    stream = MemoryStream(window=100_000)
    serve(stream)
    for _ in range(40):
        stream.receive(GET)
        await rounds(5)
    assert len(stream.sent) < 100_000 + 2 * CONTENT
    assert stream.is_reading, "whoever leaves meanwhile is noticed"


@pytest.mark.parametrize("request_", [LONG, POST], ids=["HEAD", "POST"])
async def test_a27_what_waits_to_be_read_does_not_grow_while_requests_are_answered(request_: bytes) -> None:
    stream = MemoryStream()
    serve(stream)
    sent = 0
    for _ in range(20):
        stream.receive(request_ * 100)
        sent += 100
        await rounds(10)
    assert len(stream._arrived) > 10, "most of it is still in the kernel"
    while stream.sent.count(b"HTTP/1.1 200") < sent:
        before = len(stream.sent)
        await rounds(100)
        assert len(stream.sent) > before, "nothing is forgotten"


async def test_a26_a_client_that_does_not_take_its_answer_is_cut_off_though_its_exchange_is_over() -> None:
    stream = MemoryStream(window=10_000)
    server = serve(stream)
    stream.receive(GET)
    await rounds()
    assert len(stream.sent) > CONTENT
    now = asyncio.get_running_loop().time()
    server.tick(now)
    server.tick(now + 9)
    assert not stream.is_closed
    server.tick(now + 11)
    assert stream.was_aborted


async def test_a26_a_client_that_takes_the_end_of_its_answer_byte_by_byte_is_cut_off() -> None:
    stream = MemoryStream(window=10_000)
    server = serve(stream)
    stream.receive(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    await rounds()
    assert stream.is_closed
    now = asyncio.get_running_loop().time()
    for second in range(15):
        server.tick(now + second)
        stream.take(100)
    assert stream.was_aborted


async def test_a_client_that_takes_everything_may_be_silent_for_the_keep_alive_time() -> None:
    stream = MemoryStream(window=10_000)
    server = serve(stream)
    stream.receive(GET)
    await rounds()
    now = asyncio.get_running_loop().time()
    server.tick(now)
    stream.take()
    server.tick(now + 10)
    server.tick(now + 79)
    assert not stream.is_closed
    server.tick(now + 81)
    assert stream.is_closed
    assert not stream.was_aborted


async def test_what_was_uploaded_does_not_count_against_the_pace_of_the_download_behind_it() -> None:
    stream = MemoryStream(window=100_000)
    stream.write(b"x" * 400_000)
    receiver = RequestReceiver(stream, 10_000_000, HeadParser().field, expects_continue=False)
    receiver.received = 9_000_000
    pace = ClientPace(stream)

    def wrong(second: float, receiver: RequestReceiver | None) -> str | None:
        return pace.in_exchange(second, receiver, may_rest=False, has_ended=False, timeouts=TIMEOUTS)

    assert wrong(0, receiver) is None
    assert wrong(5, receiver) is None
    for second in range(9, 25):
        stream.take(1000)
        assert wrong(second, None) is None
    assert wrong(60, None) is not None
