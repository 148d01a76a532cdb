"""A26, A27, A31, A32: clients that are too slow, heads that are too long, ranges that mean nothing, too many of all."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import patch

import pytest
from tests.support.product import Product, product
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, Connection, RawOrigin, answering

from interpose import Config
from interpose.config.load import config_of

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
QUICK = {"head_timeout_s": 0.6, "body_timeout_s": 0.6, "keep_alive_timeout_s": 30.0, "min_rate_bytes_per_s": 500}


def gateway(origin: str, **tables: Any) -> Config:
    return config_of(
        {
            "listener": [{"name": "main", "role": "gateway", "address": "127.0.0.1:0", "upstream": "up"}],
            "upstream": [{"name": "up", "servers": [origin]}],
            **tables,
        }
    )


# --- A26 -----------------------------------------------------------------------------------------------------------


async def drips(client: RawClient, opening: bytes, forever: Callable[[int], bytes]) -> None:
    """Send an opening and then a little now and then, until the other side has had enough."""
    client.send(opening)
    for number in itertools.count():
        if client.has_ended:
            return
        with contextlib.suppress(ConnectionError):
            client.send(forever(number))
        await asyncio.sleep(0.05)


async def drips_a_head(client: RawClient) -> None:
    await drips(client, b"GET / HTTP/1.1\r\nHost: a\r\n", lambda number: b"X-%d: y\r\n" % number)


async def drips_a_request_line(client: RawClient) -> None:
    await drips(client, b"GET /", lambda number: b"x")


async def says_nothing(client: RawClient) -> None:
    await drips(client, b"", lambda number: b"")


async def drips_a_body(client: RawClient) -> None:
    await drips(client, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", lambda number: b"x")


async def drips_chunks(client: RawClient) -> None:
    await drips(
        client, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", lambda number: b"1\r\nx\r\n"
    )


async def stops_in_a_body(client: RawClient) -> None:
    await drips(client, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx", lambda number: b"")


SLOW: list[Callable[[RawClient], Awaitable[None]]] = [
    drips_a_head,
    drips_a_request_line,
    says_nothing,
    drips_a_body,
    drips_chunks,
    stops_in_a_body,
]


async def honest(address: str, requests: int) -> list[float]:
    """How long each of so many requests on one connection took."""
    took = []
    async with RawClient(address) as client:
        for _ in range(requests):
            began = time.monotonic()
            client.send(GET)
            [answer] = await client.answers("GET")
            took.append(time.monotonic() - began)
            assert answer.body == b"ok"
    return took


@pytest.fixture
def soon() -> Any:
    """The pace is judged after half a second and not after ten."""
    with patch("interpose.engine.pace.RATE_AFTER_S", 0.5):
        yield


@pytest.mark.usefixtures("soon")
async def test_a26_drips_are_gone_in_time_and_honest_clients_do_not_notice() -> None:
    async with RawOrigin(answering(OK)) as origin, product(gateway(origin.address, timeouts=QUICK)) as running:
        alone = sorted(itertools.chain(*await asyncio.gather(*[honest(running.address(), 10) for _ in range(20)])))

        async def slow(number: int) -> float:
            async with RawClient(running.address()) as client:
                began = time.monotonic()
                await SLOW[number % len(SLOW)](client)
                return time.monotonic() - began

        tasks = [asyncio.create_task(slow(number)) for number in range(50)]
        await running.when(lambda: running.counters["connections"] == 50)
        beside = sorted(itertools.chain(*await asyncio.gather(*[honest(running.address(), 10) for _ in range(20)])))
        async with asyncio.timeout(8):
            lasted = await asyncio.gather(*tasks)
        await running.when(lambda: running.counters["connections"] == 0)
    assert max(lasted) < 3.0  # 0.6 s, a tick, and the time in which the client may read why
    # The ratio is for the long run (tests/soak): here a machine's moment of absence must not count.
    assert beside[len(beside) * 99 // 100] < max(2 * alone[-1], 0.25)
    statuses = {line["status"] for line in running.log}
    assert statuses <= {200, 408}


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("slow", SLOW)
async def test_a26_a_slow_request_is_told_why_where_it_said_anything(
    slow: Callable[[RawClient], Awaitable[None]],
) -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway(origin.address, timeouts=QUICK)) as running,
        RawClient(running.address()) as client,
    ):
        async with asyncio.timeout(5):
            await slow(client)
    assert client.received.startswith(b"HTTP/1.1 408 ") or (slow is says_nothing and client.received == b"")
    assert [line["status"] for line in running.log] == ([] if slow is says_nothing else [408])
    for connection in origin.connections:
        assert connection.has_ended


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("reads", [0, 20])
async def test_a26_a_client_that_does_not_take_its_answer_is_given_up(reads: int) -> None:
    """Bytes per 50 ms that it reads: none, or far fewer than 500 in a second."""
    size = 32 << 20

    async def large(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size >> 16):
            await connection.send(b"x" * 65536)

    async with RawOrigin(large) as origin, product(gateway(origin.address, timeouts=QUICK)) as running:
        host, _, port = running.address().partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(GET)
        await running.when(lambda: running.counters["connections"] == 1)
        end = time.monotonic() + 6
        while running.counters["connections"]:
            assert time.monotonic() < end, "it is still waited for"
            if reads:
                with contextlib.suppress(ConnectionError):
                    await reader.read(reads)
            await asyncio.sleep(0.05)
        writer.transport.abort()
    [line] = running.log
    assert "stopped reading" in line["notes"]["why"]
    assert line["bytes"] < size
    assert origin.connections[0].has_ended


async def test_a26_idle_connections_are_closed_between_requests_only() -> None:
    timeouts = {**QUICK, "keep_alive_timeout_s": 0.5}
    hold = asyncio.Event()

    async def thinking(connection: Connection) -> None:
        await connection.request()
        await hold.wait()
        await connection.send(OK)
        await connection.gone()

    async with (
        RawOrigin(thinking) as origin,
        product(gateway(origin.address, timeouts=timeouts)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(GET)
        await origin.connected()
        # Longer than any of these timeouts: an exchange that waits for its origin is not idle.
        await asyncio.sleep(1.2)
        assert not client.has_ended
        hold.set()
        [answer] = await client.answers("GET")
        assert answer.status == 200
        assert await client.rest() == b""


# --- A27 -----------------------------------------------------------------------------------------------------------

FLOODS: dict[str, tuple[bytes, bytes, int]] = {
    "a target": (b"GET /", b"x" * 1024, 414),
    "a query": (b"GET /?", b"x" * 1024, 414),
    "a method": (b"", b"G" * 1024, 501),
    "a field": (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"y" * 1024, 431),
    "a name of a field": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"x" * 1024, 431),
    "fields": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n" * 200, 431),
    "long fields": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: " + b"y" * 4000 + b"\r\n", 431),
    "empty lines": (b"", b"\r\n" * 512, 400),
    "an extension": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"x" * 1024, 400),
    "extensions": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1;" + b"x" * 1000 + b"\r\nx\r\n",
        400,
    ),
    "a trailer": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"y" * 1024, 431),
    "trailers": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 200, 431),
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_a27_a_flood_is_answered_before_64_kib_of_it_were_taken(kind: str) -> None:
    opening, more, status = FLOODS[kind]
    sent = 0
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway(origin.address)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(opening)
        while not client.received and sent < 1 << 20:
            client.send(more)
            sent += len(more)
            for _ in range(10):  # client and product are on one loop: what was sent is read within a few rounds
                await asyncio.sleep(0)
        answer = (await client.until(b"\r\n\r\n")).split(b"\r\n")[0]
        await client.rest()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert sent <= 65536
    assert [line["status"] for line in running.log] == [status]
    assert all(connection.has_ended for connection in origin.connections)


async def test_a27_what_is_just_within_the_limits_passes() -> None:
    path = b"/" + b"x" * (8192 - len(b"GET / HTTP/1.1"))
    fields = [b"Host: a"] + [b"X-%02d: " % n + b"y" * 200 for n in range(99)]
    async with RawOrigin(answering(OK)) as origin, product(gateway(origin.address)) as running:
        one = await ask(running.address(), b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        two = await ask(running.address(), b"GET / HTTP/1.1\r\n" + b"\r\n".join(fields) + b"\r\n\r\n")
        three = await ask(running.address(), b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * (8192 - 3) + b"\r\n\r\n")
    assert [one.status, two.status, three.status] == [200, 200, 200]
    assert len(origin.requests()) == 3


async def test_a27_many_pipelined_requests_are_answered_in_order_and_held_back_meanwhile() -> None:
    count = 3000
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway(origin.address)) as running,
        RawClient(running.address(), deadline_s=20) as client,
    ):
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(count)))
        client.end()
        received = await client.rest()
    assert received.count(b"HTTP/1.1 200 OK\r\n") == count
    assert [request.target for request in origin.requests()] == [f"/{n}" for n in range(count)]


# --- A31 -----------------------------------------------------------------------------------------------------------

RANGES = [
    b"bytes=0-0", b"bytes=-1", b"bytes=0-", b"bytes=-0", b"bytes=5-1", b"bytes=999999999999999999999-",
    b"bytes=0-18446744073709551616", b"bytes=-18446744073709551616",
    b"bytes=18446744073709551615-18446744073709551616", b"bytes=--1", b"bytes=-1-2", b"bytes=0-1,-1",
    b"bytes=" + b",".join(b"0-" for _ in range(1000)), b"bytes=" + b",".join(b"%d-%d" % (n, n + 1) for n in range(800)),
    b"bytes=0-0,0-0,0-0,0-0", b"bytes=,", b"bytes=,,0-1,,", b"bytes=", b"bytes", b"=0-1", b"Bytes=0-1", b"lines=0-1",
    b"bytes = 0 - 1", b"bytes=0x0-0x1", b"bytes=+0-+1", b"bytes=1e3-", b"bytes=\xd9\xa0-", b"bytes=0-1;q=1",
    b"bytes=0-1, 5-6,\t-1", b"none", b"", b"bytes=0-1\\,2-3", b'"bytes=0-1"',
]  # fmt: skip


async def test_a31_no_range_makes_a_failure() -> None:
    assert len(RANGES) >= 30
    partial = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/2\r\nContent-Length: 2\r\n\r\nok"
    async with RawOrigin(answering(OK, partial)) as origin, product(gateway(origin.address)) as running:
        for value in RANGES:
            for field in (b"Range: ", b"If-Range: x\r\nRange: ", b"Range: bytes=0-1\r\nRange: "):
                answer = await ask(running.address(), b"GET / HTTP/1.1\r\nHost: a\r\n" + field + value + b"\r\n\r\n")
                assert answer.status in (200, 206), value
    assert [request.values("range")[-1].encode("latin-1") for request in origin.requests()[::3]] == RANGES


# --- A32 -----------------------------------------------------------------------------------------------------------


async def opened(running: Product, connections: int, source: str, stack: contextlib.AsyncExitStack) -> list[RawClient]:
    return [await stack.enter_async_context(RawClient(running.address(), source=source)) for _ in range(connections)]


async def test_a32_one_client_cannot_have_all_the_connections() -> None:
    limits = {"max_connections_per_client": 10}
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway(origin.address, limits=limits)) as running,
        contextlib.AsyncExitStack() as stack,
    ):
        hog = await opened(running, 40, "127.0.0.2", stack)
        await running.when(lambda: sum(client.has_ended for client in hog) == 30)
        assert running.counters["connections"] == 10
        assert running.counters["refused_connections_total"] == 30
        # Another client is served meanwhile, and so is the hog on the connections that it has.
        assert (await ask(running.address(), GET, source="127.0.0.3")).status == 200
        left = next(client for client in hog if not client.has_ended)
        left.send(GET)
        assert (await left.answers("GET"))[0].status == 200


async def test_a32_above_the_limit_new_connections_wait_and_are_served_later() -> None:
    limits = {"max_connections": 20}
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway(origin.address, limits=limits)) as running,
        contextlib.AsyncExitStack() as stack,
    ):
        async with contextlib.AsyncExitStack() as first:
            await opened(running, 20, "127.0.0.2", first)
            await running.when(lambda: running.counters["connections"] == 20)
            waiting = await opened(running, 100, "127.0.0.3", stack)
            for client in waiting:
                client.send(GET)
            assert running.counters["connections"] == 20
            assert not any(client.received for client in waiting)
        # Twenty are gone: twenty of those that wait are next, and each one that ends makes room.
        served: set[RawClient] = set()
        while len(served) < 100:
            await running.when(lambda: any(b"ok" in client.received for client in waiting if client not in served))
            assert running.counters["connections"] <= 20
            for client in waiting:
                if b"ok" in client.received and client not in served:
                    served.add(client)
                    client.reset()
    assert len(origin.requests()) == 100


async def test_a32_a_flood_of_connections_costs_nothing_that_stays() -> None:
    async with RawOrigin(answering(OK)) as origin, product(gateway(origin.address)) as running:
        for _ in range(5):
            async with contextlib.AsyncExitStack() as stack:
                flood = await opened(running, 100, "127.0.0.2", stack)
                for number, client in enumerate(flood):
                    if number % 3 == 0:
                        client.send(b"GET / HTTP/1.1\r\nHo")
                    if number % 3 == 1:
                        client.reset()
                assert (await ask(running.address(), GET)).status == 200
        await running.when(lambda: running.counters["connections"] == 0)


async def test_a32_one_client_cannot_run_all_the_exchanges() -> None:
    hold = asyncio.Event()

    async def slow(connection: Connection) -> None:
        await connection.request()
        await hold.wait()
        await connection.send(OK)
        await connection.gone()

    async with (
        RawOrigin(slow) as origin,
        product(gateway(origin.address, limits={"max_exchanges_per_client": 5})) as running,
        contextlib.AsyncExitStack() as stack,
    ):
        hog = await opened(running, 12, "127.0.0.2", stack)
        for client in hog:
            client.send(GET)
        await origin.connected(5)
        await running.when(lambda: sum(b" 429 " in client.received for client in hog) == 7)
        other = asyncio.create_task(ask(running.address(), GET, source="127.0.0.3"))
        await origin.connected(6)
        hold.set()
        assert (await other).status == 200
        await running.when(lambda: sum(b" 200 " in client.received for client in hog) == 5)
    assert len(origin.connections) == 6
