"""A1 to A7 through the whole product: every request of the corpus, by gateway and proxy, to an origin that records.

What reaches the origin is judged by a reader of its own: nothing but whole requests that the corpus says were sent, one
for each answer of the origin that the client got, and one line of the log for each answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from tests import corpus
from tests.corpus import ExpectedRequest, Message
from tests.scenes import judge
from tests.support.name_server import NameServer, Reply
from tests.support.product import product, settings
from tests.support.raw_client import RawClient
from tests.support.raw_origin import RawOrigin, answering

from interpose import Config, gateway_config, proxy_config

REQUESTS = [message for message in corpus.load() if message.kind == "request"]
MARK = b"from-the-origin"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n" + MARK
ORIGIN_FORM = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (/[^ ]*) HTTP/")
LOCAL = ["127.0.0.1:0"]


@dataclass
class Outcome:
    """What one message led to."""

    message: Message
    answers: list[judge.Response] = field(default_factory=list)
    arrived: list[judge.Request] = field(default_factory=list)
    complaint: str = ""


class Watch:
    """Reads what the origin received since it was last asked."""

    def __init__(self, origin: RawOrigin) -> None:
        self._origin = origin
        self._read: list[int] = []

    def requests(self) -> list[judge.Request]:
        """Whole requests; an unfinished one stays unread, and must never be finished by something else."""
        found = []
        connections = self._origin.connections
        self._read += [0] * (len(connections) - len(self._read))
        for number, connection in enumerate(connections):
            while self._read[number] < len(connection.received):
                try:
                    request, rest = judge.take_request(connection.received[self._read[number] :])
                except judge.Off:
                    break
                found.append(request)
                self._read[number] = len(connection.received) - len(rest)
        return found

    def leftovers(self) -> Iterator[bytes]:
        """What is not whole on connections that are still open: there must be none."""
        for number, connection in enumerate(self._origin.connections):
            if not connection.has_ended and self._read[number] < len(connection.received):
                yield connection.received[self._read[number] :]


def for_a_proxy(wire: bytes, origin: str) -> bytes:
    """The same with its first target in absolute-form, as clients send it to a proxy."""
    start = 2 if wire.startswith(b"\r\n") else 0
    match = ORIGIN_FORM.match(wire, start)
    if match is None:
        return wire
    return wire[: match.start(2)] + b"http://" + origin.encode() + wire[match.start(2) :]


async def say(address: str, message: Message, wire: bytes, outcome: Outcome) -> None:
    """Send the wire, end, and read the answers until the connection ends."""
    async with RawClient(address) as client:
        client.send(wire)
        client.end()
        received = await client.rest()
    # A request that cannot be read is answered as a GET would be; what was whole before it is known to the corpus.
    methods = [m.method for m in message.messages if isinstance(m, ExpectedRequest)]
    while received:
        method = methods[len(outcome.answers)] if len(outcome.answers) < len(methods) else "GET"
        [answer], received = judge.split_responses(received, [method])
        outcome.answers.append(answer)
        if method == "CONNECT" and answer.status == 200:
            break


def complaints(outcome: Outcome) -> Iterator[str]:
    """What is wrong with what one message led to."""
    expected = [m for m in outcome.message.messages if isinstance(m, ExpectedRequest)]
    by_origin = [answer for answer in outcome.answers if answer.body == MARK or answer.values("x-from")]
    heads = [
        number
        for number, answer in enumerate(outcome.answers)
        if number < len(expected) and expected[number].method == "HEAD" and answer.status == 200
    ]
    if len(outcome.arrived) != len(by_origin) + len(heads):
        yield f"{len(outcome.arrived)} requests at the origin, {len(by_origin) + len(heads)} answers of it"
    if len(outcome.arrived) > len(expected):
        yield f"{[(r.method, r.target) for r in outcome.arrived]} at the origin, {len(expected)} were sent"
    bodies = [(m.method, m.body) for m in expected]
    for request in outcome.arrived:
        if (request.method, request.body) not in bodies:
            yield f"{request.method} {request.target} {request.body!r} arrived, which was not sent"
        if request.version != "1.1":
            yield f"arrived as HTTP/{request.version}"
        if request.trailers and any(name.lower() in judge.FRAMING_NAMES for name, _ in request.trailers):
            yield f"trailers {request.trailers}"
    last = outcome.answers[-1].status if outcome.answers else None
    if outcome.message.verdict == "reject" and not outcome.message.incomplete:
        if last is None or last < 400:
            yield f"refused, but the last answer is {last}"
    if any(answer.status >= 500 for answer in outcome.answers if answer.status not in (501, 502, 505)):
        yield f"answers {[answer.status for answer in outcome.answers]}"


async def everything(config: Config, origin: RawOrigin, *, proxied: bool) -> list[str]:
    """Say every message of the corpus to the product, and return what was wrong."""
    outcomes = []
    watch = Watch(origin)
    async with product(config) as running:
        for message in REQUESTS:
            outcome = Outcome(message)
            wire = for_a_proxy(message.wire, origin.address) if proxied else message.wire
            try:
                await say(running.address(), message, wire, outcome)
            except (judge.Off, TimeoutError, AssertionError) as error:
                outcome.complaint = f"{type(error).__name__} {error}"
            outcome.arrived = watch.requests()
            outcomes.append(outcome)
        left = list(watch.leftovers())
    found = [f"not whole at the origin: {rest[:80]!r}" for rest in left]
    for outcome in outcomes:
        wrong = [outcome.complaint] if outcome.complaint else list(complaints(outcome))
        if wrong:
            found.append(f"{outcome.message.name} ({outcome.message.verdict}): {'; '.join(wrong)}")
    answered = [answer.status for outcome in outcomes for answer in outcome.answers]
    if [line["status"] for line in running.log if line["status"]] != answered:
        found.append(f"{len(running.log)} lines in the log, {len(answered)} answers")
    return found


async def test_a1_to_a7_a_gateway_lets_no_request_of_the_corpus_through_that_was_not_sent() -> None:
    async with RawOrigin(answering(ANSWER)) as origin:
        found = await everything(gateway_config([origin.address], LOCAL), origin, proxied=False)
    assert not found, f"{len(found)} messages:\n" + "\n".join(found)


async def test_a1_to_a7_a_proxy_lets_no_request_of_the_corpus_through_that_was_not_sent() -> None:
    async with NameServer(lambda name, kind: Reply(("127.0.0.1",))) as names, RawOrigin(answering(ANSWER)) as origin:
        config = settings(proxy_config(LOCAL), dns={"servers": [names.address]})
        found = await everything(config, origin, proxied=True)
    assert not found, f"{len(found)} messages:\n" + "\n".join(found)


@pytest.mark.parametrize("wire", [b"GET /a HTTP/1.1\r\n", b"\r\nGET /a HTTP/1.1\r\n"])
def test_targets_are_made_absolute_for_a_proxy(wire: bytes) -> None:
    assert b"GET http://h:1/a HTTP/1.1\r\n" in for_a_proxy(wire, "h:1")
