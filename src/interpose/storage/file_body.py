"""A body that is read from a file in a thread, one piece at a time, as its consumer wants it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

from interpose.core.body import MAX_PIECE_BYTES, Body
from interpose.core.failure import Failure, Side
from interpose.storage.site import OpenFile


def file_body(file: OpenFile, threads: Executor, first: int, last: int) -> Body:
    """A body of the octets from `first` to `last`, both included. Nothing is read before somebody wants it, and one
    piece at most is on its way. Call it on the event loop."""
    return Body() if last < first else _Reading(file, threads, first, last + 1).body


class _Reading:
    """The source of one body."""

    __slots__ = ("_end", "_file", "_is_asked", "_is_paused", "_loop", "_place", "_threads", "body")

    def __init__(self, file: OpenFile, threads: Executor, first: int, end: int) -> None:
        self._file: OpenFile | None = file
        self._threads = threads
        self._place = first
        self._end = end
        self._is_paused = True
        self._is_asked = False
        self._loop = asyncio.get_running_loop()
        self.body = Body.streaming(self, end - first)

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False
        self._ask()

    def cancel(self) -> None:
        self._file = None  # a read that is under way has a hold of its own

    def _ask(self) -> None:
        if self._is_asked or self._is_paused or self._file is None:
            return
        self._is_asked = True
        limit = min(MAX_PIECE_BYTES, self._end - self._place)
        self._loop.run_in_executor(self._threads, self._file.read, self._place, limit).add_done_callback(self._came)

    def _came(self, piece: asyncio.Future[bytes]) -> None:
        self._is_asked = False
        if piece.cancelled() or self._file is None:
            return
        error = piece.exception()
        if error is not None or not piece.result():
            self._file = None
            why = getattr(error, "strerror", None) or "it is shorter than it was"
            self.body.fail(Failure("proxy_internal_error", Side.INTERNAL, f"A file could not be read: {why}."))
            return
        data = piece.result()
        self._place += len(data)
        is_last = self._place >= self._end
        if is_last:
            self._file = None
        self.body.feed(data)
        if is_last:
            self.body.finish()
        else:
            self._ask()
