"""How large an answer may be."""

from __future__ import annotations

import pytest

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Answered
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.response_size import ResponseSize

REQUEST = Request("GET", Target(Form.ORIGIN, "http", Authority("a"), "/"), Fields())


class Endless:
    """The source of a body: says whether it was given up."""

    given_up = False

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cancel(self) -> None:
        self.given_up = True


def exchange() -> Exchange:
    return Exchange(1, 0, "web", Address("10.0.0.7", 1), 0.0)


@pytest.mark.parametrize(("length", "passes"), [(0, True), (10, True), (11, False)])
async def test_an_answer_of_known_length_is_judged_by_its_head(length: int, passes: bool) -> None:
    told = exchange()
    source = Endless()
    body = Body.streaming(source, length)

    async def later(exchange: Exchange, request: Request) -> Response:
        return Response(200, body=body)

    if passes:
        assert (await ResponseSize(10)(told, REQUEST, later)).body is body
        return
    with pytest.raises(Failure) as raised:
        await ResponseSize(10)(told, REQUEST, later)
    assert (raised.value.kind, raised.value.status, raised.value.side) == (
        "http_response_body_size",
        502,
        Side.UPSTREAM,
    )
    assert source.given_up
    assert told.notes["rule"] == "max_response_bytes = 10"


async def test_an_answer_of_unknown_length_breaks_off_where_it_becomes_too_long() -> None:
    source = Endless()
    body = Body.streaming(source, None)
    answering = ResponseSize(10)(exchange(), REQUEST, lambda exchange, request: Answered(Response(200, body=body)))
    assert isinstance(answering, Answered)
    response = answering.response
    body.feed(b"123456789")
    assert await response.body.next_chunk() == b"123456789"
    body.feed(b"0")
    assert await response.body.next_chunk() == b"0"
    body.feed(b"x")
    with pytest.raises(Failure) as raised:
        await response.body.next_chunk()
    assert raised.value.kind == "http_response_body_size"
    assert source.given_up
