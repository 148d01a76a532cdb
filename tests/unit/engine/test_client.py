"""The upstream client over streams in memory: what it sends, when it tries again, what it keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.scenes import judge
from tests.support.memory_stream import CLIENT, SERVER, MemoryStream

from interpose.core.body import Body
from interpose.core.exchange import Attempt, Exchange
from interpose.core.failure import Failure, Side, bad_request
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.target import Authority, Form, Origin, Target
from interpose.engine.client import GroupClient, UpstreamClient
from interpose.engine.connections import Connections
from interpose.engine.tunnel import Tunnels
from interpose.protocol.head import HeadParser

A = Origin("http", "a.example", 80)
B = Origin("http", "b.example", 8080)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSED = Failure("connection_refused", Side.UPSTREAM, "nobody there")


class Paused:
    """A body's source that does nothing."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cancel(self) -> None: ...


class Dialling:
    """Gives each origin's next stream, when it is let go."""

    def __init__(self) -> None:
        self.streams: list[MemoryStream] = []
        self.origins: list[Origin] = []
        self.refuses: set[Origin] = set()
        self.closes: set[Origin] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    def sent(self) -> int:
        """How many requests went out."""
        return sum(stream.sent.count(b"GET /") for stream in self.streams)

    async def __call__(
        self, origin: Origin, attempt: Attempt | None = None, *, configured: bool = False
    ) -> MemoryStream:
        self.origins.append(origin)
        await self.gate.wait()
        if origin in self.refuses:
            raise REFUSED
        stream = MemoryStream(SERVER)
        if origin in self.closes:
            stream.receive_end()
        self.streams.append(stream)
        return stream


@pytest.fixture
def dial() -> Dialling:
    return Dialling()


@pytest.fixture
async def client(dial: Dialling) -> UpstreamClient:
    return UpstreamClient(dial, HeadParser(), Tunnels(60.0), Connections(), answer_timeout_s=10.0, configured=True)


def exchange() -> Exchange:
    return Exchange(1, 0, "listener", CLIENT, 0.0)


def request(method: str = "GET", body: Body | None = None, host: str = "h.example") -> Request:
    message = Request(method, Target(Form.ORIGIN, "http", Authority(host), "/x"), Fields())
    if body is not None:
        message.body = body
    return message


async def settle(condition: Callable[[], object]) -> None:
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never happens")


async def answered(task: asyncio.Task[Response], stream: MemoryStream, answer: bytes = OK) -> bytes:
    """The content of the answer that `stream` gives to what was sent on it last."""
    stream.receive(answer)
    response = await asyncio.wait_for(task, 5)
    return await response.body.read(1000)


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


async def test_servers_take_turns_and_one_that_refuses_is_passed_over(client: UpstreamClient, dial: Dialling) -> None:
    group = GroupClient(client, [A, B])
    dial.refuses = {B}
    for number in range(2):
        task = asyncio.ensure_future(group(exchange(), request()))
        await settle(lambda number=number: dial.sent() > number)  # type: ignore[misc]
        dial.streams[0].receive(OK)
        await asyncio.wait_for(task, 5)
    assert dial.origins == [A, B]


async def test_a_server_that_closes_before_it_was_asked_is_passed_over(client: UpstreamClient, dial: Dialling) -> None:
    dial.closes.add(A)
    group = GroupClient(client, [A, B])
    task = asyncio.create_task(group(exchange(), request("POST", Body(b"x"))))  # type: ignore[arg-type]
    await settle(lambda: len(dial.streams) == 2 and b"POST" in dial.streams[1].sent)
    assert await answered(task, dial.streams[1]) == b"ok"
    assert dial.streams[0].sent == b""


async def test_at_the_same_time_too_each_exchange_tries_every_server(client: UpstreamClient, dial: Dialling) -> None:
    group = GroupClient(client, [A, B])
    dial.refuses.add(A)
    dial.gate.clear()
    tasks = [asyncio.create_task(group(exchange(), request())) for _ in range(4)]  # type: ignore[arg-type]
    await settle(lambda: len(dial.origins) == 4)
    dial.gate.set()
    await settle(lambda: dial.sent() == 4)
    for stream in dial.streams:
        stream.receive(OK)
    assert [(await task).status for task in tasks] == [200] * 4


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


async def test_a_server_that_refused_is_not_asked_first_again(client: UpstreamClient, dial: Dialling) -> None:
    group = GroupClient(client, [A, B])
    dial.refuses.add(A)
    for number in range(1, 4):
        task = asyncio.ensure_future(group(exchange(), request()))
        await settle(lambda number=number: dial.sent() == number)
        assert await answered(task, dial.streams[-1]) == b"ok"
    assert dial.origins == [A, B]  # then the connection was kept


async def test_when_every_server_refuses_the_last_refusal_is_the_answer(client: UpstreamClient, dial: Dialling) -> None:
    dial.refuses = {A, B}
    about = exchange()
    with pytest.raises(Failure, match="connection_refused"):
        await asyncio.wait_for(asyncio.ensure_future(GroupClient(client, [A, B])(about, request())), 5)
    assert [attempt.failure for attempt in about.attempts] == [REFUSED, REFUSED]


@pytest.mark.parametrize(("servers", "host"), [([B], "b.example:8080"), ([Origin("unix", "/s", 0)], "localhost")])
async def test_a_request_that_names_no_host_is_for_the_servers_own(
    client: UpstreamClient, dial: Dialling, servers: list[Origin], host: str
) -> None:
    task = asyncio.ensure_future(GroupClient(client, servers)(exchange(), request(host="")))
    await settle(lambda: dial.streams and dial.streams[0].sent)
    assert [sent.authority for sent in judge.read_requests(dial.streams[0].sent)] == [host]
    dial.streams[0].receive(OK)
    await asyncio.wait_for(task, 5)
