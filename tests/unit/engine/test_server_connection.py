"""One client connection, step by step: answers before, during and after their requests, and every kind of end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.scenes import judge
from tests.support.conversation import settle
from tests.support.memory_stream import MemoryStream

from interpose.core.body import Body
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.engine.pace import Timeouts
from interpose.engine.serve import HttpServer
from interpose.filters.error_answer import ErrorAnswer, ErrorAnswerOptions
from interpose.protocol.head import HeadParser

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


class Feed:
    """A body's source, and what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def pause(self) -> None:
        self.said.append("pause")

    def resume(self) -> None:
        self.said.append("resume")

    def cancel(self) -> None:
        self.said.append("cancel")


class Talk:
    """A connection whose handler is the test's, and the outcomes of its exchanges."""

    def __init__(self, handler: Callable[[Request], Awaitable[Response]], *, window: int | None = None) -> None:
        self.targets: list[str] = []
        self.outcomes: list[Outcome] = []

        async def handle(exchange: Exchange, request: Request) -> Response:
            self.targets.append(request.target.path)
            exchange.at_end(self.outcomes.append)
            return await handler(request)

        end: Handler = handle
        self.stream = MemoryStream(window=window)
        self.server = HttpServer("main", end, ErrorAnswer(ErrorAnswerOptions()), HeadParser(), Timeouts(), 0)
        self.server(self.stream)

    async def hear(self, data: bytes = b"") -> None:
        """The client sends this, and everything that follows at once has happened."""
        self.stream.receive(data)
        await settle(lambda: (len(self.stream.sent), len(self.targets), len(self.outcomes), self.stream.is_lost))

    def answers(self, *methods: str) -> list[judge.Response]:
        return judge.read_responses(self.stream.sent, methods)

    @property
    def is_over(self) -> bool:
        return self.stream.is_closed or self.stream.has_ended


async def test_a4_content_that_goes_on_while_the_answer_streams_is_never_read_as_a_request() -> None:
    """Less than the limit was left when the answer began, more than that came before it ended."""
    begin = asyncio.Event()
    feed = Feed()
    answer = Body.streaming(feed, 2)

    async def handler(request: Request) -> Response:
        request.body.close()
        await begin.wait()
        return Response(200, body=answer)

    talk = Talk(handler)
    length = 125_000
    await talk.hear(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
    await talk.hear(b"x" * 60_000)
    begin.set()
    await talk.hear()
    await talk.hear(b"x" * 60_000)
    answer.feed(b"ok")
    answer.finish()
    await talk.hear()
    talk.stream.resume()
    await talk.hear((SMUGGLED * 200)[: length - 120_000] + SMUGGLED)
    assert talk.targets == ["/"]
    assert [got.body for got in talk.answers("POST")] == [b"ok"]
    assert talk.is_over


@pytest.mark.parametrize("left", [1, 65_536])
async def test_a4_a_little_that_is_left_of_the_content_is_thrown_away_and_the_next_request_read(left: int) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, body=Body(b"ok"))

    talk = Talk(handler)
    await talk.hear(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (left + 1) + b"x")
    assert not talk.is_over
    await talk.hear((SMUGGLED * 2000)[:left] + GET)
    assert talk.targets == ["/a", "/"]
    assert len(talk.answers("POST", "GET")) == 2


async def test_the_client_is_asked_to_continue_only_when_somebody_wants_the_content() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, body=Body(await request.body.read(10) if request.target.path == "/read" else b"no"))

    head = b"POST /%b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    reads = Talk(handler)
    await reads.hear(head % b"read")
    assert reads.stream.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    await reads.hear(b"abc")
    [answer] = reads.answers("POST")
    assert (answer.body, answer.interim, answer.closes) == (b"abc", [100], False)
    refuses = Talk(handler)
    await refuses.hear(head % b"refuse")
    [answer] = refuses.answers("POST")
    assert (answer.body, answer.interim, answer.closes) == (b"no", [], True)


async def test_pipelined_requests_are_answered_in_their_order_one_after_the_other() -> None:
    gates = [asyncio.Event() for _ in range(3)]

    async def handler(request: Request) -> Response:
        await gates[int(request.target.path[1:])].wait()
        return Response(200, body=Body(request.target.path.encode()))

    talk = Talk(handler)
    await talk.hear(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(3)))
    assert talk.targets == ["/0"]
    gates[2].set()
    gates[1].set()
    await talk.hear()
    assert talk.stream.sent == b""
    gates[0].set()
    await talk.hear()
    assert [answer.body for answer in talk.answers("GET", "GET", "GET")] == [b"/0", b"/1", b"/2"]


async def test_f13_a_client_that_has_said_everything_still_gets_its_answers() -> None:
    gate = asyncio.Event()

    async def handler(request: Request) -> Response:
        await gate.wait()
        return Response(200, body=Body(b"ok"))

    talk = Talk(handler)
    await talk.hear(GET * 3)
    talk.stream.receive_end()
    await talk.hear()
    gate.set()
    await talk.hear()
    assert len(talk.answers("GET", "GET", "GET")) == 3
    assert talk.is_over


@pytest.mark.parametrize(
    "rest", [b"\r\n", b"GET /half HTT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"]
)
async def test_what_is_left_unfinished_behind_an_answer_keeps_no_connection_open(rest: bytes) -> None:
    gate = asyncio.Event()

    async def handler(request: Request) -> Response:
        await gate.wait()
        return Response(200, body=Body(await request.body.read(10)))

    talk = Talk(handler)
    await talk.hear(GET + rest)
    talk.stream.receive_end()
    gate.set()
    await talk.hear()
    assert talk.is_over
    statuses = [answer.status for answer in talk.answers("GET", *(["POST"] if rest.startswith(b"POST") else []))]
    assert statuses == ([200, 400] if rest.startswith(b"POST") else [200])


async def test_a_client_that_leaves_cancels_its_handler_and_closes_what_it_had() -> None:
    ended: list[str] = []

    async def handler(request: Request) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("handler")
        raise AssertionError

    talk = Talk(handler)
    await talk.hear(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
    talk.stream.lose()
    await talk.hear()
    assert ended == ["handler"]
    assert [(outcome.status, outcome.failure is not None) for outcome in talk.outcomes] == [(0, True)]
    assert talk.server.connections == set()


async def test_a_client_that_leaves_while_it_is_answered_closes_the_answers_body() -> None:
    feed = Feed()
    answer = Body.streaming(feed, None)

    async def handler(request: Request) -> Response:
        return Response(200, body=answer)

    talk = Talk(handler)
    await talk.hear(GET)
    answer.feed(b"some")
    talk.stream.lose()
    await talk.hear()
    assert answer.ended
    assert feed.said[-1] == "cancel"
    assert [(outcome.status, outcome.body_bytes) for outcome in talk.outcomes] == [(200, 4)]
    assert talk.outcomes[0].failure is not None


@pytest.mark.parametrize("length", [None, 100])
async def test_f1_an_answer_that_breaks_off_is_visibly_not_whole(length: int | None) -> None:
    answer = Body.streaming(Feed(), length)

    async def handler(request: Request) -> Response:
        return Response(200, body=answer)

    talk = Talk(handler)
    await talk.hear(GET)
    answer.feed(b"some")
    answer.fail(Failure("http_response_incomplete", Side.UPSTREAM, "it broke off", sent=True))
    await talk.hear()
    assert talk.stream.was_aborted
    with pytest.raises(judge.Off):
        talk.answers("GET")
    assert [(outcome.status, str(outcome.failure)[:24]) for outcome in talk.outcomes] == [
        (200, "http_response_incomplete")
    ]


@pytest.mark.parametrize("sent", [3, 7])
async def test_f1_an_answer_of_another_length_than_was_promised_is_visibly_not_whole(sent: int) -> None:
    answer = Body.streaming(Feed(), 5)

    async def handler(request: Request) -> Response:
        return Response(200, body=answer)

    talk = Talk(handler)
    await talk.hear(GET)
    answer.feed(b"x" * sent)
    answer.finish()
    await talk.hear()
    assert talk.stream.was_aborted
    assert talk.stream.sent.endswith(b"\r\n\r\n" + b"x" * min(sent, 5))
    assert talk.outcomes[0].failure is not None


async def test_an_error_in_a_handler_is_500_for_its_exchange_only(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: Request) -> Response:
        if request.target.path == "/bad":
            raise ZeroDivisionError
        return Response(200, body=Body(b"ok"))

    talk = Talk(handler)
    await talk.hear(GET.replace(b" / ", b" /bad ") + GET)
    assert [answer.status for answer in talk.answers("GET", "GET")] == [500, 200]
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("status", "text"),
    [("200", "TypeError"), (42, "ValueError"), (100, "ValueError"), (1000, "ValueError")],
)
async def test_an_answer_that_cannot_be_sent_is_500_and_not_the_end_of_everything(
    status: object, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: Request) -> Response:
        response = Response(200, Fields([("X", "y")]), Body(b"ok"))
        response.status = status  # type: ignore[assignment]
        return response

    talk = Talk(handler)
    await talk.hear(GET)
    assert [answer.status for answer in talk.answers("GET")] == [500]
    assert text in caplog.text
    assert len(talk.outcomes) == 1


async def test_draining_lets_the_answer_say_that_the_connection_ends() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, body=Body(b"ok"))

    talk = Talk(handler)
    await talk.hear(GET)
    talk.server.is_draining = True
    await talk.hear(GET + GET)
    assert [answer.closes for answer in talk.answers("GET", "GET")] == [False, True]
    assert talk.is_over


async def test_idle_connections_close_when_asked_and_others_do_not() -> None:
    gate = asyncio.Event()

    async def handler(request: Request) -> Response:
        await gate.wait()
        return Response(200)

    idle, begun, busy = Talk(handler), Talk(handler), Talk(handler)
    await begun.hear(GET[:10])
    await busy.hear(GET)
    assert [talk.server.close_idle() for talk in (idle, begun, busy)] == [1, 0, 0]
    assert [talk.is_over for talk in (idle, begun, busy)] == [True, False, False]
