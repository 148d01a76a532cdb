"""The members of a group follow what name servers say."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from interpose.core.failure import Failure, Side
from interpose.core.target import Origin
from interpose.engine.membership import Membership, Named, Offered, Source
from interpose.upstream.group import Member

APP = Member(Origin("http", "app.internal", 8000), 2.0, 5)
FIXED = Member(Origin("http", "10.0.0.9", 8000))
AWAY = Failure("dns_timeout", Side.UPSTREAM, "No name server answered for 'app.internal'.")


class Names:
    """Name servers whose answers a test changes, and the members that a group was told of."""

    def __init__(self) -> None:
        self.addresses: Sequence[str] | Failure = ("10.0.0.1", "10.0.0.2")
        self.offers: Sequence[tuple[str, int, int, int]] | Failure = ()
        self.told: list[list[Member]] = []

    async def resolve(self, name: str) -> Sequence[str]:
        assert name == "app.internal"
        if isinstance(self.addresses, Failure):
            raise self.addresses
        return self.addresses

    async def services(self, name: str) -> Sequence[tuple[str, int, int, int]]:
        assert name == "_http._tcp.app.internal"
        if isinstance(self.offers, Failure):
            raise self.offers
        return self.offers

    def membership(self, *sources: Source) -> Membership:
        made = Membership("app", lambda members: self.told.append(list(members)))
        made.resolve, made.services = self.resolve, self.services
        self.first = made.configure(sources)
        return made


async def looked(membership: Membership) -> None:
    """A second passes."""
    membership.tick()
    assert membership._looking is not None
    await membership._looking


def at(address: str) -> Member:
    return Member(Origin("http", "app.internal", 8000, address), 2.0, 5)


async def test_a_name_is_itself_until_it_is_looked_up_and_then_its_addresses() -> None:
    names = Names()
    membership = names.membership(FIXED, Named(APP))
    assert names.first == [FIXED, APP]
    await looked(membership)
    assert names.told == [[FIXED, at("10.0.0.1"), at("10.0.0.2")]]
    await looked(membership)
    assert len(names.told) == 1
    names.addresses = ("10.0.0.3", "10.0.0.2")
    await looked(membership)
    assert names.told[1] == [FIXED, at("10.0.0.2"), at("10.0.0.3")]


async def test_f11_while_no_name_server_answers_everybody_stays(caplog: pytest.LogCaptureFixture) -> None:
    names = Names()
    membership = names.membership(Named(APP))
    await looked(membership)
    names.addresses = AWAY
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await looked(membership)
    assert len(names.told) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "upstream app: No name server answered for 'app.internal'. Its servers stay as they were."
    ]


async def test_a_service_has_servers_with_their_shares_and_their_order() -> None:
    names = Names()
    names.offers = [("a.internal", 8001, 0, 3), ("b.internal", 8002, 10, 0)]
    membership = names.membership(Offered("_http._tcp.app.internal", "http", 7))
    assert names.first == []
    await looked(membership)
    assert names.told == [
        [
            Member(Origin("http", "a.internal", 8001), 3.0, 7, 0),
            Member(Origin("http", "b.internal", 8002), 1.0, 7, 10),
        ]
    ]


async def test_a_reload_keeps_what_is_known_of_names_that_stay() -> None:
    names = Names()
    membership = names.membership(Named(APP))
    await looked(membership)
    assert membership.configure([Named(APP), FIXED]) == [at("10.0.0.1"), at("10.0.0.2"), FIXED]


async def test_f16_a_reload_that_says_other_things_of_a_name_does_not_forget_who_it_is() -> None:
    names = Names()
    names.offers = [("a.internal", 8001, 0, 3)]
    service = Offered("_http._tcp.app.internal", "http", 7)
    membership = names.membership(Named(APP), service)
    await looked(membership)
    members = membership.configure([Named(APP._replace(weight=9.0)), service._replace(limit=1)])
    assert members == [
        at("10.0.0.1")._replace(weight=9.0),
        at("10.0.0.2")._replace(weight=9.0),
        Member(Origin("http", "a.internal", 8001), 3.0, 1, 0),
    ]


async def test_servers_that_are_all_fixed_are_not_looked_up() -> None:
    membership = Names().membership(FIXED)
    membership.tick()
    assert membership._looking is None


async def test_it_ends_while_it_looks() -> None:
    names = Names()
    membership = names.membership(Named(APP))
    membership.tick()
    looking = membership._looking
    assert looking is not None
    membership.end()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert names.told == []
