"""The upstream client over streams in memory: what it sends, when it tries again, what it keeps."""

from __future__ import annotations

import asyncio

import pytest
from tests.scenes import judge
from tests.support.origins_in_memory import (
    OK,
    A,
    B,
    Dialling,
    Paused,
    answered,
    client_of,
    exchange,
    request,
    settle,
)

from interpose.core.body import Body
from interpose.core.failure import Failure, bad_request
from interpose.engine.client import UpstreamClient


@pytest.fixture
def dial() -> Dialling:
    return Dialling()


@pytest.fixture
async def client(dial: Dialling) -> UpstreamClient:
    return client_of(dial)


async def test_a_body_that_ends_while_the_connection_is_made_arrives_whole(
    client: UpstreamClient, dial: Dialling
) -> None:
    dial.gate.clear()
    body = Body.streaming(Paused(), 10)
    body.feed(b"01234")
    task = asyncio.create_task(client.send(exchange(), request("POST", body), A))
    await settle(lambda: dial.origins)
    body.feed(b"56789")
    body.finish()
    dial.gate.set()
    await settle(lambda: dial.streams and dial.streams[0].sent)
    [sent] = judge.read_requests(dial.streams[0].sent)
    assert (sent.body, sent.values("content-length")) == (b"0123456789", ["10"])
    assert await answered(task, dial.streams[0]) == b"ok"


async def test_a_body_that_breaks_off_while_the_connection_is_made_is_not_sent_as_a_whole_one(
    client: UpstreamClient, dial: Dialling
) -> None:
    dial.gate.clear()
    body = Body.streaming(Paused(), None)
    task = asyncio.create_task(client.send(exchange(), request("POST", body), A))
    await settle(lambda: dial.origins)
    body.fail(bad_request("it broke off"))
    dial.gate.set()
    with pytest.raises(Failure, match="it broke off"):
        await asyncio.wait_for(task, 5)
    assert dial.streams[0].sent == b""
    # The connection is as good as new, and the next exchange has it.
    again = asyncio.create_task(client.send(exchange(), request(), A))
    await settle(lambda: dial.streams[0].sent)
    assert await answered(again, dial.streams[0]) == b"ok"
    assert len(dial.streams) == 1


async def test_a_connection_is_used_again_for_its_origin_only(client: UpstreamClient, dial: Dialling) -> None:
    for number, origin in enumerate((A, A, B, A)):
        task = asyncio.create_task(client.send(exchange(), request(), origin))
        await settle(lambda number=number: dial.sent() > number)  # type: ignore[misc]
        assert await answered(task, dial.streams[1] if origin is B else dial.streams[0]) == b"ok"
    assert dial.origins == [A, B]
    assert client.open_connections == 2


@pytest.mark.parametrize(("method", "tries"), [("GET", 2), ("PUT", 2), ("DELETE", 2), ("POST", 1), ("PATCH", 1)])
async def test_f3_only_what_may_be_repeated_is_sent_again_when_an_idle_connection_was_closed(
    client: UpstreamClient, dial: Dialling, method: str, tries: int
) -> None:
    task = asyncio.create_task(client.send(exchange(), request(), A))
    await settle(lambda: dial.streams and dial.streams[0].sent)
    await answered(task, dial.streams[0])
    first = len(dial.streams[0].sent)
    about = exchange()
    task = asyncio.create_task(client.send(about, request(method), A))
    await settle(lambda: len(dial.streams[0].sent) > first)
    dial.streams[0].receive_end()
    if tries == 1:
        with pytest.raises(Failure, match="connection_terminated"):
            await asyncio.wait_for(task, 5)
    else:
        await settle(lambda: len(dial.streams) == 2 and dial.streams[1].sent)
        assert await answered(task, dial.streams[1]) == b"ok"
    assert len(about.attempts) == tries


async def test_f3_nothing_is_sent_again_once_a_byte_of_the_answer_came(client: UpstreamClient, dial: Dialling) -> None:
    task = asyncio.create_task(client.send(exchange(), request(), A))
    await settle(lambda: dial.streams and dial.streams[0].sent)
    await answered(task, dial.streams[0])
    first = len(dial.streams[0].sent)
    task = asyncio.create_task(client.send(exchange(), request(), A))
    await settle(lambda: len(dial.streams[0].sent) > first)
    dial.streams[0].receive(b"HTTP/1.1 2")
    dial.streams[0].receive_end()
    with pytest.raises(Failure, match="http_response_incomplete"):
        await asyncio.wait_for(task, 5)
    assert len(dial.streams) == 1


async def test_who_leaves_before_the_answer_costs_the_connection(client: UpstreamClient, dial: Dialling) -> None:
    task = asyncio.create_task(client.send(exchange(), request(), A))
    await settle(lambda: dial.streams and dial.streams[0].sent)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert dial.streams[0].was_aborted
    await settle(lambda: client.open_connections == 0)


async def test_who_leaves_while_the_connection_is_made_leaves_none_behind(
    client: UpstreamClient, dial: Dialling
) -> None:
    dial.gate.clear()
    task = asyncio.create_task(client.send(exchange(), request(), A))
    await settle(lambda: dial.origins)
    task.cancel()
    dial.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.open_connections == 0
    assert all(stream.was_aborted for stream in dial.streams)


async def test_who_leaves_as_its_answer_comes_leaves_the_connection_to_others(
    client: UpstreamClient, dial: Dialling
) -> None:
    first = asyncio.create_task(client.send(exchange(), request(), A))
    await settle(lambda: dial.sent() == 1)
    [stream] = dial.streams
    stream.receive(OK)
    first.cancel()
    second = asyncio.create_task(client.send(exchange(), request("POST", Body(b"x")), A))
    with pytest.raises(asyncio.CancelledError):
        await first
    await settle(lambda: b"POST" in stream.sent)
    assert await answered(second, stream) == b"ok"
    assert len(dial.streams) == 1


@pytest.mark.parametrize("credentials", ["Negotiate YII", "NTLM TlR"])
async def test_a_connection_that_was_made_somebodys_own_is_nobody_elses(
    client: UpstreamClient, dial: Dialling, credentials: str
) -> None:
    first = request()
    first.fields.add("Authorization", credentials)
    task = asyncio.create_task(client.send(exchange(), first, A))
    await settle(lambda: dial.sent() > 0)
    assert await answered(task, dial.streams[0]) == b"ok"
    task = asyncio.create_task(client.send(exchange(), request(), A))
    await settle(lambda: dial.sent() > 1)
    assert await answered(task, dial.streams[1]) == b"ok"
    assert client.open_connections == 1
