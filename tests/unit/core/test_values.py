"""Targets, networks, failures, messages and chains: small values and what they answer."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from interpose.core.body import EMPTY, Body
from interpose.core.exchange import Exchange
from interpose.core.failure import CONSEQUENCES, Failure, Side, bad_request, bad_response
from interpose.core.fields import Fields
from interpose.core.handler import Answered, Handler, chain
from interpose.core.message import Request, Response, copy_of
from interpose.core.networks import Networks
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Origin, Target


@pytest.mark.parametrize(
    ("authority", "text"),
    [
        (Authority("a.example"), "a.example"),
        (Authority("a.example", 8080), "a.example:8080"),
        (Authority("::1"), "[::1]"),
        (Authority("2001:db8::1", 443), "[2001:db8::1]:443"),
    ],
)
def test_an_authority_is_written_as_in_a_url(authority: Authority, text: str) -> None:
    assert str(authority) == text


@pytest.mark.parametrize(
    ("origin", "authority", "text"),
    [
        (Origin("http", "a", 80), "a", "http://a"),
        (Origin("http", "a", 8080), "a:8080", "http://a:8080"),
        (Origin("https", "::1", 443), "[::1]", "https://[::1]"),
        (Origin("https", "a", 80), "a:80", "https://a:80"),
        (Origin("unix", "/run/x", 0), None, "unix:/run/x"),
    ],
)
def test_an_origin_names_its_port_only_where_it_is_not_the_usual(
    origin: Origin, authority: str | None, text: str
) -> None:
    assert authority is None or str(origin.authority) == authority
    assert str(origin) == text


def test_a_target_knows_its_origin_and_its_spellings() -> None:
    target = Target(Form.ABSOLUTE, "https", Authority("a"), "/x", "y=1")
    assert (target.origin, target.path_and_query, str(target)) == (
        Origin("https", "a", 443),
        "/x?y=1",
        "https://a/x?y=1",
    )
    assert Target(Form.ORIGIN, "http", Authority("a"), "/x").path_and_query == "/x"
    assert Target(Form.ORIGIN, "http", Authority("a"), "/x", "").path_and_query == "/x?"
    assert str(Target(Form.AUTHORITY, "", Authority("a", 443), "")) == "a:443"
    assert str(Target(Form.ASTERISK, "http", Authority("a"), "")) == "*"


@pytest.mark.parametrize(
    ("host", "is_in"),
    [
        ("192.0.2.1", True),
        ("192.0.3.1", False),
        ("::ffff:192.0.2.1", True),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
        ("fe80::1%eth0", True),
        ("", False),
        ("/run/socket", False),
        ("localhost", False),
    ],
)
def test_networks_say_whether_an_address_is_in_them(host: str, is_in: bool) -> None:
    networks = Networks(["192.0.2.0/24", "2001:db8::/32", "fe80::/10"])
    assert (host in networks) is is_in
    assert (host in networks) is is_in  # remembered
    assert host not in Networks([])


def test_networks_remember_within_a_bound() -> None:
    networks = Networks(["10.0.0.0/8"])
    assert all(f"10.{n >> 8 & 255}.{n & 255}.1" in networks for n in range(10_000))
    assert len(networks._answers) <= 4096


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError):
        Networks(["192.0.2.0/33"])


def test_every_kind_of_failure_has_a_consequence() -> None:
    for kind, consequence in CONSEQUENCES.items():
        failure = Failure(kind, Side.UPSTREAM)
        assert failure.status == consequence.status
        assert 400 <= consequence.status < 600
        assert consequence.level in ("debug", "info", "warning", "error")
        assert consequence.says.endswith(".")
        assert str(failure) == kind
    with pytest.raises(KeyError):
        Failure("no_such_kind", Side.UPSTREAM)


def test_failures_of_reading_name_the_side() -> None:
    assert (bad_request("x").status, bad_request("x").side, bad_request("x", 431).status) == (400, Side.DOWNSTREAM, 431)
    assert (bad_response("x").status, bad_response("x").side, bad_response("x").sent) == (502, Side.UPSTREAM, True)


def test_a_copy_of_a_request_is_forwarded_on_its_own() -> None:
    request = Request("POST", Target(Form.ORIGIN, "http", Authority("a"), "/"), Fields([("X", "1")]), Body(b"abc"))
    request.upgrade, request.wants_trailers, request.expects_continue = "websocket", True, True
    copy = request.copy()
    copy.fields["X"] = "2"
    assert request.fields["X"] == "1"
    assert (copy.method, copy.target, copy.upgrade, copy.wants_trailers) == ("POST", request.target, "websocket", True)
    assert (copy.body.take(), request.body.take()) == (b"abc", b"abc")


def test_what_still_streams_has_no_copy() -> None:
    class Source:
        def pause(self) -> None: ...

        def resume(self) -> None: ...

        def cancel(self) -> None: ...

    with pytest.raises(ValueError, match="still streaming"):
        copy_of(Body.streaming(Source(), None))
    assert copy_of(EMPTY) is EMPTY


async def test_a_chain_asks_the_first_filter_first_and_each_may_answer() -> None:
    order: list[str] = []

    def named(name: str, answers: bool = False) -> object:
        async def filter_(exchange: Exchange, request: Request, forward: Handler) -> Response:
            order.append(name)
            return Response(204) if answers else await forward(exchange, request)

        return filter_

    def end(exchange: Exchange, request: Request) -> Awaitable[Response]:
        order.append("end")

        async def answer() -> Response:
            return Response(200)

        return answer()

    exchange = Exchange(1, 0, "main", Address("127.0.0.1", 1), 0.0)
    request = Request("GET", Target(Form.ORIGIN, "http", Authority("a"), "/"), Fields())
    assert (await chain([named("a"), named("b")], end)(exchange, request)).status == 200  # type: ignore[list-item]
    assert order == ["a", "b", "end"]
    order.clear()
    assert (await chain([named("a"), named("b", True)], end)(exchange, request)).status == 204  # type: ignore[list-item]
    assert order == ["a", "b"]
    assert chain([], end) is end


async def test_what_is_answered_at_once_can_be_awaited_like_anything() -> None:
    response = Response(200)
    assert await Answered(response) is response
