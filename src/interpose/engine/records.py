"""Records on their way from a worker to the journal: collected for a moment, then handed over as one batch.

When the supervisor is too slow for them a batch is lost, and counted; traffic never waits for it.
"""

from __future__ import annotations

import asyncio

from interpose.core.record import Record, encode_records
from interpose.engine.calls import Calls

LONGEST_WAIT_S = 0.05
LARGEST_BATCH = 50
"""So many go to the supervisor at once: more do not fit into what the kernel takes in one piece."""
LARGEST_BATCH_BYTES = 1 << 18


class Records:
    """What filters tell of ends up in `calls`."""

    def __init__(self, calls: Calls) -> None:
        self.total = 0
        self.dropped = 0
        self._calls = calls
        self._batch: list[Record] = []
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, record: Record) -> None:
        """Take a record; returns at once."""
        self._batch.append(record)
        self._bytes += len(record.request.content) + len(record.response.content)
        if len(self._batch) >= LARGEST_BATCH or self._bytes >= LARGEST_BATCH_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LONGEST_WAIT_S, self.flush)

    def flush(self) -> None:
        """Hand over what was collected."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._batch, self._bytes = self._batch, [], 0
        if batch:
            self.total += len(batch)
            if not self._calls.tell(encode_records(batch)):
                self.dropped += len(batch)
