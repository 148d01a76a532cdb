"""Tunnels over streams in memory: what ends them, and what does not."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.memory_stream import CLIENT, SERVER, MemoryStream

from interpose.core.exchange import Exchange
from interpose.engine.tunnel import HALF_CLOSED_TIMEOUT_S, Tunnels

WINDOW = 1000
SENT = 50_000


@pytest.fixture
def tunnels() -> Tunnels:
    return Tunnels(3600.0)


def joined(tunnels: Tunnels) -> tuple[MemoryStream, MemoryStream]:
    client, upstream = MemoryStream(CLIENT, window=WINDOW), MemoryStream(SERVER)
    tunnels.between(Exchange(1, 0, "main", CLIENT, 0.0), upstream)(client)
    return client, upstream


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("is_gone", [False, True], ids=["half closed", "gone"])
async def test_f13_who_reads_slowly_what_an_origin_sent_last_gets_all_of_it(tunnels: Tunnels, is_gone: bool) -> None:
    client, upstream = joined(tunnels)
    upstream.receive(b"x" * SENT)
    if is_gone:
        upstream.lose(None)
    else:
        upstream.receive_end()
    for second in range(0, 10_000, 10):
        tunnels.tick(float(second))
        await turns()
        if client.unsent_bytes == 0:
            break
        assert not client.was_aborted, second
        assert len(tunnels) == 1
        client.take(100)
    assert len(client.sent) == SENT


async def test_f13_who_does_not_read_what_an_origin_sent_last_is_cut_off(tunnels: Tunnels) -> None:
    client, upstream = joined(tunnels)
    upstream.receive(b"x" * SENT)
    upstream.lose(None)
    tunnels.tick(1.0)
    tunnels.tick(HALF_CLOSED_TIMEOUT_S)
    assert not client.was_aborted
    tunnels.tick(HALF_CLOSED_TIMEOUT_S + 2)
    assert client.was_aborted
    await turns()
    assert len(tunnels) == 0


async def test_a_tunnel_is_over_when_both_streams_are_gone(tunnels: Tunnels) -> None:
    client, upstream = joined(tunnels)
    upstream.receive_end()
    await turns()
    assert client.has_ended
    assert len(tunnels) == 1
    client.receive_end()
    await turns()
    assert (client.is_lost, upstream.is_lost, len(tunnels)) == (True, True, 0)
