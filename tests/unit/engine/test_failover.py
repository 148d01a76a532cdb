"""When the requests of one end go to another one, and when they come back."""

from collections.abc import Awaitable

import pytest
from tests.support.origins_in_memory import exchange, request

from interpose.core.body import Body
from interpose.core.exchange import Attempt, Exchange
from interpose.core.failure import Failure, Side
from interpose.core.message import Request, Response
from interpose.core.target import Origin
from interpose.engine.failover import Failover

REFUSED = Failure("connection_refused", Side.UPSTREAM, "Nobody is there.")
BROKEN = Failure("connection_terminated", Side.UPSTREAM, "It broke off.", sent=True)
TIMEOUT = Failure("http_response_timeout", Side.UPSTREAM, "It says nothing.", sent=True)


class First:
    """An end whose servers are up or not, and that fails or not."""

    def __init__(self) -> None:
        self.is_up = True
        self.failure: Failure | None = None
        self.falls = False
        self.asked = 0

    def may_serve(self, now: float) -> bool:
        return self.is_up

    async def __call__(self, exchange: Exchange, request: Request) -> Response:
        self.asked += 1
        exchange.attempts.append(Attempt(Origin("http", "a", 80), 0.0))
        if self.failure is None:
            return Response(201)
        self.is_up = not self.falls
        raise self.failure


async def second(exchange: Exchange, request: Request) -> Response:
    return Response(202)


def asked(first: First, what: Request | None = None) -> Awaitable[Response]:
    return Failover(first, second, lambda: 0.0)(exchange(), what or request())  # type: ignore[arg-type]


async def test_the_second_serves_only_while_the_first_cannot() -> None:
    first = First()
    assert (await asked(first)).status == 201
    first.is_up = False
    assert (await asked(first)).status == 202
    assert first.asked == 1
    first.is_up = True
    assert (await asked(first)).status == 201


async def test_a_request_that_finds_out_goes_on_to_the_second() -> None:
    first = First()
    first.failure, first.falls = REFUSED, True
    assert (await asked(first, request("POST", Body(b"x")))).status == 202


@pytest.mark.parametrize(
    ("failure", "falls", "method"),
    [(REFUSED, False, "GET"), (BROKEN, True, "POST"), (TIMEOUT, True, "GET")],
    ids=["others are up", "a POST that may have been done", "it may still be at it"],
)
async def test_a_request_fails_where_it_must_not_go_on(failure: Failure, falls: bool, method: str) -> None:
    first = First()
    first.failure, first.falls = failure, falls
    with pytest.raises(Failure) as caught:
        await asked(first, request(method))
    assert caught.value is failure


async def test_a_get_that_was_broken_off_goes_on() -> None:
    first = First()
    first.failure, first.falls = BROKEN, True
    assert (await asked(first)).status == 202
