"""Sends one file to a server, in either form, and gives what the server had to say.

A content is read twice: for its SHA-256, and to be sent. When both differ, somebody has written into it meanwhile, and
the connection is broken off before its end: no server takes a mixture of two versions for a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol

from interpose.core.failure import Failure, Side
from interpose.engine.intake import Intake
from interpose.engine.spool_reception import next_message
from interpose.engine.spool_work import Gauge, Threads
from interpose.protocol.spool_frame import (
    CLIENT_OPENING,
    MAX_ANSWER_BYTES,
    OPENING_BYTES,
    SERVER_OPENING,
    Answer,
    FrameError,
    Offer,
    Refused,
    Resume,
    Stored,
    encode,
)

PIECE_BYTES = 256 << 10
ANSWER_TIMEOUT_S = 300.0
STORED_TIMEOUT_S = 120.0
OPENING_TIMEOUT_S = 10.0


class Changed(Exception):
    """The content is not what it was when it was opened."""


class NoAnswer(Exception):
    """Everything was sent, and the server neither answered nor ended."""


class NotFramed(Exception):
    """The server answers, and not in the framed form."""


class Rejected(Exception):
    """The server does not take it; `is_final` when it never will. The text is the server's."""

    def __init__(self, why: str, *, is_final: bool) -> None:
        super().__init__(why)
        self.is_final = is_final


class Content(Protocol):
    """What is sent (`storage.spool_claim.Content`). Its methods block and raise OSError."""

    @property
    def size(self) -> int:
        """How many octets."""

    @property
    def sha256(self) -> str:
        """Of all of them."""

    def read(self, offset: int, size: int) -> bytes:
        """Some of them; b"" at the end."""

    def is_unchanged(self) -> bool:
        """Whether they are still what they were."""


class Delivery:
    """One content on its way over one stream, which is closed by whoever opened it."""

    def __init__(self, intake: Intake, content: Content, threads: Threads, gauge: Gauge) -> None:
        self._intake = intake
        self._content = content
        self._threads = threads
        self._gauge = gauge
        self._hash = hashlib.sha256()

    async def plain(self, idle_end_s: float | None) -> bytes:
        """Send the bytes, end our side, and give the whole answer, at most `MAX_ANSWER_BYTES` of it.

        An answer ends with the server's side, or when nothing more comes for `idle_end_s`. Raises `Failure`, `Changed`,
        `NoAnswer`, OSError.
        """
        await self._send(0)
        self._intake.stream.end()
        return await self._plain_answer(idle_end_s)

    async def _plain_answer(self, idle_end_s: float | None) -> bytes:
        answer = b""
        while True:
            try:
                data = await self._intake.take(idle_end_s if answer and idle_end_s is not None else ANSWER_TIMEOUT_S)
            except TimeoutError:
                if answer:
                    return answer
                raise NoAnswer(f"it was sent whole, and the server was silent for {ANSWER_TIMEOUT_S:g} s") from None
            if not data:
                return answer
            answer = (answer + data)[:MAX_ANSWER_BYTES]

    async def framed(self, id_: bytes, name: str) -> Stored:
        """Send it under its id, and give what the server has stored: nothing is sent twice, and a part that the server
        has already is not sent again.

        Raises `NotFramed`, `Rejected`, `Failure`, `FrameError`, `Changed`, OSError.
        """
        content = self._content
        offer = Offer(id_, content.size, bytes.fromhex(content.sha256), name)
        await self._intake.write(CLIENT_OPENING + encode(offer))
        await self._server_opening()
        message = await self._next(STORED_TIMEOUT_S)
        if isinstance(message, Resume):
            if message.offset > content.size:
                raise FrameError(f"The server has {message.offset} bytes of {content.size}.")
            await self._send_until_heard(message.offset)
            message = await self._next(STORED_TIMEOUT_S)
        if not isinstance(message, Stored):
            raise FrameError(f"The server said {type(message).__name__} where Stored was expected.")
        return message

    async def has_answer(self, timeout_s: float) -> bool:
        """Whether more has come from the server within so many seconds. Raises `Failure` when nothing more can."""
        try:
            await self._intake.arrival(timeout_s)
        except TimeoutError:
            return False
        return True

    async def answer(self, timeout_s: float) -> bytes:
        """What the end of the row says about what is stored. Raises TimeoutError, `Failure`, `Rejected`,
        `FrameError`."""
        message = await self._next(timeout_s)
        if not isinstance(message, Answer):
            raise FrameError(f"The server said {type(message).__name__} where Answer was expected.")
        return message.text

    async def _server_opening(self) -> None:
        """Only who says something else is known not to speak this form: who is silent, or gone, may be busy or dead."""
        opening = b""
        try:
            while len(opening) < OPENING_BYTES and SERVER_OPENING.startswith(opening):
                more = await self._intake.take(OPENING_TIMEOUT_S)
                if not more:
                    raise Failure("connection_terminated", Side.UPSTREAM, "The server ended before it said anything.")
                opening += more
        except TimeoutError:
            silent = f"The server was silent for {OPENING_TIMEOUT_S:g} s; it may be no spool or sink."
            raise Failure("connection_read_timeout", Side.UPSTREAM, silent) from None
        if not opening.startswith(SERVER_OPENING):
            raise NotFramed
        self._intake.put_back(opening[OPENING_BYTES:])

    async def _next(self, timeout_s: float) -> Resume | Stored | Answer | Offer:
        try:
            message = await next_message(self._intake, timeout_s, Side.UPSTREAM)
        except TimeoutError:
            raise Failure(
                "connection_read_timeout", Side.UPSTREAM, f"The server said nothing for {timeout_s:g} s."
            ) from None
        if isinstance(message, Refused):
            raise Rejected(message.text, is_final=message.is_final)
        return message

    async def _send_until_heard(self, offset: int) -> None:
        """Send, and stop when the server says something: before the end that can only be why it does not take it."""
        try:
            await self._send(offset, lambda: self._intake.has_something)
        except Failure:
            if not self._intake.has_something:
                raise

    async def _send(self, offset: int, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """The content from `offset` on; what is before it is only hashed. Raises `Changed` before the last piece is
        sent when it is not what it was."""
        content, position = self._content, 0
        self._gauge.advance(offset)
        while position < content.size and not is_stopped():
            data = await self._threads(self._piece, position)
            if not data:
                raise Changed
            position += len(data)
            if position == content.size and not await self._threads(self._is_same):
                raise Changed
            if position > offset:
                await self._intake.write(data[-(position - offset) :])
                self._gauge.advance(min(len(data), position - offset))

    def _piece(self, position: int) -> bytes:
        data = self._content.read(position, min(PIECE_BYTES, self._content.size - position))
        self._hash.update(data)
        return data

    def _is_same(self) -> bool:
        return self._hash.hexdigest() == self._content.sha256 and self._content.is_unchanged()
