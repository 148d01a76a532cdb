"""The desk as a worker has it: at the other end of the link.

Thousands may wait for hours, and the desk has what they hold: here nothing of it is kept meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import msgspec

from interpose.core.failure import Failure
from interpose.core.hold import Decision, Desk, Held, Settled, Standing
from interpose.engine.calls import Calls

log = logging.getLogger("interpose")

HOLD, ACCEPT, SETTLED, STANDING = "desk.hold", "desk.accept", "desk.settled", "desk.standing"

_ENCODER = msgspec.msgpack.Encoder()
_HELD = msgspec.msgpack.Decoder(Held)
_DECISION = msgspec.msgpack.Decoder(Decision)
_STANDING: msgspec.msgpack.Decoder[Standing | None] = msgspec.msgpack.Decoder(Standing | None)
_SETTLED = msgspec.msgpack.Decoder(tuple[str, Settled])


class LinkedDesk:
    """A `core.hold.Desk` over `calls`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._telling: set[asyncio.Task[None]] = set()

    def hold(self, held: Held) -> Coroutine[Any, Any, Decision]:
        """See `Desk.hold`."""
        return self._calls.ask_for(HOLD, _ENCODER.encode(held), _DECISION.decode)

    async def accept(self, held: Held) -> None:
        """See `Desk.accept`."""
        await self._calls.ask(ACCEPT, _ENCODER.encode(held))

    def settled(self, id: str, how: Settled) -> None:
        """See `Desk.settled`."""
        task = asyncio.get_running_loop().create_task(self._tell(_ENCODER.encode((id, how))))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def standing(self, id: str) -> Standing | None:
        """See `Desk.standing`."""
        return _STANDING.decode(await self._calls.ask(STANDING, id.encode()))

    async def _tell(self, settled: bytes) -> None:
        try:
            await self._calls.ask(SETTLED, settled)
        except Failure as failure:  # the desk then knows of the decision, and not of what came of it
            log.warning("the desk could not be told how a held message went on: %s", failure)


async def answered(desk: Desk, topic: str, question: bytes) -> bytes:
    """(in the supervisor) What `desk` says to a call of a worker. `Failure` as `Desk` has them."""
    match topic:
        case "desk.hold":
            return _ENCODER.encode(await desk.hold(_HELD.decode(question)))
        case "desk.accept":
            await desk.accept(_HELD.decode(question))
        case "desk.settled":
            id, how = _SETTLED.decode(question)
            desk.settled(id, how)
        case "desk.standing":
            return _ENCODER.encode(await desk.standing(question.decode()))
        case _:
            raise ValueError(f"{topic!r} is nothing that a desk is asked")
    return b""
