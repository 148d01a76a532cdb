"""A conversation over one stream with somebody on this side: what they say goes out, what is answered comes in.

This is what `interpose connect` does. It ends when the other side has ended and there is nothing left to say; what
waits for nothing in particular has a deadline (`Patience`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from msgspec import Struct

from interpose.core.body import Sink
from interpose.core.failure import Failure, Side
from interpose.core.stream import Stream

LOOK_S = 0.1


class Patience(Struct, frozen=True, kw_only=True):
    """How long silence may last."""

    answer_s: float | None = None
    """For the other side to say something, once everything was said here. None: as long as it stays connected."""

    end_s: float = 10.0
    """For the other side to end, where it cannot be told that we have ended (TLS); then we do."""

    input_s: float = 5.0
    """For somebody here to say more after the other side has ended. It may have ended altogether, which cannot be told
    from the end of one direction until more is sent."""

    hang_up: bool = False
    """End as soon as the other side does, whoever is still to say something: for a person at a terminal."""


class Talk:
    """Joins `stream` with what is said here and with `output`, in the manner of `core.stream.Receiver`."""

    def __init__(self, stream: Stream, output: Sink, patience: Patience) -> None:
        self._stream = stream
        self._output = output
        self._patience = patience
        self._has_tls = stream.info.tls is not None
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[Failure | None] = self._loop.create_future()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._moved_at = self._loop.time()
        self._said_all = False
        self._heard_all = False
        self._is_closing = False
        self._has_untaken = False
        self.sent_bytes = 0
        self.received_bytes = 0
        self.gave_up = ""
        """Why the conversation was ended from here, for whoever wants to know."""

    async def run(self, said: AsyncIterator[bytes]) -> None:
        """Talk until it is over. `Failure` when the connection broke or the other side kept silent for too long."""
        self._output.on_drain = self._stream.resume
        self._stream.attach(self)
        saying = self._loop.create_task(self._say(said))
        try:
            while not self._over.done():
                waits_for: set[asyncio.Future[Any]] = {self._over} if self._said_all else {self._over, saying}
                await asyncio.wait(waits_for, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                if saying.done() and not self._said_all:
                    self._end_of_input(saying)
                self._judge()
            failure = self._over.result()
            if failure is not None:
                raise failure
        finally:
            self._output.on_drain = None
            saying.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await saying
            self._stream.close()

    async def _say(self, said: AsyncIterator[bytes]) -> None:
        async for data in said:
            self._moved_at = self._loop.time()
            self.sent_bytes += len(data)
            if not self._stream.write(data):
                self._has_room.clear()
                await self._has_room.wait()

    def _end_of_input(self, saying: asyncio.Task[None]) -> None:
        self._said_all = True
        self._moved_at = self._loop.time()
        if (error := saying.exception()) is not None:
            raise error
        if self._heard_all:
            self._close()
        elif not self._has_tls:
            self._stream.end()

    def _judge(self) -> None:
        """Look at the deadlines."""
        patience, silence = self._patience, self._loop.time() - self._moved_at
        if self._is_closing or self._over.done() or not self._stream.is_reading or self._stream.unsent_bytes:
            return
        if self._heard_all:
            if not self._said_all and silence >= patience.input_s:
                self.gave_up = f"the other side ended, and nothing more was said here for {patience.input_s:g} s"
                self._close()
        elif self._said_all:
            if patience.answer_s is not None and silence >= patience.answer_s:
                words = f"Nothing came for {patience.answer_s:g} s after everything was sent."
                self._over.set_result(Failure("connection_read_timeout", Side.UPSTREAM, words, sent=True))
            elif self._has_tls and silence >= patience.end_s:
                self.gave_up = (
                    f"nothing came for {patience.end_s:g} s after everything was sent; "
                    "in TLS the other side cannot be told that no more follows"
                )
                self._close()

    def _close(self) -> None:
        self._is_closing = True
        self._has_untaken = self._stream.unsent_bytes > 0
        self._stream.close()

    def bytes_received(self, data: bytes) -> None:
        """See `core.stream.Receiver`."""
        self._moved_at = self._loop.time()
        self.received_bytes += len(data)
        if not self._output.write(data):
            self._stream.pause()

    def end_received(self) -> None:
        """The other side says no more; we may have something to say yet."""
        self._heard_all = True
        self._moved_at = self._loop.time()
        if self._said_all or self._patience.hang_up or self._has_tls:
            self._close()

    def writable(self) -> None:
        """The other side takes more."""
        self._moved_at = self._loop.time()
        self._has_room.set()

    def connection_lost(self, failure: Failure | None) -> None:
        """The connection is gone."""
        self._has_room.set()
        if self._is_closing and self._said_all and not self._has_untaken:
            failure = None  # everything was heard and is on its way: a reset takes nothing away
        elif failure is None and not self._heard_all and not self._is_closing:
            words = "The connection ended without a word, so that something may be missing."
            failure = Failure("connection_terminated", Side.UPSTREAM, words)
        if not self._over.done():
            self._over.set_result(failure)
