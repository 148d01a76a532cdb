"""The judge reads the whole corpus as the corpus says: each checks the other, and neither has seen the product."""

from contextlib import suppress

import pytest
from tests import corpus
from tests.corpus import ExpectedRequest, ExpectedResponse, Message
from tests.scenes import judge
from tests.scenes.judge import Off

MESSAGES = corpus.load()


def named(messages: list[Message]) -> list[object]:
    return [pytest.param(message, id=message.name) for message in messages]


def requests(verdict: str) -> list[object]:
    return named([m for m in MESSAGES if m.kind == "request" and m.verdict == verdict])


def responses(verdict: str) -> list[object]:
    return named([m for m in MESSAGES if m.kind == "response" and m.verdict == verdict])


def assert_is(got: judge.Request, expected: ExpectedRequest) -> None:
    assert (got.method, got.target, got.version) == (expected.method, expected.target, expected.version)
    assert got.body == expected.body
    for key in ("fields", "trailers"):
        if (pairs := getattr(expected, key)) is not None:
            assert getattr(got, key) == list(pairs)
    assert expected.authority in (None, got.authority)
    assert expected.close in (None, got.closes)


@pytest.mark.parametrize("message", requests("accept"))
def test_accepted_requests_read_as_expected(message: Message) -> None:
    got, rest = judge.split_requests(message.wire)
    assert len(got) == len(message.messages)
    for request, expected in zip(got, message.messages, strict=True):
        assert isinstance(expected, ExpectedRequest)
        assert_is(request, expected)
    assert rest == message.rest


@pytest.mark.parametrize("message", requests("reject"))
def test_refused_requests_are_refused_unless_a_rule_of_ours_refuses_them(message: Message) -> None:
    if message.policy == "ours":
        with suppress(Off):  # the judge may be strict too, but breaks on nothing
            judge.split_requests(message.wire)
        return
    with pytest.raises(Off) as off:
        judge.split_requests(message.wire)
    assert off.value.status == message.status
    assert len(off.value.before) == len(message.messages)
    for request, expected in zip(off.value.before, message.messages, strict=True):
        assert isinstance(expected, ExpectedRequest)
        assert_is(request, expected)


@pytest.mark.parametrize("message", responses("accept"))
def test_accepted_responses_read_as_expected(message: Message) -> None:
    [got], rest = judge.split_responses(message.wire, [message.request_method], message.request_upgrade)
    [expected] = message.messages
    assert isinstance(expected, ExpectedResponse)
    assert (got.status, got.body, got.framing) == (expected.status, expected.body, expected.framing)
    assert got.interim == list(message.interim)
    for key in ("fields", "trailers"):
        if (pairs := getattr(expected, key)) is not None:
            assert getattr(got, key) == list(pairs)
    assert expected.reason in (None, got.reason)
    assert expected.close in (None, got.closes)
    assert rest == message.rest or message.extra
    assert bool(rest) == (bool(message.rest) or message.extra)


@pytest.mark.parametrize("message", responses("reject"))
def test_refused_responses_are_refused_unless_a_rule_of_ours_refuses_them(message: Message) -> None:
    if message.policy == "ours":
        with suppress(Off):  # the judge may be strict too, but breaks on nothing
            judge.split_responses(message.wire, [message.request_method], message.request_upgrade)
        return
    with pytest.raises(Off):
        judge.split_responses(message.wire, [message.request_method], message.request_upgrade)


GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def test_requests_that_fill_the_wire_are_read() -> None:
    assert [request.target for request in judge.read_requests(GET + GET)] == ["/a", "/a"]


@pytest.mark.parametrize("wire", [GET + b"\r\n", b"\r\n" + GET, GET + b"\r\n" + GET, GET + b"x"])
def test_a_proxy_sends_not_one_octet_beside_its_requests(wire: bytes) -> None:
    with pytest.raises(Off):
        judge.read_requests(wire)


def test_nothing_may_follow_a_request_that_closes() -> None:
    with pytest.raises(Off, match="behind the last request"):
        judge.read_requests(GET.replace(b"Host: a", b"Host: a\r\nConnection: close") + GET)


def test_responses_are_read_by_the_methods_that_they_answer() -> None:
    [first, second] = judge.read_responses(ANSWER[:-2] + ANSWER, ["HEAD", "GET"])
    assert (first.body, first.framing, second.body, second.framing) == (b"", "none", b"hi", "length")


@pytest.mark.parametrize("methods", [["GET"], ["GET", "GET", "GET"], ["GET", "HEAD"], []])
def test_as_many_responses_as_requests_and_nothing_more(methods: list[str]) -> None:
    with pytest.raises(Off):
        judge.read_responses(ANSWER + ANSWER, methods)


def test_nothing_may_follow_a_response_that_closes() -> None:
    with pytest.raises(Off, match="behind one that closes"):
        judge.read_responses(ANSWER.replace(b"OK", b"OK\r\nConnection: close") + ANSWER, ["GET", "GET"])


def test_values_and_options_are_found_in_any_case() -> None:
    [request] = judge.read_requests(GET.replace(b"Host: a", b"Host: a\r\nvia: 1.1 x\r\nVIA: 1.1 y\r\nTE: A, b"))
    assert request.values("via") == ["1.1 x", "1.1 y"]
    assert request.options("te") == ["a", "b"]
