"""What lasts: WebSockets, event streams, long polls, interim answers, pipelines, uploads, half-closed connections."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.support.product import product
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, Connection, RawOrigin, Script, answering
from tests.support.websocket import (
    BINARY,
    CLOSE,
    KEY,
    PING,
    PONG,
    TEXT,
    Frame,
    accept_for,
    acceptance,
    client_frame,
    frames,
    handshake,
    server_frame,
)

from interpose import Config, gateway_config, proxy_config

LOCAL = ["127.0.0.1:0"]
ROLES = ["gateway", "proxy"]
BIG = bytes(range(256)) * 16384  # 4 MiB: more than all buffers on the way


def config_for(role: str, origin: RawOrigin) -> Config:
    return gateway_config([origin.address], LOCAL) if role == "gateway" else proxy_config(LOCAL)


def target(role: str, origin: RawOrigin, path: str) -> str:
    return path if role == "gateway" else f"http://{origin.address}{path}"


def connect(origin: RawOrigin) -> bytes:
    return f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode()


# --- tunnels ---------------------------------------------------------------------------------------------------------


async def test_f13_a_tunnel_ends_when_both_sides_have_said_their_last() -> None:
    async def script(connection: Connection) -> None:
        await connection.gone()
        await connection.send(b"you said " + connection.received)

    async with (
        RawOrigin(script) as origin,
        product(proxy_config(LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(connect(origin))
        await client.answers("CONNECT")
        client.send(b"goodbye")
        client.end()
        assert await client.rest() == b"you said goodbye"
        [line] = await running.logged(1)  # while our socket is still open: the tunnel waits for nothing more
        await running.when(lambda: running.counters["tunnels"] == 0)
    assert (line["method"], line["status"], line["bytes"]) == ("CONNECT", 200, 16)


@pytest.mark.parametrize("first", ["client", "origin"])
async def test_f13_data_arrives_whole_against_a_half_closed_direction(first: str) -> None:
    """One side ends and then reads slowly; everything that the other one says before its own end must arrive."""

    async def script(connection: Connection) -> None:
        if first == "client":
            await connection.gone()
            await connection.send(BIG)
        else:
            connection.end()
            await connection.gone()

    async with (
        RawOrigin(script) as origin,
        product(proxy_config(LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(connect(origin))
        [answer] = await client.answers("CONNECT")
        assert answer.status == 200
        if first == "client":
            client.end()
            assert await client.rest() == BIG
        else:
            assert await client.rest() == b""
            client.send(BIG)
            client.end()
            await origin.connections[0].gone()
            assert origin.received == BIG
        await running.when(lambda: running.counters["tunnels"] == 0)


async def test_a_reset_on_one_side_of_a_tunnel_is_a_reset_on_the_other() -> None:
    async def script(connection: Connection) -> None:
        await connection.until(b"go")
        connection.reset()

    async with RawOrigin(script) as origin, product(proxy_config(LOCAL)) as running:
        async with RawClient(running.address()) as client:
            client.send(connect(origin) + b"go")  # early: bytes for the tunnel right behind the request for it
            await client.answers("CONNECT")
            await client.rest()
            assert client.was_reset
        async with RawClient(running.address()) as client:
            client.send(connect(origin))
            await client.answers("CONNECT")
            await origin.connected(2)
            client.reset()
            await origin.connections[1].gone()
            assert origin.connections[1].was_reset


# --- WebSocket -------------------------------------------------------------------------------------------------------


async def echo_socket(connection: Connection) -> None:
    """An origin that accepts a WebSocket, answers pings and says every message back, and its closing."""
    request = await connection.request()
    if request.values("upgrade") != ["websocket"] or "upgrade" not in request.options("connection"):
        await connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        return
    start = len(connection.received)
    await connection.send(acceptance(request.values("sec-websocket-key")[0]))
    heard = 0
    while True:

        def has_heard(count: int = heard) -> bool:
            return len(frames(connection.received[start:])[0]) > count

        await connection.wait_for(has_heard)
        frame = frames(connection.received[start:])[0][heard]
        heard += 1
        await connection.send(server_frame(PONG if frame.opcode == PING else frame.opcode, frame.payload))
        if frame.opcode == CLOSE:
            return


class Talk:
    """A client's side of a WebSocket that has been accepted."""

    def __init__(self, client: RawClient) -> None:
        self.client = client
        self.start = 0
        self.heard = 0

    async def open(self, request: bytes) -> None:
        self.client.send(request)
        [answer] = await self.client.answers("GET", upgrade="websocket")
        assert answer.status == 101
        assert answer.values("sec-websocket-accept") == [accept_for(KEY)]
        assert answer.values("upgrade") == ["websocket"]
        assert answer.options("connection") == ["upgrade"]
        self.start = self.client.received.index(b"\r\n\r\n") + 4

    async def say(self, opcode: int, payload: bytes) -> Frame:
        """The frame that comes back for a message."""
        self.client.send(client_frame(opcode, payload))
        await self.client.wait_for(lambda: len(self.frames()) > self.heard)
        self.heard += 1
        return self.frames()[self.heard - 1]

    def frames(self) -> list[Frame]:
        return frames(self.client.received[self.start :])[0]


@pytest.mark.parametrize("role", ROLES)
async def test_a_web_socket_passes_both_ways(role: str) -> None:
    async with (
        RawOrigin(echo_socket) as origin,
        product(config_for(role, origin)) as running,
        RawClient(running.address()) as client,
    ):
        talk = Talk(client)
        await talk.open(handshake(target(role, origin, "/socket"), origin.address))
        for opcode, payload in [(TEXT, b"hello"), (BINARY, b""), (BINARY, BIG[:200_000]), (TEXT, b"x" * 126)]:
            assert await talk.say(opcode, payload) == Frame(opcode, payload, is_masked=False)
        assert await talk.say(PING, b"still there?") == Frame(PONG, b"still there?", is_masked=False)
        assert (await talk.say(CLOSE, b"\x03\xe8bye")).payload == b"\x03\xe8bye"
        await client.rest()
    assert all(frame.is_masked for frame in frames(origin.received.partition(b"\r\n\r\n")[2])[0])
    [line] = running.log
    assert (line["status"], line["bytes"] > 200_000) == (101, True)


@pytest.mark.parametrize("role", ROLES)
async def test_a_message_right_behind_the_handshake_is_not_lost(role: str) -> None:
    async with (
        RawOrigin(echo_socket) as origin,
        product(config_for(role, origin)) as running,
        RawClient(running.address()) as client,
    ):
        talk = Talk(client)
        early = client_frame(TEXT, b"early")
        await talk.open(handshake(target(role, origin, "/socket"), origin.address) + early)
        await client.wait_for(lambda: bool(talk.frames()))
        assert talk.frames()[0].payload == b"early"
        client.end()
        await client.rest()


@pytest.mark.parametrize("role", ROLES)
async def test_a_web_socket_that_is_refused_leaves_the_connection_good(role: str) -> None:
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    async with (
        RawOrigin(answering(refusal, OK)) as origin,
        product(config_for(role, origin)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(handshake(target(role, origin, "/socket"), origin.address))
        [refused] = await client.answers("GET")
        assert (refused.status, refused.body) == (403, b"no")
        client.send(f"GET {target(role, origin, '/')} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
        [answer] = await client.answers("GET")
        assert answer.body == b"ok"
    assert len(origin.connections) == 1


async def test_a_web_socket_ends_on_the_other_side_when_one_side_vanishes() -> None:
    async with RawOrigin(echo_socket) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        async with RawClient(running.address()) as client:
            talk = Talk(client)
            await talk.open(handshake("/socket", "a"))
            client.reset()
            await origin.connections[0].gone()
        await running.when(lambda: running.counters["tunnels"] == 0)


# --- answers that take their time ------------------------------------------------------------------------------------


def head(media_type: str = "text/event-stream", *more: bytes) -> bytes:
    fields = b"".join(field + b"\r\n" for field in more)
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%b\r\n" % (media_type.encode(), fields)


def step_by_step(*parts: bytes, went: asyncio.Event, end: bool = True) -> Script:
    """An origin that sends the next part only when the client has said that it has the one before."""

    async def script(connection: Connection) -> None:
        await connection.request()
        for part in parts:
            await connection.send(part)
            async with asyncio.timeout(10):
                await went.wait()
            went.clear()
        if not end:
            await connection.gone()

    return script


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_each_event_arrives_before_the_next_one_is_made(role: str, framing: str) -> None:
    events = [b"data: %d\n\n" % number for number in range(5)]
    parts = [b"%x\r\n%b\r\n" % (len(e), e) for e in events] if framing == "chunked" else events
    begin = head("text/event-stream", b"Transfer-Encoding: chunked") if framing == "chunked" else head()
    last = [b"0\r\n\r\n"] if framing == "chunked" else []
    went = asyncio.Event()
    script = step_by_step(begin, *parts, *last, went=went)
    async with (
        RawOrigin(script) as origin,
        product(config_for(role, origin)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(f"GET {target(role, origin, '/')} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
        await client.until(b"\r\n\r\n")  # the head, before there is any event
        for event in events:
            went.set()
            await client.until(event)
        went.set()
        if framing == "chunked":
            await client.until(b"0\r\n\r\n")
            went.set()
        [answer] = await client.answers("GET")
    assert (answer.body, answer.framing) == (b"".join(events), "chunked")


async def test_an_old_client_gets_events_until_the_connection_closes() -> None:
    went = asyncio.Event()
    script = step_by_step(head(), b"data: 1\n\n", b"data: 2\n\n", went=went)
    async with (
        RawOrigin(script) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        for part in (b"\r\n\r\n", b"data: 1\n\n", b"data: 2\n\n"):
            await client.until(part)
            went.set()
        [answer] = await client.answers("GET")
    assert (answer.framing, answer.body) == ("close", b"data: 1\n\ndata: 2\n\n")


async def test_a_long_poll_is_answered_when_there_is_something_to_say() -> None:
    asked, news = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        asked.set()
        async with asyncio.timeout(10):
            await news.wait()
        await connection.send(OK)
        await connection.gone()

    async with (
        RawOrigin(script) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as waiting,
    ):
        waiting.send(b"GET /poll HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(10):
            await asked.wait()
        await running.when(lambda: running.counters["exchanges"] == 1)
        assert waiting.received == b""
        news.set()
        [answer] = await waiting.answers("GET")
        assert answer.body == b"ok"


@pytest.mark.parametrize("when", ["before the answer", "in the middle of it"])
async def test_a_client_that_resets_ends_its_exchange_upstream(when: str) -> None:
    begin = head() if when == "in the middle of it" else b""
    went = asyncio.Event()
    script = step_by_step(begin, went=went, end=False)
    async with RawOrigin(script) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        async with RawClient(running.address()) as client:
            client.send(b"GET /poll HTTP/1.1\r\nHost: a\r\n\r\n")
            if begin:
                await client.until(b"\r\n\r\n")
            await origin.connected()
            await origin.connections[0].until(b"\r\n\r\n")
            client.reset()
            await origin.connections[0].gone()
        went.set()
    [line] = running.log
    assert line["failure"] == "connection_terminated"
    assert line["status"] == (200 if begin else 0)


# --- interim answers -------------------------------------------------------------------------------------------------

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"


@pytest.mark.parametrize("role", ROLES)
async def test_early_hints_arrive_early(role: str) -> None:
    went = asyncio.Event()
    script = step_by_step(HINTS, b"HTTP/1.1 102 Processing\r\n\r\n", OK, went=went)
    async with (
        RawOrigin(script) as origin,
        product(config_for(role, origin)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(f"GET {target(role, origin, '/')} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
        await client.until(b"HTTP/1.1 103 Early Hints\r\n")
        await client.until(b"</style.css>; rel=preload\r\n")
        went.set()
        await client.until(b"HTTP/1.1 102 ")
        went.set()
        [answer] = await client.answers("GET")
        went.set()
    assert answer.interim == [103, 102]
    assert answer.body == b"ok"


async def test_a_client_of_http_1_0_gets_no_interim_answer() -> None:
    async with RawOrigin(answering(HINTS + OK)) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        answer = await ask(running.address(), b"GET / HTTP/1.0\r\n\r\n")
    assert (answer.interim, answer.body) == ([], b"ok")


async def test_an_origin_asks_for_the_body_that_waits_for_100_continue() -> None:
    async def script(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        assert b"Expect: 100-continue\r\n" in connection.received
        assert not connection.received.endswith(b"content")
        await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await connection.until(b"content")
        await connection.send(OK)
        await connection.gone()

    async with (
        RawOrigin(script) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n")
        await client.until(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"content")
        [answer] = await client.answers("PUT")
    assert [request.body for request in origin.requests()] == [b"content"]
    assert answer.status == 200


# --- order -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
async def test_20_pipelined_requests_are_answered_in_order(role: str) -> None:
    """Bodies, heads without content and streams mixed, all sent at once."""

    async def script(connection: Connection) -> None:
        while True:
            request = await connection.request()
            number = int(request.target.rpartition("/")[2])
            text = b"%d " % number * (number * 300 + 1)
            if request.method == "HEAD":
                await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text))
            elif number % 3:
                await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            else:
                await connection.send(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(text), text)
                )

    methods = ["HEAD" if number % 5 == 4 else "POST" if number % 4 == 1 else "GET" for number in range(20)]
    async with (
        RawOrigin(script) as origin,
        product(config_for(role, origin)) as running,
        RawClient(running.address()) as client,
    ):
        requests = []
        for number, method in enumerate(methods):
            body = b"Content-Length: 3\r\n\r\nabc" if method == "POST" else b"\r\n"
            line = f"{method} {target(role, origin, f'/{number}')} HTTP/1.1\r\nHost: {origin.address}\r\n"
            requests.append(line.encode() + body)
        client.send(b"".join(requests))
        answers = await client.answers(*methods)
    expected = [b"" if m == "HEAD" else b"%d " % n * (n * 300 + 1) for n, m in enumerate(methods)]
    assert [answer.body for answer in answers] == expected
    assert [request.target for request in origin.requests()] == [f"/{number}" for number in range(20)]
    assert len(running.log) == 20


async def test_a_slow_answer_holds_up_the_ones_behind_it() -> None:
    went = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        async with asyncio.timeout(10):
            await went.wait()
        await connection.send(OK)
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")
        await connection.gone()

    async with (
        RawOrigin(script) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        await origin.connected()
        await origin.connections[0].until(b"GET /1 ")
        assert client.received == b""
        went.set()
        answers = await client.answers("GET", "GET")
    assert [answer.body for answer in answers] == [b"ok", b"two"]


# --- uploads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
async def test_an_answer_in_the_middle_of_an_upload_arrives_and_the_rest_is_not_needed(role: str) -> None:
    async def script(connection: Connection) -> None:
        await connection.until(b"first part")
        await connection.send(
            b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much"
        )
        await connection.gone()

    async with (
        RawOrigin(script) as origin,
        product(config_for(role, origin)) as running,
        RawClient(running.address()) as client,
    ):
        where = target(role, origin, "/")
        client.send(
            f"POST {where} HTTP/1.1\r\nHost: {origin.address}\r\nContent-Length: 900000000\r\n\r\nfirst part".encode()
        )
        [answer] = await client.answers("POST")
        assert (answer.status, answer.body, answer.closes) == (413, b"too much", True)
        client.send(b"what nobody wants any more")
        await client.rest()


async def test_both_directions_flow_at_once() -> None:
    """An origin that answers while it reads: each part of the answer needs the next part of the request."""
    parts = [bytes([number]) * 50_000 for number in range(1, 11)]

    async def script(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        start = connection.received.index(b"\r\n\r\n") + 4
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % sum(map(len, parts)))
        for number in range(len(parts)):
            end = start + 50_000 * (number + 1)
            await connection.wait_for(lambda end=end: len(connection.received) >= end)  # type: ignore[misc]
            await connection.send(connection.received[end - 50_000 : end])
        await connection.gone()

    async with (
        RawOrigin(script) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n")
        await client.until(b"\r\n\r\n")
        for part in parts:
            client.send(part)
            await client.until(part)
        [answer] = await client.answers("POST")
    assert answer.body == b"".join(parts)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_an_upload_that_breaks_off_is_seen_as_broken_off(framing: str) -> None:
    async def script(connection: Connection) -> None:
        await connection.until(b"half")
        await connection.gone()

    field = b"Content-Length: 100" if framing == "length" else b"Transfer-Encoding: chunked"
    body = b"half" if framing == "length" else b"4\r\nhalf\r\n"
    async with (
        RawOrigin(script) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n" + body)
        await origin.connected()
        await origin.connections[0].until(b"half")
        client.end()
        answers = await client.answers("POST")
        assert [answer.status for answer in answers] == [400]
        await client.rest()
    assert origin.connections[0].was_reset
    assert not origin.received.endswith(b"0\r\n\r\n")


HOLD = """import asyncio, interpose

@interpose.filter
async def hold(exchange, request, forward):
    async with exchange.waiting("a decision"):
        await asyncio.sleep(60)
"""


# --- clients that end their side -------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
async def test_a_client_that_half_closes_gets_its_answer(role: str) -> None:
    asked, went = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        asked.set()
        async with asyncio.timeout(10):
            await went.wait()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BIG) + BIG)
        await connection.gone()

    async with (
        RawOrigin(script) as origin,
        product(config_for(role, origin)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(f"GET {target(role, origin, '/')} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
        client.end()
        async with asyncio.timeout(10):
            await asked.wait()
        went.set()
        await client.rest()
        [answer] = await client.answers("GET")
    assert (answer.status, answer.body == BIG) == (200, True)


async def test_a_client_that_half_closes_gets_all_of_its_pipelined_answers() -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        client.end()
        await client.rest()
        answers = await client.answers("GET", "GET", "GET")
    assert [answer.body for answer in answers] == [b"ok"] * 3


async def test_a_client_that_half_closes_after_its_upload_gets_its_answer() -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        client.end()
        await client.rest()
        [answer] = await client.answers("POST")
    assert answer.body == b"ok"
    assert [request.body for request in origin.requests()] == [b"abc"]


@pytest.mark.parametrize("when", ["before the answer", "in the middle of it", "while it waits for a decision"])
async def test_a_client_that_leaves_in_order_does_not_keep_its_exchange_running(when: str, tmp_path: Path) -> None:
    """A closed tab looks like a half-closing client; that nothing is sent to it any more makes the difference."""
    went = asyncio.Event()
    script = step_by_step(head() if when == "in the middle of it" else b"", went=went, end=False)
    hold = tmp_path / "hold.py"
    hold.write_text(HOLD)
    scripts = [str(hold)] if "decision" in when else []
    async with RawOrigin(script) as origin:
        config = gateway_config([origin.address], LOCAL, scripts=scripts)
        with patch("interpose.engine.client_pace.HALF_CLOSED", (0.3, 0)):
            async with product(config) as running:
                async with RawClient(running.address()) as client:
                    client.send(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
                    await running.when(lambda: running.counters["exchanges"] == 1)
                    if not scripts:
                        await origin.connected()
                        await origin.connections[0].until(b"\r\n\r\n")
                await running.when(lambda: running.counters["exchanges"] == 0)
                if not scripts:
                    await origin.connections[0].gone()
        went.set()
    [line] = running.log
    assert (line["failure"], line["side"]) == ("connection_terminated", "downstream")
    assert line["notes"]["why"] == "the client stopped sending: nothing moved for 0.3 s"


async def test_a_client_that_half_closes_may_wait_as_long_as_something_comes() -> None:
    """Content that comes more slowly than the limit of silence is no silence."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n")
        for _ in range(40):
            await connection.send(b".")
            await asyncio.sleep(0.02)
        await connection.gone()

    quick = patch("interpose.engine.client_pace.HALF_CLOSED", (0.3, 0))
    async with RawOrigin(script) as origin:
        config = gateway_config([origin.address], LOCAL)
        with quick:
            async with product(config, tick_s=0.02) as running, RawClient(running.address()) as client:
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                client.end()
                await client.rest()
                [answer] = await client.answers("GET")
    assert answer.body == b"." * 40


async def test_an_origin_that_says_its_answer_and_half_closes_is_heard() -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(head("text/plain") + b"until the end")
        connection.end()
        await connection.gone()

    async with RawOrigin(script) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        answer = await ask(running.address(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (answer.body, answer.framing) == (b"until the end", "chunked")
