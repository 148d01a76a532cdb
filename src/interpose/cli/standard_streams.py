"""Standard input and output beside an event loop, whatever they are: a terminal, a pipe, a file, a device.

Each has a thread of its own that makes the blocking calls. Loops can watch pipes and sockets only, not files, and to
set a descriptor to non-blocking would do it to every program that has the same terminal open.

Both are slow peers like any other: what is read is asked for piece by piece, and what is written is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial

from interpose.core.failure import Failure
from interpose.core.fields import Fields

READ_BYTES = 256 << 10
HIGH_WATER = 256 << 10
"""What may wait to be written before whoever writes is told to stop."""


class Inlet:
    """What a descriptor has to say, piece by piece: `async for data in inlet`. Nothing is read before it is asked for.

    A piece of a terminal is a line. OSError when it cannot be read.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._wanted = threading.Semaphore(0)
        self._piece: asyncio.Future[bytes] | None = None
        # A read that never returns must not keep the program from ending: hence a daemon.
        self._thread = threading.Thread(target=self._read, name="standard input", daemon=True)
        self._thread.start()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self._piece = self._loop.create_future()
            self._wanted.release()
            data = await self._piece
            if not data:
                return
            yield data

    def _read(self) -> None:
        data = b"?"
        while data:
            self._wanted.acquire()
            try:
                data = os.read(self._descriptor, READ_BYTES)
            except OSError as error:
                self._tell(partial(self._fail, error))
                return
            self._tell(partial(self._give, data))

    def _tell(self, function: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(function)

    def _give(self, data: bytes) -> None:
        if self._piece is not None and not self._piece.done():
            self._piece.set_result(data)

    def _fail(self, error: OSError) -> None:
        if self._piece is not None and not self._piece.done():
            self._piece.set_exception(error)


class Outlet:
    """A `Sink` that writes to a descriptor. `broken` is done with the error when that fails; nothing is written then.

    `shown` changes what is written, for terminals: called with each piece, and with None for what is left at the end.
    """

    def __init__(self, descriptor: int, shown: Callable[[bytes | None], bytes] | None = None) -> None:
        self._descriptor = descriptor
        self._shown = shown
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._waiting: list[bytes] = []
        self._size = 0
        self._has_ended = False
        self._is_full = False
        self._finished = self._loop.create_future()
        self.broken: asyncio.Future[OSError] = self._loop.create_future()
        self.on_drain: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._write, name="output", daemon=True)
        self._thread.start()

    def write(self, chunk: bytes) -> bool:
        """See `core.body.Sink`."""
        data = chunk if self._shown is None else self._shown(chunk)
        return self._put(data)

    def _put(self, data: bytes) -> bool:
        with self._news:
            if data and not self._has_ended and not self.broken.done():
                self._waiting.append(data)
                self._size += len(data)
                self._news.notify()
            self._is_full = self._size >= HIGH_WATER and not self.broken.done()
            return not self._is_full

    async def put(self, data: bytes) -> None:
        """Write, and wait while there is no room. Not beside another writer."""
        if not self.write(data):
            has_room = asyncio.Event()
            self.on_drain = has_room.set
            await has_room.wait()

    def end(self, trailers: Fields | None = None) -> None:
        """See `core.body.Sink`."""
        if self._has_ended:
            return
        if self._shown is not None:
            self._put(self._shown(None))
        with self._news:
            self._has_ended = True
            self._news.notify()

    def abort(self, failure: Failure) -> None:
        """See `core.body.Sink`. What was written stays written."""
        self.end()

    async def finish(self) -> None:
        """Wait until everything is written. OSError when it cannot be."""
        self.end()
        await asyncio.wait((self._finished, self.broken), return_when=asyncio.FIRST_COMPLETED)
        if self.broken.done():
            raise self.broken.result()

    def _write(self) -> None:
        while True:
            with self._news:
                while not self._waiting and not self._has_ended:
                    self._news.wait()
                pieces, self._waiting = self._waiting, []
                if not pieces:
                    break
            data = memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            while data:
                try:
                    count = os.write(self._descriptor, data)
                except OSError as error:
                    self._tell(partial(self._break, error))
                    return
                data = data[count:]
                with self._lock:
                    self._size -= count
            self._tell(self._drained)
        self._tell(self._finish)

    def _tell(self, function: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(function)

    def _drained(self) -> None:
        with self._lock:
            if not self._is_full or self._size >= HIGH_WATER // 2:
                return
            self._is_full = False
        if self.on_drain is not None:
            self.on_drain()

    def _finish(self) -> None:
        if not self._finished.done():
            self._finished.set_result(None)

    def _break(self, error: OSError) -> None:
        if not self.broken.done():
            self.broken.set_result(error)
        self._is_full = False
        if self.on_drain is not None:  # whoever waits for room waits for nothing
            self.on_drain()
