"""Echo and upper over streams in memory: every byte, in order, however it comes and however slowly it is taken."""

from __future__ import annotations

import asyncio
import random

import pytest
from tests.support.memory_stream import MemoryStream

from interpose.core.exchange import Exchange
from interpose.core.networks import Networks
from interpose.engine.conversations import ConversationServer
from interpose.engine.echo import Echo, upper
from interpose.engine.narration import Narration

EVERY_BYTE = bytes(range(256))
CAPITALS = bytes(byte - 32 if ord("a") <= byte <= ord("z") else byte for byte in range(256))


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def server(echo: Echo) -> ConversationServer:
    return ConversationServer("echo", echo, 0, 3600.0)


async def test_what_comes_goes_back_at_once() -> None:
    stream = MemoryStream()
    server(Echo())(stream)
    stream.receive(b"Foobar\n")
    assert stream.sent == b"Foobar\n"
    stream.receive(EVERY_BYTE)
    assert stream.sent == b"Foobar\n" + EVERY_BYTE


async def test_its_side_ends_after_the_clients() -> None:
    stream = MemoryStream()
    echoing = server(Echo())
    echoing(stream)
    stream.receive(b"Foobar\n")
    assert not stream.is_closed
    stream.receive_end()
    assert stream.is_closed
    assert not stream.was_aborted
    await turns()
    assert (stream.sent, len(echoing.connections)) == (b"Foobar\n", 0)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"Foobar", b"FOOBAR"),
        (b"ALREADY upper", b"ALREADY UPPER"),
        (b"0123 &*! ~`@[{", b"0123 &*! ~`@[{"),
        ("ähnlich, straße, \u0131".encode(), "äHNLICH, STRAßE, \u0131".encode()),
        (b"\xe1\xfa\xff\x00\x61", b"\xe1\xfa\xff\x00\x41"),
        (EVERY_BYTE, CAPITALS),
    ],
)
async def test_upper_changes_a_to_z_and_nothing_else(sent: bytes, answer: bytes) -> None:
    for size in (1, 2, len(sent)):
        stream = MemoryStream()
        server(Echo(upper))(stream)
        for start in range(0, len(sent), size):
            stream.receive(sent[start : start + size])
        assert stream.sent == answer


async def test_who_does_not_read_is_not_read_from() -> None:
    chance = random.Random(1)
    content = chance.randbytes(300_000)
    stream = MemoryStream(window=1000)
    server(Echo(upper))(stream)
    left = content
    most = 0
    while left:
        piece, left = left[: (size := chance.randrange(1, 5000))], left[size:]
        stream.receive(piece)
        most = max(most, stream.unsent_bytes)
        assert stream.is_reading == (not stream.is_full)
        if chance.random() < 0.3:
            stream.take(chance.randrange(1, 5000))
            await turns(2)
    stream.receive_end()
    for _ in range(1000):
        if stream.is_lost:
            break
        stream.take()
        await turns(2)
    assert stream.pauses > 10
    assert most <= 5000
    assert stream.sent == content.translate(CAPITALS)
    assert stream.is_lost
    assert not stream.was_aborted


async def test_the_exchange_has_the_bytes_of_both_directions() -> None:
    finished: list[Exchange] = []
    echoing = server(Echo())
    echoing.observe = lambda exchange: exchange.at_end(lambda outcome: finished.append(exchange))
    stream = MemoryStream()
    echoing(stream)
    stream.receive(b"x" * 10)
    stream.receive_end()
    await turns()
    [exchange] = finished
    assert exchange.outcome is not None
    assert exchange.outcome.failure is None
    assert (exchange.notes["bytes_in"], exchange.outcome.body_bytes) == ("10", 10)


async def test_a_client_that_breaks_off_is_told_of() -> None:
    lines: list[bytes] = []
    echoing = server(Echo(None, Narration(lines.append, "text")))
    stream = MemoryStream()
    echoing(stream)
    stream.receive(b"half a")
    stream.lose()
    assert len(echoing.connections) == 0
    told = b"".join(lines).decode()
    assert 'sent 6 bytes: "half a"' in told
    assert "The client broke the connection off." in told


async def test_a_drain_ends_a_conversation_once_all_is_sent() -> None:
    echoing = server(Echo())
    waiting, busy = MemoryStream(), MemoryStream(window=3)
    for stream in (waiting, busy):
        echoing(stream)
        stream.receive(b"Foobar")
    assert echoing.close_idle() == 1
    assert (waiting.is_closed, busy.is_closed) == (True, False)
    busy.take()
    await turns()
    assert echoing.close_idle() == 1
    await turns()
    assert (busy.sent, len(echoing.connections)) == (b"Foobar", 0)


async def test_a26_who_takes_nothing_is_cut_off_long_before_who_says_nothing() -> None:
    echoing = server(Echo())
    silent, deaf = MemoryStream(), MemoryStream(window=3)
    for stream in (silent, deaf):
        echoing(stream)
        stream.receive(b"Foobar")
    for now in (100.0, 129.0):
        echoing.tick(now)
    await turns()
    assert len(echoing.connections) == 2
    echoing.tick(131.0)
    await turns()
    assert (silent.is_lost, deaf.was_aborted, len(echoing.connections)) == (False, True, 1)
    echoing.tick(3701.0)
    await turns()
    assert (silent.was_aborted, len(echoing.connections)) == (True, 0)


async def test_who_is_in_no_allowed_network_is_closed_at_once() -> None:
    finished: list[Exchange] = []
    lines: list[bytes] = []
    echoing = server(Echo())
    echoing.allow_from = Networks(("198.51.100.0/24",))
    echoing.turned_away = Narration(lines.append, "text").turned_away
    echoing.observe = lambda exchange: exchange.at_end(lambda outcome: finished.append(exchange))
    stream = MemoryStream()
    echoing(stream)
    stream.receive(b"Foobar")
    await turns()
    assert (stream.was_aborted, stream.sent) == (True, b"")
    assert finished[0].notes["filter"] == "allow"
    [line] = lines
    assert line.endswith(
        b"192.0.2.1:50000  was turned away: 192.0.2.1 is in none of the networks that this listener serves.\n"
    )
