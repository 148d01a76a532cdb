"""Following redirects: what goes along, what stays behind, when it ends."""

from __future__ import annotations

import pytest
from tests.support.memory_stream import CLIENT

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.engine.follow import Follow
from interpose.protocol.redirect import Redirect
from interpose.protocol.target import parse_target

EXCHANGE = Exchange(1, 0, "get", CLIENT, 0.0)


class Origins:
    """Answers requests in turn, the last answer for ever, and remembers what was asked."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self._answers = answers
        self.asked: list[tuple[str, str, bytes, list[str]]] = []

    async def __call__(self, exchange: Exchange, request: Request) -> Response:
        names = [name for name, _ in request.fields]
        self.asked.append((request.method, str(request.target), await request.body.read(100), names))
        request.fields.add("Proxy-Authorization", "for this hop only")
        status, location = self._answers[min(len(self.asked), len(self._answers)) - 1]
        return Response(status, Fields([("Location", location)] if location else []), Body(b"content"))


def asked(method: str = "GET", content: bytes = b"") -> Request:
    fields = Fields([("Cookie", "a"), ("Authorization", "b"), ("X", "c"), ("Content-Type", "text/plain")])
    return Request(method, parse_target("GET", b"http://a.test/", False), fields, Body(content))


async def test_it_ends_at_the_first_answer_that_leads_no_further() -> None:
    origins, told = Origins((302, "/b"), (301, "/c"), (200, "")), list[Redirect]()
    response = await Follow(10, lambda response, redirect: told.append(redirect))(EXCHANGE, asked(), origins)
    assert response.status == 200
    assert [url for _, url, _, _ in origins.asked] == ["http://a.test/", "http://a.test/b", "http://a.test/c"]
    assert [names for _, _, _, names in origins.asked] == [["Cookie", "Authorization", "X", "Content-Type"]] * 3
    assert len(told) == 2


async def test_credentials_stay_with_their_origin_for_good() -> None:
    origins = Origins((307, "http://b.test/"), (307, "http://a.test/"), (200, ""))
    await Follow(10, lambda *_: None)(EXCHANGE, asked("POST", b"x"), origins)
    assert [names for _, _, _, names in origins.asked[1:]] == [["X", "Content-Type"]] * 2
    assert [(method, content) for method, _, content, _ in origins.asked] == [("POST", b"x")] * 3


async def test_content_is_left_out_where_the_method_changes() -> None:
    origins = Origins((303, "/b"), (200, ""))
    await Follow(10, lambda *_: None)(EXCHANGE, asked("POST", b"x"), origins)
    assert origins.asked[1] == ("GET", "http://a.test/b", b"", ["Cookie", "Authorization", "X"])


async def test_a_circle_is_left_after_as_many_as_were_allowed() -> None:
    origins = Origins((302, "/"))
    with pytest.raises(Failure, match="more than 3 redirects"):
        await Follow(3, lambda *_: None)(EXCHANGE, asked(), origins)
    assert len(origins.asked) == 4
