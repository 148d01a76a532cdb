"""One body made of several, one after another: the parts of a multipart answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from interpose.core.body import Body
from interpose.core.failure import Failure
from interpose.core.fields import Fields


class Joined:
    """One body of several pieces after another: the source of it, and the sink of each."""

    __slots__ = ("_inner", "_is_paused", "_pieces", "_runs", "body", "on_drain")

    def __init__(self, pieces: Sequence[bytes | Callable[[], Body]], length: int) -> None:
        self._pieces = list(reversed(pieces))
        self._inner: Body | None = None
        self._is_paused = True
        self._runs = False
        self.on_drain: Callable[[], None] | None = None
        self.body = Body.streaming(self, length)

    def pause(self) -> None:
        """See `core.body.Source`."""
        self._is_paused = True

    def resume(self) -> None:
        """See `core.body.Source`."""
        self._is_paused = False
        if self._inner is not None:
            if self.on_drain is not None:
                self.on_drain()
        elif not self._runs:
            self._go_on()

    def cancel(self) -> None:
        """See `core.body.Source`."""
        self._pieces.clear()
        if self._inner is not None:
            self._inner.close()

    def _go_on(self) -> None:
        """Feed what needs no waiting; stop at a piece that does. (A loop: pieces that are ready must not nest.)"""
        self._runs = True
        while self._inner is None and not self._is_paused and not self.body.ended:
            if not self._pieces:
                self.body.finish()
                break
            piece = self._pieces.pop()
            if isinstance(piece, bytes):
                self.body.feed(piece)
            else:
                self.on_drain = None
                self._inner = piece()
                self._inner.pipe(self)
        self._runs = False

    def write(self, chunk: bytes) -> bool:
        """See `core.body.Sink`."""
        self.body.feed(chunk)
        return not self._is_paused

    def end(self, trailers: Fields | None) -> None:
        """See `core.body.Sink`."""
        self._inner = None
        if not self._runs:
            self._go_on()

    def abort(self, failure: Failure) -> None:
        """See `core.body.Sink`."""
        self._inner = None
        self._pieces.clear()
        self.body.fail(failure)
