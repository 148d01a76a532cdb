"""Invariant 3: framing comes from the body; nothing leaves framed twice, with hop-by-hop fields, or a CR, LF or NUL.

What the product writes, a reader that shares no code with it reads as the same message.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.scenes import judge
from tests.support.conversation import settle
from tests.support.memory_stream import CLIENT, SERVER, MemoryStream

from interpose.core.body import Body
from interpose.core.exchange import Attempt, Exchange
from interpose.core.fields import HOP_BY_HOP, Fields, field_line
from interpose.core.message import Request, Response
from interpose.core.target import Authority, Form, Target
from interpose.engine.pace import Timeouts
from interpose.engine.serve import HttpServer
from interpose.engine.upstream_connection import UpstreamConnection
from interpose.filters.error_answer import ErrorAnswer, ErrorAnswerOptions
from interpose.protocol.head import HeadParser

NORMAL = settings(
    max_examples=300, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VALUE = re.compile(rb"[\t \x21-\x7e\x80-\xff]*")
OWN = {name.decode() for name in HOP_BY_HOP}

names = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", fullmatch=True).filter(
    lambda name: name.lower() not in OWN | {"host", "date", "trailer"}
)
values = st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=30).map(
    lambda text: "".join(c for c in text if c == "\t" or " " <= c != "\x7f").strip(" \t")
)
pairs = st.lists(st.tuples(names, values), max_size=5)
chunks = st.lists(st.binary(min_size=1, max_size=200), max_size=6)


class Quiet:
    """A source that is fed by the test."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cancel(self) -> None: ...


class Made:
    """A body in one of the ways in which bodies come about, and what it holds."""

    def __init__(self, pieces: list[bytes], kind: str, trailers: list[tuple[str, str]]) -> None:
        self.content = b"".join(pieces)
        self.kind = kind
        self.trailers = trailers if kind == "unknown" else []
        self._pieces = pieces
        self.body = Body(self.content)
        if kind != "complete":
            self.body = Body.streaming(Quiet(), len(self.content) if kind == "known" else None)

    def feed(self, half: bool) -> None:
        """The first or the second half of it arrives."""
        if self.kind == "complete":
            return
        middle = len(self._pieces) // 2
        for piece in self._pieces[:middle] if half else self._pieces[middle:]:
            self.body.feed(piece)
        if not half:
            self.body.finish(Fields(self.trailers) if self.trailers else None)


made = st.builds(Made, chunks, st.sampled_from(["complete", "known", "unknown"]), pairs)


def check(message: judge.Head, pairs: list[tuple[str, str]], content: bytes) -> None:
    """Nothing but what was put into it, and one framing at most."""
    assert [pair for pair in message.fields if pair[0].lower() not in {*OWN, "date", "host"}] == pairs
    assert len(message.values("content-length")) + len(message.values("transfer-encoding")) <= 1
    assert message.body == content
    for name, value in message.fields:
        assert TOKEN.fullmatch(name.encode())
        assert VALUE.fullmatch(value.encode("latin-1"))


async def written_answer(
    method: str, version: int, status: int, made: Made, fields: list[tuple[str, str]], *, te: bool
) -> bytes:
    """The octets of one answer."""

    async def handler(exchange: Exchange, request: Request) -> Response:
        made.feed(True)
        return Response(status, Fields(fields), made.body)

    stream = MemoryStream(CLIENT)
    server = HttpServer("main", handler, ErrorAnswer(ErrorAnswerOptions()), HeadParser(), Timeouts(), 0)
    server(stream)
    asks = "TE: trailers\r\n" if te else ""
    stream.receive(f"{method} / HTTP/1.{version}\r\nHost: a\r\n{asks}\r\n".encode())
    await settle(lambda: len(stream.sent))
    made.feed(False)
    await settle(lambda: len(stream.sent))
    stream.lose()
    await settle(lambda: stream.is_lost)
    return stream.sent


async def written_request(
    method: str, target: Target, made: Made, fields: list[tuple[str, str]], *, upgrade: str | None, te: bool
) -> bytes:
    """The octets of one request."""
    stream = MemoryStream(SERVER)
    connection = UpstreamConnection(stream, HeadParser(), lambda it: None, lambda it: None)
    request = Request(method, target, Fields(fields), made.body)
    request.upgrade = upgrade
    request.wants_trailers = te
    made.feed(True)
    content = made.body.take() if made.body.ended else b""

    async def send() -> Any:
        attempt = Attempt(target.origin, 0.0)
        return await connection.send(Exchange(1, 0, "main", CLIENT, 0.0), request, attempt, content)

    task = asyncio.create_task(send())
    await settle(lambda: len(stream.sent))
    made.feed(False)
    await settle(lambda: len(stream.sent))
    stream.lose()
    await asyncio.gather(task, return_exceptions=True)
    return stream.sent


def run(coroutine: Any) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


@NORMAL
@given(
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.integers(0, 1),
    st.sampled_from([200, 201, 204, 206, 304, 404, 418, 500, 599]),
    made,
    pairs,
    st.booleans(),
)
def test_an_answer_is_read_as_the_answer_that_was_given(
    method: str, version: int, status: int, made: Made, fields: list[tuple[str, str]], te: bool
) -> None:
    wire = run(written_answer(method, version, status, made, fields, te=te))
    [answer] = judge.read_responses(wire, [method])
    has_content = method != "HEAD" and status not in (204, 304)
    assert answer.status == status
    check(answer, fields, made.content if has_content else b"")
    expected = "none"
    if has_content:
        expected = "length" if made.kind != "unknown" else "chunked" if version else "close"
        if made.kind == "unknown" and len(made._pieces) < 2 and not made.trailers and answer.framing == "length":
            expected = "length"  # it had ended before its head was written
    assert answer.framing == expected
    forbidden = {"set-cookie", "content-type", "authorization", "cache-control"}
    if answer.trailers:
        assert te
        assert answer.trailers == [pair for pair in made.trailers if pair[0].lower() not in forbidden]
    assert answer.values("connection") in ([], ["close"])
    assert (version == 0) == (answer.values("connection") == ["close"])


targets = st.one_of(
    st.builds(
        Target,
        st.sampled_from([Form.ORIGIN, Form.ABSOLUTE]),
        st.just("http"),
        st.builds(
            Authority,
            st.sampled_from(["a", "a.example", "192.0.2.1", "2001:db8::1"]),
            st.sampled_from([None, 80, 8080]),
        ),
        st.sampled_from(["/", "/a/b", "/%2F;x=y", "/a//b"]),
        st.sampled_from([None, "", "a=b&c", "?"]),
    ),
    st.just(Target(Form.ASTERISK, "http", Authority("a"), "")),
)


@NORMAL
@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "X-ODD"]),
    targets,
    made,
    pairs,
    st.booleans(),
    st.booleans(),
)
def test_a_request_is_read_as_the_request_that_was_made(
    method: str, target: Target, made: Made, fields: list[tuple[str, str]], upgrades: bool, te: bool
) -> None:
    method = "OPTIONS" if target.form is Form.ASTERISK else method
    upgrades = upgrades and made.kind == "complete" and not made.content
    wire = run(written_request(method, target, made, fields, upgrade="websocket" if upgrades else None, te=te))
    [request] = judge.read_requests(wire)
    check(request, fields, made.content)
    assert (request.method, request.version) == (method, "1.1")
    assert request.target == ("*" if target.form is Form.ASTERISK else target.path_and_query)
    assert request.authority == str(target.authority)
    assert request.values("host") == [str(target.authority)]
    assert request.values("upgrade") == (["websocket"] if upgrades else [])
    if method in ("POST", "PUT", "PATCH") and not made.content and made.kind == "complete":
        assert request.values("content-length") == ["0"]


@given(st.text(max_size=20) | st.binary(max_size=20), st.text(max_size=30) | st.binary(max_size=30))
@settings(max_examples=500, derandomize=True, deadline=None, database=None)
def test_a10_a_field_line_is_one_line_or_none(name: str | bytes, value: str | bytes) -> None:
    try:
        line = field_line(name, value)
    except ValueError:
        return
    assert re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t \x21-\x7e\x80-\xff]*\r\n", line.wire)
    assert line.wire == line.name + b": " + line.value + b"\r\n"
    assert line.key == line.name.lower()


@pytest.mark.parametrize("name", sorted(OWN))
@pytest.mark.parametrize("spelled", [str, str.upper, str.title])
def test_no_message_can_be_given_a_field_of_one_connection(name: str, spelled: Any) -> None:
    for change in (Fields().add, Fields().set, Fields().__setitem__):
        with pytest.raises(ValueError, match="written by Interpose itself"):
            change(spelled(name), "x")
    with pytest.raises(ValueError, match="written by Interpose itself"):
        Fields([(spelled(name), "x")])
