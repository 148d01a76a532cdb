"""Spans on their way to a collector: gathered for a second, sent in one piece, and given up rather than waited for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.span import Span, Value
from interpose.engine.datagrams import Seldom
from interpose.engine.service_client import ServiceClient
from interpose.protocol.otlp import MEDIA_TYPE, encoded

log = logging.getLogger("interpose")

LONGEST_WAIT_S = 1.0
LARGEST_BATCH = 512
MOST_WAITING = 8192
"""Spans of one worker that wait while the collector is slow; more are lost, and counted."""


class Counts:
    """What became of all spans of a process, whoever sent them: it outlives reloads, so that nothing falls."""

    __slots__ = ("dropped", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.dropped = 0


class SpanExporter:
    """What filters tell of is sent to `client`, and counted. `resource` says who sends it."""

    def __init__(self, client: ServiceClient, resource: Mapping[str, Value], counts: Counts) -> None:
        self._counts = counts
        self._client = client
        self._resource = resource
        self._waiting: list[Span] = []
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self._is_closing = False
        self._warn = Seldom()

    def tell(self, spans: list[Span]) -> None:
        """Take spans; returns at once."""
        if len(self._waiting) + len(spans) > MOST_WAITING:
            self._lost(len(spans), "it is slower than they come")
            return
        self._waiting += spans
        self._begin_in_time()

    def _begin_in_time(self) -> None:
        if len(self._waiting) >= LARGEST_BATCH:
            self._begin()
        elif self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LONGEST_WAIT_S, self._begin)

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sending is None and self._waiting and not self._is_closing:
            self._sending = asyncio.get_running_loop().create_task(self._send())
            self._sending.add_done_callback(self._done)

    async def _send(self) -> None:
        batch, self._waiting = self._waiting[:LARGEST_BATCH], self._waiting[LARGEST_BATCH:]
        why = ""
        try:
            said = await self._client.ask(Fields([("Content-Type", MEDIA_TYPE)]), encoded(batch, self._resource))
            if not 200 <= said.status < 300:
                why = f"it answered {said.status}"
        except Failure as failure:
            why = failure.detail or failure.kind
        except asyncio.CancelledError:
            self._counts.dropped += len(batch)
            raise
        if why:
            self._lost(len(batch), why)
        else:
            self._counts.sent += len(batch)

    def _lost(self, count: int, why: str) -> None:
        self._counts.dropped += count
        self._warn("the collector of traces did not get %d spans so far: %s", self._counts.dropped, why)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._sending = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("spans could not be sent", exc_info=error)
        if not task.cancelled():
            self._begin_in_time()

    async def close(self) -> None:
        """Send what waits, within a moment; what is left then is lost."""
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        try:
            async with asyncio.timeout(LONGEST_WAIT_S):
                if self._sending is not None:
                    await asyncio.gather(self._sending, return_exceptions=True)
                while self._waiting:
                    await self._send()
        except TimeoutError:
            self._counts.dropped += len(self._waiting)
