"""Asking a service: the whole answer in time, or a failure that says why."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.target import Authority, Form, Origin, Target
from interpose.engine.service_client import MOST_BYTES, ServiceClient

TARGET = Target(Form.ABSOLUTE, "http", Authority("sso.example", 9091), "/verify")


class Source:
    """Of a body that never ends: whether anybody gave it up."""

    cancelled = False

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cancel(self) -> None:
        self.cancelled = True


class Client:
    """Stands for an `UpstreamClient`: answers as it is told."""

    def __init__(self, answer: Callable[[], Response]) -> None:
        self._answer = answer
        self.asked: list[tuple[Request, Origin]] = []
        self.exchanges: list[Exchange] = []

    async def send(self, exchange: Exchange, request: Request, origin: Origin) -> Response:
        self.asked.append((request, origin))
        self.exchanges.append(exchange)
        return self._answer()


def service(client: Any, timeout_s: float = 5.0) -> ServiceClient:
    return ServiceClient(client, TARGET, timeout_s)


async def test_the_answer_comes_whole() -> None:
    client = Client(lambda: Response(204, Fields([("A", "b")]), Body(b"content")))
    said = await service(client).ask(Fields([("X", "y")]))
    assert (said.status, list(said.fields), said.content) == (204, [("A", "b")], b"content")
    [(request, origin)] = client.asked
    assert (request.method, str(request.target), list(request.fields), str(origin)) == (
        "GET",
        "http://sso.example:9091/verify",
        [("X", "y")],
        "http://sso.example:9091",
    )
    assert client.exchanges[0].outcome is not None


def raising(failure: Failure) -> Callable[[], Response]:
    def answer() -> Response:
        raise failure

    return answer


REFUSED = Failure("connection_refused", Side.UPSTREAM, "no")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (raising(REFUSED), "connection_refused"),
        (lambda: Response(200, body=Body(b"x" * (MOST_BYTES + 1))), "http_response_body_size"),
    ],
)
async def test_what_is_no_answer_is_a_failure_of_the_service(answer: Callable[[], Response], kind: str) -> None:
    client = Client(answer)
    with pytest.raises(Failure) as failed:
        await service(client).ask(Fields())
    assert (failed.value.kind, failed.value.side) == (kind, Side.UPSTREAM)
    assert client.exchanges[0].outcome is not None
    assert client.exchanges[0].outcome.failure is failed.value


async def test_an_answer_that_does_not_end_in_time_is_given_up() -> None:
    source = Source()
    client = Client(lambda: Response(200, body=Body.streaming(source, None)))
    with pytest.raises(Failure) as failed:
        await service(client, 0.01).ask(Fields())
    assert (failed.value.kind, source.cancelled) == ("http_response_timeout", True)


async def test_who_leaves_and_what_ends_give_up_the_answer() -> None:
    for leave in (True, False):
        source = Source()
        client = Client(lambda source=source: Response(200, body=Body.streaming(source, None)))  # type: ignore[misc]
        asked = service(client)
        asking = asyncio.ensure_future(asked.ask(Fields()))
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(client.asked) == 1
        if leave:
            asking.cancel()
        await asked.end()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert source.cancelled


async def test_where_nothing_serves_nobody_is_there() -> None:
    with pytest.raises(Failure) as failed:
        await service(None).ask(Fields())
    assert failed.value.kind == "destination_unavailable"
