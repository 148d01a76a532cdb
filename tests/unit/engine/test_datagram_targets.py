"""Where a relay of datagrams leads: in turn, looked up, judged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from interpose.core.failure import Failure, Side
from interpose.engine.datagram_targets import Targets
from interpose.net.address import IPAddress, SocketAddress
from interpose.net.policy import datagram_refusal, is_broadcast

ONE, TWO = SocketAddress("192.0.2.1", 53), SocketAddress("192.0.2.2", 53)
NAMED = SocketAddress("dns.example", 53)


class Names:
    """A resolver that is told what to say; `asked` counts."""

    def __init__(self, answer: Sequence[str] | Failure) -> None:
        self.answer = answer
        self.asked = 0

    async def __call__(self, host: str) -> tuple[IPAddress, ...]:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.answer, Failure):
            raise self.answer
        return tuple(map(ip_address, self.answer))


class Relay:
    """What owns targets: a clock, and how often names became known."""

    def __init__(self, servers: Sequence[SocketAddress], names: Names | None = None) -> None:
        self.now = 100.0
        self.changes = 0
        self.targets = Targets(servers, names or Names([]), datagram_refusal, self.changed, lambda: self.now)

    def changed(self) -> None:
        self.changes += 1

    def order(self) -> list[str]:
        return [str(target.address) for target in self.targets.in_turn()]

    async def until_known(self) -> None:
        while self.targets.are_being_looked_up:  # noqa: ASYNC110 - a fake resolver answers in the next turn
            await asyncio.sleep(0)


def test_servers_take_turns() -> None:
    relay = Relay([ONE, TWO])
    first, second = ["192.0.2.1", "192.0.2.2"], ["192.0.2.2", "192.0.2.1"]
    assert [relay.order() for _ in range(3)] == [first, second, first]


def test_one_that_refused_comes_last_for_a_while() -> None:
    relay = Relay([ONE, TWO])
    [target, _] = relay.targets.in_turn()
    relay.targets.refused(target)
    assert [relay.order()[0] for _ in range(3)] == ["192.0.2.2"] * 3
    relay.now += 60
    assert {relay.order()[0] for _ in range(2)} == {"192.0.2.1", "192.0.2.2"}


async def test_a_name_is_looked_up_beforehand_and_again_when_it_is_used_later() -> None:
    names = Names(["192.0.2.7", "::ffff:192.0.2.8"])
    relay = Relay([NAMED], names)
    assert relay.order() == []
    await relay.until_known()
    assert relay.changes == 1
    assert relay.order() == ["192.0.2.7", "192.0.2.8"]
    assert names.asked == 1
    relay.now += 2
    names.answer = ["192.0.2.9"]
    assert relay.order() == ["192.0.2.7", "192.0.2.8"]  # nobody waits: the next session has the new address
    await relay.until_known()
    assert relay.order() == ["192.0.2.9"]


async def test_a_name_that_is_not_known_is_complained_of_once(caplog: pytest.LogCaptureFixture) -> None:
    names = Names(Failure("dns_error", Side.UPSTREAM, "The name 'dns.example' has no address."))
    relay = Relay([NAMED], names)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await relay.until_known()
            assert relay.order() == []
            relay.now += 2
        await relay.until_known()
    assert names.asked == 2
    assert [record.getMessage() for record in caplog.records] == [
        "datagrams cannot be sent to dns.example:53: The name 'dns.example' has no address."
    ]


@pytest.mark.parametrize("bad", ["224.0.0.1", "0.0.0.0"])
async def test_a33_a_name_that_leads_to_many_machines_or_to_nobody_is_not_used(bad: str) -> None:
    relay = Relay([NAMED, ONE], Names(["192.0.2.7", bad]))
    await relay.until_known()
    assert relay.order() == ["192.0.2.1"]


async def test_closing_asks_no_more() -> None:
    relay = Relay([NAMED], Names([]))
    relay.targets.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert relay.changes == 0


@pytest.mark.parametrize(
    ("address", "word"),
    [("224.0.0.251", "multicast"), ("ff02::1", "multicast"), ("0.0.0.0", "server"), ("::", "server"),
     ("127.0.0.1", "itself")],
)  # fmt: skip
def test_a33_where_no_datagram_is_relayed_to(address: str, word: str) -> None:
    refusal = datagram_refusal(ip_address(address), 53, [SocketAddress("0.0.0.0", 53)])
    assert refusal is not None
    assert word in refusal


@pytest.mark.parametrize(("address", "port"), [("127.0.0.1", 54), ("192.0.2.1", 53), ("::1", 53)])
def test_where_datagrams_may_go(address: str, port: int) -> None:
    assert datagram_refusal(ip_address(address), port, [SocketAddress("0.0.0.0", 53)]) is None


@pytest.mark.parametrize(
    ("address", "expected"),
    [("255.255.255.255", True), ("127.255.255.255", True), ("127.0.0.1", False), ("::1", False)],
)
def test_a33_the_kernel_knows_what_is_a_broadcast_address(address: str, expected: bool) -> None:
    assert is_broadcast(ip_address(address)) is expected
