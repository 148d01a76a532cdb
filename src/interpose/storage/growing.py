"""Content that is being fetched, and its readers: each begins at any time and reads at its own pace.

    origin's body --pipe--> Growing  [ passed by all | spilled to a file | in memory ]  ...what will come
                               |           ^ a slow reader      ^ another     ^ most are here: they get each chunk
                             bodies                                             as it comes, nothing is read back

The fetch is never slowed by a reader. What comes is kept: the end of it in memory, up to `memory_bytes`, what is before
that in a temporary file. While it is *open*, everything is kept, since another reader may begin at the first octet.
Once it is sealed (nobody else will come: the store has it now, or must not have it), what every reader has passed is
dropped, and with it the file.

The file is bounded too. Content longer than `max_bytes` is sealed: it is too long to be shared with who comes later.
When even then the slowest reader is further behind than that, or the disk is full, the fetch goes at the pace of that
reader: `write` says no, and `on_drain` follows.

A reader is the source of a body. No task belongs to it: it is fed from `write`, or in turns of the event loop of at
most PIECE_BYTES each while it is behind. It may pause, resume and leave at any time, also from within the feeding.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from interpose.core.body import Body
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.storage.reading import PIECE_BYTES
from interpose.storage.spill import Spill, SpillSpace

MEMORY_BYTES = 262144
MAX_BYTES = 1 << 30


class Growing:
    """A `Sink` that what it takes can be read from, by many, from the first octet on. Made on the event loop.

    `length` is the number of octets when it is known in advance; `space` is where what does not fit into memory goes,
    None for nowhere. `received` counts those that came. `ended` is True
    after the end or the failure, which is then in `failure`. `on_left` is called whenever the last reader has left or
    has read all. Whoever makes one seals it in the end, or its file stays open.
    """

    __slots__ = (
        "_base", "_is_full", "_max_bytes", "_memory", "_memory_bytes", "_readers", "_space", "_spill", "_start",
        "ended", "failure", "is_open", "length", "loop", "on_drain", "on_left", "received", "trailers",
    )  # fmt: skip

    def __init__(
        self,
        length: int | None = None,
        space: SpillSpace | None = None,
        *,
        memory_bytes: int = MEMORY_BYTES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.length = length
        self.received = 0
        self.ended = False
        self.failure: Failure | None = None
        self.trailers: Fields | None = None
        self.is_open = True
        """Whether `body` may be called: nothing was dropped yet."""
        self.on_left: Callable[[], None] | None = None
        self.on_drain: Callable[[], None] | None = None
        self._readers: dict[_Reader, None] = {}
        self._base = 0  # nothing before this octet is kept
        self._start = 0  # where `_memory` begins; what is between is in `_spill`
        self._memory = bytearray()
        self._memory_bytes = memory_bytes
        self._max_bytes = max_bytes if space is not None else memory_bytes
        self._space = space
        self._spill: Spill | None = None
        self._is_full = False

    # --- readers ---------------------------------------------------------------------------------------------------

    @property
    def has_readers(self) -> bool:
        """Whether somebody reads and has not got everything yet."""
        return bool(self._readers)

    def body(self, first: int = 0, last: int | None = None) -> Body:
        """A body for one more reader: all of the content, or the octets from `first` to `last`, both included. It fails
        where the content fails, after what came before. ValueError when this is not open any more."""
        if not self.is_open:
            raise ValueError(
                "the beginning of this content is not kept any more: look whether it is stored, or fetch it"
            )
        end = None if last is None else last + 1
        is_all_there = self.ended and self.failure is None and (first if end is None else end) <= self.received
        if is_all_there and self._spill is None:
            body = Body(bytes(memoryview(self._memory)[first:end]))
            body.trailers = self.trailers if end is None else None
            return body
        reader = _Reader(self, first, end)
        self._readers[reader] = None
        return reader.body

    def seal(self) -> None:
        """No other reader will come: drop what all have passed, now and from now on."""
        self.is_open = False
        self._drop_passed()

    # --- the sink of the origin's body -----------------------------------------------------------------------------

    def write(self, chunk: bytes) -> bool:
        """See `core.body.Sink`. True unless the bounds are reached."""
        if self.ended or not chunk:
            return not self._is_full
        place = self.received
        self.received += len(chunk)
        if not self.is_open and len(self._readers) < 2 and self._all_are_at(place):
            self._base = self._start = self.received  # nobody needs it from here
            for reader in tuple(self._readers):
                reader.take(chunk)
            return True
        self._memory += chunk
        for reader in tuple(self._readers):
            reader.take_or_catch_up(place, chunk)
        if not self.is_open:
            self._drop_passed()
        self._keep_within_bounds()
        return not self._is_full

    def end(self, trailers: Fields | None) -> None:
        """See `core.body.Sink`."""
        self._end(None, trailers)

    def abort(self, failure: Failure) -> None:
        """See `core.body.Sink`. Every reader gets what came before, and then the failure."""
        self._end(failure, None)

    def _end(self, failure: Failure | None, trailers: Fields | None) -> None:
        if self.ended:
            return
        self.ended = True
        self.failure = failure
        self.trailers = trailers
        for reader in tuple(self._readers):
            reader.end_if_all_is_read()

    # --- what is kept ----------------------------------------------------------------------------------------------

    def read(self, place: int, limit: int) -> bytes:
        """(for readers) From 1 to `limit` octets at `place`, which have come and were not dropped. Raises OSError."""
        if place < self._start:
            assert self._spill is not None
            return self._spill.read(place, limit)
        offset = place - self._start
        with memoryview(self._memory) as view:
            return bytes(view[offset : offset + limit])

    def passed(self, place: int) -> None:
        """(for readers) One of them was at `place` and has gone on."""
        if not self.is_open and place == self._base:
            self._drop_passed()

    def left(self, reader: _Reader) -> None:
        """(for readers) One wants no more."""
        if reader not in self._readers:
            return
        del self._readers[reader]
        self.passed(reader.place)
        if not self._readers and self.on_left is not None:
            self.on_left()

    def _all_are_at(self, place: int) -> bool:
        """Whether every reader can take what comes next, so that it need not be kept."""
        return self._start == place and all(reader.wants(place) for reader in self._readers)

    def _drop_passed(self) -> None:
        base = min((reader.place for reader in self._readers), default=self.received)
        base = self._base = min(base, self.received)  # a range may begin later
        if base > self._start:
            del self._memory[: base - self._start]
            self._start = base
        if self._spill is not None:
            self._spill.drop(base)
            if base >= self._start:
                self._spill.close()
                self._spill = None
        if self._is_full and self.received - self._base <= self._max_bytes // 2:
            self._is_full = False
            if self.on_drain is not None and not self.ended:
                self.on_drain()

    def _keep_within_bounds(self) -> None:
        if len(self._memory) > self._memory_bytes and self._space is not None:
            self._move_to_file(self._space, len(self._memory) - self._memory_bytes // 2)
        if self.received - self._base > self._max_bytes:
            if self.is_open:
                self.seal()
            self._is_full = self.received - self._base > self._max_bytes

    def _move_to_file(self, space: SpillSpace, size: int) -> None:
        """Free `size` octets of memory. A disk that does not take them leaves us with memory alone."""
        if self._spill is None:
            self._spill = Spill(space, self._start)
        try:
            with memoryview(self._memory) as view, view[:size] as front:
                self._spill.append(front)
        except OSError as error:
            space.complain(error)
            self._space = None
            self._max_bytes = self._memory_bytes
            return
        del self._memory[:size]
        self._start += size


class _Reader:
    """The source of one reader's body: where it is, and whether it wants more."""

    __slots__ = ("_end", "_growing", "_is_paused", "_turn_comes", "body", "place")

    def __init__(self, growing: Growing, first: int, end: int | None) -> None:
        self._growing = growing
        self._end = end
        self._is_paused = True
        self._turn_comes = False
        self.place = first
        whole = growing.length if end is None else end
        self.body = Body.streaming(self, None if whole is None else whole - first)

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False
        if not self._turn_comes:
            self._turn()

    def cancel(self) -> None:
        self._growing.left(self)

    def wants(self, place: int) -> bool:
        """Whether it has read everything before `place` and takes more at once."""
        return self.place == place and not self._is_paused and not self._turn_comes

    def take_or_catch_up(self, place: int, chunk: bytes) -> None:
        """`chunk` has come at `place`."""
        if self.wants(place):
            self.take(chunk)
        elif not self._is_paused and not self._turn_comes and self.place < self._available():
            self._turn()  # its range begins within this chunk

    def take(self, chunk: bytes) -> None:
        """What comes next, for one that wants it."""
        self._turn_comes = True
        self._feed(chunk if self._end is None else chunk[: self._end - self.place])
        self._go_on()

    def end_if_all_is_read(self) -> None:
        """End the body where nothing is left for it."""
        growing, body = self._growing, self.body
        if body.ended:
            return
        if self.place == self._end:
            growing.left(self)
            body.finish()
        elif growing.ended and self.place >= growing.received:
            growing.left(self)
            if growing.failure is not None:
                body.fail(growing.failure)
            elif self._end is None and self.place == growing.received:
                body.finish(growing.trailers)
            else:
                body.fail(_too_short(growing.received))

    def _turn(self) -> None:
        """One piece of what came before, then another turn when there is more and the consumer wants it."""
        self._turn_comes = True
        growing = self._growing
        if not self._is_paused and not self.body.ended:
            available = self._available() - self.place
            if available > 0:
                try:
                    piece = growing.read(self.place, min(PIECE_BYTES, available))
                except OSError as error:
                    growing.left(self)
                    self.body.fail(_unreadable(error))
                else:
                    self._feed(piece)
        self._go_on()

    def _go_on(self) -> None:
        self.end_if_all_is_read()
        self._turn_comes = not self._is_paused and not self.body.ended and self.place < self._available()
        if self._turn_comes:
            self._growing.loop.call_soon(self._turn)

    def _available(self) -> int:
        received = self._growing.received
        return received if self._end is None else min(received, self._end)

    def _feed(self, piece: bytes) -> None:
        place = self.place
        self.place += len(piece)
        self.body.feed(piece)
        self._growing.passed(place)


def _too_short(received: int) -> Failure:
    detail = f"The server's answer ended after {received} bytes; more were asked for."
    return Failure("http_response_incomplete", Side.UPSTREAM, detail, sent=True)


def _unreadable(error: OSError) -> Failure:
    detail = f"The content could not be read back from its temporary file: {error.strerror or error}."
    return Failure("proxy_internal_error", Side.INTERNAL, detail)
