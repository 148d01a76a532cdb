"""The spool: stores what it is sent, waits where it is told to, sends on what is stored then, passes the answer back.

A client may wait for the answer or leave: once a file is stored it goes on by itself (`engine.courier`).
"""

from __future__ import annotations

import asyncio
import logging

from interpose.core.failure import Side
from interpose.core.printable import printable
from interpose.engine.conversations import Conversation
from interpose.engine.courier import Courier
from interpose.engine.intake import Intake
from interpose.engine.spool_reception import Reception
from interpose.engine.spool_work import Tasks
from interpose.storage.spool_item import Item, State

log = logging.getLogger("interpose")


class Spooling:
    """The role (a `Serve`)."""

    def __init__(self, reception: Reception, courier: Courier, tasks: Tasks) -> None:
        self._reception = reception
        self._courier = courier
        self._tasks = tasks

    def __call__(self, conversation: Conversation) -> None:
        """Serve one conversation."""
        intake = Intake(conversation.stream, Side.DOWNSTREAM, conversation=conversation)
        self._tasks.begin(self._serve(conversation, intake))

    async def _serve(self, conversation: Conversation, intake: Intake) -> None:
        received = await self._reception.receive(intake, conversation)
        if received is None:
            return
        item, voice, is_new = received
        conversation.exchange.asked = f"SPOOL {item.id}"
        self._tell(item, is_new)
        patience_s, conversation.idle_timeout_s = conversation.idle_timeout_s, None  # what follows takes its time
        # A drain waits for what is being sent. The client of anything else may go: the file is safe, and goes on.
        conversation.may_leave = lambda: not self._courier.is_sending(item.id)
        outcome = self._courier.outcome(item.id)
        conversation.stream.when_lost(lambda failure: _cancel(outcome))
        await voice.stored(item.size, item.sha256)
        self._courier.look()
        try:
            answer = await outcome
        finally:
            outcome.cancel()
        conversation.may_leave = None
        conversation.idle_timeout_s = patience_s
        await voice.answer(answer)

    def _tell(self, item: Item, is_new: bool) -> None:
        """Say in the log what has come, where it is, and what can be done about it."""
        name = f"{printable(item.name.encode())}, " if item.name else ""
        path = self._courier.spool.path(item.id)
        if not is_new:
            log.info("spool: %s came again from its sender; it is %s", item.id, item.state)
            return
        log.info("spool: received %s from %s: %s%d bytes, sha256 %s",
                 item.id, item.client, name, item.size, item.sha256)  # fmt: skip
        if item.state is State.HELD:
            log.info(
                "spool: held as %s; edit it, then `interpose desk release %s`, or `interpose desk drop %s`",
                path, item.id, item.id,
            )  # fmt: skip
        elif item.due_at:
            wait_s = item.due_at - item.received_at
            log.info("spool: %s is sent in %g s as it is then: %s", item.id, wait_s, path)


def _cancel(outcome: asyncio.Future[bytes]) -> None:
    """The client has left: nobody waits for it."""
    outcome.cancel()
