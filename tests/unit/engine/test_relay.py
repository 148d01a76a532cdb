"""The relay over streams in memory: which server it tries, what it tells it, and what it does with early bytes."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.memory_stream import SERVER, MemoryStream

from interpose.core.exchange import Attempt, Exchange
from interpose.core.failure import Failure, Side
from interpose.core.stream import Address, TlsInfo
from interpose.core.target import Origin
from interpose.engine.conversations import ConversationServer
from interpose.engine.live_group import LiveGroup, LiveOptions
from interpose.engine.relay import Relay
from interpose.engine.tunnel import Tunnels
from interpose.upstream.group import Member
from interpose.upstream.options import GroupOptions

A, B = Origin("tcp", "192.0.2.10", 5432), Origin("tls", "b.example", 443)
CLIENT = Address("192.0.2.7", 50000)
REFUSED = Failure("connection_refused", Side.UPSTREAM, "nobody there")


class Servers:
    """What is dialled: each server's next stream, once it is let go."""

    def __init__(self, *refusing: Origin) -> None:
        self.refusing = set(refusing)
        self.tried: list[Origin] = []
        self.openings: list[bytes] = []
        self.streams: list[MemoryStream] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.was_given_up = False
        self.tls: TlsInfo | None = None

    async def __call__(
        self, origin: Origin, attempt: Attempt | None = None, *, configured: bool = False, opening: bytes = b""
    ) -> MemoryStream:
        self.tried.append(origin)
        self.openings.append(opening)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.was_given_up = True
            raise
        if origin in self.refusing:
            raise REFUSED
        self.streams.append(MemoryStream(SERVER, tls=self.tls))
        return self.streams[-1]


def group_of(order: list[Origin]) -> LiveGroup:
    live = LiveGroup("servers")
    live.configure(LiveOptions([Member(origin) for origin in order], GroupOptions()))
    return live


def served(servers: Servers, order: list[Origin], **options: object) -> tuple[ConversationServer, list[Exchange]]:
    relay = Relay(servers, group_of(order), Tunnels(60.0), idle_timeout_s=60.0, **options)  # type: ignore[arg-type]
    server = ConversationServer("relay", relay, 0, 60.0)
    exchanges: list[Exchange] = []
    server.observe = exchanges.append
    return server, exchanges


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_comes_before_the_server_is_there_is_kept_in_order() -> None:
    servers = Servers()
    servers.gate.clear()
    server, _ = served(servers, [A])
    client = MemoryStream(CLIENT)
    server(client)
    client.receive(b"early ")
    await turns()
    client.receive(b"and ")
    client.receive_end()
    await turns()
    assert servers.streams == []
    servers.gate.set()
    await turns()
    [upstream] = servers.streams
    assert (upstream.sent, upstream.has_ended) == (b"early and ", True)
    upstream.receive(b"answer")
    upstream.receive_end()
    await turns()
    assert client.sent == b"answer"


async def test_who_leaves_while_its_server_is_dialled_ends_that() -> None:
    servers = Servers()
    servers.gate.clear()
    server, exchanges = served(servers, [A])
    client = MemoryStream(CLIENT)
    server(client)
    await turns()
    client.lose(None)
    await turns()
    assert servers.was_given_up
    assert exchanges[0].outcome is not None
    assert exchanges[0].outcome.failure is not None
    assert exchanges[0].outcome.failure.detail == "The connection ended before its server was there."
    assert not server.connections


async def test_the_next_server_is_tried_and_a_dead_one_is_ejected_after_three_times() -> None:
    servers = Servers(A)
    server, exchanges = served(servers, [A, B])
    for _ in range(9):
        server(MemoryStream(CLIENT))
        await turns()
    assert (servers.tried.count(A), servers.tried.count(B)) == (3, 9)
    detours = [exchange.attempts for exchange in exchanges if len(exchange.attempts) == 2]
    assert [[(one.origin, one.failure) for one in attempts] for attempts in detours] == [[(A, REFUSED), (B, None)]] * 3
    assert [exchange.asked for exchange in exchanges] == ["TCP tls://b.example:443"] * 9


async def test_when_no_server_can_be_reached_the_client_is_cut_off_and_the_exchange_says_why() -> None:
    servers = Servers(A, B)
    server, exchanges = served(servers, [A, B])
    client = MemoryStream(CLIENT)
    server(client)
    await turns()
    [exchange] = exchanges
    assert client.was_aborted
    assert exchange.outcome is not None
    assert (exchange.outcome.status, exchange.outcome.failure) == (502, REFUSED)
    assert sorted(servers.tried) == [A, B]


@pytest.mark.parametrize(
    ("version", "opening"),
    [(None, b""), ("v1", b"PROXY TCP4 192.0.2.7 127.0.0.1 50000 8080\r\n")],
)
async def test_a_server_is_told_who_the_client_is_when_that_is_wanted(version: str | None, opening: bytes) -> None:
    servers = Servers()
    server, _ = served(servers, [A], send_proxy_protocol=version)
    server(MemoryStream(CLIENT))
    await turns()
    assert servers.openings == [opening]


async def test_the_end_of_a_client_is_not_told_to_a_server_that_has_to_answer_in_tls() -> None:
    servers = Servers()
    servers.tls = TlsInfo("TLSv1.3", "some")
    server, _ = served(servers, [B])
    client = MemoryStream(CLIENT)
    server(client)
    client.receive(b"question")
    client.receive_end()
    await turns()
    [upstream] = servers.streams
    assert (upstream.sent, upstream.has_ended, upstream.is_closed) == (b"question", False, False)
    upstream.receive(b"answer")
    upstream.receive_end()
    await turns()
    assert (client.sent, client.is_lost, upstream.is_lost) == (b"answer", True, True)


async def test_an_idle_tunnel_keeps_the_time_of_its_own_listener() -> None:
    servers = Servers()
    tunnels = Tunnels(3600.0)
    relay = Relay(servers, group_of([A]), tunnels, idle_timeout_s=5.0)
    server = ConversationServer("relay", relay, 0, 5.0)
    client = MemoryStream(CLIENT)
    server(client)
    await turns()
    for now in (0.0, 4.0):
        tunnels.tick(now)
        server.tick(now)
    assert not client.was_aborted
    tunnels.tick(6.0)
    assert client.was_aborted
