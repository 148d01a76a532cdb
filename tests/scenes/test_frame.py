"""The frame itself: one request through each role, and a client that leaves nothing behind."""

from unittest.mock import patch

from tests.support.product import product, settings
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, RawOrigin, answering

from interpose import gateway_config, proxy_config
from interpose.config.runtime import WorkerRuntime

LOCAL = ["127.0.0.1:0"]


async def test_a_gateway_passes_a_request_and_its_answer() -> None:
    async with RawOrigin(answering(OK)) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        answer = await ask(running.address(), b"GET /a HTTP/1.1\r\nHost: example\r\n\r\n")
        [line] = await running.logged(1)
    [request] = origin.requests()
    assert (request.method, request.target, request.authority) == ("GET", "/a", "example")
    assert (answer.status, answer.body) == (200, b"ok")
    assert (line["status"], line["target"]) == (200, "http://example/a")


async def test_a_proxy_passes_a_request_and_its_answer() -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        product(proxy_config(LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(f"GET http://{origin.address}/a HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        [answer] = await client.answers("GET")
    [request] = origin.requests()
    assert (request.method, request.target, request.authority) == ("GET", "/a", origin.address)
    assert (answer.status, answer.body) == (200, b"ok")
    assert [line["status"] for line in running.log] == [200]


async def test_a_tick_that_fails_is_not_the_last_one() -> None:
    tick, ticks = WorkerRuntime.tick, iter(range(100_000))

    def failing_first(runtime: WorkerRuntime, now: float) -> None:
        if next(ticks) == 0:
            raise OSError("for once")
        tick(runtime, now)

    with patch.object(WorkerRuntime, "tick", failing_first):
        config = settings(gateway_config(["127.0.0.1:1"], LOCAL), timeouts={"head_timeout_s": 0.3})
        async with product(config, may_log_errors=True) as running, RawClient(running.address()) as client:
            client.send(b"GET / HTT")
            assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
