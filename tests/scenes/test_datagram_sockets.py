"""Sockets of datagrams on both event loops: reading, pausing, changing, and the flows of a relay."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address
from typing import Any

import pytest
from tests.support.datagrams import client, free_port, target
from tests.support.event_loops import LOOPS, Scene, run_scene, settle

from interpose.core.datagram import Sender, WayBack
from interpose.net.flows import Flows
from interpose.net.listen import address_of
from interpose.net.udp import MOST_PER_TURN, DatagramListening, bind_datagrams

ADDRESS = "127.0.0.1:0"


@pytest.fixture(params=LOOPS)
def on_loop(request: pytest.FixtureRequest) -> Callable[[Scene], None]:
    return lambda scene: run_scene(request.param, scene)


def echo(data: memoryview, sender: Sender, back: WayBack) -> None:
    back.send(data, sender)


@contextlib.asynccontextmanager
async def listening(
    handler: Callable[[memoryview, Sender, WayBack], None] = echo,
) -> AsyncIterator[tuple[DatagramListening, str]]:
    with bind_datagrams(ADDRESS) as sock:
        some = DatagramListening([sock], handler)
        try:
            yield some, some.addresses[0]
        finally:
            some.cut()


class Kept:
    """The owner of a flow."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.errors: list[int | None] = []

    def answered(self, data: memoryview) -> None:
        self.answers.append(bytes(data))

    def failed(self, error: OSError) -> None:
        self.errors.append(error.errno)


def test_what_comes_is_handled_in_order(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with listening() as (some, address):
            with client(address) as asking:
                for number in range(MOST_PER_TURN * 3):  # more than one turn reads
                    asking.send(b"%d" % number)
                for number in range(MOST_PER_TURN * 3):
                    assert await asking.receive() == b"%d" % number
            assert some.received == MOST_PER_TURN * 3

    on_loop(scene)


def test_nothing_is_read_between_pause_and_resume(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with listening() as (some, address):
            with client(address) as asking:
                some.pause()
                asking.send(b"wait")
                await settle(lambda: asking.has_more, rounds=50)
                assert not asking.has_more
                some.resume()
                assert await asking.receive() == b"wait"

    on_loop(scene)


def test_after_close_answers_can_still_be_sent(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        kept: list[tuple[Sender, WayBack]] = []
        async with listening(lambda data, sender, back: kept.append((sender, back))) as (some, address):
            with client(address) as asking:
                asking.send(b"question")
                await settle(lambda: bool(kept), rounds=100_000)
                some.close()
                [(sender, back)] = kept
                assert back.send(b"answer", sender)
                assert await asking.receive() == b"answer"
                some.cut()
                assert not back.send(b"too late", sender)
                assert some.unsendable == 1

    on_loop(scene)


def test_answers_of_a_socket_that_is_let_go_leave_through_another_one(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        kept: list[tuple[Sender, WayBack]] = []
        first = bind_datagrams(ADDRESS, reuse_port=True)
        address = address_of(first)
        some = DatagramListening([first], lambda data, sender, back: kept.append((sender, back)))
        with client(address) as asking:
            asking.send(b"question")
            await settle(lambda: bool(kept), rounds=100_000)
            [(sender, back)] = kept
            for _ in range(2):
                other = bind_datagrams(address, reuse_port=True, probe=False)
                some.change([other])
                first.close()
                first = other
                assert back.send(b"answer", sender)
                assert await asking.receive() == b"answer"
            assert some.addresses == [address]
        some.cut()
        first.close()

    on_loop(scene)


def test_flows_hear_from_their_targets_alone(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with target(bytes.upper) as one, target(bytes.lower) as two:
            flows = Flows()
            owners = [Kept(), Kept()]
            opened = []
            for owner, server in zip(owners, (one, two), strict=True):
                host, _, port = server.address.rpartition(":")
                opened.append(flows.open(ip_address(host), int(port), owner))
            assert len(flows) == 2
            for _ in range(20):
                for flow in opened:
                    flow.send(b"Aa")
            await settle(lambda: all(len(owner.answers) == 20 for owner in owners), rounds=100_000)
            assert owners[0].answers == [b"AA"] * 20
            assert owners[1].answers == [b"aa"] * 20
            opened[0].close()
            opened[0].close()
            assert len(flows) == 1
            flows.close()
            flows.close()

    on_loop(scene)


def test_f28_what_icmp_says_is_told_to_the_owner(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        flows, owner = Flows(), Kept()
        flow = flows.open(ip_address("127.0.0.1"), free_port(), owner)
        flow.send(b"anybody?")
        await settle(lambda: bool(owner.errors), rounds=100_000)
        assert owner.errors == [errno.ECONNREFUSED]
        flows.close()

    on_loop(scene)


@pytest.mark.parametrize("count", [1, 10])
def test_an_owner_may_close_its_flow_when_it_is_answered(on_loop: Callable[[Scene], None], count: int) -> None:
    async def scene() -> None:
        flows = Flows()

        class Once(Kept):
            flow: Any

            def answered(self, data: memoryview) -> None:
                super().answered(data)
                self.flow.close()

        async with target() as server:
            host, _, port = server.address.rpartition(":")
            owners = [Once() for _ in range(count)]
            for owner in owners:
                owner.flow = flows.open(ip_address(host), int(port), owner)
                owner.flow.send(b"one")
                owner.flow.send(b"two")
            await settle(lambda: not len(flows), rounds=100_000)
        assert [owner.answers for owner in owners] == [[b"one"]] * count
        assert all(not owner.errors for owner in owners)
        flows.close()

    on_loop(scene)


def test_a33_no_flow_leads_to_everybody(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        flows = Flows()
        with pytest.raises(PermissionError):
            flows.open(ip_address("127.255.255.255"), 9000, Kept())
        assert len(flows) == 0
        flows.close()
        await asyncio.sleep(0)

    on_loop(scene)


def test_a_socket_of_datagrams_is_had_or_refused_in_one_sentence() -> None:
    with bind_datagrams(ADDRESS, reuse_port=True) as sock:
        address = address_of(sock)
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 100_000
        with pytest.raises(ValueError, match=r"^Port \d+ on 127.0.0.1 is in use already"):
            bind_datagrams(address, reuse_port=True)
        with bind_datagrams(address, reuse_port=True, probe=False):
            pass
    with pytest.raises(ValueError, match="is not an address of this machine"):
        bind_datagrams("192.0.2.1:9000")
    with pytest.raises(ValueError, match="cannot receive datagrams"):
        bind_datagrams("unix:/tmp/x")
