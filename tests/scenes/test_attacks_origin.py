"""A7: origins that answer what is no answer, more than was asked, or without end.

Whatever an origin did, its connection carries no other request, and the next clients get what belongs to them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests import corpus
from tests.corpus import ExpectedResponse, Message
from tests.scenes import judge
from tests.support.product import Product, product, settings
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import Connection, Gone, RawOrigin, silent

from interpose import gateway_config, proxy_config

LOCAL = ["127.0.0.1:0"]
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
RESPONSES = [m for m in corpus.load() if m.kind == "response" and m.request_method != "CONNECT"]


def good(path: str) -> bytes:
    """The answer that belongs to one request and to no other."""
    body = f"good {path}".encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Hostile:
    """Answers `/good/N` as it should, `/bad` with `says`, and then stays open or closes."""

    def __init__(self) -> None:
        self.says = b""
        self.then_close = False

    async def __call__(self, connection: Connection) -> None:
        while True:
            request = await connection.request()
            if "/good/" in request.target:
                await connection.send(good(request.target))
                continue
            await connection.send(self.says)
            if self.then_close:
                return


async def all_good(address: str, times: int, count: Iterator[int]) -> list[str]:
    """Ask for so many good things, in turn on two connections; what was wrong."""
    wrong = []
    async with RawClient(address) as one, RawClient(address) as two:
        for number in range(times):
            client = two if number % 2 else one
            path = f"/good/{next(count)}"
            client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            [answer] = await client.answers("GET")
            if (answer.status, answer.body) != (200, f"good {path}".encode()):
                wrong.append(f"{path}: {answer.status} {answer.body!r}")
    return wrong


def numbers() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


KINDS = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Length: 6\r\n\r\npoison" + POISON,
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + POISON,
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + POISON,
    "a signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +6\r\n\r\npoison" + POISON,
    "a negative chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n" + POISON,
    "a chunk with a bare LF": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n" + POISON,
    "another answer behind": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + POISON,
    "content behind 204": b"HTTP/1.1 204 No Content\r\n\r\n" + POISON,
    "content behind 304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison" + POISON,
    "a flood of interim answers": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50 + POISON,
    "a CR in a field": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok" + POISON,
    "a NUL in a field": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok" + POISON,
    "a folded field": b"HTTP/1.1 200 OK\r\nX: a\r\n b: c\r\nContent-Length: 2\r\n\r\nok" + POISON,
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10000,
    "a line without end": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100000,
    "no HTTP at all": b"SSH-2.0-OpenSSH_9.9\r\n" + POISON,
    "HTTP/0.9": b"<html>hello</html>",
    "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80" + POISON,
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
}


@pytest.mark.parametrize("role", ["gateway", "proxy"])
async def test_a7_after_each_kind_of_bad_answer_six_requests_get_what_is_theirs(role: str) -> None:
    hostile = Hostile()
    count = numbers()
    wrong = []
    async with RawOrigin(hostile) as origin:
        config = gateway_config([origin.address], LOCAL) if role == "gateway" else proxy_config(LOCAL)
        async with product(config) as running:
            prefix = "" if role == "gateway" else f"http://{origin.address}"
            for kind, says in KINDS.items():
                hostile.says = says
                answer = await judged(running, f"GET {prefix}/bad HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                if isinstance(answer, judge.Response) and b"poison" in answer.body:
                    wrong.append(f"{kind}: {answer}")
                if role == "gateway":
                    wrong += [f"{kind}: {w}" for w in await all_good(running.address(), 6, count)]
                else:
                    for _ in range(6):
                        path = f"/good/{next(count)}"
                        got = await ask(running.address(), f"GET {prefix}{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                        if got.body != f"good {path}".encode():
                            wrong.append(f"{kind}: {path}: {got}")
    assert wrong == []
    # A connection that had a bad answer carried nothing after it.
    for connection in origin.connections:
        sent = [request.target for request in judge.read_requests(connection.received)]
        assert "/bad" not in sent[:-1]


async def judged(running: Product, request: bytes, method: str = "GET") -> judge.Response | str:
    """The answer to one request, or what is wrong with it in the judge's words."""
    async with RawClient(running.address()) as client:
        client.send(request)
        client.end()
        wire = await client.rest()
    try:
        [answer] = judge.read_responses(wire, [method], "websocket")
    except judge.Off as off:
        return str(off)
    return answer


def wrong_with(message: Message, got: judge.Response | str) -> str:
    """What the client should not have got for a message of the corpus, "" when all is well."""
    if message.verdict == "reject":
        # Refused in its head it is a 502; refused in its content it is visibly incomplete.
        if isinstance(got, str):
            return "" if got in ("a body shorter than its length", "a line without an end") else got
        return "" if got.status == 502 else f"{got.status} {got.body!r}"
    [expected] = message.messages
    assert isinstance(expected, ExpectedResponse)
    if isinstance(got, str):
        return got
    if (got.status, got.body) != (expected.status, expected.body):
        return f"{got.status} {got.body!r} instead of {expected.status} {expected.body!r}"
    if got.framing == "close" or (expected.framing == "none") != (got.framing == "none"):
        return f"framing {got.framing} for {expected.framing}"
    return ""


@pytest.mark.parametrize("then_close", [True, False])
async def test_a7_every_answer_of_the_corpus_is_passed_on_whole_or_refused(then_close: bool) -> None:
    """Those that end with their connection, or are cut short by it, are said only when it closes."""
    hostile = Hostile()
    hostile.then_close = then_close
    count = numbers()
    wrong = []
    said = 0
    async with RawOrigin(hostile) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        for message in RESPONSES:
            ends_with_it = any(isinstance(m, ExpectedResponse) and m.framing == "close" for m in message.messages)
            if (not then_close and (message.incomplete or ends_with_it)) or message.request_upgrade:
                continue
            said += 1
            hostile.says = message.wire
            request = f"{message.request_method} /bad HTTP/1.1\r\nHost: a\r\n\r\n".encode()
            complaint = wrong_with(message, await judged(running, request, message.request_method))
            bad = ([complaint] if complaint else []) + await all_good(running.address(), 1, count)
            if bad:
                wrong.append(f"{message.name} ({message.verdict}): {'; '.join(bad)}")
    assert said > 150
    assert not wrong, f"{len(wrong)} messages:\n" + "\n".join(wrong)


async def test_a7_what_an_origin_says_unasked_costs_the_connection() -> None:
    said: list[Connection] = []
    is_idle = asyncio.Event()

    async def talkative(connection: Connection) -> None:
        await connection.request()
        await connection.send(good("/good/0"))
        if not said:
            said.append(connection)
            await is_idle.wait()
            await connection.send(POISON)
            await connection.gone()
        await connection.request()
        await connection.send(good("/good/1"))

    async with RawOrigin(talkative) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        first = await ask(running.address(), b"GET /good/0 HTTP/1.1\r\nHost: a\r\n\r\n")
        is_idle.set()
        await said[0].gone()
        second = await ask(running.address(), b"GET /good/0 HTTP/1.1\r\nHost: a\r\n\r\n")
        third = await ask(running.address(), b"GET /good/1 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [first.body, second.body, third.body] == [b"good /good/0", b"good /good/0", b"good /good/1"]
    assert len(origin.connections) == 2


async def test_a7_an_origin_that_announces_content_where_none_may_be_is_not_asked_again_on_that_connection() -> None:
    """The content could come behind the next request and be taken for its answer."""
    hostile = Hostile()
    hostile.says = b"HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n" % len(POISON)
    async with RawOrigin(hostile) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        for _ in range(3):
            assert (await ask(running.address(), b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\n")).status == 204
    assert len(origin.connections) == 3


@pytest.mark.parametrize("interim", [1, 8, 9])
async def test_a7_eight_interim_answers_pass_and_nine_do_not(interim: int) -> None:
    async def chatty(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * interim + good("/"))
        await connection.gone()

    async with RawOrigin(chatty) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        answer = await ask(running.address(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (answer.status, answer.interim) == ((200, [103] * interim) if interim <= 8 else (502, [103] * 8))


@pytest.mark.parametrize("then", ["silence", "drip"])
async def test_f2_an_origin_that_never_finishes_its_head_is_given_up(then: str) -> None:
    async def slow(connection: Connection) -> None:
        await connection.request()
        if then == "drip":
            await connection.send(b"HTTP/1.1 200 OK\r\nX: ")
        await silent(connection)
        raise Gone

    async with RawOrigin(slow) as origin:
        config = settings(gateway_config([origin.address], LOCAL), connections={"answer_timeout_s": 0.3})
        async with product(config) as running:
            answer = await ask(running.address(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert origin.connections[0].has_ended
    assert answer.status == 504
