"""The product's verdict on every message of the corpus, driven through its real connections over a stream in memory.

Each message is fed whole, octet by octet, cut in two at every octet, and with a request (an answer) behind it: the
verdict must be the corpus' own each time, and what is refused is answered with the status that it says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import pytest
import uvloop
from tests import corpus
from tests.corpus import ExpectedRequest, ExpectedResponse, Message
from tests.scenes import judge
from tests.support.conversation import MOST, Conversation, conversation, settle, statuses
from tests.support.memory_stream import SERVER, MemoryStream

from interpose.core.exchange import Attempt, Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.target import Authority, Form, Origin, Target
from interpose.engine.upstream_connection import UpstreamConnection
from interpose.protocol.head import HeadParser

MESSAGES = corpus.load()
THEMES = sorted({(message.theme, message.kind) for message in MESSAGES})
NEXT_REQUEST = b"GET /behind HTTP/1.1\r\nHost: b\r\n\r\n"
NEXT_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbehind"

# What the reader takes off the fields, because it is about one connection or became a part of the request itself.
TAKEN_OFF = {
    "connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "proxy-connection", "te",
    "transfer-encoding", "upgrade",
}  # fmt: skip

# The one spelling of targets that were sent in another (RFC 3986, 6.2.2).
CANONICAL = {
    "/-._~!$&'()*+,;=:@/%41": "/-._~!$&'()*+,;=:@/A",
    "/a/../b/./c": "/b/c",
    "/../../etc/passwd": "/etc/passwd",
    "/a%2fb%2F": "/a%2Fb%2F",
    "/a%5cb": "/a%5Cb",
    "/%2e%2e/%2E%2E/": "/",
    "/%252e%252e%252f": "/%252e%252e%252f",
    "/%0d%0aX:%20y": "/%0D%0AX:%20y",
    "http://b.example/x?y": "/x?y",
    "http://b.example": "/",
    "http://b.example?x": "/?x",
    "http://b.example:8080/": "/",
    "http://b.example:/": "/",
    "https://b.example/": "/",
    "HTTP://b.example/": "/",
    "http://127.0.0.1:80/": "/",
    "http://[::1]:8080/": "/",
    "http://[::ffff:192.0.2.1]/": "/",
    "http://b.example:81/": "/",
    "http://b.example/": "/",
    "http://b.example:8001": "*",
}


def ways(message: Message) -> Iterator[tuple[str, list[bytes]]]:
    """How the wire arrives, in words and in pieces."""
    wire = message.wire
    yield "whole", [wire]
    if not message.split:
        return
    yield "octet by octet", [wire[place : place + 1] for place in range(len(wire))]
    for place in range(1, len(wire)):
        yield f"cut at {place}", [wire[:place], wire[place:]]


def with_more_behind(message: Message) -> Message | None:
    """The same with another message right behind it, and what follows from that; None where that says nothing."""
    if message.incomplete:
        return None
    more = NEXT_REQUEST if message.kind == "request" else NEXT_RESPONSE
    changed = replace(message, wire=message.wire + more)
    if message.verdict == "reject":
        return changed
    last = message.messages[-1]
    if isinstance(last, ExpectedRequest):
        reads = judge.split_requests(message.wire)[0][-1]
        if reads.leaves_http:
            return replace(changed, rest=message.rest + more)
        if reads.closes:
            return changed
        return replace(changed, messages=(*message.messages, ExpectedRequest("GET", "/behind", "1.1", b"")))  # type: ignore[arg-type]
    if last.status == 101 or (message.request_method == "CONNECT" and last.status < 300):
        return replace(changed, rest=message.rest + more)
    if last.framing == "close":
        return replace(changed, messages=(replace(last, body=last.body + more),))
    return replace(changed, extra=True)


# --- requests ------------------------------------------------------------------------------------------------------


async def requests_of(message: Message, way: str, pieces: list[bytes], parser: HeadParser) -> Iterator[str]:
    """What is wrong with the product's reading of one request message."""
    talk = conversation(parser)
    stream = talk.stream

    def state() -> tuple[object, ...]:
        return len(stream.sent), len(talk.seen), stream.is_closed, stream.has_ended

    for piece in pieces:
        stream.receive(piece)
        if way.startswith("cut"):
            await settle(state)
    await settle(state)
    if message.verdict == "accept":
        complaints = list(_accepted_request(message, talk))
    else:
        complaints = list(_refused_request(message, talk))
        if message.incomplete:
            stream.receive_end()
            await settle(state)
            complaints += _broken_off_request(message, talk)
    stream.lose()
    await settle(state)
    if talk.server.connections:
        complaints.append("the connection was not forgotten")
    return iter(complaints)


def _accepted_request(message: Message, talk: Conversation) -> Iterator[str]:
    yield from _compare(message, talk, whole=True)
    answers = statuses(talk)
    if [status for status, _ in answers] != [200] * len(message.messages):
        yield f"answers {answers} instead of {len(message.messages)} times 200"
        return
    last = message.messages[-1]
    assert isinstance(last, ExpectedRequest)
    ends = talk.stream.is_closed or talk.stream.has_ended
    if last.close is not None and talk.tunnel is None and (last.close != answers[-1][1] or last.close != ends):
        yield f"close is {answers[-1][1]}, ended is {ends}, it should be {last.close}"
    if talk.tunnel is not None:
        early = talk.stream._buffer
        if early != message.rest:
            yield f"the tunnel begins with {early!r} instead of {message.rest!r}"


def _refused_request(message: Message, talk: Conversation) -> Iterator[str]:
    yield from _compare(message, talk, whole=False)
    answers = statuses(talk)
    if message.incomplete:
        if len(answers) != len(message.messages):
            yield f"answered {answers} before the end of input"
        return
    if len(answers) != len(message.messages) + 1 or answers[-1] != (message.status, True):
        yield f"answers {answers} instead of a last {message.status} that closes"
    if not talk.stream.is_closed and not talk.stream.has_ended:
        yield "the connection stays open"


def _broken_off_request(message: Message, talk: Conversation) -> Iterator[str]:
    """A head that breaks off has nobody to answer to; a request whose body does is answered. Either way it is over."""
    answers = statuses(talk)[len(message.messages) :]
    began = len(talk.seen) > len(message.messages)
    if answers != ([(message.status, True)] if began else []):
        yield f"answers {answers} after the end of input"
    if not talk.stream.is_closed and not talk.stream.has_ended:
        yield "the connection stays open after the end of input"


def _compare(message: Message, talk: Conversation, *, whole: bool) -> Iterator[str]:
    complete = [seen for seen in talk.seen if seen.body is not None]
    if len(complete) != len(message.messages):
        yield f"{len(complete)} whole requests instead of {len(message.messages)}"
        return
    if whole and len(talk.seen) != len(complete):
        yield "a request that never came whole"
    for seen, expected in zip(complete, message.messages, strict=True):
        assert isinstance(expected, ExpectedRequest)
        request = seen.request
        target = expected.target if request.method == "CONNECT" else _target_of(request.target)
        found = (seen.method, target, request.version, seen.body)
        wanted = (expected.method, _canonical(expected), 1 if expected.version == "1.1" else 0, expected.body)
        if found != wanted:
            yield f"read as {found} instead of {wanted}"
        if expected.authority is not None and seen.authority != _canonical_authority(expected.authority):
            yield f"authority {seen.authority!r} instead of {expected.authority!r}"
        if expected.fields is not None and list(request.fields) != _end_to_end(expected.fields):
            yield f"fields {list(request.fields)} instead of {_end_to_end(expected.fields)}"
        if expected.trailers is not None:
            trailers = request.body.trailers
            if (() if trailers is None else tuple(trailers)) != expected.trailers:
                yield f"trailers {trailers} instead of {expected.trailers}"


def _target_of(target: Target) -> str:
    return "*" if target.form is Form.ASTERISK else target.path_and_query or "*"


def _canonical(expected: ExpectedRequest) -> str:
    if expected.method == "CONNECT":
        return expected.target
    return CANONICAL.get(expected.target, expected.target)


def _canonical_authority(text: str) -> str:
    return text.lower().removesuffix(":").removesuffix(".")


def _end_to_end(pairs: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    listed = {
        name.strip(" \t").lower() for key, value in pairs if key.lower() == "connection" for name in value.split(",")
    }
    return [(name, value) for name, value in pairs if name.lower() not in TAKEN_OFF | listed]


# --- responses -----------------------------------------------------------------------------------------------------


async def responses_of(message: Message, way: str, pieces: list[bytes], parser: HeadParser) -> Iterator[str]:
    """What is wrong with the product's reading of one response message."""
    stream = MemoryStream(SERVER)
    freed: list[UpstreamConnection] = []
    gone: list[UpstreamConnection] = []
    interim: list[int] = []
    connection = UpstreamConnection(stream, parser, freed.append, gone.append)
    exchange = Exchange(1, 0, "listener", SERVER, 0.0)
    exchange.on_interim = lambda status, fields: interim.append(status)
    task = asyncio.create_task(_ask(connection, exchange, message))
    await settle(lambda: len(stream.sent))

    def state() -> tuple[object, ...]:
        return task.done(), len(freed), stream.is_closed, len(interim)

    for piece in pieces:
        stream.receive(piece)
        if way.startswith("cut"):
            await settle(state)
    await settle(state)
    was_done, was_free, was_closed = task.done(), bool(freed), stream.is_closed
    stream.receive_end()
    await settle(state)
    stream.lose()
    await settle(state)
    complaints: list[str] = []
    if not task.done():
        complaints.append("it waits for ever")
        task.cancel()
    elif message.verdict == "reject":
        error = task.exception()
        if not isinstance(error, Failure):
            complaints.append(f"accepted as {task.result()}" if error is None else f"an exception: {error!r}")
        elif error.status != message.status:
            complaints.append(f"refused with {error.status} instead of {message.status}")
        elif was_done == message.incomplete:
            complaints.append("refused before the end of input" if was_done else "refused only at the end of input")
        if freed:
            complaints.append("the connection would be used again")
    else:
        complaints += _accepted_response(message, task, stream, was_done, was_free, was_closed, interim)
    if not gone:
        complaints.append("the connection was not forgotten")
    return iter(complaints)


async def _ask(connection: UpstreamConnection, exchange: Exchange, message: Message) -> tuple[Response, bytes]:
    authority = Authority("b.example", 80 if message.request_method == "CONNECT" else None)
    form = Form.AUTHORITY if message.request_method == "CONNECT" else Form.ORIGIN
    request = Request(message.request_method, Target(form, "http", authority, "/"), Fields())
    if message.request_upgrade == "websocket":
        request.upgrade = "websocket"
    response = await connection.send(
        exchange, request, Attempt(Origin("http", "b.example", 80), 0.0), absolute=False, content=b""
    )
    return response, await response.body.read(MOST)


def _accepted_response(
    message: Message,
    task: asyncio.Task[tuple[Response, bytes]],
    stream: MemoryStream,
    was_done: bool,
    was_free: bool,
    was_closed: bool,
    interim: list[int],
) -> Iterator[str]:
    [expected] = message.messages
    assert isinstance(expected, ExpectedResponse)
    if error := task.exception():
        yield f"refused: {error!r}"
        return
    response, body = task.result()
    if (response.status, body) != (expected.status, expected.body):
        yield f"read as {response.status} {body!r} instead of {expected.status} {expected.body!r}"
    if was_done != (expected.framing != "close"):
        yield f"it ended {'before' if was_done else 'with'} the connection, its framing is {expected.framing}"
    if (response.body.length is not None and response.body.length > 0) != (
        expected.framing == "length" and bool(expected.body)
    ):
        yield f"length {response.body.length}, its framing is {expected.framing}"
    if expected.reason is not None and response.reason.decode("latin-1") != expected.reason:
        yield f"reason {response.reason!r} instead of {expected.reason!r}"
    if expected.fields is not None and list(response.fields) != _end_to_end(expected.fields):
        yield f"fields {list(response.fields)} instead of {_end_to_end(expected.fields)}"
    if expected.trailers is not None:
        trailers = response.body.trailers
        if (() if trailers is None else tuple(trailers)) != expected.trailers:
            yield f"trailers {trailers} instead of {expected.trailers}"
    if interim != [status for status in message.interim if status != 100]:
        yield f"interim answers {interim} instead of {message.interim}"
    if response.status == 101 or (message.request_method == "CONNECT" and response.status < 300):
        if stream._buffer != message.rest:
            yield f"the tunnel begins with {stream._buffer!r} instead of {message.rest!r}"
        return
    if expected.close is not None or message.extra:
        ends = bool(expected.close) or message.extra
        if expected.framing != "close" and was_closed != ends:
            yield f"the connection is {'closed' if was_closed else 'kept'}"
        if not ends and not was_free:
            yield "the connection is not free for another exchange"


# --- the tests -----------------------------------------------------------------------------------------------------

Reading = Callable[[Message, str, list[bytes], HeadParser], Coroutine[Any, Any, Iterator[str]]]
READING: dict[str, Reading] = {"request": requests_of, "response": responses_of}


def complaints(messages: list[Message]) -> list[str]:
    """Everything that is wrong, each message's first complaint only."""

    async def all_of_them() -> list[str]:
        found = []
        shared = HeadParser()
        for message in messages:
            for way, pieces in ways(message):
                parser = HeadParser() if way in ("whole", "octet by octet") else shared
                wrong = list(await READING[message.kind](message, way, pieces, parser))
                if wrong:
                    found.append(f"{message.name} ({message.kind}, {message.verdict}, {way}): {'; '.join(wrong)}")
                    break
        return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(all_of_them())


@pytest.mark.parametrize(("theme", "kind"), THEMES)
def test_a1_a2_a3_a6_a7_every_verdict_is_the_corpus_own_wherever_the_wire_is_cut(theme: str, kind: str) -> None:
    found = complaints([m for m in MESSAGES if (m.theme, m.kind) == (theme, kind)])
    assert not found, f"{len(found)} messages:\n" + "\n".join(found)


@pytest.mark.parametrize("kind", ["request", "response"])
def test_a1_a3_a7_octets_behind_a_message_change_nothing_about_it(kind: str) -> None:
    changed = [c for m in MESSAGES if m.kind == kind and (c := with_more_behind(replace(m, split=False))) is not None]
    found = complaints(changed)
    assert len(changed) > 250
    assert not found, f"{len(found)} messages:\n" + "\n".join(found)


def test_there_is_something_to_judge() -> None:
    assert len(MESSAGES) >= 300
    assert sum(message.split for message in MESSAGES) > 1200
