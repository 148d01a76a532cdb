"""What passes in a conversation, message by message, and the shape of what may change it.

    MessageFilter = async (exchange, message, forward)

A filter forwards the message it was given, or another one, or several, or none. It is asked about the messages of one
direction one after the other: while it waits nothing of that direction goes on, and the other direction is not touched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

PIECE: Final = "piece"
"""What was read at once of a stream of octets: where it begins and ends means nothing."""
DATAGRAM: Final = "datagram"
TEXT: Final = "text"
BINARY: Final = "binary"
CLOSE: Final = "close"
"""(WebSocket) The last message of a direction: two octets of status, then a reason."""


class Message(NamedTuple):
    """One message. `kind` is one of the words above; `is_compressed`: it came so, and goes on so where that is
    possible."""

    data: bytes
    inbound: bool
    kind: str = PIECE
    is_compressed: bool = False

    @property
    def text(self) -> str:
        """The data as text; what is no UTF-8 is shown as such."""
        return self.data.decode("utf-8", "replace")

    def with_data(self, data: bytes | str) -> Message:
        """The same message with other data."""
        return self._replace(data=data.encode() if isinstance(data, str) else data)


Pass = Callable[[Message], Awaitable[None]]
"""Sends a message on, and returns when there is room for the next one."""

MessageFilter = Callable[[Any, Message, Pass], Awaitable[None]]
"""The first argument is the exchange. Raises `Failure` where the conversation cannot go on."""


def together(filters: Sequence[MessageFilter]) -> MessageFilter:
    """All of them as one: the first is asked first, and what it forwards is asked of the next."""
    first, *rest = filters
    if not rest:
        return first
    return partial(_ask, first, together(rest))


async def _ask(first: MessageFilter, rest: MessageFilter, exchange: Any, message: Message, forward: Pass) -> None:
    async def go_on(message: Message) -> None:
        await rest(exchange, message, forward)

    await first(exchange, message, go_on)
