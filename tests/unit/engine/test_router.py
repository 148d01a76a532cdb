"""Which route takes a request."""

from __future__ import annotations

import itertools

import pytest

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.path_pattern import is_below
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target, without_parameters
from interpose.engine.router import Match, Router


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


TEMPLATES = [
    (Match(path="/users"), named("prefix")),
    (Match(path="/users/{id}"), named("user")),
    (Match(path="/users/me", exact=True), named("me")),
    (Match(path="/users/{id}/orders/{order}"), named("order")),
    (Match(path="/users/{id}/{part}/{more}"), named("three")),
    (Match(path="/users/{id}/{rest...}"), named("rest")),
    (Match(path="/{any}/{id}"), named("two")),
    (Match(path="/files/{file...}"), named("files")),
    (Match(path="/files/x"), named("x")),
]


@pytest.mark.parametrize(
    ("path", "name", "captured"),
    [
        ("/users", "prefix", None),
        ("/users/", "rest of nothing", None),
        ("/users/me", "me", None),
        ("/users/7", "user", {"id": "7"}),
        ("/users/7/", "rest", {"id": "7", "rest": ""}),
        ("/users/7/orders/9", "order", {"id": "7", "order": "9"}),
        ("/users/7/a/b", "three", {"id": "7", "part": "a", "more": "b"}),
        ("/users/7/a/b/c", "rest", {"id": "7", "rest": "a/b/c"}),
        ("/other/7", "two", {"any": "other", "id": "7"}),
        ("/files/", "files", {"file": ""}),
        ("/files/x", "files", {"file": "x"}),
        ("/files/a%20b/c", "files", {"file": "a%20b/c"}),
        ("/users;a/7;v=1", "user", {"id": "7;v=1"}),
        ("/;x/users/7;v=1", "user", {"id": "7"}),
        ("/users/;v=1", "rest of nothing", None),
        ("/none", None, None),
    ],
)
def test_a_template_takes_segments_and_finds_names(
    path: str, name: str | None, captured: dict[str, str] | None
) -> None:
    for routes in (TEMPLATES, TEMPLATES[::-1]):
        found = Router(routes).find("GET", "a", path)
        if name is None:
            assert found is None
            continue
        assert found is not None
        expected = "prefix" if name == "rest of nothing" else name
        assert (found.handler.__name__, found.captured) == (expected, captured)  # type: ignore[attr-defined]


def asked(
    path: str = "/x", *fields: tuple[str, str], method: str = "GET", host: str = "a", query: str | None = None
) -> Request:
    return Request(method, Target(Form.ORIGIN, "http", Authority(host), path, query), Fields(fields))


async def taken(routes: list[tuple[Match, Handler]], request: Request) -> str:
    exchange = Exchange(1, 0, "main", Address("10.0.0.7", 1), 0.0)
    response = await Router(routes, wall=lambda: 0.0)(exchange, request)
    return response.body.take().decode()


async def test_conditions_are_asked_first_in_their_order_and_those_of_a_longer_path_before() -> None:
    routes = [
        (Match(path="/x"), named("plain")),
        (Match(path="/x", methods=("GET",)), named("get")),
        (Match(path="/x", when="cookie.beta:1"), named("beta")),
        (Match(path="/x", when="request.user-agent:curl* query.page:2"), named("second page for curl")),
        (Match(path="/x", when="from:10.0.0.0/8 request.user-agent:curl*"), named("curl from here")),
        (Match(path="/x/y"), named("longer")),
    ]
    curl = ("User-Agent", "curl/8")
    assert await taken(routes, asked()) == "get"
    assert await taken(routes, asked(method="POST")) == "plain"
    assert await taken(routes, asked("/x", ("Cookie", "a=b; beta=1"), curl)) == "beta"
    assert await taken(routes, asked("/x", curl, query="page=2")) == "second page for curl"
    assert await taken(routes, asked("/x", curl)) == "curl from here"
    assert await taken(routes, asked("/x/y", ("Cookie", "beta=1"))) == "longer"


async def test_a13_a_condition_reads_the_path_that_routes_are_chosen_by() -> None:
    routes = [(Match(), named("open")), (Match(when="path:/admin,/admin/*"), named("kept out"))]
    for path in ("/admin", "/admin/x", "/admin;x", "/admin;x=y/z", "/;a/admin", "/admin/;a"):
        assert await taken(routes, asked(path)) == "kept out", path
    assert await taken(routes, asked("/admins")) == "open"


async def test_a_preflight_comes_to_the_route_that_takes_its_method() -> None:
    routes = [
        (Match(path="/x", methods=("GET",), preflights=True), named("get")),
        (Match(path="/x", methods=("PUT",), preflights=True), named("put")),
        (Match(path="/x"), named("others")),
    ]
    wanted, origin = "Access-Control-Request-Method", ("Origin", "https://app.example")
    assert await taken(routes, asked("/x", (wanted, "PUT"), origin, method="OPTIONS")) == "put"
    assert await taken(routes, asked("/x", (wanted, "GET"), origin, method="OPTIONS")) == "get"
    assert await taken(routes, asked("/x", (wanted, "DELETE"), origin, method="OPTIONS")) == "others"
    assert await taken(routes, asked("/x", (wanted, "PUT"), method="OPTIONS")) == "others"  # nobody would answer it
    assert await taken(routes, asked("/x", origin, method="OPTIONS")) == "others"
    assert await taken(routes, asked("/x", (wanted, "PUT"), origin, method="POST")) == "others"


async def test_what_a_template_found_is_told_with_the_exchange() -> None:
    exchange = Exchange(1, 0, "main", Address("10.0.0.7", 1), 0.0)
    router = Router([(Match(path="/u/{id}", name="user"), named("user")), (Match(), named("other"))])
    await router(exchange, asked("/u/7"))
    assert (exchange.route, exchange.captured) == ("user", {"id": "7"})
    await router(exchange, asked("/v"))
    assert exchange.captured is None


def test_routes_are_looked_up_and_not_gone_through() -> None:
    """A method that no route takes is compared with every candidate: there are few, however many routes there are."""

    class Counted(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    kinds = ("/p{n}", "/t{n}/{{id}}", "/e{n}/{{id}}/x/{{rest...}}")
    routes = [
        (Match(hosts=hosts, path=kind.format(n=number), methods=("GET",)), named("one"))
        for number in range(300)
        for kind in kinds
        for hosts in ((), ("a.example",), ("*.b.example",))
    ]
    router = Router(routes)
    for host, path in [("a.example", "/t7/x"), ("x.b.example", "/e299/1/x/y/z"), ("c", "/p150/a/b")]:
        Counted.compared = 0
        assert router.find(Counted("POST"), host, path) is None
        assert 1 <= Counted.compared <= 8
