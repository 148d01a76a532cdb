"""A relay whose pieces may be held: each direction is read, asked about, and written, one piece after the other.

A piece that is held stops its own direction only. What follows it waits in the stream, which stops reading when it has
enough, so a sender is slowed down and nothing is kept in between.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.stream import Stream
from interpose.core.watcher import Watcher
from interpose.engine.conversations import Conversation


class HoldPiece(Protocol):
    """Asked before a piece goes on (`filters.hold.pieces`)."""

    async def __call__(self, exchange: Exchange, data: bytes, *, inbound: bool, datagram: bool = False) -> bytes | None:
        """What goes on instead of `data`; None: nothing. Raises `Failure`."""


async def relay_held(conversation: Conversation, upstream: Stream, hold: HoldPiece, watcher: Watcher | None) -> None:
    """Pass pieces between the client and `upstream` until both have ended. (It runs as the task of the client's
    stream.) `Failure` when a piece could not be held: both are broken off."""
    outbound_has_ended = asyncio.Event()
    failures: list[Failure] = []

    async def answer() -> None:
        try:
            await _pump(conversation, upstream, conversation.stream, hold, watcher, inbound=False)
        except Failure as failure:
            failures.append(failure)
            conversation.stream.abort()
        finally:
            outbound_has_ended.set()

    upstream.run(answer())
    upstream.when_lost(lambda failure: outbound_has_ended.set())
    try:
        await _pump(conversation, conversation.stream, upstream, hold, watcher, inbound=True)
        await outbound_has_ended.wait()
    except BaseException:
        upstream.abort()
        raise
    if failures:
        raise failures[0]
    upstream.close()


async def _pump(
    conversation: Conversation,
    source: Stream,
    target: Stream,
    hold: HoldPiece,
    watcher: Watcher | None,
    *,
    inbound: bool,
) -> None:
    exchange = conversation.exchange
    while data := await source.read():
        if inbound:
            conversation.bytes_in += len(data)
            if watcher is not None:
                watcher.received(data)
        passed = await hold(exchange, data, inbound=inbound)
        if not passed:
            continue
        if not inbound and watcher is not None:
            watcher.answered(passed)
        if not target.write(passed):
            await target.drain()
    if inbound and watcher is not None:
        watcher.sends_no_more()
    target.end()
