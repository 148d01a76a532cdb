"""The sink: stores what it is sent, and answers with size and SHA-256. Where a row of spools ends."""

from __future__ import annotations

import logging

from interpose.core.failure import Side
from interpose.core.printable import printable
from interpose.engine.conversations import Conversation
from interpose.engine.intake import Intake
from interpose.engine.spool_reception import Reception
from interpose.engine.spool_work import Tasks
from interpose.protocol.spool_frame import stored_line
from interpose.storage.spool import Spool

log = logging.getLogger("interpose")


class Sink:
    """The role (a `Serve`)."""

    def __init__(self, spool: Spool, reception: Reception, tasks: Tasks) -> None:
        self._spool = spool
        self._reception = reception
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
        conversation.exchange.asked = f"SINK {item.id}"
        name = printable(item.name.encode()) or item.id
        again = "" if is_new else " (sent again, and stored once)"
        path = self._spool.path(item.id)
        log.info("stored %s from %s, %d bytes, sha256 %s: %s%s", name, item.client, item.size, item.sha256, path, again)
        await voice.stored(item.size, item.sha256)
        await voice.answer(stored_line(name, item.size, item.sha256, item.id))
