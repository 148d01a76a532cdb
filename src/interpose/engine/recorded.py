"""A stream whose received bytes are recorded exactly as they come, before whoever reads them does."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from interpose.core.body import Sink
from interpose.core.failure import Failure
from interpose.core.stream import Receiver, Stream, StreamInfo


class Recorded:
    """A `Stream` over `stream`: what is pushed to its receiver goes into `record` first, and waits for it.

    Reading is paused while the record is full, whatever the receiver says, and while the receiver wants that.
    """

    def __init__(self, stream: Stream, record: Sink) -> None:
        self._stream = stream
        self._record = record
        self._receiver: Receiver | None = None
        self._is_wanted = True
        self._has_room = True

    def receive_in_pieces(self) -> None:
        """See `Stream.receive_in_pieces`."""
        self._stream.receive_in_pieces()

    def attach(self, receiver: Receiver) -> None:
        """See `Stream.attach`."""
        self._receiver = receiver
        self._stream.attach(self)

    def bytes_received(self, data: bytes) -> None:
        """See `core.stream.Receiver`."""
        if not self._record.write(data):
            self._has_room = False
            self._record.on_drain = self._drained
            self._stream.pause()
        assert self._receiver is not None
        self._receiver.bytes_received(data)

    def _drained(self) -> None:
        self._has_room = True
        if self._is_wanted:
            self._stream.resume()

    def end_received(self) -> None:
        """See `core.stream.Receiver`."""
        assert self._receiver is not None
        self._receiver.end_received()

    def writable(self) -> None:
        """See `core.stream.Receiver`."""
        assert self._receiver is not None
        self._receiver.writable()

    def connection_lost(self, failure: Failure | None) -> None:
        """See `core.stream.Receiver`."""
        assert self._receiver is not None
        self._receiver.connection_lost(failure)

    def pause(self) -> None:
        """See `Stream.pause`."""
        self._is_wanted = False
        self._stream.pause()

    def resume(self) -> None:
        """See `Stream.resume`."""
        self._is_wanted = True
        if self._has_room:
            self._stream.resume()

    @property
    def info(self) -> StreamInfo:
        """See `Stream.info`."""
        return self._stream.info

    @property
    def written_bytes(self) -> int:
        """See `Stream.written_bytes`."""
        return self._stream.written_bytes

    @property
    def unsent_bytes(self) -> int:
        """See `Stream.unsent_bytes`."""
        return self._stream.unsent_bytes

    @property
    def is_full(self) -> bool:
        """See `Stream.is_full`."""
        return self._stream.is_full

    @property
    def is_reading(self) -> bool:
        """See `Stream.is_reading`."""
        return self._stream.is_reading

    def write(self, data: bytes) -> bool:
        """See `Stream.write`."""
        return self._stream.write(data)

    def end(self) -> None:
        """See `Stream.end`."""
        self._stream.end()

    def close(self) -> None:
        """See `Stream.close`."""
        self._stream.close()

    def abort(self) -> None:
        """See `Stream.abort`."""
        self._stream.abort()

    def when_lost(self, function: Callable[[Failure | None], None]) -> None:
        """See `Stream.when_lost`."""
        self._stream.when_lost(function)

    def hand_over(self, early: bytes) -> None:
        """See `Stream.hand_over`. From here on nothing is recorded."""
        self._stream.hand_over(early)

    async def peek(self, size: int) -> bytes:
        """See `Stream.peek`."""
        return await self._stream.peek(size)

    async def read(self, limit: int = 65536) -> bytes:
        """See `Stream.read`. What is pulled is not recorded."""
        return await self._stream.read(limit)

    async def drain(self) -> None:
        """See `Stream.drain`."""
        await self._stream.drain()

    async def start_tls(self, context: Any, *, server_name: str | None = None) -> None:
        """See `Stream.start_tls`."""
        await self._stream.start_tls(context, server_name=server_name)

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """See `Stream.run`."""
        self._stream.run(coroutine)
