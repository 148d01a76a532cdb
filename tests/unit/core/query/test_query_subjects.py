"""Exchanges under way and records of them, asked in the words of the table."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from interpose.core.body import Body
from interpose.core.exchange import Attempt, Exchange
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.query import compile_query, parse
from interpose.core.query.live import Live, cookies, parameters
from interpose.core.query.recorded import Recorded
from interpose.core.record import Kind, Part, Record, Try
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Origin, Target


def live(*, response: Response | None = None, route: str | None = None) -> Live:
    exchange = Exchange(47, 1, "intranet", Address("10.1.2.3", 5555), 0.0)
    exchange.user = "alice"
    attempt = Attempt(Origin("https", "shop.example", 443), 0.0)
    attempt.peer = Address("192.0.2.7", 443)
    exchange.attempts.append(attempt)
    request = Request(
        "POST",
        Target(Form.ABSOLUTE, "https", Authority("shop.example"), "/cart/7", "page=2&q=a+b%26&flag&page=3"),
        Fields(
            [
                ("Content-Type", "application/json ; charset=utf-8"),
                ("X-A", "1"),
                ("x-a", "2"),
                ("Cookie", 'id=x; t="a=b"'),
            ]
        ),
        Body(b'{"token": 1}'),
    )
    return Live(exchange, request, response, time=0.0, route=route, groups=("staff",), request_text='{"token": 1}')


def recorded() -> Recorded:
    record = Record(
        exchange="1-2f",
        started=1000.0,
        duration_s=1.5,
        listener="intranet",
        route="shop",
        client=("10.1.2.3", 5555),
        user="alice",
        scheme="https",
        method="POST",
        host="shop.example",
        port=443,
        target="https://shop.example/cart/7?page=2&q=a+b%26&flag&page=3",
        request=Part(
            b'Content-Type: application/json ; charset=utf-8\r\nX-A: 1\r\nx-a: 2\r\nCookie: id=x; t="a=b"\r\n',
            b'{"token": 1}',
            12,
        ),
        status=503,
        response=Part(b"Content-Type: text/plain\r\nServer: nginx\r\n", "für später".encode(), 12),
        failure="dns_timeout",
        notes={"filter": "allow"},
        attempts=[Try("https://shop.example", peer=("192.0.2.7", 443))],
    )
    return Recorded(
        record, now=1060.0, number=12, mark="Red", comment="Look again", states=["marked"], groups=["staff"]
    )


OF_BOTH = [
    "host:shop.example",
    "port:443",
    "method:POST",
    "scheme:https",
    "path:/cart/7",
    "path:/cart/{id}",
    "url:https://shop.example/cart/7?page=2*",
    "query.page:2",
    "query.page:3",
    'query.q:"a b&"',
    "query.flag:*",
    'query.flag:""',
    "-query.other:*",
    "cookie.id:x",
    "cookie.t:a=b",
    "-cookie.T:*",
    "request.X-A:2",
    "request.host:shop.example",
    "request.type:application/json",
    "request.size:12",
    "request.body:TOKEN",
    "from:10.0.0.0/8",
    "to:192.0.2.7",
    "user:alice",
    "group:staff",
    "listener:intranet",
    "exchange:1-2f",
    "kind:http",
]
OF_ANSWERED = ["status:503", "response.type:text/plain", "response.server:nginx", "response.size:12", "size:24",
               "field.server:*", "type:*json", "field.content-type:text/*"]  # fmt: skip
OF_RECORDED = [
    "id:12", "route:shop", "age:60s..60s", "age:<2m", "took:1.5s..1.5s", "failure:dns_*", "is:marked", "-is:held",
    "note.filter:allow", "-note.x:*", "mark:red", "comment:again", "response.body:später", "body:token", "cart",
    '"text/plain"', '"x-a: 2"', "SPäTER", "-nowhere", "-variant.x:*", "time:*",
]  # fmt: skip


@pytest.mark.parametrize("query", OF_BOTH)
def test_an_exchange_and_its_record_answer_alike(query: str) -> None:
    matcher = compile_query(parse(query))
    assert matcher.decide(live()) is True
    assert matcher.decide(recorded()) is True


@pytest.mark.parametrize("query", OF_ANSWERED)
def test_what_the_response_says_is_unknown_before_it_comes(query: str) -> None:
    fields = Fields([("Content-Type", "text/plain"), ("Server", "nginx")])
    matcher = compile_query(parse(query))
    assert matcher.decide(live(response=Response(503, fields, Body(b"for later..."[:12])))) is True
    assert matcher.decide(recorded()) is True
    assert matcher.decide(live()) is (True if query == "type:*json" else None)


@pytest.mark.parametrize("query", OF_RECORDED)
def test_what_only_a_record_tells(query: str) -> None:
    assert compile_query(parse(query)).decide(recorded()) is True


@pytest.mark.parametrize("query", ["took:>1s", "age:<1h", "failure:*", "is:held", "mark:*", "note.x:*", "id:1", "x"])
def test_an_exchange_under_way_does_not_know_its_end(query: str) -> None:
    assert compile_query(parse(query)).decide(live()) is None
    assert compile_query(parse(f"-{query}")).decide(live()) is None


def test_the_route_is_unknown_before_it_is_chosen() -> None:
    matcher = compile_query(parse("route:shop"))
    assert [matcher.decide(live(route=route)) for route in (None, "shop", "other")] == [None, True, False]


def test_the_server_is_unknown_until_one_was_connected_to_and_none_when_none_was() -> None:
    exchange = Exchange(1, 1, "", Address("10.1.2.3", 5555), 0.0)
    request = Request("GET", Target(Form.ORIGIN, "http", Authority("a"), "/"), Fields())
    to = compile_query(parse("to:*"))
    assert to.decide(Live(exchange, request)) is None
    assert to.decide(Live(exchange, request, Response(200))) is False
    exchange.attempts.append(Attempt(Origin("http", "a", 80), 0.0))
    assert to.decide(Live(exchange, request)) is False


def test_an_exchange_without_a_user_is_nobodys() -> None:
    exchange = Exchange(1, 1, "", Address("/run/x", 0), 0.0)
    request = Request("CONNECT", Target(Form.AUTHORITY, "", Authority("a", 443), ""), Fields())
    subject = Live(exchange, request)
    for query in ['user:""', "-user:bob", "kind:tunnel", "port:443", "-from:0.0.0.0/0,::/0", 'path:""']:
        assert compile_query(parse(query)).matches(subject), query


def test_a_record_without_an_answer_has_no_status_and_no_server() -> None:
    subject = Recorded(Record(exchange="1-1", kind=Kind.TCP, started=0.0, target="a.example:5432"), now=0.0)
    for query in ["-status:*", "-status:200", "-status:<600", "-to:*", "-port:*", 'path:""', "-query.a:*", "kind:tcp"]:
        assert compile_query(parse(query)).decide(subject) is True, query


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["a=1; b=2"], [("a", "1"), ("b", "2")]),
        (["a=1", "a=2;b"], [("a", "1"), ("a", "2")]),
        (['a="1"; b="; c=x=y;'], [("a", "1"), ("b", '"'), ("c", "x=y")]),
        ([], []),
    ],
)
def test_cookies_are_read_in_their_order(lines: Sequence[str], found: list[tuple[str, str]]) -> None:
    assert list(cookies(lines)) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (None, []),
        ("", []),
        ("a=1&b&&c=", [("a", "1"), ("b", ""), ("c", "")]),
        ("a+b=%C3%A4%26&x=%zz%ff", [("a b", "ä&"), ("x", "%zz\ufffd")]),
    ],
)
def test_parameters_are_decoded(query: str | None, found: list[tuple[str, str]]) -> None:
    assert list(parameters(query)) == found
