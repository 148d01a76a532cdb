"""The forwarding filter as the chain calls it; what it writes is in `protocol/test_forwarding.py` and the scenes."""

from __future__ import annotations

import pytest

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.handler import Answered
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.forwarding import Forwarding, ForwardingOptions

TARGET = Target(Form.ORIGIN, "http", Authority("example.org"), "/")


def exchange() -> Exchange:
    return Exchange(1, 0, "main", Address("192.0.2.1", 50000), 0.0)


def get(*fields: tuple[str, str]) -> Request:
    return Request("GET", TARGET, Fields(fields))


async def later(exchange: Exchange, request: Request) -> Response:
    return Response(200, Fields([("Server", "a"), ("X-Seen", request.fields.get("X-Forwarded-For", "nobody"))]))


def at_once(exchange: Exchange, request: Request) -> Answered:
    return Answered(Response(200, Fields([("Server", "a"), ("Via", request.fields.get("Via", "nobody"))])))


def test_an_answer_that_is_there_at_once_goes_on_at_once_and_has_via() -> None:
    answering = Forwarding(ForwardingOptions())(exchange(), get(), at_once)
    assert isinstance(answering, Answered)
    assert list(answering.response.fields) == [("Server", "a"), ("Via", "1.1 interpose"), ("Via", "1.1 interpose")]


async def test_an_answer_that_is_waited_for_has_via_as_well() -> None:
    response = await Forwarding(ForwardingOptions())(exchange(), get(), later)
    assert list(response.fields) == [("Server", "a"), ("X-Seen", "192.0.2.1"), ("Via", "1.1 interpose")]


async def test_without_via_neither_message_has_it() -> None:
    response = await Forwarding(ForwardingOptions(via=False))(exchange(), get(), at_once)
    assert list(response.fields) == [("Server", "a"), ("Via", "nobody")]


async def test_a11_what_a_stranger_says_of_itself_is_replaced() -> None:
    asked = get(("X-Forwarded-For", "10.0.0.1"), ("Accept", "*/*"))
    response = await Forwarding(ForwardingOptions())(exchange(), asked, later)
    assert response.fields["X-Seen"] == "192.0.2.1"


async def test_a_proxy_keeps_its_own_password_and_tells_nobody_who_asks() -> None:
    asked = get(("Proxy-Authorization", "Basic x"), ("Accept", "*/*"))
    response = await Forwarding(ForwardingOptions(identity=False))(exchange(), asked, later)
    assert response.fields["X-Seen"] == "nobody"
    assert list(asked.fields) == [("Accept", "*/*"), ("Via", "1.1 interpose")]


def test_a_loop_is_refused_with_a_note_before_anything_is_asked() -> None:
    of = exchange()
    with pytest.raises(Failure, match="passed through this proxy"):
        Forwarding(ForwardingOptions())(of, get(("Via", "1.1 interpose, 1.1 interpose")), at_once)
    assert (of.notes["filter"], of.notes["rule"]) == ("forwarding", "proxy_loop_detected")
