"""How an answer goes out: framing, content and what becomes of the connection."""

from __future__ import annotations

import pytest

from interpose.core.body import Body
from interpose.core.fields import Fields
from interpose.core.message import Response
from interpose.engine.answer import AnswerPlan, answer_head, plan_answer
from interpose.protocol.framing import CHUNKED, UNTIL_CLOSE

DATE = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"


class Quiet:
    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cancel(self) -> None: ...


def request(method: str = "GET", version: int = 1) -> tuple[str, int]:
    return method, version


def streaming(length: int | None) -> Body:
    return Body.streaming(Quiet(), length)


def with_trailers() -> Body:
    body = streaming(None)
    body.feed(b"abc")
    body.finish(Fields([("X", "y")]))
    return body


@pytest.mark.parametrize(
    ("asked", "response", "plan"),
    [
        (request(), Response(200, body=Body(b"abc")), AnswerPlan(3, b"abc", False, True)),
        (request(), Response(200), AnswerPlan(0, b"", False, True)),
        (request(), Response(200, body=streaming(5)), AnswerPlan(5, b"", True, True)),
        (request(), Response(200, body=streaming(None)), AnswerPlan(CHUNKED, b"", True, True)),
        (request(), Response(200, body=with_trailers()), AnswerPlan(CHUNKED, b"", True, True)),
        (request(version=0), Response(200, body=Body(b"abc")), AnswerPlan(3, b"abc", False, True)),
        (request(version=0), Response(200, body=streaming(5)), AnswerPlan(5, b"", True, True)),
        (request(version=0), Response(200, body=streaming(None)), AnswerPlan(UNTIL_CLOSE, b"", True, False)),
        (request(version=0), Response(200, body=with_trailers()), AnswerPlan(3, b"abc", False, True)),
        (("", 1), Response(400, body=Body(b"abc")), AnswerPlan(3, b"abc", False, True)),
        (request("HEAD"), Response(200, body=Body(b"abc")), AnswerPlan(3, b"", False, True)),
        (request("HEAD"), Response(200, body=streaming(5)), AnswerPlan(5, b"", False, True)),
        (request("HEAD"), Response(200, body=streaming(None)), AnswerPlan(None, b"", False, True)),
        (request("HEAD"), Response(200), AnswerPlan(None, b"", False, True)),
        (request("CONNECT"), Response(200, body=streaming(5)), AnswerPlan(UNTIL_CLOSE, b"", True, False)),
        (request("CONNECT"), Response(403, body=Body(b"no")), AnswerPlan(2, b"no", False, True)),
        (request(), Response(204, body=Body(b"abc")), AnswerPlan(None, b"", False, True)),
        (request(), Response(304, body=streaming(5)), AnswerPlan(None, b"", False, True)),
    ],
)
def test_the_plan_follows_from_the_body_and_from_who_asked(
    asked: tuple[str, int], response: Response, plan: AnswerPlan
) -> None:
    assert plan_answer(*asked, response, True) == plan


@pytest.mark.parametrize("asked", [request("HEAD"), request()])
def test_a_declared_length_is_told_where_there_is_no_content(asked: tuple[str, int]) -> None:
    response = Response(200 if asked[0] == "HEAD" else 304)
    response.declared_length = 1234
    assert plan_answer(*asked, response, True).framing == 1234


@pytest.mark.parametrize("status", [204, 304])
def test_a_body_that_may_not_be_sent_is_closed(status: int) -> None:
    body = streaming(None)
    plan_answer(*request(), Response(status, body=body), True)
    assert body.ended


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 101, 199, 1000])
def test_what_is_no_final_answer_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match="not the status of a final answer"):
        plan_answer(*request(), Response(status), True)


@pytest.mark.parametrize(
    ("version", "keep_alive", "fields", "head"),
    [
        (1, True, {}, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + DATE + b"\r\n"),
        (1, False, {}, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n" + DATE + b"\r\n"),
        (0, True, {}, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n" + DATE + b"\r\n"),
        (0, False, {}, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n" + DATE + b"\r\n"),
        (1, True, {"DATE": "then", "X": "y"}, b"HTTP/1.1 200 OK\r\nDATE: then\r\nX: y\r\nContent-Length: 0\r\n\r\n"),
    ],
)
def test_the_head_says_what_becomes_of_the_connection_and_when_it_was_made(
    version: int, keep_alive: bool, fields: dict[str, str], head: bytes
) -> None:
    response = Response(200, Fields(fields.items()))
    plan = plan_answer(*request(version=version), response, keep_alive)
    assert answer_head(version, response, plan, DATE) == head
