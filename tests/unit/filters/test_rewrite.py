"""What servers are asked for instead."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Awaitable
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.handler import Answered
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.rewrite import Rewrite, RewriteOptions
from interpose.protocol.target import canonical_path


class Server:
    """Keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Target] = []

    async def __call__(self, exchange: Exchange, request: Request) -> Response:
        self.asked.append(request.target)
        return Response(200)


async def rewritten(
    options: RewriteOptions, path: str, query: str | None = None, *, form: Form = Form.ORIGIN, **captured: str
) -> str:
    exchange = Exchange(1, 0, "web", Address("10.0.0.7", 1), 0.0)
    exchange.captured = captured or None
    server = Server()
    target = Target(form, "http", Authority("a.example", 8080), path, query)
    fields = Fields([("Cookie", "who=a/../b")])
    await Rewrite(options)(exchange, Request("GET", target, fields), server)
    [asked] = server.asked
    return f"{asked.authority} {asked.path_and_query}"


@pytest.mark.parametrize(
    ("options", "path", "query", "asked"),
    [
        (RewriteOptions(strip_prefix="/api"), "/api/x", "q=1", "a.example:8080 /x?q=1"),
        (RewriteOptions(strip_prefix="/api"), "/api", None, "a.example:8080 /"),
        (RewriteOptions(strip_prefix="/api/"), "/api/x/", None, "a.example:8080 /x/"),
        (RewriteOptions(strip_prefix="/api"), "/apis/x", None, "a.example:8080 /apis/x"),
        (RewriteOptions(strip_prefix="/api"), "/api;v=1/x;y", None, "a.example:8080 /x"),
        (RewriteOptions(add_prefix="/v2"), "/x", "", "a.example:8080 /v2/x?"),
        (RewriteOptions(strip_prefix="/api", add_prefix="/v2/"), "/api/x%20y", None, "a.example:8080 /v2/x%20y"),
        (RewriteOptions(path="/app/{id}/show"), "/users/7", None, "a.example:8080 /app/7/show"),
        (RewriteOptions(path="/app{path}"), "/x//", None, "a.example:8080 /app/x/"),
        (RewriteOptions(strip_prefix="/api", path="/app{path}"), "/api/x", None, "a.example:8080 /app/x"),
        (RewriteOptions(path="/p/{query.page}"), "/x", "page=a%20b", "a.example:8080 /p/a%20b?page=a%20b"),
        (RewriteOptions(path="/p/{query.page}"), "/x", "page=caf%C3%A9", "a.example:8080 /p/caf%C3%A9?page=caf%C3%A9"),
        (RewriteOptions(path="/h/{host}/{id}"), "/x", None, "a.example:8080 /h/a.example/7"),
        (RewriteOptions(host="app.internal"), "/x", None, "app.internal /x"),
        (RewriteOptions(host="{host}.internal:81"), "/x", None, "a.example.internal:81 /x"),
        (RewriteOptions(set_query=("id={id}", "b=x y")), "/x", "b=1&a=2&b=3", "a.example:8080 /x?b=x%20y&a=2&id=7"),
        (RewriteOptions(set_query=("p={query.q}",)), "/x", "q=a%26b%3D1", "a.example:8080 /x?q=a%26b%3D1&p=a%26b%3D1"),
        (RewriteOptions(remove_query=("utm_*", "x")), "/", "utm_a=1&x&y=&%78=2", "a.example:8080 /?y="),
        (RewriteOptions(remove_query=("*",)), "/", "a=1&b", "a.example:8080 /"),
        (RewriteOptions(remove_query=("*",), set_query=("c=1",)), "/", "a=1&b", "a.example:8080 /?c=1"),
    ],
)  # fmt: skip
async def test_the_target_is_spelled_anew(options: RewriteOptions, path: str, query: str | None, asked: str) -> None:
    assert await rewritten(options, path, query, id="7") == asked


@pytest.mark.parametrize(
    ("options", "query"),
    [
        (RewriteOptions(path="/files/{query.f}"), "f=.."),
        (RewriteOptions(path="/files/{query.f}/x"), "f=%2e%2e"),
        (RewriteOptions(path="/files/.{query.f}/x"), "f=."),
        (RewriteOptions(path="/files/{query.f}"), "f=."),
        (RewriteOptions(host="{query.f}"), "f=a%0d%0ab"),
        (RewriteOptions(host="{query.f}"), "f=a%20b"),
        (RewriteOptions(host="x{query.f}"), "f=/y"),
    ],
)
async def test_a13_what_is_filled_in_neither_leads_up_nor_is_another_host(options: RewriteOptions, query: str) -> None:
    with pytest.raises(Failure) as raised:
        await rewritten(options, "/x", query)
    assert raised.value.status == 400


async def test_options_of_a_server_as_a_whole_stays_what_it_is() -> None:
    assert await rewritten(RewriteOptions(path="/app", host="b"), "", form=Form.ASTERISK) == "a.example:8080 "


TEMPLATES = ["/p/{a}", "/p/{a}/{query.v}", "/p{path}", "/p/{query.v}.html", "/p/{cookie.who}/x", "/p/{a}{query.v}"]
SEGMENT = st.from_regex(r"\A[a-z.%;=\\|~-]{1,6}\Z").filter(lambda text: "%" not in text)


@given(
    st.sampled_from(TEMPLATES),
    st.lists(SEGMENT | st.sampled_from(["..;", ".", "%2F", "%2e%2e", "%5C", "..%2f", "%00"]), min_size=1, max_size=4),
    st.text(st.sampled_from("./%2eF\\;?#\r\n\0 xé"), max_size=6),
)
async def test_a13_what_is_rewritten_is_canonical_and_stays_below_its_prefix(
    template: str, segments: list[str], value: str
) -> None:
    path = canonical_path("/" + "/".join(segments), merge_slashes=True)
    encoded = "".join(f"%{octet:02X}" for octet in value.encode())
    try:
        asked = await rewritten(RewriteOptions(path=template), path, f"v={encoded}", a=path.split("/")[1])
    except Failure:
        return  # refused, which the test above looks at
    found = asked.partition(" ")[2].partition("?")[0]
    assert re.fullmatch(r"/p[\x21-\x7e]*", found) is not None
    assert canonical_path(found, merge_slashes=True) == found
    assert "#" not in found
    # As a server reads it that decodes once, slashes that were encoded left alone: the path filter refuses those.
    once = unquote(re.sub("%2F|%5C", "_", found).replace("\\", "_"))
    assert posixpath.normpath(once).startswith("/p")


@pytest.mark.parametrize("at_once", [False, True])
async def test_addresses_in_answers_are_spelled_for_clients_again(at_once: bool) -> None:
    said = [
        ("Location", "http://app.internal/v2/x"),
        ("Set-Cookie", "a=b; Path=/v2"),
        ("Set-Cookie", "c=d"),
        ("X", "/v2"),
    ]

    def answering(exchange: Exchange, request: Request) -> Answered | Awaitable[Response]:
        answered = Answered(Response(302, Fields(said)))
        return answered if at_once else later(answered)

    async def later(answered: Answered) -> Response:
        return answered.response

    async def seen(options: RewriteOptions) -> list[tuple[str, str]]:
        exchange = Exchange(1, 0, "web", Address("10.0.0.7", 1), 0.0)
        target = Target(Form.ORIGIN, "http", Authority("a.example"), "/shop/y")
        response = await Rewrite(options)(exchange, Request("GET", target, Fields()), answering)
        return list(response.fields)

    options = RewriteOptions(strip_prefix="/shop", add_prefix="/v2", host="app.internal")
    assert await seen(options) == [
        ("Location", "http://a.example/shop/x"), ("Set-Cookie", "a=b; Path=/shop"), ("Set-Cookie", "c=d"),
        ("X", "/v2"),
    ]  # fmt: skip
    for other in (
        RewriteOptions(path="/v2{path}"),
        RewriteOptions(strip_prefix="/shop", add_prefix="/v2", restore=False),
    ):
        assert await seen(other) == said
