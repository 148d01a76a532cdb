"""Content that is written down as it flows: up to a cap, and counted to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from interpose.core.body import Body
from interpose.core.failure import Failure
from interpose.core.fields import Fields


class Clock(Protocol):
    """An event loop, as far as time goes."""

    def time(self) -> float:
        """Seconds, monotonic."""


class Tap:
    """Sits between two bodies: the sink of `inner`, the source of `body`, whose content, length and end are the same.

    `kept` are the first `most` octets of what flowed, `size` counts all, `ended` is when the last one came (0.0: not
    yet), `is_whole` whether nothing is missing then.
    """

    __slots__ = (
        "_chunks",
        "_clock",
        "_has_started",
        "_inner",
        "_is_paused",
        "_room",
        "body",
        "ended",
        "is_whole",
        "on_drain",
        "size",
    )

    def __init__(self, inner: Body, most: int, clock: Clock) -> None:
        self.on_drain: Callable[[], None] | None = None
        self.size = 0
        self.ended = 0.0
        self.is_whole = False
        self._inner = inner
        self._chunks: list[bytes] = []
        self._room = most
        self._clock = clock
        self._is_paused = self._has_started = False
        self.body = Body.streaming(self, inner.length)

    @property
    def kept(self) -> bytes:
        """See the class."""
        return b"".join(self._chunks)

    # --- the sink of the first -------------------------------------------------------------------------------------

    def write(self, chunk: bytes) -> bool:
        """See `core.body.Sink`."""
        self.size += len(chunk)
        if self._room > 0:
            self._chunks.append(chunk[: self._room])
            self._room -= len(chunk)
        self.body.feed(chunk)
        return not self._is_paused

    def end(self, trailers: Fields | None) -> None:
        """See `core.body.Sink`."""
        self.ended = self._clock.time()
        self.is_whole = True
        self.body.finish(trailers)

    def abort(self, failure: Failure) -> None:
        """See `core.body.Sink`."""
        self.ended = self._clock.time()
        self.body.fail(failure)

    # --- the source of the second ----------------------------------------------------------------------------------

    def pause(self) -> None:
        """See `core.body.Source`."""
        self._is_paused = True

    def resume(self) -> None:
        """See `core.body.Source`."""
        self._is_paused = False
        if not self._has_started:
            self._has_started = True
            self._inner.pipe(self)
        elif self.on_drain is not None:
            self.on_drain()

    def cancel(self) -> None:
        """See `core.body.Source`."""
        self._inner.close()
