"""Which route takes a request."""

from __future__ import annotations

import itertools

import pytest

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target, without_parameters
from interpose.engine.router import Match, Router, is_below


def named(name: str) -> Handler:
    async def handler(exchange: Exchange, request: Request) -> Response:
        return Response.text(200, name)

    handler.__name__ = name
    return handler


ROUTES = [
    (Match(), named("anything")),
    (Match(path="/api"), named("api")),
    (Match(path="/api/v2/"), named("api v2")),
    (Match(path="/api", methods=("POST", "PUT")), named("api write")),
    (Match(path="/api", exact=True), named("api itself")),
    (Match(hosts=("a.example",)), named("a")),
    (Match(hosts=("a.example",), path="/api"), named("a api")),
    (Match(hosts=("*.example",)), named("below example")),
    (Match(hosts=("*.b.example", "c.example")), named("below b, or c")),
]


@pytest.mark.parametrize(
    ("method", "host", "path", "name"),
    [
        ("GET", "x.test", "/", "anything"),
        ("GET", "x.test", "/apis", "anything"),
        ("GET", "x.test", "/api/", "api"),
        ("GET", "x.test", "/api", "api itself"),
        ("POST", "x.test", "/api", "api itself"),
        ("POST", "x.test", "/api/x", "api write"),
        ("GET", "x.test", "/api/v2", "api"),
        ("GET", "x.test", "/api/v2/x", "api v2"),
        ("POST", "x.test", "/api/v2/x", "api v2"),
        ("GET", "a.example", "/", "a"),
        ("GET", "a.example", "/api/v2/x", "a api"),
        ("GET", "z.example", "/api", "below example"),
        ("GET", "example", "/api/", "api"),
        ("GET", "x.b.example", "/", "below b, or c"),
        ("GET", "b.example", "/", "below example"),
        ("GET", "x.y.b.example", "/", "below b, or c"),
        ("GET", "c.example", "/", "below b, or c"),
        ("GET", "x.c.example", "/", "below example"),
        ("GET", "badexample", "/", "anything"),
        ("OPTIONS", "x.test", "", "anything"),
        ("GET", "x.test", "/api;v=1", "api itself"),
        ("GET", "x.test", "/api;v=1/x", "api"),
        ("GET", "x.test", "/;x/api/y", "api"),
        ("GET", "", "/", "anything"),
    ],
)
def test_the_most_specific_route_takes_it_whatever_the_order(method: str, host: str, path: str, name: str) -> None:
    orders = [
        ROUTES,
        ROUTES[::-1],
        ROUTES[4:] + ROUTES[:4],
        *itertools.islice(itertools.permutations(ROUTES), 0, 4000, 500),
    ]
    for routes in orders:
        found = Router(routes).find(method, host, path)
        assert found is not None
        assert found[1].__name__ == name  # type: ignore[attr-defined]


async def test_what_no_route_takes_is_refused_with_a_note() -> None:
    exchange = Exchange(1, 0, "main", Address("127.0.0.1", 1), 0.0)
    request = Request("GET", Target(Form.ORIGIN, "http", Authority("a"), "/x"), Fields())
    with pytest.raises(Failure) as raised:
        await Router([(Match(path="/y"), named("y"))])(exchange, request)
    assert (raised.value.status, exchange.notes["filter"], exchange.notes["rule"]) == (404, "router", "no route")


@pytest.mark.parametrize(
    ("path", "prefix", "answer"),
    [
        ("/api", "/api", True),
        ("/api/", "/api", True),
        ("/api/x", "/api", True),
        ("/apis", "/api", False),
        ("/ap", "/api", False),
        ("/api", "/api/", False),
        ("/api/x", "/api/", True),
        ("/x", "/", True),
        ("", "/", True),
        ("", "/api", False),
    ],
)
def test_below_means_below_a_segment(path: str, prefix: str, answer: bool) -> None:
    assert is_below(path, prefix) is answer


@pytest.mark.parametrize(
    ("path", "without"),
    [("/a;b/c", "/a/c"), ("/a;b;c=d", "/a"), ("/;x/a", "/a"), ("/;", "/"), ("/a/;x", "/a/"), ("/a", "/a")],
)
def test_parameters_of_segments_are_taken_off(path: str, without: str) -> None:
    assert without_parameters(path) == without
