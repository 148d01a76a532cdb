"""Datagrams: echo, capitals and the relay, seen from outside (A33, F28)."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.support.datagrams import Client, MemoryWay, Target, client, free_port, target
from tests.support.event_loops import settle
from tests.support.product import Product, product, settings

from interpose import ConfigError
from interpose.config.load import config_of
from interpose.config.model import Config
from interpose.config.roles import answering_tables, relay_tables
from interpose.core.exchange import Exchange
from interpose.engine.datagram_relay import DatagramRelay
from interpose.engine.datagram_table import DatagramOptions
from interpose.net.address import IPAddress, parse_address

SIZES = [0, 1, 2, 63, 64, 1472, 1473, 8192, 65_507]


def echoing(role: str = "echo", listen: str = "127.0.0.1:0", **options: Any) -> Config:
    return config_of(answering_tables(role, [listen], udp=True, **options))


def relaying(*servers: str, listen: str = "127.0.0.1:0", datagrams: dict[str, Any] | None = None) -> Config:
    tables = relay_tables(servers, [listen], udp=True)
    return config_of({**tables, "datagrams": datagrams or {}})


@contextlib.asynccontextmanager
async def relayed(
    answer: Callable[[bytes], bytes | None] = bytes, **options: Any
) -> AsyncIterator[tuple[Target, Product]]:
    """A target and a relay to it."""
    async with target(answer) as server, product(relaying(server.address, **options)) as running:
        yield server, running


def pattern(size: int) -> bytes:
    return (b"%d." % size * (size // 2 + 1))[:size]


# --- servers that answer by themselves -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_f28_a_datagram_of_any_size_is_sent_back(size: int) -> None:
    async with product(echoing()) as running:
        with client(running.address()) as some:
            assert await some.ask(pattern(size)) == pattern(size)
            assert not some.has_more


async def test_capitals_come_back_and_other_bytes_as_they_were() -> None:
    async with product(echoing("upper")) as running:
        with client(running.address()) as some:
            assert await some.ask("Foobar 42 &*!ß\0\xff".encode()) == "FOOBAR 42 &*!ß\0\xff".encode()


async def test_f28_random_datagrams_neither_stop_nor_mix_anything() -> None:
    chance = random.Random(28)
    async with product(echoing()) as running, relayed() as (_, relay):
        with client(running.address()) as direct, client(relay.address()) as by_relay:
            for _ in range(150):
                data = chance.randbytes(chance.choice((chance.randrange(65_508), chance.randrange(100))))
                assert await direct.ask(data) == data
                assert await by_relay.ask(data) == data


async def test_f28_a_client_that_is_gone_costs_others_nothing() -> None:
    async with product(echoing()) as running:
        with client(running.address()) as other:
            for _ in range(50):  # the answer meets a closed port, and ICMP says so
                with client(running.address()) as gone:
                    gone.send(b"I will not wait")
                assert await other.ask(b"still there?") == b"still there?"


async def test_who_is_not_in_allow_from_hears_nothing() -> None:
    async with product(echoing(allow_from=["127.0.0.2"])) as running:
        with client(running.address(), ("127.0.0.2", 0)) as allowed, client(running.address()) as other:
            other.send(b"may I?")
            assert await allowed.ask(b"I may") == b"I may"
            await running.when(lambda: running.counters["datagrams_refused_total"] == 1)
            assert not other.has_more


@pytest.mark.parametrize(
    ("listen", "asked"),
    [("0.0.0.0:0", "127.0.0.1"), ("0.0.0.0:0", "127.0.0.77"), ("[::]:0", "[::1]"), ("[::1]:0", "[::1]")],
)
async def test_an_answer_comes_from_the_address_that_was_asked(listen: str, asked: str) -> None:
    async with product(echoing(listen=listen)) as running:
        port = running.address().rpartition(":")[2]
        with client(f"{asked}:{port}") as some:
            assert await some.ask(b"who answers?") == b"who answers?"


async def test_a33_what_was_sent_to_everybody_is_not_answered() -> None:
    async with product(echoing(listen="0.0.0.0:0")) as running:
        port = int(running.address().rpartition(":")[2])
        with client(f"127.0.0.1:{port}") as some, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as shouting:
            shouting.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            shouting.bind(("127.0.0.1", 0))
            shouting.setblocking(False)
            shouting.sendto(b"everybody?", ("127.255.255.255", port))
            assert await some.ask(b"and now?") == b"and now?"
            with pytest.raises(BlockingIOError):
                shouting.recv(100)


# --- the relay -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_f28_a_datagram_of_any_size_is_relayed_both_ways(size: int) -> None:
    async with relayed() as (server, running):
        with client(running.address()) as some:
            assert await some.ask(pattern(size)) == pattern(size)
    assert [data for data, _ in server.got] == [pattern(size)]


async def test_two_hundred_clients_get_their_own_answers() -> None:
    async with relayed(bytes.swapcase) as (server, running):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(client(running.address())) for _ in range(200)]

            async def converse(number: int, some: Client) -> None:
                for turn in range(10):
                    text = f"client {number} turn {turn}".encode()
                    assert await some.ask(text) == text.swapcase()

            await asyncio.gather(*(converse(number, some) for number, some in enumerate(clients)))
            assert running.counters["datagram_sessions"] == 200
        assert len(server.clients) == 200


async def test_a_session_is_one_line_in_the_log_with_what_passed() -> None:
    async with relayed(lambda data: data * 2) as (server, running):
        address = server.address
        with client(running.address()) as some:
            for data in (b"", b"abc", b"de"):
                await some.ask(data)
    [line] = running.log
    assert line["client"] == "127.0.0.1"
    assert line["method"] == "UDP"
    assert line["target"] == line["upstream"] == address
    assert (line["status"], line["bytes"]) == (200, 10)
    counts = {"bytes_in": "5", "datagrams_in": "3", "datagrams_out": "3"}
    assert line["notes"] == {**counts, "why": "the listener ended"}


async def test_a_datagram_after_the_idle_timeout_begins_a_new_session() -> None:
    async with relayed(datagrams={"idle_timeout_s": 0.2}) as (server, running):
        with client(running.address()) as some:
            await some.ask(b"one")
            await running.logged(1)
            await some.ask(b"two")
    assert len(server.clients) == 2


async def test_either_side_keeps_a_session_and_silence_of_both_ends_it() -> None:
    way = MemoryWay()
    relay = DatagramRelay("relay", 0, DatagramOptions(idle_timeout_s=60))
    ended: list[Exchange] = []
    relay.observe = ended.append
    async with target(lambda data: None) as server:
        relay.lead_to([parse_address(server.address)], no_names, lambda address, port: None)
        relay(memoryview(b"subscribe"), ("127.0.0.1", 5000), way)
        await settle(lambda: bool(server.got), rounds=100_000)
        relay.tick(1000.0)
        for now in (1050.0, 1100.0, 1150.0):
            server.send(b"news", server.clients[0])
            await settle(lambda now=now: len(way.sent) == (now - 1000) // 50, rounds=100_000)
            relay.tick(now)
        relay(memoryview(b"go on"), ("127.0.0.1", 5000), way)
        relay.tick(1200.0)
        relay.tick(1259.0)
        assert relay.sessions == 1
        relay.tick(1260.0)
        assert relay.sessions == 0
        relay.cut()
    [exchange] = ended
    assert exchange.notes == {"bytes_in": "14", "datagrams_in": "2", "datagrams_out": "3"}


async def no_names(host: str) -> tuple[IPAddress, ...]:
    raise AssertionError(host)


async def test_f28_a_target_that_is_not_there_ends_the_session_and_one_that_comes_later_is_reached() -> None:
    port = free_port()
    async with product(relaying(f"127.0.0.1:{port}")) as running:
        with client(running.address()) as some:
            some.send(b"too early")
            [line] = await running.logged(1)
            assert (line["status"], line["failure"]) == (502, "connection_refused")
            assert line["detail"].endswith(
                "has no program on that UDP port: its machine said so (ICMP port unreachable)."
            )
            assert running.counters["datagram_sessions_unreachable_total"] == 1
            async with target(lambda data: b"here", ("127.0.0.1", port)) as late:
                assert await some.ask(b"and now?") == b"here"
            assert [data for data, _ in late.got] == [b"and now?"]


async def test_several_targets_are_taken_in_turn_and_one_that_refuses_last() -> None:
    async with target() as one, target() as two:
        dead = f"127.0.0.1:{free_port()}"
        async with product(relaying(one.address, dead, two.address)) as running:
            for _ in range(12):
                with client(running.address()) as some:
                    some.send(b"x")
                    got = len(one.got) + len(two.got)
                    sessions = running.counters["datagram_sessions_unreachable_total"]
                    await running.when(
                        lambda got=got, sessions=sessions: (
                            len(one.got) + len(two.got) > got
                            or running.counters["datagram_sessions_unreachable_total"] > sessions
                        )
                    )
            assert running.counters["datagram_sessions_unreachable_total"] == 1
        assert abs(len(one.got) - len(two.got)) <= 2


async def test_a_target_by_name_is_looked_up_and_the_first_datagram_waits_for_that() -> None:
    async with target() as server:
        port = server.address.rpartition(":")[2]
        async with product(relaying(f"localhost:{port}")) as running:
            with client(running.address()) as some:
                assert await some.ask(b"hello") == b"hello"


async def test_a_name_that_has_no_address_is_said_once_and_datagrams_are_dropped() -> None:
    async with product(relaying("nowhere.invalid:53")) as running:
        with client(running.address()) as some:
            for _ in range(3):
                some.send(b"x")
            await running.when(lambda: running.counters["datagrams_refused_total"] == 3)
        said = [record.getMessage() for record in running.records]
        assert len([line for line in said if line.startswith("datagrams cannot be sent to nowhere.invalid:53")]) == 1


async def test_ipv6_clients_are_relayed_to_an_ipv4_target() -> None:
    async with relayed(listen="[::1]:0") as (_, running):
        with client(running.address()) as some:
            assert await some.ask(b"across") == b"across"


async def test_a_client_hears_from_its_target_only() -> None:
    async with relayed() as (server, running):
        with client(running.address()) as some:
            await some.ask(b"x")
            [upstream_end] = server.clients
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.sendto(b"forged", upstream_end)
            assert await some.ask(b"y") == b"y"
            assert not some.has_more


# --- A33 -----------------------------------------------------------------------------------------------------------


async def test_a33_sessions_stay_within_their_cap_and_who_is_at_it_keeps_his() -> None:
    async with relayed(datagrams={"max_sessions": 50, "max_sessions_per_client": 0}) as (server, running):
        with client(running.address(), ("127.0.0.9", 0)) as honest:
            for _ in range(2):
                await honest.ask(b"I am here")
            for number in range(500):
                with client(running.address(), (f"127.0.1.{number % 250 + 1}", 0)) as forged:
                    forged.send(b"x")
                if number % 25 == 0:
                    assert await honest.ask(b"still here") == b"still here"
                    assert running.counters["datagram_sessions"] <= 50
            assert await honest.ask(b"still here") == b"still here"
        assert running.counters["datagram_sessions"] == 50
        assert running.counters["datagram_sessions_evicted_total"] >= 450
        assert sum(sender == server.clients[0] for _, sender in server.got) == 23


async def test_a33_one_address_has_only_its_share() -> None:
    async with relayed(datagrams={"max_sessions_per_client": 3}) as (_, running):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(client(running.address())) for _ in range(3)]
            for some in clients:
                for _ in range(2):
                    await some.ask(b"x")
            with client(running.address()) as fourth, client(running.address(), ("127.0.0.2", 0)) as other:
                fourth.send(b"x")
                assert await other.ask(b"y") == b"y"
                await running.when(lambda: running.counters["datagrams_refused_total"] == 1)
                assert not fourth.has_more


@pytest.mark.parametrize(("listen", "ratio"), [("127.0.0.1:0", 3.0), ("0.0.0.0:0", None)])
async def test_a33_a_forged_sender_is_not_sent_more_than_three_times_what_it_sent(
    listen: str, ratio: float | None
) -> None:
    datagrams = {} if ratio is None else {"max_reply_ratio": ratio}
    async with relayed(lambda data: data * int(data[:1] or b"1"), listen=listen, datagrams=datagrams) as (_, running):
        port = running.address().rpartition(":")[2]
        with client(f"127.0.0.1:{port}") as small, client(f"127.0.0.1:{port}") as large:
            assert await small.ask(b"3xx") == b"3xx3xx3xx"
            large.send(b"4xx")
            await running.when(lambda: running.counters["datagrams_held_back_total"] == 1)
            assert await large.ask(b"9xx") == b"9xx" * 9  # who sends again is not somebody else


async def test_a33_on_loopback_answers_may_be_of_any_size() -> None:
    async with relayed(lambda data: data * 1000) as (_, running):
        with client(running.address()) as some:
            assert await some.ask(b"dig") == b"dig" * 1000


@pytest.mark.parametrize(
    ("server", "word"),
    [
        ("224.0.0.251:5353", "multicast"),
        ("[ff02::fb]:5353", "multicast"),
        ("255.255.255.255:67", "broadcast"),
        ("127.255.255.255:9000", "broadcast"),
        ("0.0.0.0:9000", "no address"),
    ],
)
def test_a33_a_target_that_is_many_machines_is_refused_before_anything_runs(server: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        relaying(server)


def test_a33_a_relay_to_itself_is_refused_before_anything_runs() -> None:
    for listen in ("127.0.0.1:9999", "0.0.0.0:9999"):
        with pytest.raises(ConfigError, match="this relay itself"):
            relaying("127.0.0.1:9999", listen=listen)


async def test_a33_a_name_that_leads_to_the_relay_itself_is_not_followed() -> None:
    port = free_port()
    async with product(relaying(f"itself.localhost:{port}", listen=f"127.0.0.1:{port}")) as running:
        with client(running.address()) as some:
            some.send(b"round and round")
            await running.when(lambda: running.counters["datagrams_refused_total"] == 1)
        assert running.counters["datagrams_received_total"] == 1


# --- reloads -------------------------------------------------------------------------------------------------------


def changed(config: Config, running: Product, **tables: Any) -> Config:
    """`config` as it runs (with its log), with some tables changed."""
    log = {"access": str(running._log_file), "format": "json"}
    return settings(config, log=log, process={"grace_s": 0.0}, **tables)


async def test_a_session_lives_through_a_reload_that_leaves_its_target() -> None:
    async with target() as one, target() as two:
        config = relaying(one.address)
        async with product(config) as running:
            with client(running.address()) as some:
                await some.ask(b"before")
                await running.running.reload(changed(config, running))
                await some.ask(b"after")
                assert len(one.clients) == 1
                await running.running.reload(changed(relaying(two.address), running))
                await some.ask(b"elsewhere")
                [line] = await running.logged(1)
    assert [data for data, _ in two.got] == [b"elsewhere"]
    assert line["notes"]["why"] == "the configuration leads elsewhere now"


async def test_a_reload_changes_the_limits_of_a_running_relay() -> None:
    async with target() as server:
        config = relaying(server.address)
        async with product(config) as running:
            with client(running.address()) as some:
                await some.ask(b"x")
                await running.running.reload(changed(config, running, datagrams={"idle_timeout_s": 0.2}))
                await running.logged(1)


# --- other people's clients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [["nc", "-u", "-w", "1", "127.0.0.1", "PORT"], ["socat", "-T", "1", "-", "UDP4:127.0.0.1:PORT"]],
    ids=["nc", "socat"],
)
async def test_nc_and_socat_get_their_answer(command: list[str]) -> None:
    assert shutil.which(command[0]), f"{command[0]} is not installed; see script/packages"
    async with product(echoing("upper")) as running:
        port = running.address().rpartition(":")[2]
        words = [word.replace("PORT", port) for word in command]
        process = await asyncio.create_subprocess_exec(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        async with asyncio.timeout(10):
            said, _ = await process.communicate(b"Foobar\n")
    assert said == b"FOOBAR\n"
