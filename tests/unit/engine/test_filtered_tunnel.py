"""Conversations whose messages are asked about: what waits is bounded, and both sides learn why one ends."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import pytest
from tests.support.memory_stream import CLIENT, SERVER, MemoryStream

from interpose.core.exchange import Exchange
from interpose.core.fields import Fields
from interpose.core.message import Response
from interpose.core.message_filter import Message, Pass
from interpose.engine.filtered_tunnel import QUEUE_BYTES
from interpose.engine.tunnel import Tunnels

EMPTY_TEXT = b"\x81\x80\x00\x00\x00\x00"
PING = b"\x89\x84\x00\x00\x00\x00ping"


class Conversation:
    """A WebSocket between two streams in memory. While `may_go` is not set, its messages are held."""

    def __init__(self, window: int | None = None, extensions: str = "") -> None:
        self.client, self.upstream = MemoryStream(CLIENT), MemoryStream(SERVER, window=window)
        self.may_go = asyncio.Event()
        self.seen: list[Message] = []
        self.exchange = Exchange(1, 0, "main", CLIENT, 0.0)
        self.exchange.filter_messages(self._ask)
        fields = Fields([("Sec-WebSocket-Extensions", extensions)] if extensions else [])
        switched = Response(101, fields)
        tunnels = Tunnels(3600.0)
        tunnels.between(self.exchange, self.upstream, switched=switched)(self.client)
        [self.tunnel] = tunnels._open

    async def _ask(self, exchange: Any, message: Message, forward: Pass) -> None:
        self.seen.append(message)
        await self.may_go.wait()
        await forward(message)

    @property
    def waiting(self) -> int:
        """Messages in the queue of what goes inbound."""
        return len(self.tunnel._inbound._queue)  # type: ignore[attr-defined]


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_messages_with_nothing_in_them_do_not_wait_without_bound() -> None:
    talk = Conversation()
    for _ in range(100):
        talk.client.receive(EMPTY_TEXT * 100)
        await turns()
    assert 0 < talk.waiting <= QUEUE_BYTES // 512
    talk.may_go.set()
    async with asyncio.timeout(10):
        while len(talk.seen) < 10_000:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_pings_pass_by_what_is_held_but_wait_for_who_does_not_read() -> None:
    talk = Conversation(window=1000)
    talk.client.receive(EMPTY_TEXT)
    talk.client.receive(PING * 10)
    await turns()
    assert talk.upstream.sent.count(b"\x89\x84") == 10
    for _ in range(100):
        talk.client.receive(PING * 1000)
        await turns()
    assert talk.upstream.unsent_bytes < 100
    talk.upstream.receive(b"\x81\x05hello")  # the other direction is not touched
    await turns()
    assert [message.data for message in talk.seen] == [b"", b"hello"]


@pytest.mark.parametrize(
    ("octets", "status"),
    [(b"\x83\x80\x00\x00\x00\x00", 1002), (b"\xc1\x82\x00\x00\x00\x00\x03\x00", 1002)],
    ids=["a frame of an unknown kind", "compressed, and nobody agreed on that"],
)
async def test_both_sides_are_told_why_it_cannot_go_on(octets: bytes, status: int) -> None:
    talk = Conversation()
    talk.client.receive(octets)
    await turns()
    assert talk.client.sent[0] == talk.upstream.sent[0] == 0x88
    assert talk.client.sent[2:4] == status.to_bytes(2, "big")
    assert talk.client.has_ended
    assert talk.upstream.is_closed
    assert not talk.upstream.was_aborted  # which could overtake what was said last
    assert talk.exchange.notes["why"]


async def test_a_ping_between_the_frames_of_a_compressed_message_goes_before_it() -> None:
    talk = Conversation(extensions="permessage-deflate")
    talk.may_go.set()
    deflater = zlib.compressobj(wbits=-15)
    deflated = (deflater.compress(b"hello " * 100) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")
    first, second = deflated[:7], deflated[7:]
    masked = b"\x80" + bytes(4)
    talk.client.receive(b"\x41" + bytes([0x80 | len(first)]) + bytes(4) + first)
    talk.client.receive(b"\x89" + masked)
    talk.client.receive(b"\x80" + bytes([0x80 | len(second)]) + bytes(4) + second)
    await turns()
    assert [message.data for message in talk.seen] == [b"hello " * 100]
    assert talk.upstream.sent.startswith(b"\x89\x80")
    assert talk.upstream.sent[6] == 0xC1
