"""Scripts that go wrong cost their own exchange and no other (THREATS F21, F23)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.scenes import judge
from tests.support.event_loops import settle
from tests.support.memory_stream import MemoryStream
from tests.support.product import Product, product
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, RawOrigin, answering

from interpose import gateway_config
from interpose.core.exchange import Exchange
from interpose.core.message import Request, Response
from interpose.engine.pace import Timeouts
from interpose.engine.serve import HttpServer
from interpose.filters.error_answer import ErrorAnswer, ErrorAnswerOptions
from interpose.protocol.head import HeadParser

LOCAL = ["127.0.0.1:0"]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
STREAMING = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"

HEAD = """\
import interpose
from interpose import Response

@interpose.filter
async def it(exchange, request, forward):
"""


@asynccontextmanager
async def scripted(tmp_path: Path, body: str, *answers: bytes) -> AsyncIterator[Product]:
    """A gateway with one filter, whose body is `body`."""
    script = tmp_path / "it.py"
    script.write_text(HEAD + "".join(f"    {line}\n" for line in body.splitlines()))
    async with RawOrigin(answering(*(answers or (OK,)))) as origin:
        config = gateway_config([origin.address], LOCAL, scripts=[str(script)])
        async with product(config, may_log_errors=True) as running:
            yield running


async def test_f23_a_script_that_raises_for_one_request_in_a_hundred_costs_that_one(tmp_path: Path) -> None:
    async def client(address: str) -> list[int]:
        async with RawClient(address) as client:
            statuses = []
            for number in range(100):
                client.send(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
                [answer] = await client.answers("GET")
                statuses.append(answer.status)
            return statuses

    raising = "if request.target.path == '/42':\n    raise RuntimeError('as expected')\n"
    async with scripted(tmp_path, raising + "return await forward(exchange, request)") as running:
        for statuses in await asyncio.gather(*(client(running.address()) for _ in range(4))):
            assert statuses == [200] * 42 + [500] + [200] * 57
        assert running.counters["script_errors_total"] == 4
    bad = [line for line in running.log if line["status"] == 500]
    assert len(running.log) == 400
    assert {line["detail"] for line in bad} == {"it.py:7 in it: RuntimeError: as expected"}


@pytest.mark.parametrize(
    "returned",
    [
        "Response('200')",
        "Response(99)",
        "Response(1000)",
        "Response(200, reason='text')",
        "Response(200, reason=b'a\\r\\nb: c')",
        "Response(200, {'a': 'b'})",
        "Response(200, body=None)",
        "Response(200, body=b'plain')",
    ],
)
async def test_f23_a_response_that_is_none_is_a_500_and_the_exchange_ends(tmp_path: Path, returned: str) -> None:
    async with scripted(tmp_path, f"return {returned}") as running:
        answer = await ask(running.address(), GET)
        await running.when(lambda: running.counters["exchanges"] == 0)
    assert answer.status == 500
    assert [line["status"] for line in running.log] == [500]


@pytest.mark.parametrize("status", [100, 1000, "200"])
async def test_f23_a_handler_that_returns_what_cannot_be_sent_costs_its_exchange_only(status: Any) -> None:
    async def handler(exchange: Exchange, request: Request) -> Response:
        return Response(status if request.target.path == "/bad" else 200)

    server = HttpServer("s", handler, ErrorAnswer(ErrorAnswerOptions()), HeadParser(), Timeouts(), 0)
    stream = MemoryStream()
    server(stream)
    stream.receive(GET.replace(b"/", b"/bad", 1) + GET)
    await settle(lambda: stream.sent.count(b"\r\n\r\n") == 2)
    assert [answer.status for answer in judge.read_responses(stream.sent, ["GET", "GET"])] == [500, 200]
    assert server.running_exchanges == 0


@pytest.mark.parametrize("answer", [OK, STREAMING], ids=["whole", "streaming"])
@pytest.mark.parametrize("where", ["first", "last"])
async def test_f23_a_transform_that_raises_cuts_the_answer_visibly(tmp_path: Path, answer: bytes, where: str) -> None:
    body = (
        "def change(chunk):\n"
        f"    if (chunk is None) == {where == 'last'}:\n"
        "        raise RuntimeError('as expected')\n"
        "    return chunk or b''\n"
        "response = await forward(exchange, request)\n"
        "response.body = response.body.map(change)\n"
        "return response"
    )
    async with scripted(tmp_path, body, answer) as running:
        async with RawClient(running.address()) as client:
            client.send(GET)
            await client.rest()
        await running.when(lambda: running.counters["exchanges"] == 0)
        [line] = await running.logged(1)
    assert not client.received.endswith(b"0\r\n\r\n")
    assert client.was_reset or client.received.startswith(b"HTTP/1.1 500 ")
    assert line["failure"] == "proxy_internal_error"
