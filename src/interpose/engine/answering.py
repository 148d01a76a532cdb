"""The calls of workers that are open in the supervisor: each is answered by the office in a task of its own."""

from __future__ import annotations

import asyncio
import logging

from interpose.core.failure import Failure
from interpose.engine.calls import Office
from interpose.engine.child import Child
from interpose.engine.messages import Call, Record, Reply, Withdraw

log = logging.getLogger("interpose")


class Answering:
    """Asks `office` for all workers."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.records = 0
        """Batches of records that came."""
        self._open: dict[tuple[Child, int], asyncio.Task[None]] = {}

    def heard(self, child: Child, message: Call | Withdraw | Record) -> None:
        """A worker asks, does not want to know any more, or tells."""
        match message:
            case Record():
                self.records += 1
                self.office.record(message.data)
            case Call():
                key = (child, message.number)
                task = self._open[key] = asyncio.get_running_loop().create_task(self._answer(child, message))
                task.add_done_callback(lambda _: self._open.pop(key, None))
            case Withdraw():
                self._withdraw((child, message.number))

    def gone(self, child: Child) -> None:
        """A worker has ended."""
        for key in [key for key in self._open if key[0] is child]:
            self._withdraw(key)

    def _withdraw(self, key: tuple[Child, int]) -> None:
        task = self._open.get(key)
        if task is not None:
            task.cancel()

    async def _answer(self, child: Child, call: Call) -> None:
        try:
            reply = Reply(call.number, await self.office.answer(call.topic, call.question))
        except Failure as failure:
            reply = Reply(call.number, failure=(failure.kind, failure.status, failure.detail))
        except Exception:
            log.exception("a call about %s could not be answered", call.topic)
            reply = Reply(call.number, failure=("proxy_internal_error", 500, f"The supervisor failed at {call.topic}."))
        child.send(reply)
