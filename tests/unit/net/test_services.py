"""SRV records: what is remembered, and what an answer says."""

import pycares
import pytest

from interpose.core.failure import Failure, Side
from interpose.net.resolve import NameUnknown
from interpose.net.services import Service, ServiceResolver, Services, services_in


class World:
    """A clock and a name server."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.answer: Services | Failure = Services((Service("a", 80),), 30)

    async def lookup(self, name: str) -> Services:
        self.asked += 1
        if isinstance(self.answer, Failure):
            raise self.answer
        return self.answer

    def resolver(self) -> ServiceResolver:
        return ServiceResolver(lookup=self.lookup, clock=lambda: self.now)


async def test_an_answer_is_kept_for_its_ttl() -> None:
    world = World()
    resolver = world.resolver()
    for now, asked in [(0.0, 1), (29.9, 1), (30.0, 2)]:
        world.now = now
        assert await resolver("_http._tcp.x") == (Service("a", 80),)
        assert world.asked == asked


async def test_f11_what_is_known_serves_on_while_nobody_answers_and_is_asked_for_now_and_then() -> None:
    world = World()
    resolver = world.resolver()
    await resolver("_http._tcp.x")
    world.answer = Failure("dns_timeout", Side.UPSTREAM, "nobody")
    for now, asked in [(1000.0, 2), (1004.0, 2), (1005.0, 3)]:
        world.now = now
        assert await resolver("_http._tcp.x") == (Service("a", 80),)
        assert world.asked == asked


async def test_a_service_that_nobody_knows_is_a_failure() -> None:
    world = World()
    world.answer = NameUnknown("_http._tcp.x")
    with pytest.raises(Failure, match="has no address"):
        await world.resolver()("_http._tcp.x")


def record(target: str, priority: int = 0, weight: int = 0, port: int = 80) -> pycares.SRVRecordData:
    return pycares.SRVRecordData(priority=priority, weight=weight, port=port, target=target)


def test_the_servers_of_an_answer_come_in_their_order_and_for_the_shortest_time() -> None:
    records = [(60, record("B.example.", 2)), (30, record("a.example.", 1, 5, 8080)), (90, "something else")]
    assert services_in("x", records) == Services((Service("a.example", 8080, 1, 5), Service("b.example", 80, 2, 0)), 30)


@pytest.mark.parametrize("records", [[], [(60, record("."))]], ids=["none", "a lone dot"])
def test_an_answer_without_servers_is_a_failure(records: list[tuple[int, object]]) -> None:
    with pytest.raises(NameUnknown):
        services_in("_http._tcp.x", records)


@pytest.mark.parametrize(
    ("host", "port"),
    [("a b.example", 80), ("a\r\nx: y.example", 80), ("127.1", 80), ("..", 80), ("a.example", 0)],
)
def test_a10_what_is_no_name_of_a_host_is_no_server(host: str, port: int) -> None:
    records = [(30, record(host, port=port)), (30, record("good.example"))]
    assert services_in("x", records).servers == (Service("good.example", 80),)
