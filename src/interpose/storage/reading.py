"""A body that is read piece by piece, as its consumer wants it: from a file, or from pieces in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from interpose.core.body import MAX_PIECE_BYTES, Body
from interpose.core.failure import Failure, Side

PIECE_BYTES = MAX_PIECE_BYTES
"""At most so much is read in one turn of the event loop, so that others have theirs."""

Read = Callable[[int, int], bytes]
"""(position, limit): from 1 to `limit` octets at `position`. Raises OSError or `Failure` when that cannot be; no octets
are an error too."""


def body_of(read: Read, first: int, last: int, released: Callable[[], None] | None = None) -> Body:
    """A body of the octets from `first` to `last`, both included. Nothing is read before somebody wants it. `released`
    is called once, when no more is going to be read. Call it on the event loop."""
    if last < first:
        if released is not None:
            released()
        return Body()
    return _Reading(read, first, last + 1, released).body


class _Reading:
    """The source of one body."""

    __slots__ = ("_end", "_is_paused", "_loop", "_place", "_read", "_released", "_turn_comes", "body")

    def __init__(self, read: Read, first: int, end: int, released: Callable[[], None] | None) -> None:
        self._read = read
        self._place = first
        self._end = end
        self._released = released
        self._is_paused = True
        self._turn_comes = False
        self._loop = asyncio.get_running_loop()
        self.body = Body.streaming(self, end - first)

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False
        if not self._turn_comes:
            self._turn()

    def cancel(self) -> None:
        self._release()

    def _turn(self) -> None:
        """One piece, and another turn when the consumer wants more."""
        self._turn_comes = True  # also while this one feeds: a consumer may ask for more from within
        if not self._is_paused and not self.body.ended:
            self._feed()
        self._turn_comes = not self._is_paused and not self.body.ended
        if self._turn_comes:
            self._loop.call_soon(self._turn)

    def _feed(self) -> None:
        try:
            piece = self._read(self._place, min(PIECE_BYTES, self._end - self._place))
        except Failure as failure:
            self._fail(failure)
            return
        except OSError as error:
            self._fail(_unreadable(error.strerror or "it cannot be read"))
            return
        if not piece:
            self._fail(_unreadable("it is shorter than it was"))
            return
        self._place += len(piece)
        self.body.feed(piece)
        if self._place >= self._end:
            self._release()
            self.body.finish()

    def _fail(self, failure: Failure) -> None:
        self._release()
        self.body.fail(failure)

    def _release(self) -> None:
        released, self._released = self._released, None
        if released is not None:
            released()


def _unreadable(why: str) -> Failure:
    return Failure("proxy_internal_error", Side.INTERNAL, f"Stored content could not be read: {why}.")
