"""What a meter counts of exchanges, and of what they sent upstream."""

from __future__ import annotations

from interpose.core.exchange import Attempt, Exchange, Outcome
from interpose.core.fields import Fields
from interpose.core.handler import chain
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.tally import BOUNDS_S, Tally
from interpose.core.target import Authority, Form, Origin, Target
from interpose.filters.meter import Counts, Meter, RouteCounts

APP, OTHER = Origin("http", "app.example", 80), Origin("http", "other.example", 80)


class World:
    """A meter of one route, `/api`, with one server."""

    def __init__(self) -> None:
        self.counts = Counts()
        known = self.counts.of(("upstream", ("app", "http://app.example")), shown=True)
        others = self.counts.of(("upstream", ("app", "(others)")))
        api = RouteCounts(self.counts.of(("route", ("front", "/api")), shown=True), {APP: known}, others)
        rest = RouteCounts(self.counts.of(("route", ("front", "(none)"))), {}, others)
        self.meter = Meter({"/api": api}, rest)

    async def passes(
        self, route: str, status: int, seconds: float, *tries: Attempt, size: int = 0, begun: float = 100.0
    ) -> None:
        exchange = Exchange(1, 0, "front", Address("192.0.2.1", 50000), begun)
        request = Request("GET", Target(Form.ORIGIN, "http", Authority("a"), "/x"), Fields())

        async def routed(exchange: Exchange, request: Request) -> Response:
            exchange.route = route
            exchange.attempts.extend(tries)
            return Response(200)

        await chain([self.meter], routed)(exchange, request)
        exchange.finish(Outcome(status, size, None, begun + seconds))

    def told(self) -> dict[tuple[str, str], Tally]:
        return {tally.names: tally for tally in self.counts.changed()}


def tried(origin: Origin, status: int, latency_s: float | None) -> Attempt:
    attempt = Attempt(origin, 100.0)
    attempt.status = status
    attempt.first_byte = 0.0 if latency_s is None else 100.0 + latency_s
    return attempt


async def test_what_is_configured_is_there_before_anything_was_counted_and_the_rest_is_not() -> None:
    told = World().told()
    assert set(told) == {("app", "http://app.example"), ("front", "/api")}
    assert told["front", "/api"].statuses == [0] * 6


async def test_exchanges_are_counted_by_route_class_and_time() -> None:
    world = World()
    await world.passes("/api", 200, 0.004, size=1000)
    await world.passes("/api", 204, 0.25)
    await world.passes("/api", 503, 60.0, size=24)
    await world.passes("/api", 0, 0.0)
    told = world.told()["front", "/api"]
    assert told.statuses == [1, 0, 2, 0, 0, 1]
    assert told.times == [1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1]  # a bound belongs to what lies below it
    assert BOUNDS_S[7] == 0.25
    assert round(told.seconds, 6) == 60.254
    assert told.content_bytes == 1024


async def test_a_route_that_is_not_known_is_counted_with_those_that_have_none() -> None:
    world = World()
    world.told()
    await world.passes("", 404, 0.001)
    await world.passes("/gone by a reload", 200, 0.001)
    assert world.told()["front", "(none)"].statuses == [0, 0, 1, 0, 1, 0]


async def test_every_try_is_counted_for_its_server_and_one_without_an_answer_has_no_time() -> None:
    world = World()
    await world.passes("/api", 200, 0.5, tried(APP, 0, None), tried(APP, 200, 0.03), tried(OTHER, 302, 0.1))
    told = world.told()
    known, others = told["app", "http://app.example"], told["app", "(others)"]
    assert (known.statuses, known.times[5], sum(known.times)) == ([1, 0, 1, 0, 0, 0], 1, 1)
    assert round(known.seconds, 6) == 0.03
    assert (others.statuses, others.times[6]) == ([0, 0, 0, 1, 0, 0], 1)


async def test_what_a_million_clients_name_makes_no_further_count() -> None:
    world = World()
    for number in range(1000):
        await world.passes(f"/{number}", 200, 0.1, tried(Origin("http", f"{number}.example", 80), 200, 0.1))
    assert len(world.told()) == 4


async def test_only_what_changed_is_told_and_as_the_whole_sum() -> None:
    world = World()
    await world.passes("/api", 200, 0.1)
    world.told()
    assert world.told() == {}
    await world.passes("/api", 200, 0.1)
    told = world.told()
    assert set(told) == {("front", "/api")}
    assert told["front", "/api"].statuses[2] == 2


async def test_what_was_told_is_not_changed_by_what_is_counted_later() -> None:
    world = World()
    before = world.told()["front", "/api"]
    await world.passes("/api", 200, 0.1)
    assert before.statuses == [0] * 6


async def test_an_exchange_whose_request_cannot_be_read_is_counted_too() -> None:
    world = World()
    exchange = Exchange(1, 0, "front", Address("192.0.2.1", 50000), 1.0)
    world.meter.without_request(exchange)
    exchange.finish(Outcome(400, 10, None, 1.0))
    assert world.told()["front", "(none)"].statuses[4] == 1
