"""A10: no value that a user, a script or an origin chose becomes a line of its own, on the wire or in the log.

A script puts the request's payload wherever a script can put text. Hypothesis makes the payloads; the judge reads what
the origin and the client got, and the log's bytes are looked at one by one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import bcrypt
import pytest
import uvloop
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.scenes import judge
from tests.support.product import Product, product
from tests.support.raw_client import RawClient
from tests.support.raw_origin import OK, RawOrigin, answering

from interpose import gateway_config
from interpose.config.model import Script

SCRIPT = """
import interpose
from interpose import Body, Failure, Fields, Response, Side
from interpose.core.target import Authority

@interpose.filter
async def everywhere(exchange, request, forward):
    where = request.target.path[1:]
    text = bytes.fromhex(request.target.query or "").decode("latin-1")
    raw = text.encode("latin-1")
    if where == "request-value":
        request.fields["X-Out"] = text
    elif where == "request-name":
        request.fields.add(text, "y")
    elif where == "method":
        request.method = text
    elif where == "path":
        request.target = request.target._replace(path="/" + text)
    elif where == "query":
        request.target = request.target._replace(query=text)
    elif where == "host":
        request.target = request.target._replace(authority=Authority(text))
    elif where == "upgrade":
        request.upgrade = text
    elif where == "redirect":
        return Response(302, Fields([("Location", text)]))
    elif where == "reason-of-ours":
        return Response(200, reason=raw)
    elif where == "failure":
        raise Failure("http_request_denied", Side.DOWNSTREAM, text)
    elif where == "note":
        exchange.notes["why"] = text
    elif where == "note-name":
        exchange.notes[text] = "why"
    elif where == "user":
        exchange.user = text
    elif where == "trailer":
        body = Body(b"x")
        body.trailers = Fields([("X-T", text)])
        return Response(200, body=body)
    response = await forward(exchange, request)
    if where == "response-value":
        response.fields["X-Out"] = text
    elif where == "response-name":
        response.fields.add(text, "y")
    elif where == "reason":
        response.reason = raw
    elif where == "error":
        raise RuntimeError(text)
    return response
"""
PLACES = [
    "request-value", "request-name", "method", "path", "query", "host", "upgrade", "redirect", "reason-of-ours",
    "failure", "note", "note-name", "user", "trailer", "response-value", "response-name", "reason", "error",
]  # fmt: skip
INJECTED = [
    "X\r\nInjected: y",
    "x\nInjected: y",
    "x\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    "\x00",
    " x ",
    "é\x85",
]
CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]")


class Scene:
    """A gateway with the script, before an origin that records, on a loop of its own."""

    def __init__(self, log_format: str) -> None:
        self._stack = AsyncExitStack()
        self._format = log_format
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.exchanges = 0
        self.product: Product

    async def start(self, script: Path) -> None:
        self.origin = await self._stack.enter_async_context(RawOrigin(answering(OK)))
        config = gateway_config([self.origin.address], ["127.0.0.1:0"])
        config = replace(config, scripts=(Script(file=str(script), max_errors_per_minute=0),))
        self.product = await self._stack.enter_async_context(product(config, log=self._format, may_log_errors=True))

    async def stop(self) -> None:
        await self._stack.aclose()

    async def say(self, wire: bytes, method: str = "GET") -> tuple[judge.Response, list[judge.Request]]:
        """The one answer to `wire`, and what it led to at the origin."""
        before = [len(connection.received) for connection in self.origin.connections]
        async with RawClient(self.product.address()) as client:
            client.send(wire)
            client.end()
            [answer] = judge.read_responses(await client.rest(), [method])
        self.exchanges += 1
        before += [0] * (len(self.origin.connections) - len(before))
        arrived = [
            request
            for start, connection in zip(before, self.origin.connections, strict=True)
            for request in judge.read_requests(connection.received[start:])
        ]
        return answer, arrived


@pytest.fixture(params=["json", "combined"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    scene = Scene(request.param)
    with tempfile.TemporaryDirectory() as directory, scene.runner as runner:
        script = Path(directory, "everywhere.py")
        script.write_text(SCRIPT)
        runner.run(scene.start(script))
        try:
            yield scene
        finally:
            runner.run(scene.stop())
    lines = scene.product.raw_log.split(b"\n")
    assert lines.pop() == b""
    assert len(lines) == scene.exchanges > 0
    assert [line for line in lines if CONTROL.search(line) or not line] == []
    for line in lines:
        if request.param == "json":
            assert not re.search(r"[\x80-\x9f]", line.decode())
            json.loads(line)
        else:
            assert line.isascii()


def test_a10_whatever_a_script_writes_wherever_it_stays_one_message(scene: Scene) -> None:
    @hypothesis_settings(
        max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(st.sampled_from(PLACES), st.text(st.characters(max_codepoint=255), max_size=60))
    @example("reason", "")
    def scripted(place: str, text: str) -> None:
        wire = f"GET /{place}?{text.encode('latin-1').hex()} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        method = text if place == "method" and text == "HEAD" else "GET"
        answer, arrived = scene.runner.run(scene.say(wire, method))
        assert len(arrived) <= 1
        assert answer.status in (200, 302, 403, 500)
        for message in (answer, *arrived):
            assert message.values("injected") == []
        if answer.status == 200 and place == "request-value":
            assert arrived[0].values("x-out") == [text]
        if answer.status == 200 and place == "path":
            assert arrived[0].target.startswith("/" + text)

    for place in PLACES:
        for text in INJECTED:
            scripted = example(place, text)(scripted)
    scripted()
    assert scene.exchanges >= 150 + len(PLACES) * len(INJECTED)


def test_a10_whatever_a_client_says_of_itself_stays_in_its_line_of_the_log(scene: Scene) -> None:
    values = st.binary(max_size=60).map(lambda raw: re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", b"", raw))

    @hypothesis_settings(
        max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(values, values)
    @example(b'"\\', b"\x80\x85\xc2\x85\xff")
    def said(agent: bytes, referer: bytes) -> None:
        query = agent.hex().encode()
        wire = b'GET /x"\x27?%b HTTP/1.1\r\nHost: a\r\nUser-Agent: %b\r\nReferer: %b\r\n\r\n' % (
            query,
            agent,
            referer,
        )
        answer, arrived = scene.runner.run(scene.say(wire))
        assert (answer.status, len(arrived)) == (200, 1)

    said()


def test_a10_a_request_that_cannot_be_read_has_its_line_too(scene: Scene) -> None:
    for wire in (b"GET /\x00\x1b[31m HTTP/1.1\r\n\r\n", b"\xff\xfe\r\n\r\n", b"GET / HTTP/1.1\r\nX: a\rb\r\n\r\n"):
        answer, arrived = scene.runner.run(scene.say(wire))
        assert (answer.status, arrived) == (400, [])


@pytest.mark.parametrize("log_format", ["json", "combined"])
@pytest.mark.parametrize("name", ['an"na', "an\\na", "an na", "ann\xe4"])
async def test_a10_a_users_name_stays_in_its_word_of_the_log(name: str, log_format: str, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_bytes(name.encode() + b":" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)) + b"\n")
    async with RawOrigin(answering(OK)) as origin:
        config = gateway_config([origin.address], ["127.0.0.1:0"], auth=str(users))
        async with product(config, log=log_format) as running, RawClient(running.address()) as client:
            for user in (name, "x\r\ny", "\x1b[31m"):
                credentials = base64.b64encode(user.encode() + b":secret")
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic " + credentials + b"\r\n\r\n")
                await client.answers("GET")
    lines = running.raw_log.split(b"\n")
    assert len(lines) == 4
    assert not any(CONTROL.search(line) for line in lines)
    if log_format == "combined":
        assert all(line.split(b" ")[3].startswith(b"[") for line in lines[:3])
