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


class SpanExporter:
    """What filters tell of is sent to `client`. `resource` says who sends it."""

    def __init__(self, client: ServiceClient, resource: Mapping[str, Value]) -> None:
        self.sent = 0
        self.dropped = 0
        self._client = client
        self._resource = resource
        self._waiting: list[Span] = []
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self._warn = Seldom()

    def tell(self, spans: list[Span]) -> None:
        """Take spans; returns at once."""
        if len(self._waiting) + len(spans) > MOST_WAITING:
            self.dropped += len(spans)
            return
        self._waiting += spans
        if len(self._waiting) >= LARGEST_BATCH:
            self._begin()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LONGEST_WAIT_S, self._begin)

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sending is None and self._waiting:
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
        if why:
            self.dropped += len(batch)
            self._warn("the collector of traces got nothing of %d spans: %s", self.dropped, why)
        else:
            self.sent += len(batch)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._sending = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("spans could not be sent", exc_info=error)
        if not task.cancelled():
            self._begin()

    async def close(self) -> None:
        """Send what waits, within a moment."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            async with asyncio.timeout(LONGEST_WAIT_S):
                while self._sending is not None or self._waiting:
                    self._begin()
                    if self._sending is not None:
                        await self._sending
        except (TimeoutError, asyncio.CancelledError):
            self.dropped += len(self._waiting)
