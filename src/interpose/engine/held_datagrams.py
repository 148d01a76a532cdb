"""Datagrams that may be held: each waits by itself, so that one does not stop the others of its flow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.message_filter import DATAGRAM, Message, Pass
from interpose.engine.datagrams import Seldom

MOST_WAITING = 1000
"""Datagrams of one listener that are asked about at the same time; more are lost, as in any queue of a network."""


class HoldDatagrams(Protocol):
    """What is asked about datagrams: a `MessageFilter`, and whether it need be asked."""

    async def __call__(self, exchange: Exchange, message: Message, forward: Pass) -> None:
        """See `core.message_filter`."""

    def means(self, *, inbound: bool) -> bool:
        """Whether there is any rule for this direction."""


class HeldDatagrams:
    """The datagrams of one listener that are asked about."""

    def __init__(self, hold: HoldDatagrams) -> None:
        self.dropped = 0
        self._hold = hold
        self._waiting: set[asyncio.Task[None]] = set()
        self._warn = Seldom()

    @property
    def inbound(self) -> bool:
        """Whether those to servers are asked about."""
        return self._hold.means(inbound=True)

    @property
    def outbound(self) -> bool:
        """Whether those to clients are."""
        return self._hold.means(inbound=False)

    def pass_on(self, exchange: Exchange, data: bytes, send: Callable[[bytes], object], *, inbound: bool) -> None:
        """Call `send` with the datagram, now or when it was released."""
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            self._warn("listener %s: %d datagrams wait for a decision; more are lost", exchange.listener, MOST_WAITING)
            return
        task = asyncio.get_running_loop().create_task(self._ask(exchange, data, send, inbound))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _ask(self, exchange: Exchange, data: bytes, send: Callable[[bytes], object], inbound: bool) -> None:
        async def go_on(message: Message) -> None:
            send(message.data)

        try:
            await self._hold(exchange, Message(data, inbound, DATAGRAM), go_on)
        except Failure as failure:
            self.dropped += 1
            self._warn("listener %s: a datagram could not be asked about and is lost: %s", exchange.listener, failure)

    def close(self) -> None:
        """Ask no more; what waits stays at the desk."""
        for task in self._waiting:
            task.cancel()
