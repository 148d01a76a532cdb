"""Origins that break: what a client then sees, and that nothing broken is used again (THREATS F1-F3)."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.scenes import judge
from tests.support.product import Product, product, settings
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, Connection, RawOrigin, answering, saying, silent

from interpose import gateway_config
from interpose.engine.client import UpstreamClient

LOCAL = ["127.0.0.1:0"]
GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
GET_1_0 = b"GET / HTTP/1.0\r\nHost: x\r\n\r\n"

CONTENT = bytes(range(33, 127)) * 2
WITH_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(CONTENT), CONTENT)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
    b"%x\r\n%b\r\n" % (len(part), part) for part in (CONTENT[:50], CONTENT[50:], b"")
)
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n" + CONTENT


def cut(answer: bytes, place: int, *, reset: bool) -> Callable[[Connection], Awaitable[None]]:
    """The script of an origin that dies at `place` of its answer."""

    async def script(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        await connection.send(answer[:place])
        if reset:
            connection.reset()

    return script


async def exchange(running: Product, request: bytes) -> RawClient:
    """What a client gets from its request to the end of its connection."""
    async with RawClient(running.address()) as client:
        client.send(request)
        await client.rest()
    return client


def is_visibly_cut(client: RawClient) -> bool:
    """Whether a client can see that this is not the whole answer."""
    try:
        [answer] = judge.read_responses(client.received)
    except judge.Off:
        return True
    return answer.framing == "close" and client.was_reset


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("answer", [WITH_LENGTH, CHUNKED, UNTIL_CLOSE], ids=["length", "chunked", "until close"])
async def test_f1_an_answer_that_breaks_off_anywhere_is_seen_to_and_its_connection_not_used_again(
    answer: bytes, reset: bool
) -> None:
    head = answer.index(b"\r\n\r\n") + 4
    ends = head if answer is UNTIL_CLOSE and not reset else len(answer)
    places = sorted({*range(0, ends, -(-ends // 48)), head - 1, head - 2, ends - 1})
    async with RawOrigin(silent) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        for place in places:
            for request in (GET, GET_1_0):
                origin.script = cut(answer, place, reset=reset)
                client = await exchange(running, request)
                is_refusal = client.received.startswith(b"HTTP/1.1 502 ")
                assert is_refusal or (is_visibly_cut(client) and (place >= head)), (place, client.received)
                assert not is_refusal or place < head or reset  # a reset may overtake the head
                assert not is_refusal or b"Proxy-Status: interpose; error=" in client.received
        origin.script = answering(OK)
        good = judge.read_responses((await exchange(running, GET)).received)
        lines = await running.logged(len(origin.connections))
    assert [response.status for response in good] == [200]
    assert len(origin.connections) == 2 * len(places) + 1
    assert len(origin.requests()) == len(origin.connections)
    kinds = {line.get("failure") for line in lines[:-1]}
    assert kinds <= {"connection_terminated", "http_response_incomplete"}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "http_protocol_error"),
        (b"\x16\x03\x01\x02\x00" * 40, "http_protocol_error"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * (1 << 20), "http_response_header_section_size"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: yyyyyyyyy\r\n" * (1 << 16), "http_response_header_section_size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "http_response_transfer_coding"),
    ],
    ids=["another protocol", "binary", "a megabyte in one line", "a megabyte of lines", "a chunk without a size"],
)
async def test_f2_garbage_is_a_502_that_says_why(data: bytes, kind: str) -> None:
    async with RawOrigin(saying(data)) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        answer = await ask(running.address(), GET)
        [line] = await running.logged(1)
    assert answer.status == 502
    assert answer.values("proxy-status")[0].startswith(f"interpose; error={kind}")
    assert (line["failure"], line["side"]) == (kind, "upstream")
    assert origin.connections[0].was_reset


@pytest.mark.parametrize("begins", [b"", b"HTTP/1.1 200", b"HTTP/1.1 102 Processing\r\n\r\n"])
async def test_f2_an_origin_that_never_answers_is_a_504_in_time(begins: bytes) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(begins)
        await connection.gone()

    async with RawOrigin(script) as origin:
        config = settings(gateway_config([origin.address], LOCAL), connections={"answer_timeout_s": 0.3})
        loop = asyncio.get_running_loop()
        async with product(config) as running:
            began = loop.time()
            answer = await ask(running.address(), GET)
            assert 0.3 <= loop.time() - began < 1.5
            [line] = await running.logged(1)
    assert answer.status == 504
    assert line["failure"] == "http_response_timeout"
    assert origin.connections[0].has_ended


async def test_f2_a_body_that_stops_is_cut_off_in_time_and_seen_to_be() -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(WITH_LENGTH[:-10])
        await connection.gone()

    async with RawOrigin(script) as origin:
        config = settings(gateway_config([origin.address], LOCAL), connections={"body_timeout_s": 0.3})
        async with product(config) as running:
            client = await exchange(running, GET)
            [line] = await running.logged(1)
    assert is_visibly_cut(client)
    assert (line["status"], line["failure"]) == (200, "connection_read_timeout")


def closing_after(answers: int) -> Callable[[Connection], Awaitable[None]]:
    """An origin that takes one request more on each connection than it answers, and then closes."""

    async def script(connection: Connection) -> None:
        for _ in range(answers):
            await connection.request()
            await connection.send(OK)
        await connection.request()

    return script


async def test_f3_a_get_on_a_connection_that_the_origin_closes_is_sent_again_once() -> None:
    async with RawOrigin(closing_after(1)) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        for number in range(10):
            answer = await ask(running.address(), b"GET /%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % number)
            assert answer.status == 200
    targets = [request.target for request in origin.requests()]
    assert targets.count("/0") == 1
    assert all(targets.count(f"/{number}") <= 2 for number in range(10))


async def test_f3_a_post_on_a_connection_that_the_origin_closes_is_a_502_and_never_sent_twice() -> None:
    async with RawOrigin(closing_after(1)) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        statuses = []
        for number in range(10):
            post = b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi" % number
            statuses.append((await ask(running.address(), post, "POST")).status)
    assert set(statuses) == {200, 502}
    targets = [request.target for request in origin.requests()]
    assert sorted(targets) == sorted(f"/{number}" for number in range(10))


async def test_f3_the_second_try_is_on_a_new_connection_however_many_old_ones_there_are() -> None:
    arrived = asyncio.Semaphore(0)
    go_on = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        arrived.release()
        await go_on.wait()
        await connection.send(OK)
        if connection.number < 8:
            await connection.request()
        else:
            await connection.gone()

    async with RawOrigin(script) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        first = [asyncio.create_task(ask(running.address(), GET)) for _ in range(8)]
        for _ in first:
            await arrived.acquire()
        go_on.set()
        await asyncio.gather(*first)
        await running.when(lambda: running.counters["exchanges"] == 0)
        answer = await ask(running.address(), GET.replace(b"/ ", b"/again "))
    assert answer.status == 200
    assert [request.target for request in origin.requests()].count("/again") == 2


async def test_f3_an_origin_that_closes_after_every_answer_costs_no_get() -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(OK)

    async def client(address: str) -> None:
        async with RawClient(address) as client:
            for _ in range(50):
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                [answer] = await client.answers("GET")
                assert answer.status == 200

    async with RawOrigin(script) as origin, product(gateway_config([origin.address], LOCAL), log=False) as running:
        await asyncio.gather(*(client(running.address()) for _ in range(8)))


async def test_f3_a_server_that_refuses_costs_the_next_one_nothing_of_the_content() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        refusing = f"127.0.0.1:{nobody.getsockname()[1]}"
        async with (
            RawOrigin(answering(OK)) as origin,
            product(gateway_config([refusing, origin.address], LOCAL)) as running,
        ):
            for _ in range(2):
                post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
                assert (await ask(running.address(), post, "POST")).status == 200
    assert [request.body for request in origin.requests()] == [b"hello", b"hello"]


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
async def test_f1_an_origin_that_leaves_as_soon_as_it_is_connected_to_is_a_502_at_once(
    reset: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled = UpstreamClient._dialled

    async def dialled_and_lost(*arguments: Any) -> Any:
        stream = await dialled(*arguments)
        while not (stream.is_lost if reset else stream._eof):  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0)
        return stream

    async def script(connection: Connection) -> None:
        if reset:
            connection.reset()

    monkeypatch.setattr(UpstreamClient, "_dialled", dialled_and_lost)
    async with RawOrigin(script) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        for _ in range(10):
            assert (await ask(running.address(), GET, deadline_s=2.0)).status == 502
        await running.when(lambda: running.counters["upstream_connections"] == 0)


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"], ids=["keep-alive", "close"])
async def test_f1_an_origin_that_answers_and_never_takes_the_rest_of_the_request_is_let_go(more: bytes) -> None:
    upload = asyncio.Event()
    enough = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        connection._reading.cancel()
        await upload.wait()
        await connection.send(b"HTTP/1.1 413 Too Large\r\n" + more + b"Content-Length: 0\r\n\r\n")
        await enough.wait()

    async with RawOrigin(script) as origin:
        config = settings(gateway_config([origin.address], LOCAL), connections={"idle_timeout_s": 0.3})
        async with product(config) as running:
            async with RawClient(running.address()) as client:
                client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (1 << 25))
                client.send(b"x" * (1 << 24))
                [ours] = running.running._runtime._parts.every(UpstreamClient)
                await running.when(lambda: any(connection.stream.unsent_bytes for connection in ours._open))
                upload.set()
                await client.until(b"HTTP/1.1 413 ")
            await running.when(lambda: running.counters["upstream_connections"] == 0)
            enough.set()
