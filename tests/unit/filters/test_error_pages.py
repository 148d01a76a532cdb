"""Error pages of an operator's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from interpose.core.body import EMPTY, Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Answered
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.error_answer import ErrorAnswer, ErrorAnswerOptions
from interpose.filters.error_pages import MOST_PAGE_BYTES, ErrorPage, ErrorPages, OwnErrors


def exchange() -> Exchange:
    return Exchange(31, 1, "web", Address("10.0.0.7", 1), 0.0)


def request(accept: str | None = None, *, host: str = "a.example", method: str = "GET") -> Request:
    fields = Fields([] if accept is None else [("Accept", accept)])
    return Request(method, Target(Form.ORIGIN, "http", Authority(host), "/"), fields)


@pytest.fixture
def pages(tmp_path: Path) -> tuple[ErrorPage, ...]:
    def page(name: str, *status: str, when: str = "") -> ErrorPage:
        file = tmp_path / name
        file.write_text(f"{name} {{status}} {{phrase}} {{reference}} {{other}}")
        return ErrorPage(status=status, file=str(file), when=when)

    return (
        page("5xx.html", "5xx", "4xx"),
        page("shop.html", "404", when="host:shop.example"),
        page("404.html", "404"),
        page("404.json", "404"),
    )


@pytest.mark.parametrize(
    ("status", "asked", "page"),
    [
        (404, request(), "404.html"),
        (404, request("text/html,*/*;q=0.8"), "404.html"),
        (404, request("application/json"), "404.json"),
        (404, request("image/png"), None),
        (404, request(host="shop.example"), "shop.html"),
        (404, None, "404.html"),
        (403, request(), "5xx.html"),
        (500, request("text/*"), "5xx.html"),
        (599, request(), "5xx.html"),
        (500, request("application/json"), None),
        (200, request(), None),
        (302, request(), None),
    ],
)
def test_a_page_stands_in_for_a_status_or_its_class(
    pages: tuple[ErrorPage, ...], status: int, asked: Request | None, page: str | None
) -> None:
    response = Response.text(status, "as it was")
    ErrorPages(pages).put_into(exchange(), asked, response)
    content = response.body.take().decode()
    if page is None:
        assert (content, response.fields["Content-Type"]) == ("as it was", "text/plain; charset=utf-8")
    else:
        phrase = {404: "Not Found", 403: "Forbidden", 500: "Internal Server Error", 599: "Error"}[status]
        assert content == f"{page} {status} {phrase} 1-1f {{other}}"
        assert response.status == status


async def test_what_is_about_the_error_stays_and_what_is_about_its_content_goes(pages: tuple[ErrorPage, ...]) -> None:
    kept = [
        ("Retry-After", "5"),
        ("WWW-Authenticate", "Basic"),
        ("Set-Cookie", "a=b"),
        ("Allow", "GET"),
        ("Via", "1.1 x"),
    ]
    gone = [("Content-Type", "text/x"), ("ETag", '"1"'), ("Content-Encoding", "gzip"), ("Last-Modified", "x"),
            ("Content-Security-Policy", "default-src 'none'"), ("Content-Language", "de")]  # fmt: skip
    for at_once in (True, False):
        response = Response(503, Fields(kept + gone), Body(b"theirs"))

        async def later(exchange: Exchange, request: Request, response: Response = response) -> Response:
            return response

        handler = (lambda e, r, response=response: Answered(response)) if at_once else later
        answer = await ErrorPages(pages)(exchange(), request(), handler)
        assert list(answer.fields) == [("Content-Type", "text/html; charset=utf-8"), *kept]
        assert answer.status == 503


def test_the_head_of_a_page_says_its_length(pages: tuple[ErrorPage, ...]) -> None:
    response = Response.text(404, "x")
    ErrorPages(pages).put_into(exchange(), request(method="HEAD"), response)
    assert (response.body, response.declared_length) == (EMPTY, len("404.html 404 Not Found 1-1f {other}"))


def test_failures_of_our_own_keep_what_tells_programs_of_them(pages: tuple[ErrorPage, ...]) -> None:
    answer = OwnErrors(ErrorAnswer(ErrorAnswerOptions()), ErrorPages(pages))
    failure = Failure("destination_unavailable", Side.UPSTREAM, "Nobody is there.")
    response = answer(exchange(), request("text/html"), failure)
    assert response.body.take().startswith(b"5xx.html 503")
    names = dict(response.fields)
    assert names == {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Proxy-Status": 'interpose; error=destination_unavailable; details="Nobody is there."',
        "Retry-After": "5",
    }
    program = answer(exchange(), request("application/json"), failure)
    assert program.fields["Content-Type"].startswith("application/json")
    assert b"destination_unavailable" in program.body.take()


def test_a_page_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    large = tmp_path / "large.html"
    large.write_bytes(bytes(MOST_PAGE_BYTES + 1))
    for file, says in ((large, "larger than"), (tmp_path / "none.html", "cannot be read")):
        with pytest.raises(ValueError, match=says):
            ErrorPages([ErrorPage(status=("404",), file=str(file))])
