"""Removes what is over from a spool's directory: uploads that nobody goes on with, items that ended long ago."""

from __future__ import annotations

import logging

from interpose.engine.spool_work import Tasks, Threads
from interpose.storage.spool import Spool

log = logging.getLogger("interpose")

EVERY_S = 600.0


class Reaper:
    """One for each directory. `keep_s` is for how long confirmed and dropped items stay; None: for ever."""

    def __init__(self, spool: Spool, keep_s: float | None, threads: Threads) -> None:
        self._spool = spool
        self._keep_s = keep_s
        self._threads = threads
        self._tasks = Tasks()
        self._next_at = 0.0

    def tick(self, now: float) -> None:
        """Once a second: look whether it is time."""
        if now >= self._next_at:
            self._next_at = now + EVERY_S
            self._tasks.begin(self._reap())

    async def _reap(self) -> None:
        try:
            gone = await self._threads(self._spool.reap, self._keep_s)
        except (OSError, ValueError) as error:
            log.warning("what is over could not be removed from %s: %s", self._spool.directory, error)
            return
        if gone:
            log.info("removed from %s: %d items that were over or never finished", self._spool.directory, len(gone))
