"""What a stream receives, taken by a coroutine that has to know how it ended.

`Stream.read` gives b"" for an end in order and for a loss alike, and a task of the stream is cancelled by the latter. A
file is whole only when the other side has ended in order, and what was begun must be brought to an end either way;
hence this receiver, whose reader is nobody's task but its own.
"""

from __future__ import annotations

import asyncio
import contextlib

from interpose.core.failure import Failure, Side
from interpose.core.stream import Stream
from interpose.engine.conversations import Conversation

ENOUGH_BYTES = 256 << 10
"""What may wait to be taken before reading is paused."""


class Intake:
    """The receiver of `stream`, which it attaches itself to. One coroutine takes, writes and waits.

    With `keeps`, reading never pauses and what waits beyond that is thrown away: a server that answers while it is
    still being sent to must not wait for us while we wait for it.
    """

    def __init__(
        self, stream: Stream, side: Side, *, keeps: int | None = None, conversation: Conversation | None = None
    ) -> None:
        """`conversation` is told what came, so that its deadlines are right."""
        self.stream = stream
        self._conversation = conversation
        self._keeps = keeps
        self.received_bytes = 0
        self.has_ended = False
        self.is_lost = False
        self.is_hinted_at = False
        """Whether the log has told already what is waited for in vain."""
        self._side = side
        self._failure: Failure | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        stream.attach(self)

    # --- the receiver ----------------------------------------------------------------------------------------------

    def bytes_received(self, data: bytes) -> None:
        """See `core.stream.Receiver`."""
        self.received_bytes += len(data)
        if self._conversation is not None:
            self._conversation.bytes_in += len(data)
        if self._keeps is not None:
            data = data[: self._keeps - self._size]
        if data:
            self._pieces.append(data)
            self._size += len(data)
        if self._size >= ENOUGH_BYTES and self._keeps is None:
            self.stream.pause()
        self._wake()

    def end_received(self) -> None:
        """See `core.stream.Receiver`."""
        self.has_ended = True
        self._wake()

    def writable(self) -> None:
        """See `core.stream.Receiver`."""
        self._wake()

    def connection_lost(self, failure: Failure | None) -> None:
        """See `core.stream.Receiver`."""
        self.is_lost = True
        self._failure = failure
        self._wake()

    # --- the reader ------------------------------------------------------------------------------------------------

    async def take(self, timeout_s: float | None = None) -> bytes:
        """Everything that came; b"" once the other side has ended in order.

        Raises `Failure` when the connection is gone before, TimeoutError when nothing comes in so many seconds.
        """
        await self.arrival(timeout_s)
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self.stream.resume()
        return data

    async def arrival(self, timeout_s: float | None = None) -> None:
        """Return when there is something to take, or the end. Raises as `take` does."""
        async with asyncio.timeout(timeout_s):
            while not self._pieces and not self.has_ended:
                if self.is_lost:
                    raise self._loss()
                await self._wait()

    @property
    def has_something(self) -> bool:
        """Whether there is something to take now."""
        return bool(self._pieces)

    async def drain(self, timeout_s: float) -> None:
        """Throw away what comes, until the other side has ended or gone, for so many seconds at most."""
        with contextlib.suppress(Failure, TimeoutError):
            async with asyncio.timeout(timeout_s):
                while await self.take():
                    pass

    def put_back(self, data: bytes) -> None:
        """Let this be taken (again) before what comes."""
        if data:
            self._pieces.insert(0, data)
            self._size += len(data)

    async def write(self, data: bytes) -> None:
        """Send, and wait while the other side does not take it. Raises `Failure` when it is gone."""
        if not self.is_lost and not self.stream.write(data):
            while self.stream.is_full and not self.is_lost:
                await self._wait()
        if self.is_lost:
            raise self._loss()

    def _loss(self) -> Failure:
        who = "client" if self._side is Side.DOWNSTREAM else "server"
        detail = f"The {who} broke the connection off."
        if self._failure is not None and self._side is Side.UPSTREAM:
            return self._failure
        return Failure("connection_terminated", self._side, detail)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
