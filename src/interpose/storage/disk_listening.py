"""Hears what other processes change in a disk store, by looking at a number in its index every now and then.

To look at each hit would cost more than a memory tier gains. What another worker has changed is served for LISTEN_S at
most, about as long as its writing thread takes to write a change down.
"""

from __future__ import annotations

import asyncio

import lmdb

from interpose.storage.disk_index import Index
from interpose.storage.disk_thread import WritingThread
from interpose.storage.store import Copies

LISTEN_S = 0.05


class Listening:
    """Tells `copies` what is changed from now on, until `end`."""

    def __init__(self, thread: WritingThread, copies: Copies) -> None:
        self._thread = thread
        self._copies = copies
        self._loop = asyncio.get_running_loop()
        self._index: Index | None = None
        self._serial = 0
        self._hear()

    def end(self) -> None:
        """Listen no more."""
        self._timer.cancel()

    def _hear(self) -> None:
        self._timer = self._loop.call_later(LISTEN_S, self._hear)
        index = self._thread.index
        if index is None:
            return
        try:
            serial, changed = index.news(self._serial)
        except lmdb.Error as error:
            self._thread.report(index, error)
            return
        if index is not self._index or serial < self._serial or changed is None:
            self._copies.forget_all()
        else:
            for key in changed:
                self._copies.changed(key)
        self._index, self._serial = index, serial
