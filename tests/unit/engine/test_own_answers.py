"""Redirects and fixed answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from interpose.core.exchange import Exchange
from interpose.core.fields import Fields
from interpose.core.message import Request
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.engine.own_answers import Answer, OwnAnswer, Redirect, Redirection


def exchange(**captured: str) -> Exchange:
    made = Exchange(1, 0, "web", Address("10.0.0.7", 1), 0.0)
    made.captured = captured or None
    return made


def request(query: str | None = None, host: str = "a.example") -> Request:
    return Request("GET", Target(Form.ORIGIN, "http", Authority(host, 81), "/x/%20y", query), Fields())


@pytest.mark.parametrize(
    ("to", "query", "location"),
    [
        ("/new", None, "/new"),
        ("/new", "", "/new"),
        ("/new{path}", "a=1&b", "/new/x/%20y?a=1&b"),
        ("/new?from={path}", "a=1", "/new?from=%2Fx%2F%20y&a=1"),
        ("https://{host}:{port}{path}", None, "https://a.example:81/x/%20y"),
        ("https://b.example{path}", "a", "https://b.example/x/%20y?a"),
        ("https://b.example/{id}/{query.q}", "q=a/b%20?", "https://b.example/7%2F8/a%2Fb%20%3F?q=a/b%20?"),
        ("/{none}/{query.next}", "next=evil.example", "/evil.example?next=evil.example"),
        ("/{query.next}", "next=/evil.example", "/%2Fevil.example?next=/evil.example"),
        ("/{query.next}", "next=%0d%0aX:y", "/%0D%0AX:y?next=%0d%0aX:y"),
    ],
)
async def test_a_redirect_leads_where_it_says(to: str, query: str | None, location: str) -> None:
    response = await Redirection(Redirect(to=to))(exchange(id="7%2F8", none=""), request(query))
    assert (response.status, list(response.fields)) == (307, [("Location", location)])


@pytest.mark.parametrize("called", ["path", ".evil.example", "@evil.example", "//evil.example"])
async def test_what_comes_after_a_host_is_no_part_of_it(called: str) -> None:
    response = await Redirection(Redirect(to="https://b.example{path}"))(exchange(path=called), request())
    assert response.fields["Location"] == f"https://b.example/{called.lstrip('/')}"


async def test_a_redirect_to_an_address_has_its_brackets() -> None:
    response = await Redirection(Redirect(to="https://{host}/"))(exchange(), request(host="2001:db8::7"))
    assert response.fields["Location"] == "https://[2001:db8::7]/"


async def test_the_query_may_be_left_out() -> None:
    response = await Redirection(Redirect(to="/x", status=301, keep_query=False))(exchange(), request("a=1"))
    assert (response.status, response.fields["Location"]) == (301, "/x")


async def test_a_fixed_answer_is_the_same_for_all() -> None:
    handler = OwnAnswer(Answer(status=410, text="{ gone }", fields=("X-A: b", "Cache-Control: max-age=60")))
    for _ in range(2):
        response = await handler(exchange(), request())
        assert (response.status, response.body.take()) == (410, b"{ gone }")
        assert list(response.fields) == [
            ("Content-Type", "text/plain; charset=utf-8"), ("X-A", "b"), ("Cache-Control", "max-age=60"),
        ]  # fmt: skip
        response.fields.add("X-Changed", "by a filter")


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        ("text/html", b"<p>&lt;b&gt;&quot;</p>"),
        ("application/json", b'<p><b>\\"</p>'),
        ("text/plain", b'<p><b>"</p>'),
        ("image/svg+xml", b"<p>&lt;b&gt;&quot;</p>"),
    ],
)
async def test_what_is_filled_in_is_text_in_the_content(media_type: str, content: bytes) -> None:
    handler = OwnAnswer(Answer(text="<p>{query.q}</p>", media_type=media_type))
    response = await handler(exchange(), request("q=%3Cb%3E%22"))
    assert response.body.take() == content
    assert response.fields["X-Content-Type-Options"] == "nosniff"


async def test_a_file_is_the_content_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "robots.txt"
    file.write_text("{client}")
    response = await OwnAnswer(Answer(file=str(file)))(exchange(), request())
    assert response.body.take() == b"{client}"
