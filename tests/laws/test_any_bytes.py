"""Invariant 2: any bytes in: messages or a refusal, never another exception or a hang, the same however they are cut.

Bytes are random, or messages of the corpus with octets changed, left out, doubled and joined. They go through the real
connections; an exception in one of them ends the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import corpus
from tests.support.conversation import MOST, conversation, settle, statuses
from tests.support.memory_stream import SERVER, MemoryStream

from interpose.core.exchange import Attempt, Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request
from interpose.core.target import Authority, Form, Target
from interpose.engine.upstream_connection import UpstreamConnection
from interpose.protocol.head import HeadParser

SHORT = {
    kind: [m.wire for m in corpus.load() if m.kind == kind and m.split and 10 < len(m.wire) < 400]
    for kind in ("request", "response")
}
SPICE = [
    b"\r\n", b"\n", b"\r", b"\x00", b" ", b"\t", b":", b",", b"0", b"-1", b"+", b";", b"\r\n\r\n", b"Host: b\r\n",
    b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"0\r\n\r\n", b"\xff",
    b"HTTP/1.1",
]  # fmt: skip
NORMAL = settings(
    max_examples=400, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@st.composite
def mutated(draw: st.DrawFn, kind: str) -> bytes:
    """One to three messages of the corpus with some octets changed."""
    wire = bytearray(b"".join(draw(st.lists(st.sampled_from(SHORT[kind]), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(wire)))
        match draw(st.sampled_from(["insert", "delete", "change", "double", "cut"])):
            case "insert":
                wire[place:place] = draw(st.sampled_from(SPICE) | st.binary(min_size=1, max_size=3))
            case "delete":
                del wire[place : place + draw(st.integers(1, 8))]
            case "change":
                wire[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            case "double":
                wire[place:place] = wire[place : place + draw(st.integers(1, 40))]
            case "cut":
                del wire[place:]
    return bytes(wire)


@st.composite
def pieces_of(draw: st.DrawFn, wire: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """Octets, and the same in pieces."""
    whole = draw(wire)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    return whole, [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


def failing_loudly(complaints: list[dict[str, Any]]) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))


async def heard_by_the_server(pieces: list[bytes], *, wait: bool) -> object:
    """What was read of the pieces, and how it was answered."""
    complaints: list[dict[str, Any]] = []
    failing_loudly(complaints)
    talk = conversation(HeadParser())
    stream = talk.stream

    def state() -> tuple[object, ...]:
        return len(stream.sent), len(talk.seen), stream.is_closed, stream.has_ended

    for piece in pieces:
        stream.receive(piece)
        if wait:
            await settle(state)
    await settle(state)
    stream.receive_end()
    await settle(state)
    heard = [
        (seen.method, str(seen.request.target), seen.request.version, list(seen.request.fields), seen.body)
        for seen in talk.seen
    ]
    # Where there are two mistakes, the one that is met first decides the status; that it is refused must not differ.
    answers = [(min(status, 400), closes) for status, closes in statuses(talk)]
    # Whoever has said everything gets every answer and an end, or a tunnel.
    assert stream.is_closed or stream.has_ended or talk.tunnel is not None
    stream.lose()
    await settle(state)
    assert talk.server.connections == set()
    assert complaints == []
    return heard, answers, None if talk.tunnel is None else stream._buffer


async def heard_from_the_origin(pieces: list[bytes], method: str, *, wait: bool) -> object:
    """What was read of the pieces as an answer to a request."""
    complaints: list[dict[str, Any]] = []
    failing_loudly(complaints)
    stream = MemoryStream(SERVER)
    freed: list[UpstreamConnection] = []
    gone: list[UpstreamConnection] = []
    connection = UpstreamConnection(stream, HeadParser(), freed.append, gone.append)
    exchange = Exchange(1, 0, "listener", SERVER, 0.0)
    interim: list[int] = []
    exchange.on_interim = lambda status, fields: interim.append(status)

    async def ask() -> tuple[Any, ...]:
        request = Request(method, Target(Form.ORIGIN, "http", Authority("b"), "/"), Fields())
        try:
            attempt = Attempt(request.target.origin, 0.0)
            response = await connection.send(exchange, request, attempt, content=b"")
            body = await response.body.read(MOST)
        except Failure as failure:
            return failure.side, failure.status
        trailers = response.body.trailers
        return response.status, list(response.fields), body, None if trailers is None else list(trailers)

    task = asyncio.create_task(ask())
    await settle(lambda: len(stream.sent))

    def state() -> tuple[object, ...]:
        return task.done(), len(freed), stream.is_closed, len(interim)

    for piece in pieces:
        stream.receive(piece)
        if wait:
            await settle(state)
    await settle(state)
    stream.receive_end()
    await settle(state)
    stream.lose()
    await settle(state)
    assert task.done()
    assert gone
    assert complaints == []
    result = task.result()
    if len(result) == 2:
        assert result == (Side.UPSTREAM, 502)
        return "refused"
    return result, interim


@NORMAL
@given(pieces_of(mutated("request") | st.binary(max_size=200)))
def test_any_bytes_from_a_client_mean_the_same_however_they_are_cut(
    runner: asyncio.Runner, octets: tuple[bytes, list[bytes]]
) -> None:
    whole, pieces = octets
    heard = runner.run(heard_by_the_server([whole], wait=False))
    assert runner.run(heard_by_the_server(pieces, wait=True)) == heard
    assert runner.run(heard_by_the_server(pieces, wait=False)) == heard
    assert runner.run(heard_by_the_server([whole[n : n + 1] for n in range(len(whole))], wait=False)) == heard


@NORMAL
@given(pieces_of(mutated("response") | st.binary(max_size=200)), st.sampled_from(["GET", "HEAD", "POST"]))
def test_any_bytes_from_an_origin_mean_the_same_however_they_are_cut(
    runner: asyncio.Runner, octets: tuple[bytes, list[bytes]], method: str
) -> None:
    whole, pieces = octets
    heard = runner.run(heard_from_the_origin([whole], method, wait=False))
    assert runner.run(heard_from_the_origin(pieces, method, wait=True)) == heard
    assert runner.run(heard_from_the_origin([whole[n : n + 1] for n in range(len(whole))], method, wait=False)) == heard
