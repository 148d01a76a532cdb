"""One function of a script that is asked about messages."""

from __future__ import annotations

from typing import Any

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.message_filter import Message, MessageFilter, Pass
from interpose.filters.script.troubles import Troubles


class MessageStep:
    """A `MessageFilter`. `passes`: what the function raises does not keep the message from going on."""

    def __init__(self, name: str, function: MessageFilter, troubles: Troubles, *, passes: bool = False) -> None:
        self.name = name
        self._function = function
        self._troubles = troubles
        self._passes = passes

    async def __call__(self, exchange: Exchange, message: Message, forward: Pass) -> None:
        """Ask the function; what it raises, other than a `Failure`, becomes one, and the conversation ends."""
        if self._troubles.some_are_off and self._troubles.is_off(self.name):
            if not self._passes:
                raise self._troubles.refusal(self.name)
            await forward(message)
            return
        through = _Through(forward)
        try:
            await self._function(exchange, message, through)
        except (Exception, SystemExit) as error:
            if error is through.raised or isinstance(error, Failure):
                raise
            detail = self._troubles.blame(exchange, self.name, self._function, error)
            if not self._passes:
                raise Failure("proxy_internal_error", Side.INTERNAL, detail) from error
            if not through.was_called:
                await forward(message)


class _Through:
    """What the function gets as `forward`."""

    __slots__ = ("_forward", "raised", "was_called")

    def __init__(self, forward: Pass) -> None:
        self._forward = forward
        self.raised: BaseException | None = None
        self.was_called = False

    async def __call__(self, message: Any) -> None:
        """Send a message on."""
        if not isinstance(message, Message) or not isinstance(message.data, bytes):
            raise TypeError(f"forwarded {message!r:.100} instead of a message; message.with_data(…) makes one")
        self.was_called = True
        try:
            await self._forward(message)
        except Exception as error:
            self.raised = error
            raise
