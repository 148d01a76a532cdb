"""What workers ask of the supervisor and wait for, and what they tell it by the way: topics and bytes, opaque here.

A call waits as long as it takes: for a person's decision that is hours. Whoever asks may be cancelled, and the call is
withdrawn; a worker that dies withdraws all of its calls. What the supervisor answers with is an `Office`, which it is
given; in one process (`interpose.serve`) the office is asked without a link.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from interpose.core.failure import Failure, Side
from interpose.engine.messages import Call, Record, Reply, ToSupervisor, Withdraw

T = TypeVar("T")


class Office(Protocol):
    """What an instance keeps for all of its workers."""

    def record(self, data: bytes) -> None:
        """Take a batch of records; returns at once."""

    async def answer(self, topic: str, question: bytes) -> bytes:
        """The answer to a call. Cancelled when nobody waits for it any more. Raises `Failure`."""

    async def open(self) -> None:
        """(once, before the first worker starts) Be ready. ValueError, a sentence, when that cannot be."""

    async def begin(self, instance: Any) -> None:
        """(once, when the workers serve) `instance` is the supervisor."""

    async def end(self) -> None:
        """(once, when the workers are gone) Write out what waits."""


class NoOffice:
    """An office that keeps nothing."""

    def record(self, data: bytes) -> None:
        """See `Office`."""

    async def answer(self, topic: str, question: bytes) -> bytes:
        """See `Office`."""
        raise Failure("proxy_configuration_error", Side.INTERNAL, f"Nobody here answers what is asked about {topic}.")

    async def open(self) -> None:
        """See `Office`."""

    async def begin(self, instance: Any) -> None:
        """See `Office`."""

    async def end(self) -> None:
        """See `Office`."""


class Calls:
    """(in a worker) What it may ask of the supervisor. `send` delivers a message, `offer` where there is room."""

    def __init__(self, send: Callable[[ToSupervisor], None], offer: Callable[[ToSupervisor], bool]) -> None:
        self._send = send
        self._offer = offer
        self._number = 0
        self._open: dict[int, asyncio.Future[Reply]] = {}
        self._has_ended = False

    async def ask(self, topic: str, question: bytes) -> bytes:
        """The supervisor's answer. `Failure` when it says so, or when it is gone."""
        return await self.ask_for(topic, question, bytes)

    async def ask_for(self, topic: str, question: bytes, decode: Callable[[bytes], T]) -> T:
        """The same, decoded. (Who waits for hours needs no coroutine of its own for that.)"""
        if self._has_ended:
            raise _gone()
        self._number += 1
        number = self._number
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._open[number] = reply
        try:
            self._send(Call(number, topic, question))
            del question  # it may take hours
            answer = await reply
        except asyncio.CancelledError:
            self._send(Withdraw(number))
            raise
        finally:
            del self._open[number]
        if answer.failure is not None:
            kind, status, detail = answer.failure
            raise Failure(kind, Side.INTERNAL, detail, status=status)
        return decode(answer.answer)

    def tell(self, records: bytes) -> bool:
        """Hand over a batch of records; False when the supervisor is too slow, and they are lost."""
        return self._offer(Record(records))

    def replied(self, reply: Reply) -> None:
        """(worker) The supervisor answers."""
        waiting = self._open.get(reply.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)

    def end(self) -> None:
        """(worker) The supervisor is gone."""
        self._has_ended = True
        for waiting in self._open.values():
            if not waiting.done():
                waiting.set_exception(_gone())


class DirectCalls(Calls):
    """The calls of a runtime that shares its process with the office."""

    def __init__(self, office: Office) -> None:
        super().__init__(lambda message: None, lambda message: True)
        self._office = office

    async def ask_for(self, topic: str, question: bytes, decode: Callable[[bytes], T]) -> T:
        """See `Calls.ask_for`."""
        # In a task of its own, as at the other end of a link: what runs an exchange need not be one (`engine.run`).
        return decode(await asyncio.ensure_future(self._office.answer(topic, question)))

    def tell(self, records: bytes) -> bool:
        """See `Calls.tell`."""
        self._office.record(records)
        return True


def _gone() -> Failure:
    return Failure("proxy_internal_error", Side.INTERNAL, "The supervisor is gone.", status=503)
